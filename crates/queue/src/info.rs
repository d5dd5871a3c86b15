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
    /// `redis_mode`: `standalone`, `sentinel` or `cluster`.
    pub mode: Option<String>,
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

impl ServerInfo {
    fn read(text: &str) -> Self {
        let own = |key| value(text, key).map(str::to_owned);
        let number = |key| value(text, key).and_then(|text| text.parse().ok());
        Self {
            version: own("redis_version"),
            mode: own("redis_mode"),
            maxmemory_policy: own("maxmemory_policy"),
            maxmemory_bytes: number("maxmemory"),
            used_memory_bytes: number("used_memory"),
            run_id: own("run_id"),
            replication_id: own("master_replid"),
            role: own("role"),
            append_only: value(text, "aof_enabled").map(|flag| flag == "1"),
        }
    }

    /// Of two servers of a cluster what is worse, and of what only one tells, what it tells. The ids are the first one's.
    fn worse(self, other: Self) -> Self {
        let numbers =
            |version: &String| -> Vec<u32> { version.split('.').map_while(|n| n.parse().ok()).collect() };
        let bad_policy = |info: &Self| info.maxmemory_policy.as_deref().is_some_and(|policy| policy != KEEPS);
        let bad_role = |info: &Self| info.role.as_deref().is_some_and(|role| role != "master");
        let is_fuller = other.memory().is_fuller_than(self.memory());
        let pick = |first: bool, a: Option<String>, b: Option<String>| if first { a.or(b) } else { b.or(a) };
        Self {
            maxmemory_policy: pick(
                bad_policy(&self) || !bad_policy(&other),
                self.maxmemory_policy.clone(),
                other.maxmemory_policy.clone(),
            ),
            role: pick(bad_role(&self) || !bad_role(&other), self.role.clone(), other.role.clone()),
            version: match (self.version, other.version) {
                (Some(a), Some(b)) => Some(if numbers(&b) < numbers(&a) { b } else { a }),
                (a, b) => a.or(b),
            },
            mode: self.mode.or(other.mode),
            maxmemory_bytes: if is_fuller { other.maxmemory_bytes } else { self.maxmemory_bytes },
            used_memory_bytes: if is_fuller { other.used_memory_bytes } else { self.used_memory_bytes },
            run_id: self.run_id,
            replication_id: self.replication_id,
            append_only: match (self.append_only, other.append_only) {
                (Some(a), Some(b)) => Some(a && b),
                (a, b) => a.or(b),
            },
        }
    }

    fn memory(&self) -> Memory {
        Memory {
            used_bytes: self.used_memory_bytes,
            max_bytes: self.maxmemory_bytes.filter(|most| *most > 0),
        }
    }
}

impl Memory {
    /// Whether this one is closer to its limit; a limit is closer than none, and without limits more is more.
    fn is_fuller_than(self, other: Self) -> bool {
        let used = |memory: Self| u128::from(memory.used_bytes.unwrap_or(0));
        match (self.max_bytes, other.max_bytes) {
            (Some(own), Some(others)) => used(self) * u128::from(others) > used(other) * u128::from(own),
            (own, others) => (own.is_some(), used(self)) > (others.is_some(), used(other)),
        }
    }
}

impl Queue {
    /// Asks the server about itself; of a cluster every master, and gives the worst of what they say. Uses INFO, which also
    /// works where CONFIG is forbidden.
    pub async fn server_info(&self) -> Result<ServerInfo> {
        let texts = unless_hidden(read(self.link(), "read the server's INFO").await)?;
        let infos = texts.iter().map(|text| ServerInfo::read(text));
        let mut info = infos.reduce(ServerInfo::worse).unwrap_or_default();
        if info.maxmemory_policy.is_none() {
            info.maxmemory_policy = self.configured_policy().await?;
        }
        Ok(info)
    }

    /// Asks the server how much memory it uses and may use, and for nothing else: often enough for a metric. Of a cluster
    /// the fullest master's numbers: that one refuses new work first.
    pub async fn memory(&self) -> Result<Memory> {
        let mut command = redis::cmd("INFO");
        command.arg("memory");
        let texts = unless_hidden(self.link().everywhere("read the memory in use", &command).await)?;
        let memories = texts.iter().map(|text: &String| ServerInfo::read(text).memory());
        Ok(memories.reduce(|a, b| if b.is_fuller_than(a) { b } else { a }).unwrap_or_default())
    }

    /// CONFIG GET, where INFO does not show the policy. A refusal is no error: then it is not known.
    async fn configured_policy(&self) -> Result<Option<String>> {
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg("maxmemory-policy");
        let answers: Result<Vec<Vec<String>>> =
            self.link().everywhere("read the eviction policy", &command).await;
        match answers {
            Ok(pairs) => {
                let policies: Vec<_> = pairs.into_iter().filter_map(|pair| pair.into_iter().nth(1)).collect();
                let bad = policies.iter().find(|policy| *policy != KEEPS);
                Ok(bad.or(policies.first()).cloned())
            }
            Err(error) if error.class() == Class::Fault => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The text of INFO of each server.
pub(crate) async fn read(link: &Link, doing: &'static str) -> Result<Vec<String>> {
    link.everywhere(doing, &redis::cmd("INFO")).await
}

/// A user who may not ask is told nothing; that is no error.
fn unless_hidden(answer: Result<Vec<String>>) -> Result<Vec<String>> {
    match answer {
        Err(Error::Redis { said, .. }) if said.code() == Some("NOPERM") => Ok(Vec::new()),
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
    fn of_several_servers_the_worst_of_each_counts() {
        let info = |version: &str, policy: &str, used, most, aof| ServerInfo {
            version: Some(version.to_owned()),
            maxmemory_policy: Some(policy.to_owned()),
            used_memory_bytes: Some(used),
            maxmemory_bytes: Some(most),
            role: Some("master".to_owned()),
            append_only: Some(aof),
            ..ServerInfo::default()
        };
        let good = || info("7.10.0", KEEPS, 50, 100, true);
        let bad = || info("7.2.1", "allkeys-lru", 90, 150, false);
        for worst in [good().worse(bad()), bad().worse(good())] {
            assert_eq!(worst, bad());
        }
        let replica = ServerInfo { role: Some("slave".to_owned()), ..good() };
        assert_eq!(good().worse(replica).role.as_deref(), Some("slave"));
        let unlimited = info("7.10.0", KEEPS, 1_000, 0, true);
        assert_eq!(unlimited.worse(good()).used_memory_bytes, Some(50), "no limit is never full");
        assert_eq!(ServerInfo::default().worse(good()), ServerInfo { run_id: None, ..good() });
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
