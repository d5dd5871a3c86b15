//! The consumer's view of the one configuration file: what it reads, what it leaves to others, what it refuses.

use std::time::Duration;

use mailfleet_runtime::{AdminConfig, Invalid, LogConfig, Settings, Shell, ShutdownConfig, Unread};
use serde::Deserialize;

use crate::roll_up::AnalyticsConfig;

/// Address space of a child process that does nothing, in bytes.
const CHILD_BASE: u64 = 40 << 20;
/// Bytes that reading one byte of a mail takes at most. Measured: 3 for attachments, 6 for text and 11 for HTML, of mails
/// that are hardly anything else.
const CHILD_FACTOR: u64 = 12;
/// Bytes that one byte of a mail takes at most that is stored without being taken apart. Measured: 128 MiB of body.
const CHILD_FACTOR_WHOLE: u64 = 3;
/// A claim ends each lane's share of its bytes with the mail that reaches it.
const MAILS_BEYOND: u64 = 3;

/// The whole file. Sections of other binaries are theirs to check.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[queue]`: Redis.
    pub queue: mailfleet_queue::Config,
    /// `[postgres]`.
    pub postgres: mailfleet_store::Config,
    /// `[consumer]`.
    pub consumer: ConsumerConfig,
    /// `[analytics]`.
    pub analytics: AnalyticsConfig,
    /// `[log]`.
    pub log: LogConfig,
    /// `[admin]`.
    pub admin: AdminConfig,
    /// `[shutdown]`.
    pub shutdown: ShutdownConfig,
    producer: Option<Unread>,
    webhooks: Option<Unread>,
    imap: Option<Unread>,
}

/// Section `[consumer]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsumerConfig {
    /// Batches worked on at the same time, each with one PostgreSQL connection; 1 to 64, default 2.
    pub workers: usize,
    /// Batches of delivery events worked on at the same time, each with one PostgreSQL connection; 1 to 16, default 1.
    pub event_workers: usize,
    /// Entries in one batch at most, 1 to 1,000, default 200. One batch is one transaction.
    pub batch_count: usize,
    /// Largest mail that is taken apart, in bytes, 64 KiB to 128 MiB, default 50 MiB. A larger one is stored all the
    /// same: its headers, and its body as one attachment.
    pub max_message_bytes: u64,
    /// Raw mail that all workers of one process hold together at most, in MiB, 1 to 1,048,576, default 256; at least
    /// `queue.max_claim_bytes` and three times [`max_message_bytes`](Self::max_message_bytes): what one claim may take. Working
    /// on it takes about three times as much, on mails that are all text up to twelve times. Only a mail above
    /// `max_message_bytes` may exceed it; nobody else claims then until it is worked off.
    pub memory_budget_mib: u64,
    /// Address space of the child process that reads first what a consumer has died on, in MiB, 64 to 65,536, default 640;
    /// at least 40 MiB and twelve times [`max_message_bytes`](Self::max_message_bytes), or three times the 128 MiB that the
    /// queue carries at most, so that it only ends what is no mail.
    pub child_memory_mib: u64,
    /// Processor time of that child in seconds, 1 to 600, default 30; by the clock it may take ten times as long.
    pub child_seconds: u64,
    /// Seconds until a changed account or tenant domain is noticed, 1 to 3,600, default 10.
    pub accounts_refresh_seconds: u64,
    /// Seconds between two looks for delivery events that missed their message, 1 to 3,600, default 60.
    pub match_sweep_seconds: u64,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            workers: 2,
            event_workers: 1,
            batch_count: 200,
            max_message_bytes: 50 << 20,
            memory_budget_mib: 256,
            child_memory_mib: 640,
            child_seconds: 30,
            accounts_refresh_seconds: 10,
            match_sweep_seconds: 60,
        }
    }
}

impl ConsumerConfig {
    /// Checks every range; the error names the key, what stands there and what may.
    pub fn validate(&self) -> Result<(), Invalid> {
        let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        for (key, value, least, most) in [
            ("workers", wide(self.workers), 1, 64),
            ("event_workers", wide(self.event_workers), 1, 16),
            ("batch_count", wide(self.batch_count), 1, 1_000),
            ("max_message_bytes", self.max_message_bytes, 64 << 10, wide(mailfleet_queue::MAX_RAW_BYTES)),
            ("memory_budget_mib", self.memory_budget_mib, 1, 1 << 20),
            ("child_memory_mib", self.child_memory_mib, 64, 64 << 10),
            ("child_seconds", self.child_seconds, 1, 600),
            ("accounts_refresh_seconds", self.accounts_refresh_seconds, 1, 3_600),
            ("match_sweep_seconds", self.match_sweep_seconds, 1, 3_600),
        ] {
            if !(least..=most).contains(&value) {
                return Err(Invalid::within(
                    "consumer",
                    key,
                    format!("is {value}, must be {least} to {most}"),
                ));
            }
        }
        Ok(())
    }

    /// [`Self::memory_budget_mib`] in bytes.
    pub const fn memory_budget(&self) -> u64 {
        self.memory_budget_mib << 20
    }

    /// [`Self::child_memory_mib`] in bytes.
    pub const fn child_memory(&self) -> u64 {
        self.child_memory_mib << 20
    }

    /// The time for which what is known of accounts is believed.
    pub const fn refresh_every(&self) -> Duration {
        Duration::from_secs(self.accounts_refresh_seconds)
    }

    /// The time between two looks for events that missed their message.
    pub const fn match_sweep_every(&self) -> Duration {
        Duration::from_secs(self.match_sweep_seconds)
    }
}

