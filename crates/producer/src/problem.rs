//! What can go wrong in an account's thread, and what follows from it.

use mailfleet_model::{Class, Classify, SecretError};

/// The end of one iteration that did not go well.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The process stops; not an error.
    #[error("stopping")]
    Stopping,
    /// The mail server, or the way to it.
    #[error(transparent)]
    Imap(#[from] mailfleet_imap::Error),
    /// There is no password to log in with.
    #[error("no password: {0}")]
    Password(#[from] SecretError),
    /// PostgreSQL.
    #[error(transparent)]
    Store(#[from] mailfleet_store::Error),
    /// Redis.
    #[error(transparent)]
    Queue(#[from] mailfleet_queue::Error),
    /// The mailbox has no UIDs that last, so nothing fetched from it could be told from anything else.
    #[error(
        "mailbox `{0}` has no UIDVALIDITY, so its messages cannot be told apart over time; it is left out until the \
         server gives one"
    )]
    NoUidValidity(String),
}

impl Problem {
    /// Whether the connection to the mail server is still in step, so that it may be used again.
    pub const fn spares_session(&self) -> bool {
        match self {
            Self::Store(_) | Self::Queue(_) | Self::NoUidValidity(_) => true,
            Self::Stopping | Self::Imap(_) | Self::Password(_) => false,
        }
    }

    /// Whether what was being fetched may be what broke the connection, as opposed to the server or network having
    /// gone, or ourselves.
    pub const fn blames_messages(&self) -> bool {
        use mailfleet_imap::Error;
        match self {
            Self::Imap(error) => matches!(
                error,
                Error::Protocol { .. }
                    | Error::TooLarge { .. }
                    | Error::Timeout { .. }
                    | Error::Disconnected { .. }
                    | Error::Refused { .. }
            ),
            Self::Stopping | Self::Password(_) | Self::Store(_) | Self::Queue(_) | Self::NoUidValidity(_) => {
                false
            }
        }
    }

    /// Whether this is about one mailbox only, so that the account's others go on.
    pub const fn concerns_mailbox(&self) -> bool {
        match self {
            Self::NoUidValidity(_) => true,
            Self::Imap(error) => {
                matches!(
                    error,
                    mailfleet_imap::Error::NoSuchMailbox { .. } | mailfleet_imap::Error::Refused { .. }
                )
            }
            Self::Stopping | Self::Password(_) | Self::Store(_) | Self::Queue(_) => false,
        }
    }
}

impl Classify for Problem {
    fn class(&self) -> Class {
        match self {
            Self::Stopping => Class::Outage,
            Self::Imap(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Queue(error) => error.class(),
            Self::Password(_) | Self::NoUidValidity(_) => Class::Fault,
        }
    }
}
