//! Settings of the queue. Each process embeds them under its own section; `validate` names the field that is wrong.

use std::path::PathBuf;
use std::time::Duration;

use mailfleet_model::{Class, Classify, LaneWeights, Secret};
use serde::Deserialize;

use crate::server::Address;

/// Where Redis is and how the queue on it behaves. All processes of one fleet must agree on `queue`, `events_queue`,
/// `partitions`, `lease_ms`, `max_attempts` and `max_crashes`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `redis://[user:password@]host[:port][/db]`, or `rediss://` for TLS. For the master that sentinels know
    /// `redis+sentinel://[user:password@]host[:port],host…/name[/db][?sentinel_user=…&sentinel_password=…]`, for a cluster
    /// `redis+cluster://[user:password@]host[:port],host…`; both with `rediss` for TLS. Default `redis://127.0.0.1:6379`.
    pub url: Secret,
    /// PEM file of the certificate authority for `rediss://`; the system's where it is not set.
    pub tls_ca_file: Option<PathBuf>,
    /// Name of the queue of mails, part of every key. Default `email:processing`.
    pub queue: String,
    /// Name of the queue of delivery events, which is another one. Default `delivery:events`.
    pub events_queue: String,
    /// Number of partitions, 1 to 256. A job's partition follows from its account. Default 1.
    pub partitions: u16,
    /// How long an entry may go without a sign of life of its consumer before others take it, in ms. Default 30,000.
    pub lease_ms: u64,
    /// Errors of one entry before it is dead-lettered. Default 5.
    pub max_attempts: u32,
    /// Crashes of one entry, running alone, before it is dead-lettered. Default 3.
    pub max_crashes: u32,
    /// Guaranteed shares of the lanes. Default 70/20/10.
    pub weights: LaneWeights,
    /// Raw mail up to this size, or packed to it from at most four times as much, travels inside its entry; in bytes, at
    /// most 1 MiB. Default 4,096.
    pub inline_bytes: usize,
    /// The high lane refuses what is new once it has this many entries a partition; 0, the default, never: what is urgent
    /// stops only where Redis has no memory left.
    pub high_max_entries: u64,
    /// The normal lane refuses what is new once it has this many entries a partition. Default 50,000.
    pub normal_max_entries: u64,
    /// The low lane refuses what is new once it has this many entries a partition. Default 20,000.
    pub low_max_entries: u64,
    /// A lane that refuses takes what is new again once it has less than this part of its most entries, in per cent, 1 to
    /// 100. Default 80.
    pub reopen_percent: u8,
    /// The normal lane refuses what is new while Redis uses this part of its `maxmemory`, in per cent, 1 to 100, and until
    /// it is five below; 0: whatever it uses. Default 85.
    pub normal_max_memory_percent: u8,
    /// The same for the low lane. Default 70.
    pub low_max_memory_percent: u8,
    /// One account takes no more than this many entries of the normal lane, and of the low lane; the high lane is open to
    /// all. What is above waits in its mailbox. Default 5,000.
    pub account_max_entries: u64,
    /// Connections of one process (of a cluster: to each of its masters), besides one for the keep-alive and one for the
    /// doorbell. Default 8.
    pub pool_size: usize,
    /// An answer, a connection or a place in the pool is waited for no longer than this, in ms. Default 5,000.
    pub response_timeout_ms: u64,
    /// One claim takes no more raw mail than this, in bytes, but always at least one of each lane whose turn it is. Default
    /// 32 MiB.
    pub max_claim_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: Secret::new("redis://127.0.0.1:6379"),
            tls_ca_file: None,
            queue: "email:processing".to_owned(),
            events_queue: "delivery:events".to_owned(),
            partitions: 1,
            lease_ms: 30_000,
            max_attempts: 5,
            max_crashes: 3,
            weights: LaneWeights::default(),
            inline_bytes: 4_096,
            high_max_entries: 0,
            normal_max_entries: 50_000,
            low_max_entries: 20_000,
            reopen_percent: 80,
            normal_max_memory_percent: 85,
            low_max_memory_percent: 70,
            account_max_entries: 5_000,
            pool_size: 8,
            response_timeout_ms: 5_000,
            max_claim_bytes: 32 << 20,
        }
    }
}

/// A setting that cannot be used. Never shows the URL, which may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("queue setting `{field}` {problem}")]
pub struct ConfigError {
    /// The field, as written in the configuration.
    pub field: &'static str,
    /// What is wrong with it and what would be right.
    pub problem: String,
}

