//! How a message ends, and which way a mail travels.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What became of a message. Ordered: whatever races, the greatest outcome stays, so any race has one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LedgerOutcome {
    /// Parked in the dead letters with a reason.
    Dead,
    /// Left out by a named policy (`vanished`: expunged before we had it).
    Skipped,
    /// In the hierarchy.
    Persisted,
}

/// A number in the ledger that names no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a ledger outcome (1 dead, 2 skipped, 3 persisted)")]
pub struct UnknownOutcome(pub i16);

impl LedgerOutcome {
    /// The number stored in the ledger; its order is the order of the outcomes.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::Dead => 1,
            Self::Skipped => 2,
            Self::Persisted => 3,
        }
    }

    /// Reads the stored number.
    pub const fn from_code(code: i16) -> Result<Self, UnknownOutcome> {
        match code {
            1 => Ok(Self::Dead),
            2 => Ok(Self::Skipped),
            3 => Ok(Self::Persisted),
            other => Err(UnknownOutcome(other)),
        }
    }

    /// The word used in labels and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Skipped => "skipped",
            Self::Persisted => "persisted",
        }
    }
}

impl fmt::Display for LedgerOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which way a mail travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Came to one of our accounts.
    #[default]
    Inbound,
    /// Was sent by us.
    Outbound,
}

impl Direction {
    /// The word stored in `email_messages.direction`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_numbers_keep_the_order_of_the_outcomes() {
        let mut all = [LedgerOutcome::Persisted, LedgerOutcome::Dead, LedgerOutcome::Skipped];
        all.sort_unstable();
        assert_eq!(all.map(LedgerOutcome::code), [1, 2, 3]);
        assert!(all.iter().all(|o| LedgerOutcome::from_code(o.code()) == Ok(*o)));
        assert_eq!(LedgerOutcome::from_code(0), Err(UnknownOutcome(0)));
    }
}
