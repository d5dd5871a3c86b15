//! From what is known of a refusal to its reason.
//!
//! Text speaks before the code, for codes are often wrong: a full mailbox is one whatever the status says. Only what
//! an unknown user means needs more: servers say it of accounts that exist too, when somebody's filter refuses the
//! content. So it counts as such where RCPT was answered or the status names the address (x.1.1), and else as
//! filtered. Codes that few write by habit (x.7.20 to x.7.26) stand above words that say little.

use crate::bounce::reason::Reason;
use crate::bounce::rules::{Said, Table, statuses, vendors};
use crate::bounce::status;
use crate::bounce::transcript::Command;
use crate::table::rows;

/// What is known of a refusal.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Evidence<'a> {
    /// What the server, or the notice, said.
    pub(crate) said: &'a str,
    /// The enhanced status.
    pub(crate) status: Option<&'a str>,
    /// The SMTP command that was answered.
    pub(crate) command: Option<Command>,
    /// Names of the host that refused and of the recipient's domain, in lower case.
    pub(crate) place: &'a str,
    /// Whether a server's reply is quoted; else the own machine speaks.
    pub(crate) is_reply: bool,
}

/// The reason that words give; `None` where no rule knows them.
pub(crate) fn by_words(said: &Said, evidence: &Evidence<'_>) -> Option<Reason> {
    let named = evidence.status.and_then(statuses::reason);
    let found = particular(said, named)
        .or_else(|| address(said, named, evidence))
        .or_else(|| named.filter(|_| evidence.status.is_some_and(statuses::names_a_check)))
        .or_else(|| nowhere(said, named, evidence))
        .or_else(|| general(said))
        .or_else(|| said.first(&[Table::Unreached]).filter(|_| named.is_none()))
        .or_else(|| {
            let vague = said.first(&[Table::Refused]).filter(|_| named.is_none() && !is_temporary(evidence));
            vague.map(|reason| unknown(reason, named, evidence))
        })?;
    Some(match (found, evidence.command) {
        // Nobody has seen the content yet, nor a recipient: the domain is the sender's.
        (
            Reason::SpamDetected
            | Reason::Filtered
            | Reason::SecurityError
            | Reason::MailboxFull
            | Reason::HostUnknown,
            Some(Command::Connect),
        ) => Reason::Blocked,
        // Content that is refused with a code of its form (x.6.n) need not be spam.
        (Reason::SpamDetected, _) if named == Some(Reason::ContentError) && !said.text().contains("spam") => {
            Reason::ContentError
        }
        // The sender was refused before any recipient was named.
        (Reason::HostUnknown | Reason::Filtered, Some(Command::Mail)) => Reason::Rejected,
        (Reason::SecurityError, Some(Command::Mail)) if said.text().contains("access denied") => {
            Reason::Rejected
        }
        _ => found,
    })
}

/// Whether the server may think otherwise later: an address that is still being verified is rejected as well.
fn is_temporary(evidence: &Evidence<'_>) -> bool {
    match (evidence.status, status::reply_code(evidence.said)) {
        (Some(status), _) => status.starts_with('4'),
        (None, reply) => reply.is_some_and(|code| (400..500).contains(&code)),
    }
}

/// The reason that a provider's own list gives.
pub(crate) fn by_provider(said: &Said, evidence: &Evidence<'_>) -> Option<Reason> {
    if said.text().is_empty() {
        return None;
    }
    vendors::find(said, evidence.status, evidence.command, evidence.place)
}

/// Words that hold whatever the status says.
fn particular(said: &Said, named: Option<Reason>) -> Option<Reason> {
    let found = said.first(&[
        Table::Full,
        Table::Program,
        Table::Size,
        Table::Closed,
        Table::Relay,
        Table::Authentication,
        Table::Name,
        Table::ListedNowhere,
        Table::Unwelcome,
    ])?;
    // The status tells a recipient's limit from the server's.
    Some(if found == Reason::MesgTooBig && named == Some(Reason::ExceedLimit) {
        Reason::ExceedLimit
    } else {
        found
    })
}

/// What is said of the addresses: the recipient's, or the sender's where MAIL was answered.
fn address(said: &Said, named: Option<Reason>, evidence: &Evidence<'_>) -> Option<Reason> {
    match (named, evidence.command) {
        // Of the sender, whatever the code says, where it names a list of senders or MAIL was answered.
        (Some(Reason::UserUnknown), command) => {
            let of_sender = said.first(&[Table::Listed, Table::Address]);
            let at_mail = (command == Some(Command::Mail)).then_some(Reason::Rejected);
            return of_sender.or(at_mail).or(Some(Reason::UserUnknown));
        }
        (Some(certain @ (Reason::Rejected | Reason::HasMoved)), _) => return Some(certain),
        _ => {}
    }
    let of_sender = said.first(&[Table::Address]);
    of_sender.or_else(|| said.first(&[Table::Unknown]).map(|reason| unknown(reason, named, evidence)))
}

/// What words about an unknown user mean at this command.
fn unknown(reason: Reason, named: Option<Reason>, evidence: &Evidence<'_>) -> Reason {
    match (evidence.command, named) {
        (Some(Command::Mail), _) => Reason::Rejected,
        (Some(Command::Data | Command::Connect), _) | (None, Some(Reason::Filtered)) => Reason::Filtered,
        // Of Exchange's 5.1.10 the address is not found, of the registered one the domain takes no mail.
        (None, Some(Reason::NotAccept)) => reason,
        (None, _) if evidence.is_reply => Reason::Filtered,
        (Some(Command::Rcpt) | None, _) => reason,
    }
}

