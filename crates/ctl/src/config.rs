//! The configuration: one TOML file for the whole fleet, of which this program reads the servers' sections.

use mailfleet_runtime::{AdminConfig, Invalid, LogConfig, Settings, Shell, ShutdownConfig, Unread};
use serde::Deserialize;

/// What this program reads. `deploy/config/mailfleet.toml` documents every key.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Redis and the queue.
    pub queue: mailfleet_queue::Config,
    /// PostgreSQL.
    pub postgres: mailfleet_store::Config,
    /// Sessions with IMAP servers.
    pub imap: mailfleet_imap::Config,
    /// Logs.
    pub log: LogConfig,
    /// Where the long-lived processes serve metrics and health.
    admin: AdminConfig,
    /// How the long-lived processes stop.
    shutdown: ShutdownConfig,
    /// Read by `mailfleet-producer`.
    producer: Option<Unread>,
    /// Read by `mailfleet-producer`.
    webhooks: Option<Unread>,
    /// Read by `mailfleet-consumer`.
    consumer: Option<Unread>,
    /// Read by `mailfleet-consumer`.
    analytics: Option<Unread>,
}

impl Settings for Config {
    const SECRETS: &'static [&'static str] = &["queue.url", "postgres.url"];
    const ELSEWHERE: &'static [(&'static str, &'static str)] = &[
        ("producer", "mailfleet-producer"),
        ("webhooks", "mailfleet-producer"),
        ("consumer", "mailfleet-consumer"),
        ("analytics", "mailfleet-consumer"),
    ];

    fn shell(&self) -> Shell {
        Shell { log: self.log.clone(), admin: self.admin.clone(), shutdown: self.shutdown.clone() }
    }

    fn validate(&self) -> Result<(), Invalid> {
        self.queue.validate().map_err(|error| Invalid::within("queue", error.field, error.problem))?;
        self.postgres.validate().map_err(|error| Invalid::within("postgres", error.key, error.problem))?;
        let imap = |error: mailfleet_imap::ConfigError| {
            Invalid::within("imap", error.field, format!("is {}, must be {}", error.value, error.expected))
        };
        self.imap.validate().map_err(imap)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mailfleet_model::Secret;

    use super::*;

    fn example() -> (String, Config) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config/mailfleet.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let args = mailfleet_runtime::Args { config: Some(path), check_config: false };
        (text, mailfleet_runtime::load(&args).unwrap().config)
    }

    #[test]
    fn the_example_holds_the_defaults() {
        let (_, example) = example();
        let mut defaults = Config::default();
        let url = |text| Secret::new(text);
        assert_eq!(example.queue.url, url("redis://127.0.0.1:6379"));
        assert_eq!(example.postgres.url, url("postgres://mailfleet@127.0.0.1:5432/mailfleet"));
        defaults.postgres.url = example.postgres.url.clone();
        // Both sections are there and are left to their readers.
        defaults.producer = Some(Unread);
        defaults.webhooks = Some(Unread);
        defaults.consumer = Some(Unread);
        defaults.analytics = Some(Unread);
        assert_eq!(format!("{example:#?}"), format!("{defaults:#?}"));
    }

    #[test]
    fn the_example_documents_every_key() {
        let (text, example) = example();
        let dump =
            format!("{:#?}{:#?}{:#?}{:#?}", example.queue, example.postgres, example.imap, example.shell());
        let keys = dump.lines().filter_map(|line| line.trim().split_once(": ")).map(|(key, _)| key);
        let mut seen = 0;
        for key in keys.filter(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '_')) {
            let given =
                text.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} =")));
            let section = text.contains(&format!("[{key}]")) || text.contains(&format!("{{ {key} ="));
            let nested = text.contains(&format!(", {key} ="));
            assert!(given || section || nested, "`{key}` is not in the example");
            seen += 1;
        }
        assert!(seen > 25, "{seen} keys seen");
    }
}
