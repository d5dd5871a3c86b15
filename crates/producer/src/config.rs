//! The producer's view of the one configuration file: what it reads, what it leaves to others, what it refuses.

use std::time::Duration;

use mailfleet_imap::Waits;
use mailfleet_runtime::{AdminConfig, Invalid, LogConfig, Settings, Shell, ShutdownConfig, Unread};
use serde::Deserialize;

use crate::doors::config::WebhooksConfig;
use crate::priority::{self, Rule};

/// The whole file. Sections of other binaries are theirs to check.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[queue]`: Redis.
    pub queue: mailfleet_queue::Config,
    /// `[postgres]`.
    pub postgres: mailfleet_store::Config,
    /// `[imap]`: time limits of sessions.
    pub imap: mailfleet_imap::Config,
    /// `[producer]`.
    pub producer: ProducerConfig,
    /// `[webhooks]`.
    pub webhooks: WebhooksConfig,
    /// `[log]`.
    pub log: LogConfig,
    /// `[admin]`.
    pub admin: AdminConfig,
    /// `[shutdown]`.
    pub shutdown: ShutdownConfig,
    consumer: Option<Unread>,
    analytics: Option<Unread>,
}

/// Section `[producer]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProducerConfig {
    /// Mails in one fetch and one enqueue at most, 1 to 1,000, default 200.
    pub batch_count: usize,
    /// Bytes of one fetch at most (one mail may exceed it alone), 64 KiB to 256 MiB, default 16 MiB.
    pub batch_bytes: u64,
    /// Bytes of raw mail held by all accounts together at most, default 128 MiB. An account that would exceed it
    /// waits its turn. At least as much as one batch and one mail (`imap.max_message_bytes`) may take.
    pub memory_bytes: u64,
    /// Seconds between two sweeps of a mailbox, 1 to 86,400, default 300.
    pub sweep_seconds: u64,
    /// Messages looked at in one step of a sweep, 100 to 50,000, default 5,000.
    pub sweep_page: u32,
    /// Sweeps that run at the same time over all accounts, 1 to 64, default 4.
    pub sweep_concurrency: usize,
    /// Seconds of one IDLE at most, 1 to 110, default 100: below the two minutes after which routers and servers
    /// forget a silent connection.
    pub idle_seconds: u64,
    /// Seconds between two looks where IDLE does not help: a server without it, and every mailbox of an account
    /// but the first. 1 to 3,600, default 30.
    pub poll_seconds: u64,
    /// Seconds until a new, changed or disabled account is noticed, 1 to 3,600, default 10.
    pub accounts_refresh_seconds: u64,
    /// Which lane a mail takes: the first condition that holds decides.
    pub priority: Vec<Rule>,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            batch_count: 200,
            batch_bytes: 16 << 20,
            memory_bytes: 128 << 20,
            sweep_seconds: 300,
            sweep_page: 5_000,
            sweep_concurrency: 4,
            idle_seconds: 100,
            poll_seconds: 30,
            accounts_refresh_seconds: 10,
            priority: priority::default_rules(),
        }
    }
}

impl ProducerConfig {
    /// Checks every range; the error names the key, what stands there and what may.
    ///
    /// `max_message_bytes` is the largest mail that `[imap]` lets in.
    pub fn validate(&self, max_message_bytes: u64) -> Result<(), Invalid> {
        let count = u64::try_from(self.batch_count).unwrap_or(u64::MAX);
        let sweeps = u64::try_from(self.sweep_concurrency).unwrap_or(u64::MAX);
        for (key, value, least, most) in [
            ("batch_count", count, 1, 1_000),
            ("batch_bytes", self.batch_bytes, 64 << 10, 256 << 20),
            ("memory_bytes", self.memory_bytes, 1 << 20, 64 << 30),
            ("sweep_seconds", self.sweep_seconds, 1, 86_400),
            ("sweep_page", u64::from(self.sweep_page), 100, 50_000),
            ("sweep_concurrency", sweeps, 1, 64),
            ("idle_seconds", self.idle_seconds, 1, 110),
            ("poll_seconds", self.poll_seconds, 1, 3_600),
            ("accounts_refresh_seconds", self.accounts_refresh_seconds, 1, 3_600),
        ] {
            if !(least..=most).contains(&value) {
                return Err(Invalid::within(
                    "producer",
                    key,
                    format!("is {value}, must be {least} to {most}"),
                ));
            }
        }
        let most_at_once = self.batch_bytes + max_message_bytes;
        if self.memory_bytes < most_at_once {
            let problem = format!(
                "is {}, less than one batch and one mail may take ({most_at_once}): raise it, or lower \
                 `producer.batch_bytes` or `imap.max_message_bytes`",
                self.memory_bytes
            );
            return Err(Invalid::new("producer.memory_bytes", problem));
        }
        priority::check(&self.priority).map_err(|problem| Invalid::new("producer.priority", problem))
    }