impl Config {
    /// The raw mail that one claim takes at most, of mails up to `consumer.max_message_bytes`: each lane ends with the mail
    /// that reaches its share of `queue.max_claim_bytes`. What is adopted or reclaimed is less, it ends with one such mail.
    pub const fn most_claimed(&self) -> u64 {
        let beyond = self.consumer.max_message_bytes.saturating_mul(MAILS_BEYOND);
        self.queue.max_claim_bytes.saturating_add(beyond)
    }

    /// Checks that what must fit into each other does.
    fn validate_memory(&self) -> Result<(), Invalid> {
        let most = self.most_claimed();
        if self.consumer.memory_budget() < most {
            let problem = format!(
                "is {}, but one claim may take {} MiB: `queue.max_claim_bytes` and, behind each lane's share of it, one \
                 mail of `consumer.max_message_bytes`",
                self.consumer.memory_budget_mib,
                most.div_ceil(1 << 20)
            );
            return Err(Invalid::within("consumer", "memory_budget_mib", problem));
        }
        let largest = u64::try_from(mailfleet_queue::MAX_RAW_BYTES).unwrap_or(u64::MAX);
        for (bytes, factor, what) in [
            (self.consumer.max_message_bytes, CHILD_FACTOR, "a mail of `consumer.max_message_bytes`"),
            (largest, CHILD_FACTOR_WHOLE, "the largest mail that the queue carries"),
        ] {
            let needed = CHILD_BASE.saturating_add(bytes.saturating_mul(factor));
            if self.consumer.child_memory() < needed {
                let (is, needed) = (self.consumer.child_memory_mib, needed.div_ceil(1 << 20));
                let problem = format!("is {is}, but {what} may need {needed} MiB");
                return Err(Invalid::within("consumer", "child_memory_mib", problem));
            }
        }
        Ok(())
    }
}

impl Settings for Config {
    const SECRETS: &'static [&'static str] = &["queue.url", "postgres.url"];
    const ELSEWHERE: &'static [(&'static str, &'static str)] = &[
        ("producer", "mailfleet-producer"),
        ("webhooks", "mailfleet-producer"),
        ("imap", "mailfleet-producer"),
    ];

    fn shell(&self) -> Shell {
        Shell { log: self.log.clone(), admin: self.admin.clone(), shutdown: self.shutdown.clone() }
    }

    fn validate(&self) -> Result<(), Invalid> {
        self.queue.validate().map_err(|error| Invalid::within("queue", error.field, error.problem))?;
        self.postgres.validate().map_err(|error| Invalid::within("postgres", error.key, error.problem))?;
        self.consumer.validate()?;
        self.analytics.validate()?;
        self.validate_memory()?;
        // With fewer, a busy consumer would wait for a connection to ask for a sign of life, and call that an outage.
        let (pool, workers) = (self.postgres.pool_size, self.consumer.workers + self.consumer.event_workers);
        let spare = 3 + usize::from(self.analytics.enabled);
        if pool < workers + spare {
            let problem = format!(
                "is {pool}, but `consumer.workers` and `consumer.event_workers` are {workers} together: give the pool at \
                 least {spare} more, one for each kind of work that is taken over from dead consumers, one for the sign \
                 of life and one for the roll-ups"
            );
            return Err(Invalid::new("postgres.pool_size", problem));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        ConsumerConfig::default().validate().unwrap();
    }

    #[test]
    fn a_value_out_of_range_is_refused_by_name_with_its_range() {
        let config = ConsumerConfig { workers: 0, ..ConsumerConfig::default() };
        assert_eq!(config.validate().unwrap_err().to_string(), "`consumer.workers`: is 0, must be 1 to 64");
    }

    #[test]
    fn memory_that_does_not_hold_what_it_must_is_refused_by_name() {
        let url = mailfleet_model::Secret::new("postgres://x@127.0.0.1/x".to_owned());
        let mut config = Config::default();
        config.postgres.url = url;
        config.queue.url = mailfleet_model::Secret::new("redis://127.0.0.1".to_owned());
        config.validate().unwrap();
        config.consumer.memory_budget_mib = 181;
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains("consumer.memory_budget_mib") && error.contains("182 MiB"), "{error}");
        config.consumer.memory_budget_mib = 182;
        config.consumer.child_memory_mib = 639;
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains("consumer.child_memory_mib") && error.contains("640 MiB"), "{error}");
        // However small the mails are that are taken apart, larger ones come through the queue.
        config.consumer.max_message_bytes = 1 << 20;
        config.consumer.child_memory_mib = 424;
        config.validate().unwrap();
        config.consumer.child_memory_mib = 423;
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains("consumer.child_memory_mib") && error.contains("424 MiB"), "{error}");
    }

    #[test]
    fn the_example_documents_every_key_with_its_default() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config/mailfleet.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let args = mailfleet_runtime::Args { config: Some(path), check_config: false };
        let example: Config = mailfleet_runtime::load(&args).unwrap().config;
        let told = format!("{:#?}\n{:#?}", example.consumer, example.analytics);
        let defaults = Config::default();
        assert_eq!(told, format!("{:#?}\n{:#?}", defaults.consumer, defaults.analytics));
        let keys: Vec<&str> =
            told.lines().filter_map(|line| line.trim().split_once(": ")).map(|(key, _)| key).collect();
        assert!(keys.len() >= 8, "{keys:?}");
        for key in keys {
            assert!(
                text.lines().any(|line| line.starts_with(&format!("{key} ="))),
                "`{key}` is not in the example"
            );
        }
    }
}
