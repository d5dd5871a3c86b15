//! What can go wrong with the queue, and whose fault it is.

use deadpool_redis::PoolError;
use mailfleet_model::{Class, Classify, JobId};
use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::config::ConfigError;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the queue.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Redis is away, is not ready, refused, or failed.
    #[error("cannot {doing}: Redis: {source}")]
    Redis {
        /// What was being done, as it follows "cannot".
        doing: &'static str,
        /// What Redis or the connection said.
        source: RedisError,
    },
    /// No connection became free (or could be made) in time.
    #[error("cannot {doing}: no connection to Redis within the response timeout ({reason})")]
    NoConnection {
        /// What was being done.
        doing: &'static str,
        /// Which wait ended it.
        reason: &'static str,
    },
    /// Redis answered something that our own script cannot have said.
    #[error("cannot {doing}: unexpected answer of Redis: {found}")]
    Answer {
        /// What was being done.
        doing: &'static str,
        /// What was missing or odd.
        found: String,
    },
    /// A raw mail larger than the queue carries.
    #[error("job {job} has {bytes} bytes of raw mail; the queue carries at most {limit}")]
    TooLarge {
        /// The job.
        job: JobId,
        /// Its raw size.
        bytes: usize,
        /// The most the queue carries.
        limit: usize,
    },
    /// A raw mail could not be compressed or read back.
    #[error("cannot {doing}: {source}")]
    Codec {
        /// What was being done.
        doing: &'static str,
        /// What zstd said.
        source: std::io::Error,
    },
    /// The machine refused a thread or a runtime.
    #[error("cannot {doing}: {source}")]
    Machine {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn redis(doing: &'static str) -> impl FnOnce(RedisError) -> Self {
        move |source| Self::Redis { doing, source }
    }

    pub(crate) fn pool(doing: &'static str) -> impl FnOnce(PoolError) -> Self {
        move |error| match error {
            PoolError::Backend(source) => Self::Redis { doing, source },
            PoolError::Timeout(_) => Self::NoConnection { doing, reason: "timed out" },
            PoolError::Closed => Self::NoConnection { doing, reason: "the pool is closed" },
            PoolError::NoRuntimeSpecified => Self::NoConnection { doing, reason: "no runtime" },
            PoolError::PostCreateHook(_) => Self::NoConnection { doing, reason: "a hook failed" },
        }
    }

    /// Whether this is an outage: waited out, counted nowhere.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        self.class() == Class::Outage
    }
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Self::Config(error) => error.class(),
            Self::Redis { source, .. } => redis_class(source),
            Self::NoConnection { .. } => Class::Outage,
            Self::Answer { .. } | Self::Codec { .. } | Self::Machine { .. } => Class::Fault,
            Self::TooLarge { .. } => Class::Hostile,
        }
    }
}

/// Codes by which Redis says "not now": starting, no master here, moving slots, full, busy, disk trouble.
/// NOGROUP is among them because the scripts make groups anew: the next try finds one.
const NOT_NOW: [&str; 14] = [
    "LOADING",
    "READONLY",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "OOM",
    "MISCONF",
    "NOREPLICAS",
    "BUSY",
    "MOVED",
    "ASK",
    "UNBLOCKED",
    "NOGROUP",
    "NOSCRIPT",
];

fn redis_class(error: &RedisError) -> Class {
    // A refused login closes the connection as well; it must be told apart first, since waiting does not heal it.
    match error.kind() {
        ErrorKind::AuthenticationFailed
        | ErrorKind::InvalidClientConfig
        | ErrorKind::RESP3NotSupported
        | ErrorKind::Server(ServerErrorKind::NoPerm) => return Class::Fault,
        _ => {}
    }
    if error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
    {
        return Class::Outage;
    }
    if error.code().is_some_and(|code| NOT_NOW.contains(&code)) {
        return Class::Outage;
    }
    // "ERR max number of clients reached" has no code of its own.
    if error.detail().is_some_and(|detail| detail.contains("max number of clients")) {
        return Class::Outage;
    }
    Class::Fault
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_error(code: &str) -> Error {
        let source = redis::make_extension_error(code.to_owned(), Some("text".to_owned()));
        Error::Redis { doing: "test", source }
    }

    #[test]
    fn what_redis_says_while_it_is_away_or_full_is_an_outage() {
        for code in NOT_NOW {
            assert_eq!(server_error(code).class(), Class::Outage, "{code}");
        }
    }

    #[test]
    fn a_wrong_type_or_a_forbidden_command_needs_a_human() {
        for code in ["WRONGTYPE", "ERR"] {
            assert_eq!(server_error(code).class(), Class::Fault, "{code}");
        }
        let denied = RedisError::from((ErrorKind::AuthenticationFailed, "WRONGPASS"));
        assert_eq!(Error::Redis { doing: "log in", source: denied }.class(), Class::Fault);
    }

    #[test]
    fn a_broken_connection_is_an_outage() {
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert!(Error::Redis { doing: "test", source: broken.into() }.is_outage());
    }
}
