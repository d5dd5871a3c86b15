//! What to do about a session that failed.

use std::io;

use mailfleet_imap::{Error, TlsProblem};
use mailfleet_model::SecretError;
use mailfleet_store::Account;

use crate::failure;

/// What went wrong, in one line, and what to do about it.
pub fn of(error: &anyhow::Error, account: &Account) -> (String, String) {
    let found = failure::one_line(error);
    let remedy = if let Some(error) = error.chain().find_map(|cause| cause.downcast_ref::<SecretError>()) {
        secret(error)
    } else if let Some(error) = error.chain().find_map(|cause| cause.downcast_ref::<Error>()) {
        if tells_its_remedy(error)
            && let Some((found, remedy)) = found.rsplit_once("; ")
        {
            let change = format!("`mailfleet account set {}` changes its settings", account.name);
            return (found.to_owned(), format!("{remedy} ({change})"));
        }
        session(error).to_owned()
    } else {
        "the error names the cause".to_owned()
    };
    (found, remedy)
}

fn secret(error: &SecretError) -> String {
    match error {
        SecretError::File { path, source } if source.kind() == io::ErrorKind::NotFound => format!(
            "write the password into the first line of {}, readable by the user that runs mailfleet-producer",
            path.display()
        ),
        SecretError::File { path, .. } => format!(
            "let the user that runs this and mailfleet-producer read {} (owner and mode; UTF-8 text)",
            path.display()
        ),
        SecretError::EmptyFile { path } => {
            format!("write the password into the first line of {}; it is empty", path.display())
        }
        SecretError::Env(name) => {
            format!("set {name} in the environment of mailfleet-producer, and here for this check")
        }
    }
}

/// Whether the error's text ends with what to do, behind its last semicolon.
const fn tells_its_remedy(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. }
        | Error::CaFile { .. }
        | Error::Greeting { .. }
        | Error::InsecureLogin { .. }
        | Error::AuthenticationRejected { .. }
        | Error::NoSuchMailbox { .. } => true,
        Error::Tls { problem, .. } => !matches!(problem, TlsProblem::Other(_)),
        Error::Throttled { .. }
        | Error::Refused { .. }
        | Error::Protocol { .. }
        | Error::Disconnected { .. }
        | Error::Timeout { .. }
        | Error::TooLarge { .. }
        | Error::Killed { .. } => false,
    }
}

/// For errors that do not say it themselves.
const fn session(error: &Error) -> &'static str {
    match error {
        Error::Throttled { .. } => {
            "wait; if it goes on, allow more connections of this user on the server (Dovecot: mail_max_userip_connections)"
        }
        Error::Timeout { .. } => {
            "see whether the server is overloaded or the port a TLS port (--tls); imap.read_timeout_ms is the longest wait"
        }
        Error::Disconnected { .. } => "see the server's log: it closed the connection, and says why there",
        Error::Tls { .. } => {
            "see that the server speaks TLS 1.2 or later on this port, with a certificate that is whole"
        }
        Error::Refused { .. }
        | Error::Protocol { .. }
        | Error::TooLarge { .. }
        | Error::Killed { .. }
        | Error::Unreachable { .. }
        | Error::CaFile { .. }
        | Error::Greeting { .. }
        | Error::InsecureLogin { .. }
        | Error::AuthenticationRejected { .. }
        | Error::NoSuchMailbox { .. } => "see the server's log for what it did not like",
    }
}
