//! The queue as a producer, an operator or a consumer opens it.

use std::fmt;
use std::sync::Arc;

use mailfleet_model::JobId;
use redis::Script;

use crate::config::Config;
use crate::consumer::Consumer;
use crate::error::{Error, Result};
use crate::info;
use crate::keys::{Keys, partition_of};
use crate::link::Link;
use crate::marks::Pressure;
use crate::name::ConsumerName;
use crate::scripts::SCRIPTS;
use crate::server::Call;

/// One queue on one Redis. Cheap to clone; all clones share the connections.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    config: Config,
    link: Link,
    partitions: Vec<Keys>,
    pressure: Pressure,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Queue {
    /// Prepares the queue; connections are made when they are needed, so Redis may be away. See [`Self::ping`].
    pub fn connect(config: &Config) -> Result<Self> {
        config.validate()?;
        let partitions = (0..config.partitions).map(|p| Keys::new(&config.queue, p)).collect();
        let (config, link) = (config.clone(), Link::new(config)?);
        Ok(Self(Arc::new(Inner { config, link, partitions, pressure: Pressure::default() })))
    }

    /// The settings it was opened with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Host and port of Redis (or the path of its socket), for messages; never user or password.
    #[must_use]
    pub fn place(&self) -> &str {
        self.link().place()
    }

    /// The worker's side, under a name that no other living or dead process has.
    #[must_use]
    pub fn consumer(&self, name: ConsumerName) -> Consumer {
        Consumer::new(self.clone(), name)
    }

    /// Whether Redis answers; of a cluster, every master.
    pub async fn ping(&self) -> Result<()> {
        let _: Vec<String> = self.link().everywhere("ping", &redis::cmd("PING")).await?;
        Ok(())
    }

    /// Makes sure that streams and groups exist. Claims do so by themselves; this is for the start, where a wrong type
    /// of key or a missing permission should be found at once.
    pub async fn ensure_groups(&self) -> Result<()> {
        for keys in self.partitions() {
            let script = script(&SCRIPTS.groups, keys);
            let _: i64 = self.link().run("create the consumer groups", &script).await?;
        }
        Ok(())
    }

    /// Makes Redis ready to carry the queue, or says why it must not: for the start of a binary.
    ///
    /// # Errors
    /// [`Error::Unfit`] for a server that would throw queued mail away, and whatever creating the groups meets.
    pub async fn prepare(&self) -> Result<()> {
        let info = self.server_info().await?;
        if let Some(why) = info.unfit() {
            return Err(Error::Unfit(why));
        }
        if info.mode.as_deref() == Some("cluster") && !self.link().is_cluster() {
            return Err(Error::Unfit(format!(
                "Redis at {} is a node of a cluster: queue.url must begin with redis+cluster:// (or rediss+cluster:// for TLS)",
                self.place()
            )));
        }
        if info.maxmemory_policy.is_none() {
            tracing::warn!(
                "Redis does not tell its eviction policy; it must be `maxmemory-policy noeviction`"
            );
        }
        self.ensure_groups().await
    }

    /// The identity of the data in Redis: run id, replication id and a mark that FLUSHALL takes with it. When it
    /// changes, jobs may have been lost, and the sweep must run.
    pub async fn run_id(&self) -> Result<String> {
        let doing = "read the identity of Redis";
        let texts = info::read(self.link(), doing).await?;
        let mark = format!("{:016x}", fastrand::u64(..));
        let of = |text: &String| {
            let value = |key| info::value(text, key).unwrap_or("hidden");
            format!("{}/{}", value("run_id"), value("master_replid"))
        };
        let mut identity = texts.iter().map(of).collect::<Vec<_>>().join("/");
        for keys in self.partitions() {
            let mut script = script(&SCRIPTS.epoch, keys);
            script.key(&keys.epoch).arg(&mark);
            let mark: String = self.link().run(doing, &script).await?;
            identity.push('/');
            identity.push_str(&mark);
        }
        Ok(identity)
    }

    pub(crate) fn pressure(&self) -> &Pressure {
        &self.0.pressure
    }

    pub(crate) fn link(&self) -> &Link {
        &self.0.link
    }

    pub(crate) fn partitions(&self) -> &[Keys] {
        &self.0.partitions
    }

    pub(crate) fn partition_of(&self, job: &JobId) -> u16 {
        partition_of(job, self.0.config.partitions)
    }

    /// The keys of a partition that [`Self::partition_of`] or a loop over the partitions named.
    pub(crate) fn keys(&self, partition: u16) -> &Keys {
        // Unwrap safety: there is at least one partition (validated), and `partition` is less than their number.
        self.0.partitions.get(usize::from(partition)).unwrap_or_else(|| &self.0.partitions[0])
    }
}

/// A call of a script with the keys that every script gets.
pub(crate) fn script<'a>(script: &'a Script, keys: &Keys) -> Call<'a> {
    let mut invocation = script.prepare_invoke();
    for key in keys.shared() {
        invocation.key(key);
    }
    Call::new(invocation, keys.slot)
}