/// That the recipient's domain does not exist, which is final where the answer is.
fn nowhere(said: &Said, named: Option<Reason>, evidence: &Evidence<'_>) -> Option<Reason> {
    let is_open = matches!(named, None | Some(Reason::HostUnknown | Reason::NetworkError));
    said.first(&[Table::Nowhere]).filter(|_| is_open && !is_temporary(evidence))
}

/// Everything else, from what is told of the host down to words that say little.
fn general(said: &Said) -> Option<Reason> {
    said.first(&[
        Table::Form,
        Table::Reputation,
        Table::Tls,
        Table::Network,
        Table::Domain,
        Table::Rate,
        Table::Listed,
        Table::Virus,
        Table::Spam,
        Table::Broken,
        Table::Policy,
        Table::Credentials,
        Table::Host,
        Table::Late,
        Table::Syntax,
        Table::Vague,
    ])
}

/// The reason that PowerMTA's own category gives (`X-PowerMTA-BounceCategory`).
pub(crate) fn by_category(category: &str) -> Option<Reason> {
    rows(vendors::POWERMTA).find(|(word, _)| category.eq_ignore_ascii_case(word)).map(|(_, reason)| *reason)
}

/// Whether a reply begins what is said, or follows who says it: other numbers count mails.
fn is_answer(said: &str) -> bool {
    let pieces = said.split([':', ';', '>', '"', '\'', '(', '\n']);
    pieces.take(20).any(|piece| status::reply_line(piece).is_some())
}

/// The reason where words are silent: by status, kind of program, reply code, action, command.
pub(crate) fn by_codes(evidence: &Evidence<'_>, action: Option<&str>) -> Reason {
    let is_program = evidence.said.get(..6).is_some_and(|kind| kind.eq_ignore_ascii_case("x-unix"));
    let reply = status::reply_code(evidence.said);
    match (evidence.status.and_then(statuses::reason), evidence.command) {
        // Who logs in wrongly is told so whatever he says next (RFC 4954 section 6).
        _ if matches!(reply, Some(530 | 534 | 535)) => return Reason::SecurityError,
        (Some(Reason::SecurityError | Reason::Filtered | Reason::UserUnknown), Some(Command::Mail)) => {
            return Reason::Rejected;
        }
        // Nobody but the host has been seen yet.
        (Some(Reason::SecurityError | Reason::Filtered | Reason::UserUnknown), Some(Command::Connect)) => {
            return Reason::Blocked;
        }
        (Some(reason), _) => return reason,
        (None, _) => {}
    }
    match (reply, action, evidence.command) {
        _ if is_program => Reason::MailerError,
        (Some(521 | 556), ..) => Reason::NotAccept,
        (Some(525), ..) => Reason::Suspend,
        (Some(523 | 524 | 538), ..) => Reason::FailedStartTls,
        (Some(500..=507), ..) if is_answer(evidence.said) => Reason::SyntaxError,
        (_, Some("delayed"), _) => Reason::Expired,
        (_, _, Some(Command::Connect)) => Reason::Blocked,
        (_, _, Some(Command::Mail)) => Reason::Rejected,
        (Some(_), ..) => Reason::OnHold,
        _ => Reason::Undefined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounce::spoken::said;

    #[test]
    fn a_number_that_counts_mails_is_no_refused_command() {
        let judged = |said| by_codes(&Evidence { said, ..Evidence::default() }, None);
        for said in
            ["500 fnord", "ann@example.org>: 502 fnord", "smtp; 500 5.0.9 fnord", "fnord (#501 fnord)"]
        {
            assert_eq!(judged(said), Reason::SyntaxError, "{said}");
        }
        assert_eq!(judged("ann@example.org>: the limit of 500 mails was reached"), Reason::OnHold);
    }

    #[test]
    fn vague_words_count_in_a_final_answer_alone() {
        let judged = |text| {
            let evidence = Evidence { said: text, command: Some(Command::Rcpt), ..Evidence::default() };
            by_words(&said(text), &evidence)
        };
        assert_eq!(judged("550 recipient verification problem"), Some(Reason::UserUnknown));
        assert_eq!(judged("450 recipient verification problem"), None);
    }

    #[test]
    fn an_unknown_domain_is_the_senders_until_a_recipient_is_named() {
        for (command, reason) in [
            (Command::Connect, Reason::Blocked),
            (Command::Mail, Reason::Rejected),
            (Command::Rcpt, Reason::HostUnknown),
        ] {
            let text = "501 domain not found";
            let evidence = Evidence { said: text, command: Some(command), ..Evidence::default() };
            assert_eq!(by_words(&said(text), &evidence), Some(reason));
        }
    }

    #[test]
    fn a_domain_that_does_not_exist_is_dead_where_the_answer_is_final() {
        let judged = |text, status| {
            let evidence = Evidence { said: text, status: Some(status), ..Evidence::default() };
            by_words(&said(text), &evidence)
        };
        let text = "lookup of example.org: NXDOMAIN";
        for (status, reason) in [
            ("5.1.2", Reason::HostUnknown),
            ("5.4.4", Reason::HostUnknown),
            ("5.0.0", Reason::HostUnknown),
            ("4.0.0", Reason::NetworkError),
            ("4.4.3", Reason::NetworkError),
        ] {
            assert_eq!(judged(text, status), Some(reason), "{status}");
        }
        assert_eq!(judged("550 5.7.1 sender domain: NXDOMAIN", "5.7.1"), Some(Reason::Rejected));
        assert_eq!(
            judged("550 5.1.2 Domain name not found: example.org", "5.0.0"),
            Some(Reason::HostUnknown)
        );
    }
}
