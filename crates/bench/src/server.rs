//! A private Redis and a queue on it.

use anyhow::Result;
use mailfleet_model::Secret;
use mailfleet_queue::{Config, Queue};
use mailfleet_testkit::RedisServer;

/// A Redis for one round of whoever is measured. It never rewrites its append-only file: a rewrite takes a core for as long
/// as it lasts, and would fall into one round and not into another.
pub(crate) fn redis() -> Result<RedisServer> {
    RedisServer::start_with(&[("auto-aof-rewrite-percentage", "0")])
}

/// Both; the server ends with this value.
pub(crate) struct Server {
    pub(crate) redis: RedisServer,
    pub(crate) queue: Queue,
}

impl Server {
    /// Starts Redis and opens the queue as it is by default, but for the marks, which would end an enqueue of so many jobs.
    pub(crate) fn start() -> Result<Self> {
        let redis = redis()?;
        let config = Config {
            url: Secret::new(redis.url()),
            normal_max_entries: 1 << 30,
            account_max_entries: 1 << 30,
            response_timeout_ms: 60_000,
            ..Config::default()
        };
        let queue = Queue::connect(&config)?;
        Ok(Self { redis, queue })
    }
}
