//! What can go wrong with a mail server, each with the remedy in its text.
//!
//! Texts are one line. What a server said is cut to a short printable piece; passwords and mail text never appear.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use mailfleet_model::{Class, Classify};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a session failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No TCP connection: name not found, refused, no route, timeout.
    #[error("cannot reach {host}:{port}: {source}; check host and port, and that the server is up")]
    Unreachable {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// No trustworthy TLS connection.
    #[error("TLS with {host}:{port} failed: {problem}")]
    Tls {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// Why, with the remedy.
        problem: TlsProblem,
    },
    /// The file with trusted certificates cannot be used.
    #[error("ca_file {} cannot be used: {problem}; it must be a readable PEM file with certificates", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// What answers is not an IMAP server that takes logins.
    #[error("{host}:{port} does not take IMAP logins: it says \"{text}\"; {remedy}")]
    Greeting {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What it said first.
        text: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The server takes no password on an unprotected connection.
    #[error("{host} takes no password on this connection (\"{text}\"); set tls = \"tls\" or \"starttls\"")]
    InsecureLogin {
        /// The host.
        host: String,
        /// What it said.
        text: String,
    },
    /// Wrong user name or password.
    #[error("{host} rejected the login of {user}: \"{text}\"; check user name and password")]
    AuthenticationRejected {
        /// The host.
        host: String,
        /// The user name.
        user: String,
        /// What it said.
        text: String,
    },
    /// The server asks us to come back later: too many connections, throttled, busy.
    #[error("{host} asks to come back later: \"{text}\"")]
    Throttled {
        /// The host.
        host: String,
        /// What it said.
        text: String,
        /// How long it asked us to stay away, where it said so.
        retry_after: Option<Duration>,
    },
    /// The mailbox does not exist or may not be opened. The session stays usable.
    #[error("no mailbox {mailbox:?} for {user} on {host}: \"{text}\"; check the account's list of mailboxes")]
    NoSuchMailbox {
        /// The mailbox.
        mailbox: String,
        /// The user name.
        user: String,
        /// The host.
        host: String,
        /// What the server said.
        text: String,
    },
    /// The server said NO or BAD to a command. The session stays usable.
    #[error("{host} refused {command}: \"{text}\"")]
    Refused {
        /// The host.
        host: String,
        /// The command's name.
        command: &'static str,
        /// What it said.
        text: String,
    },
    /// The server said something that IMAP does not allow, or never stops talking.
    #[error("{host} broke the IMAP protocol: {what}; the connection is given up")]
    Protocol {
        /// The host.
        host: String,
        /// What it did.
        what: String,
    },
    /// The connection ended before the answer was complete.
    #[error("{host} closed the connection during {during}{}", said(.text.as_deref()))]
    Disconnected {
        /// The host.
        host: String,
        /// The command.
        during: &'static str,
        /// Its last words (BYE), if any.
        text: Option<String>,
    },
    /// The server was silent, or slower than `min_bytes_per_second`, for too long.
    #[error("{host} did not answer {during} within {} s{hint}", after.as_secs_f64())]
    Timeout {
        /// The host.
        host: String,
        /// The command.
        during: &'static str,
        /// How long we waited.
        after: Duration,
        /// What may be wrong, or empty.
        hint: &'static str,
    },
    /// The server announced more bytes than we would even read past.
    #[error(
        "{host} announced a mail of {bytes} bytes, more than the {limit} that are read past; the connection is given up"
    )]
    TooLarge {
        /// The host.
        host: String,
        /// What it announced.
        bytes: u64,
        /// The most we read past.
        limit: u64,
    },
    /// The [`KillSwitch`](crate::KillSwitch) was thrown.
    #[error("the connection to {host} was ended by the process")]
    Killed {
        /// The host.
        host: String,
    },
}

/// Why a TLS connection cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsProblem {
    /// The certificate is out of its dates.
    Expired(String),
    /// Signed by nobody we trust; also every self-signed certificate.
    UnknownIssuer(String),
    /// Valid for another name.
    WrongName(String),
    /// What answers does not speak TLS.
    NotTls,
    /// Anything else.
    Other(String),
}

impl fmt::Display for TlsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(detail) => {
                write!(
                    f,
                    "its certificate is not valid today ({detail}); renew it on the server, ca_file cannot help"
                )
            }
            Self::UnknownIssuer(detail) => write!(
                f,
                "its certificate is signed by nobody trusted here ({detail}); \
                 set ca_file to the PEM file of its issuer, or of the certificate itself if it is self-signed"
            ),
            Self::WrongName(detail) => write!(
                f,
                "its certificate is for another name ({detail}); \
                 use a host name that stands in it, ca_file cannot help"
            ),
            Self::NotTls => {
                f.write_str("it does not speak TLS on this port; set tls = \"starttls\", or use the TLS port")
            }
            Self::Other(detail) => write!(f, "{detail}"),
        }
    }
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Self::Unreachable { .. }
            | Self::Throttled { .. }
            | Self::Disconnected { .. }
            | Self::Timeout { .. }
            | Self::Killed { .. } => Class::Outage,
            Self::Refused { .. } | Self::Protocol { .. } => Class::Transient,
            Self::Tls { .. }
            | Self::CaFile { .. }
            | Self::Greeting { .. }
            | Self::InsecureLogin { .. }
            | Self::AuthenticationRejected { .. }
            | Self::NoSuchMailbox { .. } => Class::Fault,
            Self::TooLarge { .. } => Class::Hostile,
        }
    }
}

impl Error {
    /// How long the server asked us to stay away.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the session can go on after this error.
    #[must_use]
    pub const fn leaves_session_usable(&self) -> bool {
        matches!(self, Self::NoSuchMailbox { .. } | Self::Refused { .. })
    }
}

fn said(text: Option<&str>) -> String {
    text.map(|text| format!(": \"{text}\"")).unwrap_or_default()
}

/// The longest piece of a server's words in an error, in characters.
const EXCERPT_CHARS: usize = 160;

/// A short printable piece of what a server said.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    // Cut before decoding: a hostile line may be long. 4 bytes a character is the most UTF-8 needs.
    let head = bytes.get(..EXCERPT_CHARS * 4).unwrap_or(bytes);
    let text: String = String::from_utf8_lossy(head)
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(EXCERPT_CHARS)
        .collect();
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_short_printable_line() {
        assert_eq!(excerpt(b"  a\x07b\x1b[31m\n"), "a b [31m");
        assert_eq!(excerpt(&vec![b'x'; 100_000]).chars().count(), EXCERPT_CHARS);
        assert_eq!(excerpt(b"caf\xe9"), "caf\u{fffd}");
    }

    #[test]
    fn every_error_is_one_line_that_names_the_host() {
        let host = || "imap.example.org".to_owned();
        let io = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let errors = [
            Error::Unreachable { host: host(), port: 993, source: io() },
            Error::Tls { host: host(), port: 993, problem: TlsProblem::UnknownIssuer("x".into()) },
            Error::AuthenticationRejected { host: host(), user: "u".into(), text: "no".into() },
            Error::Disconnected { host: host(), during: "FETCH", text: Some("bye".into()) },
            Error::Timeout { host: host(), during: "FETCH", after: Duration::from_millis(1500), hint: "" },
        ];
        for error in errors {
            let text = error.to_string();
            assert!(
                text.contains("imap.example.org") && !text.contains('\n') && !text.contains("  "),
                "{text}"
            );
        }
    }
}
