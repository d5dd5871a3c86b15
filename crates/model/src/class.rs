//! Classes of error: what may be done about a failure is decided where the error is known, by its type.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of failure this is, and so who pays for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The other side is away, starting or full: wait, count nothing, dead-letter nothing.
    Outage,
    /// Worth another try of this one entry (deadlock, timeout): costs an attempt unless the store says otherwise.
    Transient,
    /// This input can never be stored as it is; trying again changes nothing.
    Data,
    /// A rule of ours says no (unknown tenant); an operator can change the rule and replay.
    Policy,
    /// The input exceeds a limit that protects the others.
    Hostile,
    /// We are wrong: a broken configuration, a missing table, a bug. A human must act.
    Fault,
}

impl Class {
    /// The word used in metric labels and dead letters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Outage => "outage",
            Self::Transient => "transient",
            Self::Data => "data",
            Self::Policy => "policy",
            Self::Hostile => "hostile",
            Self::Fault => "fault",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error that knows its class. One implementation per error type, one `match` without a wildcard.
pub trait Classify {
    /// The class of this error.
    fn class(&self) -> Class;
}
