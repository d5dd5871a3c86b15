//! What `queue.url` says: one server, sentinels that know one, or nodes of a cluster.
//!
//! - `redis://[user:password@]host[:6379][/db]`, or the path of a socket in the form `redis+unix:///path`
//! - `redis+sentinel://[user:password@]host[:26379],host…/name-of-the-master[/db][?sentinel_user=…&sentinel_password=…]`
//! - `redis+cluster://[user:password@]host[:6379],host…`
//!
//! With `rediss` in place of `redis` every one of these connections speaks TLS. User and password are written as in every
//! URL, with `%40` for `@` and so on.

use redis::{ConnectionInfo, IntoConnectionInfo};

use super::node::is_tls;
use crate::config::ConfigError;

/// More hosts than this are a mistake.
const HOSTS_MAX: usize = 64;

/// Whom to ask for the server.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    /// Nobody: it is this one.
    One(ConnectionInfo),
    /// Sentinels.
    Sentinels {
        /// What they call the master.
        master: String,
        /// Where they are, with their own login.
        sentinels: Vec<ConnectionInfo>,
        /// How to log in at the master; its host is that of a sentinel.
        like: ConnectionInfo,
    },
    /// Nodes of a cluster, some at least.
    Cluster(Vec<ConnectionInfo>),
}

impl Address {
    /// Reads a URL. The error never shows it, since it may hold a password.
    pub(crate) fn parse(url: &str) -> Result<Self, ConfigError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", ""));
        match scheme {
            "redis+sentinel" => sentinels("redis", rest),
            "rediss+sentinel" => sentinels("rediss", rest),
            "redis+cluster" => cluster("redis", rest),
            "rediss+cluster" => cluster("rediss", rest),
            _ => url.into_connection_info().map(Self::One).map_err(|_| {
                bad("is not a Redis URL; write redis://host:6379/0, or rediss:// for TLS; for sentinels \
                     redis+sentinel://host:26379,host:26379/name-of-the-master, for a cluster \
                     redis+cluster://host:6379,host:6379")
            }),
        }
    }

    /// Whether connections are made by TLS.
    pub(crate) fn is_tls(&self) -> bool {
        let like = match self {
            Self::One(info) | Self::Sentinels { like: info, .. } => Some(info),
            Self::Cluster(nodes) => nodes.first(),
        };
        like.is_some_and(is_tls)
    }
}

/// The parts of a URL behind its scheme.
struct Parts<'a> {
    login: &'a str,
    hosts: Vec<&'a str>,
    path: &'a str,
    query: &'a str,
}

fn parts(rest: &str) -> Result<Parts<'_>, ConfigError> {
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = before.split_once('/').unwrap_or((before, ""));
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let hosts: Vec<&str> = hosts.split(',').collect();
    if hosts.len() > HOSTS_MAX || hosts.iter().any(|host| host.is_empty()) {
        return Err(bad("must name one to 64 hosts, with commas between them and none at the end"));
    }
    Ok(Parts { login, hosts, path, query })
}

/// One host as an ordinary URL, which the client library reads.
fn one(scheme: &str, login: &str, host: &str, port: u16, rest: &str) -> Result<ConnectionInfo, ConfigError> {
    let at = if login.is_empty() { "" } else { "@" };
    // An IPv6 address stands in brackets, and its port behind them.
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let host = if has_port { host.to_owned() } else { format!("{host}:{port}") };
    format!("{scheme}://{login}{at}{host}{rest}")
        .as_str()
        .into_connection_info()
        .map_err(|_| bad("holds a login, a host, a port or a database that cannot be read"))
}

fn sentinels(scheme: &str, rest: &str) -> Result<Address, ConfigError> {
    let Parts { login, hosts, path, query } = parts(rest)?;
    let (master, db) = path.split_once('/').unwrap_or((path, ""));
    // What Sentinel itself takes as a name.
    let name_ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if master.is_empty() || !master.chars().all(name_ok) {
        return Err(bad(
            "must say what the sentinels call the master: redis+sentinel://host:26379,host:26379/mymaster",
        ));
    }
    let (mut user, mut password, mut others) = ("", "", Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sentinel_user", value)) => user = value,
            Some(("sentinel_password", value)) => password = value,
            Some(("protocol", _)) => others.push(pair),
            _ => {
                return Err(bad(
                    "may ask for nothing behind `?` but sentinel_user, sentinel_password and protocol",
                ));
            }
        }
    }
    if !user.is_empty() && password.is_empty() {
        return Err(bad("has a sentinel_user without a sentinel_password"));
    }
    let own = if password.is_empty() { String::new() } else { format!("{user}:{password}") };
    let sentinels = hosts.iter().map(|host| one(scheme, &own, host, 26_379, "")).collect::<Result<_, _>>()?;
    let like = one(scheme, login, hosts[0], 26_379, &format!("/{db}?{}", others.join("&")))?;
    Ok(Address::Sentinels { master: master.to_owned(), sentinels, like })
}