    /// The time between two sweeps.
    pub const fn sweep_every(&self) -> Duration {
        Duration::from_secs(self.sweep_seconds)
    }

    /// The longest IDLE.
    pub const fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }

    /// The time between two looks without IDLE.
    pub const fn poll_every(&self) -> Duration {
        Duration::from_secs(self.poll_seconds)
    }

    /// How a session cuts up its waits.
    pub const fn waits(&self) -> Waits {
        Waits { idle: self.idle(), poll: self.poll_every() }
    }

    /// The time between two looks at the table of accounts.
    pub const fn refresh_every(&self) -> Duration {
        Duration::from_secs(self.accounts_refresh_seconds)
    }
}

impl Settings for Config {
    const SECRETS: &'static [&'static str] = &["queue.url", "postgres.url"];
    const ELSEWHERE: &'static [(&'static str, &'static str)] =
        &[("consumer", "mailfleet-consumer"), ("analytics", "mailfleet-consumer")];

    fn shell(&self) -> Shell {
        Shell { log: self.log.clone(), admin: self.admin.clone(), shutdown: self.shutdown.clone() }
    }

    fn validate(&self) -> Result<(), Invalid> {
        self.queue.validate().map_err(|error| Invalid::within("queue", error.field, error.problem))?;
        self.postgres.validate().map_err(|error| Invalid::within("postgres", error.key, error.problem))?;
        self.imap.validate().map_err(|error| {
            Invalid::within("imap", error.field, format!("is {}, must be {}", error.value, error.expected))
        })?;
        let most = u64::try_from(mailfleet_queue::MAX_RAW_BYTES).unwrap_or(u64::MAX);
        if self.imap.max_message_bytes > most {
            let problem = format!(
                "is {}, more than the queue carries: give at most {most}",
                self.imap.max_message_bytes
            );
            return Err(Invalid::new("imap.max_message_bytes", problem));
        }
        self.webhooks.validate()?;
        self.producer.validate(self.imap.max_message_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mailfleet_model::Lane;

    use super::*;
    use crate::priority::When;

    fn refusal(change: impl FnOnce(&mut ProducerConfig)) -> String {
        let mut config = ProducerConfig::default();
        change(&mut config);
        config.validate(50 << 20).unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_valid() {
        ProducerConfig::default().validate(50 << 20).unwrap();
        assert_eq!(ProducerConfig::default().waits(), Waits::default());
    }

    #[test]
    fn a_value_out_of_range_is_refused_by_name_with_its_range() {
        assert_eq!(refusal(|c| c.idle_seconds = 120), "`producer.idle_seconds`: is 120, must be 1 to 110");
        assert_eq!(refusal(|c| c.batch_count = 0), "`producer.batch_count`: is 0, must be 1 to 1000");
        assert!(refusal(|c| c.memory_bytes = 2 << 20).contains("producer.memory_bytes"));
        assert!(refusal(|c| c.priority.clear()).contains("producer.priority"));
    }

    #[test]
    fn the_example_documents_every_key_with_its_default() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config/mailfleet.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let args = mailfleet_runtime::Args { config: Some(path), check_config: false };
        let example: Config = mailfleet_runtime::load(&args).unwrap().config;
        let told = format!("{:#?}\n{:#?}", example.producer, example.webhooks);
        let defaults = Config::default();
        assert_eq!(told, format!("{:#?}\n{:#?}", defaults.producer, defaults.webhooks));
        // What is deeper stands in the list of rules.
        let top = told.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
        let keys: Vec<&str> =
            top.filter_map(|line| line.trim().split_once(": ")).map(|(key, _)| key).collect();
        assert!(keys.len() >= 15, "{keys:?}");
        for key in keys {
            let stands = |line: &str| line.trim_start_matches("# ").starts_with(&format!("{key} ="));
            assert!(text.lines().any(stands), "`{key}` is not in the example");
        }
    }

    #[test]
    fn priority_rules_are_read_in_order_and_unknown_words_are_refused() {
        use serde::de::value::{Error, MapDeserializer};
        let rule = |when, lane| {
            Rule::deserialize(MapDeserializer::<_, Error>::new([("when", when), ("lane", lane)].into_iter()))
        };
        assert_eq!(rule("any", "low"), Ok(Rule { when: When::Any, lane: Lane::Low }));
        assert!(rule("every", "low").unwrap_err().to_string().contains("reply_to_known_outbound"));
        assert!(rule("any", "fast").unwrap_err().to_string().contains("high"));
    }
}
