//! What the server says about itself: version, eviction policy, memory. For `doctor` and for start-up checks.

use mailfleet_model::{Class, Classify};

use crate::error::{Error, Result};
use crate::link::Link;
use crate::queue::Queue;

/// What Redis says about itself. `None` where the answer is hidden from us (a managed server, an ACL).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerInfo {
    /// `redis_version`, such as `7.0.15`.
    pub version: Option<String>,
    /// `maxmemory_policy`. Anything but `noeviction` throws queued work away when memory is short.
    pub maxmemory_policy: Option<String>,
    /// `maxmemory` in bytes; 0 is "no limit".
    pub maxmemory_bytes: Option<u64>,
    /// `used_memory` in bytes.
    pub used_memory_bytes: Option<u64>,
    /// `run_id`: changes with every start.
    pub run_id: Option<String>,
    /// `master_replid`: changes with a failover.
    pub replication_id: Option<String>,
    /// `role`: `master` or `slave`.
    pub role: Option<String>,
    /// Whether an append-only file is written.
    pub append_only: Option<bool>,
}

/// How much memory Redis uses. `None` where it does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// `used_memory` in bytes.
    pub used_bytes: Option<u64>,
    /// `maxmemory` in bytes; `None` also where there is no limit.
    pub max_bytes: Option<u64>,
}

/// The one eviction policy under which Redis keeps what it is given.
const KEEPS: &str = "noeviction";

impl ServerInfo {
    /// Why this server must not carry the queue, in one line with the remedy; `None` where nothing speaks against it. That
    /// includes a server that hides its policy: whoever asks says so, or looks whether
    /// [`maxmemory_policy`](Self::maxmemory_policy) is known.
    #[must_use]
    pub fn unfit(&self) -> Option<String> {
        let policy = self.maxmemory_policy.as_deref().filter(|policy| *policy != KEEPS)?;
        Some(format!(
            "Redis evicts keys when its memory is full (maxmemory-policy {policy}), which would lose queued mail: set \
             `maxmemory-policy {KEEPS}` in redis.conf, or now with `redis-cli CONFIG SET maxmemory-policy {KEEPS}`"
        ))
    }
}

impl Queue {
    /// Asks the server about itself. Uses INFO, which also works where CONFIG is forbidden.
    pub async fn server_info(&self) -> Result<ServerInfo> {
        let text = unless_hidden(read(self.link(), "read the server's INFO").await)?;
        let own = |key| value(&text, key).map(str::to_owned);
        let number = |key| value(&text, key).and_then(|text| text.parse().ok());
        let mut info = ServerInfo {
            version: own("redis_version"),
            maxmemory_policy: own("maxmemory_policy"),
            maxmemory_bytes: number("maxmemory"),
            used_memory_bytes: number("used_memory"),
            run_id: own("run_id"),
            replication_id: own("master_replid"),
            role: own("role"),
            append_only: value(&text, "aof_enabled").map(|flag| flag == "1"),
        };
        if info.maxmemory_policy.is_none() {
            info.maxmemory_policy = self.configured_policy().await?;
        }
        Ok(info)
    }

    /// Asks the server how much memory it uses and may use, and for nothing else: often enough for a metric.
    pub async fn memory(&self) -> Result<Memory> {
        let mut command = redis::cmd("INFO");
        command.arg("memory");
        let text = unless_hidden(self.link().command("read the memory in use", &command).await)?;
        let number = |key| value(&text, key).and_then(|text| text.parse().ok());
        Ok(Memory {
            used_bytes: number("used_memory"),
            max_bytes: number("maxmemory").filter(|most| *most > 0),
        })
    }

    /// CONFIG GET, where INFO does not show the policy. A refusal is no error: then it is not known.
    async fn configured_policy(&self) -> Result<Option<String>> {
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg("maxmemory-policy");
        let answer: Result<Vec<String>> = self.link().command("read the eviction policy", &command).await;
        match answer {
            Ok(pair) => Ok(pair.into_iter().nth(1)),
            Err(error) if error.class() == Class::Fault => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The text of INFO.
pub(crate) async fn read(link: &Link, doing: &'static str) -> Result<String> {
    link.command(doing, &redis::cmd("INFO")).await
}

/// A user who may not ask is told nothing; that is no error.
fn unless_hidden(answer: Result<String>) -> Result<String> {
    match answer {
        Err(Error::Redis { said, .. }) if said.code() == Some("NOPERM") => Ok(String::new()),
        answer => answer,
    }
}

/// One value of an INFO text.
pub(crate) fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_whole_name() {
        let text = "# Memory\r\nmaxmemory_policy:noeviction\r\nmaxmemory:0\r\n";
        assert_eq!(value(text, "maxmemory"), Some("0"));
        assert_eq!(value(text, "maxmemory_policy"), Some("noeviction"));
        assert_eq!(value(text, "run_id"), None);
    }

    #[test]
    fn every_policy_but_noeviction_is_unfit_and_the_line_names_policy_and_remedy() {
        let with = |policy: Option<&str>| ServerInfo {
            maxmemory_policy: policy.map(str::to_owned),
            ..ServerInfo::default()
        };
        assert_eq!(with(Some("noeviction")).unfit(), None);
        assert_eq!(with(None).unfit(), None, "hidden is not known to be wrong");
        for policy in ["allkeys-lru", "volatile-ttl", "allkeys-random"] {
            let line = with(Some(policy)).unfit().unwrap();
            assert!(line.contains(policy) && line.contains("maxmemory-policy noeviction"), "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
    }
}
