//! How a connection to a mail server is protected.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// TLS from the first byte (port 993, RFC 8314).
    #[default]
    Tls,
    /// Plain, then STARTTLS before the login (port 143, RFC 3501 §6.2.1). Never falls back to plain.
    StartTls,
    /// No encryption: the password travels in the clear. For servers on the same machine or a private network.
    Plain,
}

impl TlsMode {
    /// The word used in configuration and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::StartTls => "starttls",
            Self::Plain => "plain",
        }
    }

    /// The port such a server listens on by default.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Tls => 993,
            Self::StartTls | Self::Plain => 143,
        }
    }
}

impl fmt::Display for TlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no way of protecting a connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a TLS mode: tls, starttls or plain")]
pub struct UnknownTlsMode(pub String);

impl FromStr for TlsMode {
    type Err = UnknownTlsMode;

    fn from_str(text: &str) -> Result<Self, UnknownTlsMode> {
        [Self::Tls, Self::StartTls, Self::Plain]
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| UnknownTlsMode(text.to_owned()))
    }
}
