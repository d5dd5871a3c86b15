//! What the doctor looks at: one module per server, each giving findings with what to do.

pub mod dead;
pub mod imap;
pub mod postgres;
pub mod redis;

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, and can bite.
    Warn,
    /// The fleet does not work, or loses its promises.
    Error,
}

impl Level {
    /// The word in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The server or part: `redis`, `postgres`, `imap sales`.
    pub area: String,
    /// How bad it is.
    pub level: Level,
    /// What was found, in one line.
    pub found: String,
    /// What to do; empty when all is well.
    pub remedy: String,
}

impl Finding {
    /// All is well.
    pub fn ok(area: impl Into<String>, found: impl Into<String>) -> Self {
        Self { area: area.into(), level: Level::Ok, found: found.into(), remedy: String::new() }
    }

    /// Works, and can bite.
    pub fn warn(area: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { area: area.into(), level: Level::Warn, found: found.into(), remedy: remedy.into() }
    }

    /// Does not work.
    pub fn error(area: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { area: area.into(), level: Level::Error, found: found.into(), remedy: remedy.into() }
    }
}
