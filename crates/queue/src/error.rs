//! What can go wrong with the queue, and whose fault it is.

use mailfleet_model::{Class, Classify, JobId};
use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::config::ConfigError;
use crate::remedy::{is_forbidden, is_out_of_range, not_trusted, refuses_database, remedy, remedy_unreached};

/// The text of [`ACL_RULES`], for `concat!`.
macro_rules! acl_rules {
    () => {
        "~mailfleet:* &mailfleet:* -@all +@connection +@hash +@sortedset +@stream +@string +evalsha +script|load +del \
         +unlink +rename +publish +subscribe +time +unwatch -@dangerous +info"
    };
}

pub(crate) use acl_rules;

/// The rights that the user of `queue.url` needs on the server, as rules of ACL SETUSER, and no others. On a cluster
/// `+cluster|slots +cluster|info` besides.
pub const ACL_RULES: &str = acl_rules!();

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the queue. Its text is one whole line; there is no chain of causes behind it that would say it again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Redis is away, is not ready, refused, or failed.
    #[error("cannot {doing}: Redis at {place}: {}", what_it_said(said, remedy(said)))]
    Redis {
        /// What was being done, as it follows "cannot".
        doing: &'static str,
        /// Host and port of the server, without the login.
        place: String,
        /// What Redis or the connection said.
        said: RedisError,
    },
    /// No connection to Redis came about.
    #[error("cannot {doing}: Redis at {place}: {}", what_it_said(said, remedy_unreached(said, *tls)))]
    Unreached {
        /// What was being done, as it follows "cannot".
        doing: &'static str,
        /// Host and port of the server, without the login.
        place: String,
        /// What the connection, or the server in its first answers, said.
        said: RedisError,
        /// Whether it was to be a connection by TLS.
        tls: bool,
    },
    /// The server must not carry the queue; the text says why and what to do.
    #[error("{0}")]
    Unfit(String),
    /// No connection became free (or could be made) in time.
    #[error("cannot {doing}: no connection to Redis at {place} within the response timeout ({reason})")]
    NoConnection {
        /// What was being done.
        doing: &'static str,
        /// Host and port of the server, without the login.
        place: String,
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
    #[error("cannot {doing}: {cause}")]
    Codec {
        /// What was being done.
        doing: &'static str,
        /// What zstd said.
        cause: std::io::Error,
    },
    /// The machine refused a thread or a runtime.
    #[error("cannot {doing}: {cause}")]
    Machine {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        cause: std::io::Error,
    },
}

impl Error {
    /// What a human is to do about what Redis said, where that is known; the end of this error's text, for those who show
    /// the two apart.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Redis { said, .. } => remedy(said),
            Self::Unreached { said, tls, .. } => remedy_unreached(said, *tls),
            Self::Config(_)
            | Self::Unfit(_)
            | Self::NoConnection { .. }
            | Self::Answer { .. }
            | Self::TooLarge { .. }
            | Self::Codec { .. }
            | Self::Machine { .. } => None,
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
            Self::Redis { said, .. } | Self::Unreached { said, .. } => redis_class(said),
            Self::NoConnection { .. } => Class::Outage,
            Self::Unfit(_) | Self::Answer { .. } | Self::Codec { .. } | Self::Machine { .. } => Class::Fault,
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
    // A refused login or certificate ends the connection as well; it must be told apart first, since waiting does not
    // heal it.
    if not_trusted(error).is_some() {
        return Class::Fault;
    }
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
    // The library drops the code of what the server says to SELECT, with which a connection begins; but for these two the
    // server cannot be asked just now.
    if refuses_database(error) && !is_out_of_range(error) && !is_forbidden(error) {
        return Class::Outage;
    }
    Class::Fault
}

/// One line: the server's code and words, or those of the connection, and what to do where a human has to.
///
/// The library's own text doubles the code's name for what a server said, and names its kinds of error where a plain
/// sentence stands already.
fn what_it_said(error: &RedisError, remedy: Option<&'static str>) -> String {
    let text = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string().replace(&format!(" - {:?}", error.kind()), ""),
    };
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if is_forbidden(error) {
        // Which line of which script it was matters for a mistake of ours, not for a right that is missing.
        line.truncate(line.find(" script: ").unwrap_or(line.len()));
    }
    if let Some(remedy) = remedy {
        line = format!("{}; {remedy}", line.trim_end_matches(['.', ' ']));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redis(said: RedisError) -> Error {
        Error::Redis { doing: "test", place: "h:1".to_owned(), said }
    }

    fn server_error(code: &str) -> Error {
        redis(redis::make_extension_error(code.to_owned(), Some("text".to_owned())))
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
        assert_eq!(redis(denied).class(), Class::Fault);
    }

    #[test]
    fn a_broken_connection_is_an_outage() {
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert!(redis(broken.into()).is_outage());
    }

    #[test]
    fn an_error_says_everything_once_in_one_line_and_has_no_causes_behind_it() {
        let text = |error: &Error| {
            assert!(std::error::Error::source(error).is_none());
            error.to_string()
        };
        assert_eq!(text(&server_error("OOM")), "cannot test: Redis at h:1: OOM text");
        let said = (ErrorKind::Client, "cannot do it", "line one\nline two".to_owned());
        assert_eq!(text(&redis(said.into())), "cannot test: Redis at h:1: cannot do it: line one line two");
        let broken = std::io::Error::other("cable cut");
        assert_eq!(text(&redis(broken.into())), "cannot test: Redis at h:1: cable cut");
        let cause = std::io::Error::other("no memory");
        assert_eq!(text(&Error::Codec { doing: "pack", cause }), "cannot pack: no memory");
    }
}
