//! Which lane a mail takes: an ordered list of conditions, the first that holds decides.
//!
//! Pure. What must be looked up (whether a mail answers one of ours) is asked for only where the answer would
//! change the lane, and then for a whole batch in one query.

use mailfleet_mime::Peek;
use mailfleet_model::{Lane, StorageKey, TenantId, lookup_message_id};
use serde::{Deserialize, Serialize};

/// More In-Reply-To ids than this are not looked up: a reply names one, and a hostile header names thousands.
const MAX_PARENTS: usize = 8;

/// A condition on a mail's headers or on where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// A `multipart/report`: a delivery status, a complaint, a read receipt (RFC 6522).
    Report,
    /// The envelope's sender was empty (`Return-Path: <>`), as bounces and automatic answers have it (RFC 5321 §4.5.5).
    EmptyReturnPath,
    /// In-Reply-To names a message that this tenant has sent through us.
    ReplyToKnownOutbound,
    /// The mail was in the mailbox before mailfleet first saw it.
    BeforeFirstContact,
    /// Every mail.
    Any,
}

/// One line of the list: when this holds, that lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The condition.
    pub when: When,
    /// The lane a mail takes when the condition holds.
    pub lane: Lane,
}

/// The list that is in force when the configuration names none: what answers us first, history last.
pub fn default_rules() -> Vec<Rule> {
    vec![
        Rule { when: When::Report, lane: Lane::High },
        Rule { when: When::EmptyReturnPath, lane: Lane::High },
        Rule { when: When::ReplyToKnownOutbound, lane: Lane::High },
        Rule { when: When::BeforeFirstContact, lane: Lane::Low },
        Rule { when: When::Any, lane: Lane::Normal },
    ]
}

/// A list without an end, or with lines that can never be reached, in words.
pub fn check(rules: &[Rule]) -> Result<(), String> {
    match rules.iter().position(|rule| rule.when == When::Any) {
        None => Err("has no rule for the rest: end the list with `when = \"any\"`".to_owned()),
        Some(at) if at + 1 < rules.len() => Err(format!(
            "rule {} is `any`, so the {} after it can never hold; move it to the end",
            at + 1,
            rules.len() - at - 1
        )),
        Some(_) => Ok(()),
    }
}

/// What the rules look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    report: bool,
    empty_return_path: bool,
    before_first_contact: bool,
}

impl Facts {
    /// The facts of one mail.
    pub fn new(peek: &Peek, before_first_contact: bool) -> Self {
        Self { report: peek.is_report, empty_return_path: peek.return_path_empty, before_first_contact }
    }

    /// The facts of a mail that we sent: whatever its headers say, it answers nobody of ours and reports nothing to us.
    pub fn ours(before_first_contact: bool) -> Self {
        Self { report: false, empty_return_path: false, before_first_contact }
    }

    fn hold(self, when: When, answers_us: bool) -> bool {
        match when {
            When::Report => self.report,
            When::EmptyReturnPath => self.empty_return_path,
            When::ReplyToKnownOutbound => answers_us,
            When::BeforeFirstContact => self.before_first_contact,
            When::Any => true,
        }
    }

    /// The lane of this mail. A list without `any` (which [`check`] refuses) falls to the normal lane.
    pub fn lane(self, rules: &[Rule], answers_us: bool) -> Lane {
        rules.iter().find(|rule| self.hold(rule.when, answers_us)).map_or(Lane::Normal, |rule| rule.lane)
    }

    /// Whether the lane depends on the mail being an answer to one of ours, so that it is worth asking.
    pub fn wants_lookup(self, rules: &[Rule]) -> bool {
        self.lane(rules, true) != self.lane(rules, false)
    }
}

/// The keys under which the messages that this mail answers would be known, were they ours.
pub fn parent_keys(peek: &Peek, tenant: TenantId) -> Vec<StorageKey> {
    let ids = peek.in_reply_to.iter().take(MAX_PARENTS).filter_map(|id| lookup_message_id(id));
    ids.map(|id| StorageKey::outbound(&id, tenant)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Facts = Facts { report: false, empty_return_path: false, before_first_contact: false };

    #[test]
    fn by_default_what_answers_us_goes_first_and_history_last() {
        let rules = default_rules();
        check(&rules).unwrap();
        let history = Facts { before_first_contact: true, ..PLAIN };
        assert_eq!(PLAIN.lane(&rules, false), Lane::Normal);
        assert_eq!(PLAIN.lane(&rules, true), Lane::High);
        assert_eq!(Facts { report: true, ..PLAIN }.lane(&rules, false), Lane::High);
        assert_eq!(Facts { empty_return_path: true, ..PLAIN }.lane(&rules, false), Lane::High);
        assert_eq!(history.lane(&rules, false), Lane::Low);
        assert_eq!(history.lane(&rules, true), Lane::High);
    }

    #[test]
    fn the_first_rule_that_holds_decides() {
        let rules = [
            Rule { when: When::BeforeFirstContact, lane: Lane::Low },
            Rule { when: When::Report, lane: Lane::High },
            Rule { when: When::Any, lane: Lane::Normal },
        ];
        let old_report = Facts { report: true, before_first_contact: true, ..PLAIN };
        assert_eq!(old_report.lane(&rules, false), Lane::Low);
    }

    #[test]
    fn known_messages_are_looked_up_only_where_it_matters() {
        let rules = default_rules();
        assert!(PLAIN.wants_lookup(&rules));
        assert!(!Facts { report: true, ..PLAIN }.wants_lookup(&rules), "it is high already");
        let all_alike = [Rule { when: When::Any, lane: Lane::Normal }];
        assert!(!PLAIN.wants_lookup(&all_alike));
    }

    #[test]
    fn a_list_without_end_or_with_dead_rules_is_refused() {
        let any = Rule { when: When::Any, lane: Lane::Normal };
        let report = Rule { when: When::Report, lane: Lane::High };
        assert!(check(&[]).unwrap_err().contains("when = \"any\""));
        assert!(check(&[report]).unwrap_err().contains("when = \"any\""));
        assert!(check(&[any, report]).unwrap_err().contains("rule 1 is `any`"));
        check(&[report, any]).unwrap();
    }
}
