//! What can go wrong with the queue, and whose fault it is.

use std::sync::Arc;

use mailfleet_model::{Class, Classify, JobId};
use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::config::ConfigError;

/// The text of [`ACL_RULES`], for `concat!`.
macro_rules! acl_rules {
    () => {
        "~mailfleet:* &mailfleet:* -@all +@connection +@hash +@sortedset +@stream +@string +evalsha +script|load +del \
         +unlink +rename +publish +subscribe +time +unwatch -@dangerous +info"
    };
}

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
    #[error("cannot {doing}: Redis at {place}: {}", what_it_said(said))]
    Redis {
        /// What was being done, as it follows "cannot".
        doing: &'static str,
        /// Host and port of the server, without the login.
        place: String,
        /// What Redis or the connection said.
        said: RedisError,
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
            Self::Redis { said, .. } => redis_class(said),
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
    Class::Fault
}

/// What TLS found wrong with the server, where it was that: its certificate, or that it speaks no TLS at all.
fn not_trusted(error: &RedisError) -> Option<&rustls::Error> {
    // The library keeps its cause in an Arc, and shows that.
    let cause: &Arc<dyn std::error::Error + Send + Sync> =
        std::error::Error::source(error)?.downcast_ref()?;
    let io: &std::io::Error = cause.downcast_ref()?;
    let tls: &rustls::Error = io.get_ref()?.downcast_ref()?;
    matches!(tls, rustls::Error::InvalidCertificate(_) | rustls::Error::InvalidMessage(_)).then_some(tls)
}

/// One line: the server's code and words, or those of the connection, and what to do where a human has to.
///
/// The library's own text doubles the code's name for what a server said, and names its kinds of error where a plain
/// sentence stands already.
fn what_it_said(error: &RedisError) -> String {
    let text = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string().replace(&format!(" - {:?}", error.kind()), ""),
    };
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if is_forbidden(error) {
        // Which line of which script it was matters for a mistake of ours, not for a right that is missing.
        line.truncate(line.find(" script: ").unwrap_or(line.len()));
    }
    if let Some(remedy) = remedy(error) {
        line = format!("{}; {remedy}", line.trim_end_matches(['.', ' ']));
    }
    line
}

/// Whether the server's access rules refuse something. Within a script, Redis says so without a code of its own: 7.0 in
/// the first of these phrases, later versions in the second.
fn is_forbidden(error: &RedisError) -> bool {
    let in_script = ["The user executing the script can't", "ACL failure in script"];
    error.code() == Some("NOPERM")
        || error.detail().is_some_and(|detail| in_script.iter().any(|phrase| detail.contains(phrase)))
}

fn remedy(error: &RedisError) -> Option<&'static str> {
    const LOGIN: &str = "correct user and password in queue.url (redis://user:password@host:port)";
    if let Some(tls) = not_trusted(error) {
        return Some(tls_remedy(tls));
    }
    match (error.kind(), error.code()) {
        (ErrorKind::AuthenticationFailed, _) | (_, Some("NOAUTH" | "WRONGPASS")) => Some(LOGIN),
        // What Redis says, instead of NOAUTH, to a command of more than ten words.
        _ if error.detail().is_some_and(|detail| detail.contains("unauthenticated")) => Some(LOGIN),
        _ if is_forbidden(error) => Some(concat!(
            "give the user of queue.url its rights on the server: ACL SETUSER <user> ",
            acl_rules!(),
            ", on a cluster also +cluster|slots +cluster|info (ACL LOG shows what was refused)"
        )),
        (_, Some("READONLY")) => Some(
            "this is a replica: if no failover is under way, let queue.url name the master, or sentinels that know it \
             (redis+sentinel://)",
        ),
        (_, Some("MOVED" | "ASK" | "CROSSSLOT")) => Some(
            "this is a node of a cluster: queue.url must begin with redis+cluster:// or rediss+cluster://",
        ),
        _ if error.detail().is_some_and(|detail| detail.contains("cluster support disabled")) => {
            Some("this is no cluster: write redis://host:port in queue.url")
        }
        _ if error.detail().is_some_and(|detail| detail.contains("unknown command 'SENTINEL'")) => {
            Some("this is no sentinel: correct the hosts in queue.url (sentinels listen on port 26379)")
        }
        (_, Some("WRONGTYPE")) => Some(
            "something else uses our keys: free them, or give the queue another database in queue.url (…/1) or another \
             queue.queue",
        ),
        _ if error.is_connection_refusal() => Some("start it, or correct host and port in queue.url"),
        _ => None,
    }
}

fn tls_remedy(error: &rustls::Error) -> &'static str {
    use rustls::{CertificateError as Wrong, Error::InvalidCertificate};
    match error {
        InvalidCertificate(Wrong::UnknownIssuer) => {
            "name the authority that signed the server's certificate in queue.tls_ca_file (PEM)"
        }
        InvalidCertificate(Wrong::NotValidForName | Wrong::NotValidForNameContext { .. }) => {
            "the host name of queue.url must be one that the server's certificate is for"
        }
        InvalidCertificate(Wrong::Expired | Wrong::ExpiredContext { .. }) => {
            "give the server a new certificate (or set this machine's clock)"
        }
        InvalidCertificate(_) => "give the server a certificate that can be verified",
        _ => "this port does not speak TLS: write redis:// in queue.url, or the server's tls-port",
    }
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
