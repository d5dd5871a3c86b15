//! The record of a live job: where it is, what it has been through.

use mailfleet_model::{Class, Counters, Lane};
use serde::{Deserialize, Serialize};

use crate::keys::lane_of_letter;

/// At most this many attempts are remembered; older ones go.
const HISTORY_MAX: usize = 20;
/// At most this many characters of an error are kept in a history.
const ERROR_MAX_CHARS: usize = 500;

/// One attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it failed, in milliseconds since 1970, by the worker's clock.
    pub at_ms: i64,
    /// The consumer that ran it.
    pub worker: String,
    /// The class of the error.
    pub class: Class,
    /// The error with its causes, in one line, cut at 500 characters.
    pub error: String,
}

/// Why an entry is retried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The class of the error.
    pub class: Class,
    /// The error with its causes, in one line.
    pub text: String,
}

impl Failure {
    /// A failure of this class, with the error's text.
    pub fn new(class: Class, text: impl Into<String>) -> Self {
        Self { class, text: text.into() }
    }
}

/// A record as the scripts keep it; see `lua/prelude.lua`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) dead: bool,
    pub(crate) lane: Lane,
    pub(crate) entry_id: String,
    pub(crate) counters: Counters,
    pub(crate) history: Vec<Attempt>,
}

impl Record {
    /// Reads a record; `None` where it is none, which the scripts treat as "been through nothing".
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(8, '|');
        let dead = match parts.next()? {
            "Q" => false,
            "X" => true,
            _ => return None,
        };
        let lane = lane_of_letter(parts.next()?)?;
        let entry_id = parts.next()?.to_owned();
        // What the entry stores is the scripts' business.
        parts.next();
        let mut number = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
        let counters = Counters { attempts: number(), crashes: number(), drains: number() };
        // A history that cannot be read costs the story, never the job.
        let history = parts.next().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        Some(Self { dead, lane, entry_id, counters, history })
    }
}

/// The part of a record that a settling consumer writes: counters and history.
pub(crate) fn tail(counters: Counters, history: &[Attempt]) -> String {
    // Unwrap safety: attempts are plain structs of numbers and strings, which always serialise.
    let history = serde_json::to_string(history).unwrap_or_default();
    format!("{}|{}|{}|{history}", counters.attempts, counters.crashes, counters.drains)
}

/// Adds an attempt to a history, within its bounds.
pub(crate) fn remember(history: &mut Vec<Attempt>, at_ms: i64, worker: &str, failure: &Failure) {
    if history.len() >= HISTORY_MAX {
        history.drain(..=history.len() - HISTORY_MAX);
    }
    let one_line = |c: char| if c.is_control() { ' ' } else { c };
    let error = failure.text.chars().map(one_line).take(ERROR_MAX_CHARS).collect();
    history.push(Attempt { at_ms, worker: worker.to_owned(), class: failure.class, error });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let counters = Counters { attempts: 1, crashes: 2, drains: 3 };
        let mut history = Vec::new();
        remember(&mut history, 5, "w-1", &Failure::new(Class::Transient, "a|b\nc"));
        let record = Record::parse(&format!("Q|l|17-0|120|{}", tail(counters, &history))).unwrap();
        assert_eq!(
            record,
            Record { dead: false, lane: Lane::Low, entry_id: "17-0".into(), counters, history }
        );
        assert_eq!(record.history[0].error, "a|b c");
    }

    #[test]
    fn a_short_record_has_been_through_nothing() {
        let record = Record::parse("X|h|1-0").unwrap();
        assert!(record.dead && record.counters == Counters::default() && record.history.is_empty());
        assert_eq!(Record::parse(""), None);
        assert_eq!(Record::parse("Z|h|1-0"), None);
    }

    #[test]
    fn a_history_stays_within_its_bounds() {
        let mut history = Vec::new();
        for n in 0..100 {
            remember(&mut history, n, "w-1", &Failure::new(Class::Transient, "x".repeat(10_000)));
        }
        assert_eq!((history.len(), history[0].at_ms, history[19].at_ms), (20, 80, 99));
        assert_eq!(history[0].error.len(), 500);
    }
}
