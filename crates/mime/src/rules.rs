//! The rules that find a bounce's reason, as data: which words of servers mean what.
//!
//! A rule is a reason, the words that tell it, and who taught it: a mail of the corpus (`set/name`), or the public
//! document of those who write the words. Words stand in lower case; several match when all are there, in this
//! order. Of a table the first rule that matches wins, so particular words stand above general ones. Prefer words
//! that a family of servers says to a sentence that one mail holds.

pub(crate) mod content;
pub(crate) mod mailbox;
pub(crate) mod sender;
pub(crate) mod statuses;
pub(crate) mod transport;
pub(crate) mod vendors;

use crate::reason::Reason;

/// Words and what they mean.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) reason: Reason,
    words: &'static [&'static str],
    /// The mail of the corpus, or the document, that taught it. Read by tests alone.
    #[cfg_attr(not(test), allow(dead_code, reason = "the origin is for people and for tests"))]
    taught_by: &'static str,
}

/// One line of a table.
pub(crate) const fn rule(
    reason: Reason,
    words: &'static [&'static str],
    taught_by: &'static str,
) -> Rule {
    Rule { reason, words, taught_by }
}

/// The first rule of the tables that matches a text in lower case.
pub(crate) fn first(tables: &[&[Rule]], text: &str) -> Option<Reason> {
    tables.iter().copied().flatten().find(|rule| in_order(text, rule.words)).map(|rule| rule.reason)
}

fn in_order(text: &str, words: &[&str]) -> bool {
    let mut rest = text;
    words.iter().all(|piece| match rest.split_once(piece) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}