fn cluster(scheme: &str, rest: &str) -> Result<Address, ConfigError> {
    let Parts { login, hosts, path, query } = parts(rest)?;
    if !matches!(path.trim_end_matches('/'), "" | "0") {
        return Err(bad("names a database; a cluster has only number 0"));
    }
    if query.split('&').any(|pair| !pair.is_empty() && !pair.starts_with("protocol=")) {
        return Err(bad("may ask for nothing behind `?` but protocol"));
    }
    let nodes = hosts.iter().map(|host| one(scheme, login, host, 6_379, &format!("/?{query}")));
    Ok(Address::Cluster(nodes.collect::<Result<_, _>>()?))
}

fn bad(problem: &str) -> ConfigError {
    ConfigError { field: "url", problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(infos: &[ConnectionInfo]) -> Vec<String> {
        infos.iter().map(|info| info.addr().to_string()).collect()
    }

    #[test]
    fn sentinels_are_read_with_master_database_and_both_logins() {
        let url = "redis+sentinel://fleet:p%40ss@s1,s2:26380,[::1]:7/my-master/3?sentinel_user=w&sentinel_password=x%3Ay";
        let Address::Sentinels { master, sentinels, like } = Address::parse(url).unwrap() else { panic!() };
        assert_eq!(master, "my-master");
        assert_eq!(places(&sentinels), ["s1:26379", "s2:26380", "::1:7"]);
        let login = |info: &ConnectionInfo| {
            let settings = info.redis_settings();
            (settings.username().map(str::to_owned), settings.password().map(str::to_owned), settings.db())
        };
        assert_eq!(login(&like), (Some("fleet".into()), Some("p@ss".into()), 3));
        assert_eq!(login(&sentinels[1]), (Some("w".into()), Some("x:y".into()), 0));
        let plain = Address::parse("redis+sentinel://:pw@s1/m").unwrap();
        let Address::Sentinels { sentinels, .. } = plain else { panic!() };
        assert_eq!(login(&sentinels[0]), (None, None, 0), "the master's password is not told to sentinels");
    }

    #[test]
    fn nodes_of_a_cluster_share_login_and_tls() {
        let Address::Cluster(nodes) = Address::parse("rediss+cluster://u:p@a:1,b").unwrap() else { panic!() };
        assert_eq!(places(&nodes), ["a:1", "b:6379"]);
        assert!(nodes.iter().all(|node| node.redis_settings().username() == Some("u")));
        assert!(Address::parse("rediss+cluster://a").unwrap().is_tls());
        assert!(!Address::parse("redis+cluster://a/0").unwrap().is_tls());
        assert!(!Address::parse("redis+sentinel://a/m").unwrap().is_tls());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_without_showing_the_url() {
        for (url, word) in [
            ("http://:hunter2@x", "redis+cluster://"),
            ("redis+sentinel://:hunter2@s1,s2", "call the master"),
            ("redis+sentinel://:hunter2@s1,s2/a b", "call the master"),
            ("redis+sentinel://:hunter2@s1,,s2/m", "hosts"),
            ("redis+sentinel://:hunter2@s1/m/x", "database"),
            ("redis+sentinel://:hunter2@s1/m?sentinel_user=u", "sentinel_password"),
            ("redis+sentinel://:hunter2@s1/m?hunter2=u", "sentinel_user"),
            ("redis+sentinel://:hunter2@/m", "hosts"),
            ("redis+cluster://:hunter2@a,b:x", "port"),
            ("redis+cluster://:hunter2@a/1", "number 0"),
            ("redis+cluster://:hunter2@a?db=1", "protocol"),
            ("redis+unix+sentinel://a", "redis+sentinel://"),
        ] {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(error.contains("`url`") && error.contains(word), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
