//! What a human is to do about an error of Redis, and by what it is known.

use std::sync::Arc;

use redis::{ErrorKind, RedisError};

use crate::error::acl_rules;

/// What TLS found wrong with the server, where it was that: its certificate, or that it speaks no TLS at all.
pub(crate) fn not_trusted(error: &RedisError) -> Option<&rustls::Error> {
    // The library keeps its cause in an Arc, and shows that.
    let cause: &Arc<dyn std::error::Error + Send + Sync> =
        std::error::Error::source(error)?.downcast_ref()?;
    let io: &std::io::Error = cause.downcast_ref()?;
    let tls: &rustls::Error = io.get_ref()?.downcast_ref()?;
    matches!(tls, rustls::Error::InvalidCertificate(_) | rustls::Error::InvalidMessage(_)).then_some(tls)
}

/// Whether the server's access rules refuse something. Within a script, Redis says so without a code of its own: 7.0 in
/// the first of these phrases, later versions in the second.
pub(crate) fn is_forbidden(error: &RedisError) -> bool {
    let phrases =
        ["The user executing the script can't", "ACL failure in script", "has no permissions to run"];
    error.code() == Some("NOPERM")
        || error.detail().is_some_and(|detail| phrases.iter().any(|phrase| detail.contains(phrase)))
}

/// Whether the server does not let us use the database of the URL. The library, which asks for it when a connection
/// begins, leaves out the code of the answer.
pub(crate) fn refuses_database(error: &RedisError) -> bool {
    error.to_string().starts_with("Redis server refused to switch database")
}

/// Whether a number was too large or too small.
pub(crate) fn is_out_of_range(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("is out of range"))
}

/// Whether the host name was not found. The standard library has a sentence for that, and no kind of error.
fn is_unknown_host(error: &RedisError) -> bool {
    error.is_io_error() && error.to_string().contains("failed to lookup address information")
}

/// What a human is to do where no connection came about.
pub(crate) fn remedy_unreached(error: &RedisError, tls: bool) -> Option<&'static str> {
    let known = remedy(error);
    match tls {
        _ if known.is_some() => known,
        // To a server without TLS the greeting is a line that has no end yet.
        true if error.is_timeout() => Some(
            "where the server itself is well this port does not speak TLS: write redis:// (redis+sentinel://, \
             redis+cluster://) in queue.url, or the server's tls-port",
        ),
        // And the other way round it is no greeting, and the end of the connection.
        false if error.is_connection_dropped() => Some(
            "where the server itself is well this port speaks TLS: write rediss:// (rediss+sentinel://, \
             rediss+cluster://) in queue.url",
        ),
        _ => None,
    }
}

/// What a human is to do about what Redis or a connection said.
pub(crate) fn remedy(error: &RedisError) -> Option<&'static str> {
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
        _ if refuses_database(error) && is_out_of_range(error) => Some(
            "the server has no database of this number: write one in queue.url that is below its setting `databases` (16 where \
             nothing else is set), such as redis://host:port/0",
        ),
        _ if is_unknown_host(error) => {
            Some("correct the host in queue.url, or let this machine's DNS know its name")
        }
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
