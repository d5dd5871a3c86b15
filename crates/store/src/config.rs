//! The section `[postgres]`: how the store reaches PostgreSQL and how long it waits.

use std::path::PathBuf;
use std::time::Duration;

use mailfleet_model::{Class, Classify, Secret};
use serde::Deserialize;

/// PostgreSQL cuts identifiers beyond this many bytes silently (NAMEDATALEN - 1).
const MAX_IDENTIFIER_BYTES: usize = 63;

/// How to reach PostgreSQL. Every wait has a bound.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `postgres://user:password@host:port/database`, or a `key=value` connection string. `sslmode` may be
    /// `disable`, `prefer` or `require`; `verify-ca` and `verify-full` are taken as `require`, because the
    /// certificate's chain and name are verified wherever TLS is spoken.
    pub url: Secret,
    /// The schema of `email_content`, `email_messages` and `attachments`; default `public`.
    pub schema: String,
    /// Most connections this process holds; default 8.
    pub pool_size: usize,
    /// A statement that runs longer is cancelled, in milliseconds; default 30 000.
    pub statement_timeout_ms: u64,
    /// Longest wait for a new connection, in milliseconds; default 5 000.
    pub connect_timeout_ms: u64,
    /// Longest wait for a free connection of the pool, in milliseconds; default 5 000.
    pub wait_timeout_ms: u64,
    /// PEM file with the certificates that sign the server's; default: those of the system.
    pub tls_ca_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: Secret::default(),
            schema: "public".to_owned(),
            pool_size: 8,
            statement_timeout_ms: 30_000,
            connect_timeout_ms: 5_000,
            wait_timeout_ms: 5_000,
            tls_ca_file: None,
        }
    }
}

/// A setting that cannot be used. Names the key and the remedy, never the URL's password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("postgres.{key}: {problem}")]
pub struct ConfigError {
    /// The key within the section.
    pub key: &'static str,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl Classify for ConfigError {
    fn class(&self) -> Class {
        Class::Fault
    }
}

impl Config {
    /// Checks what can be checked without a server.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let fail = |key, problem: String| Err(ConfigError { key, problem });
        if self.url.expose().trim().is_empty() {
            return fail(
                "url",
                "is missing; set it as postgres://user:password@host:5432/database".to_owned(),
            );
        }
        if self.schema.is_empty() || self.schema.len() > MAX_IDENTIFIER_BYTES || self.schema.contains('\0') {
            return fail(
                "schema",
                format!("must be the name of a schema, 1 to {MAX_IDENTIFIER_BYTES} bytes long"),
            );
        }
        if self.schema == crate::OWN_SCHEMA {
            return fail("schema", format!("`{}` holds mailfleet's own tables; choose another", self.schema));
        }
        if !(1..=1_000).contains(&self.pool_size) {
            return fail("pool_size", format!("is {}, must be 1 to 1000", self.pool_size));
        }
        for (key, value, most) in [
            ("statement_timeout_ms", self.statement_timeout_ms, 3_600_000),
            ("connect_timeout_ms", self.connect_timeout_ms, 300_000),
            ("wait_timeout_ms", self.wait_timeout_ms, 300_000),
        ] {
            if !(100..=most).contains(&value) {
                return fail(key, format!("is {value}, must be 100 to {most}"));
            }
        }
        crate::tls::parse_url(self).map(|_| ())
    }

    pub(crate) fn statement_timeout(&self) -> Duration {
        Duration::from_millis(self.statement_timeout_ms)
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(crate) fn wait_timeout(&self) -> Duration {
        Duration::from_millis(self.wait_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usable() -> Config {
        Config { url: Secret::new("postgres://me:geheim@db.example/mail"), ..Config::default() }
    }

    #[test]
    fn an_unusable_setting_is_named_and_the_password_is_not() {
        assert_eq!(usable().validate(), Ok(()));
        let bad = [
            ("url", Config { url: Secret::default(), ..usable() }),
            ("url", Config { url: Secret::new("postgres://me:geheim@db/mail?sslmode=wrong"), ..usable() }),
            ("url", Config { url: Secret::new("mysql://me:geheim@db/mail"), ..usable() }),
            ("schema", Config { schema: String::new(), ..usable() }),
            ("schema", Config { schema: "mailfleet".to_owned(), ..usable() }),
            ("pool_size", Config { pool_size: 0, ..usable() }),
            ("statement_timeout_ms", Config { statement_timeout_ms: 0, ..usable() }),
            ("connect_timeout_ms", Config { connect_timeout_ms: 0, ..usable() }),
            ("wait_timeout_ms", Config { wait_timeout_ms: 0, ..usable() }),
        ];
        for (key, config) in bad {
            let error = config.validate().unwrap_err();
            assert_eq!(error.key, key);
            assert!(error.to_string().starts_with(&format!("postgres.{key}: ")), "{error}");
            assert!(!format!("{error} {error:?} {config:?}").contains("geheim"));
        }
    }
}