impl Classify for ConfigError {
    fn class(&self) -> Class {
        Class::Fault
    }
}

impl Config {
    /// Checks every field; the first one that cannot be used is named.
    pub fn validate(&self) -> Result<(), ConfigError> {
        Address::parse(self.url.expose())?;
        let name_ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.');
        for (field, name) in [("queue", &self.queue), ("events_queue", &self.events_queue)] {
            if name.is_empty() || name.len() > 100 || !name.chars().all(name_ok) {
                return refuse(field, "must be 1 to 100 of the characters A-Z a-z 0-9 : - _ .");
            }
        }
        if self.queue == self.events_queue {
            return refuse("events_queue", "must differ from `queue`");
        }
        let in_range = |field, value: u64, least: u64, most: u64| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            refuse(field, format!("is {value}; it must be {least} to {most}"))
        };
        in_range("partitions", self.partitions.into(), 1, 256)?;
        in_range("lease_ms", self.lease_ms, 500, 3_600_000)?;
        in_range("max_attempts", self.max_attempts.into(), 1, 1_000)?;
        in_range("max_crashes", self.max_crashes.into(), 1, 1_000)?;
        in_range("weights.high", self.weights.high.into(), 1, 10_000)?;
        in_range("weights.normal", self.weights.normal.into(), 1, 10_000)?;
        in_range("weights.low", self.weights.low.into(), 1, 10_000)?;
        in_range("inline_bytes", self.inline_bytes as u64, 0, 1 << 20)?;
        in_range("high_max_entries", self.high_max_entries, 0, 1 << 40)?;
        in_range("normal_max_entries", self.normal_max_entries, 1, 1 << 40)?;
        in_range("low_max_entries", self.low_max_entries, 1, 1 << 40)?;
        in_range("reopen_percent", self.reopen_percent.into(), 1, 100)?;
        in_range("normal_max_memory_percent", self.normal_max_memory_percent.into(), 0, 100)?;
        in_range("low_max_memory_percent", self.low_max_memory_percent.into(), 0, 100)?;
        in_range("account_max_entries", self.account_max_entries, 1, 1 << 40)?;
        in_range("pool_size", self.pool_size as u64, 1, 1_024)?;
        in_range("response_timeout_ms", self.response_timeout_ms, 100, 600_000)?;
        in_range("max_claim_bytes", self.max_claim_bytes, 1, 1 << 40)
    }

    /// The lease as a duration.
    #[must_use]
    pub const fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    /// The settings of the queue of delivery events: the two names change places, all else is the same.
    #[must_use]
    pub fn for_events(&self) -> Self {
        Self { queue: self.events_queue.clone(), events_queue: self.queue.clone(), ..self.clone() }
    }

    pub(crate) const fn response_timeout(&self) -> Duration {
        Duration::from_millis(self.response_timeout_ms)
    }
}

fn refuse(field: &'static str, problem: impl Into<String>) -> Result<(), ConfigError> {
    Err(ConfigError { field, problem: problem.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        Config::default().validate().unwrap();
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = serde_json::from_str::<Config>(r#"{"leese_ms": 1}"#).unwrap_err().to_string();
        assert!(error.contains("leese_ms"), "{error}");
    }

    #[test]
    fn a_bad_value_is_refused_by_field_and_never_shows_the_url() {
        let broken = [
            ("url", Config { url: Secret::new("http://:hunter2@x"), ..Config::default() }),
            ("queue", Config { queue: "a{b}".into(), ..Config::default() }),
            ("events_queue", Config { events_queue: String::new(), ..Config::default() }),
            ("partitions", Config { partitions: 0, ..Config::default() }),
            ("lease_ms", Config { lease_ms: 1, ..Config::default() }),
            ("max_attempts", Config { max_attempts: 0, ..Config::default() }),
            ("max_crashes", Config { max_crashes: 0, ..Config::default() }),
            (
                "weights.low",
                Config { weights: LaneWeights { high: 1, normal: 1, low: 0 }, ..Config::default() },
            ),
            ("reopen_percent", Config { reopen_percent: 0, ..Config::default() }),
            ("low_max_memory_percent", Config { low_max_memory_percent: 101, ..Config::default() }),
            ("account_max_entries", Config { account_max_entries: 0, ..Config::default() }),
            ("pool_size", Config { pool_size: 0, ..Config::default() }),
            ("response_timeout_ms", Config { response_timeout_ms: 0, ..Config::default() }),
        ];
        for (field, config) in broken {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(&format!("`{field}`")) && !error.contains("hunter2"), "{error}");
        }
    }
}
