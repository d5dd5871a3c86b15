//! What a command works with: the configuration and the servers behind it, opened when they are asked for.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use mailfleet_model::{Class, Classify, Clock, SystemClock};
use mailfleet_queue::Queue;
use mailfleet_runtime::Loaded;
use mailfleet_store::Store;

use crate::config::Config;
use crate::failure::Exit;

/// The configuration (read once, on first use) and the clock.
#[derive(Debug)]
pub struct Context {
    path: Option<PathBuf>,
    loaded: OnceLock<Loaded<Config>>,
    clock: Arc<dyn Clock>,
}

impl Context {
    /// A context over `--config`, on the machine's clock.
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { path, loaded: OnceLock::new(), clock: Arc::new(SystemClock) }
    }

    /// The configuration, validated, with where it came from; an error ends the process with 64.
    pub fn loaded(&self) -> anyhow::Result<&Loaded<Config>> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let args = mailfleet_runtime::Args { config: self.path.clone(), check_config: false };
        let loaded = mailfleet_runtime::load(&args)?;
        Ok(self.loaded.get_or_init(|| loaded))
    }

    /// The configuration, validated.
    pub fn config(&self) -> anyhow::Result<&Config> {
        Ok(&self.loaded()?.config)
    }

    /// PostgreSQL. Connects lazily: the first question finds out whether it is there.
    pub fn store(&self) -> anyhow::Result<Store> {
        Store::connect(&self.config()?.postgres).context("postgres")
    }

    /// The queue. Connects lazily too.
    pub fn queue(&self) -> anyhow::Result<Queue> {
        Queue::connect(&self.config()?.queue).context("queue")
    }

    /// Names the server where the error is that Redis cannot be reached; PostgreSQL's and IMAP's errors name theirs.
    pub fn with_place(&self, error: anyhow::Error) -> anyhow::Error {
        let outage = |cause: &mailfleet_queue::Error| cause.class() == Class::Outage;
        let redis =
            error.chain().filter_map(|cause| cause.downcast_ref::<mailfleet_queue::Error>()).any(outage);
        match self.config() {
            Ok(config) if redis => {
                error.context(format!("Redis at {} (queue.url; does it run?)", redis_place(&config.queue)))
            }
            _ => error,
        }
    }

    /// Now.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Runs a command to its end on a small runtime of its own.
    #[expect(clippy::unused_self, reason = "reads as what it is: the command runs within its context")]
    pub fn block_on(&self, command: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("cannot start the async runtime")?
            .block_on(command)
    }
}

/// Host and port of `queue.url`, without the login before them.
pub fn redis_place(config: &mailfleet_queue::Config) -> String {
    let url = config.url.expose();
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, place)| place).to_owned()
}

#[cfg(test)]
mod tests {
    use mailfleet_model::Secret;

    use super::*;

    #[test]
    fn the_place_of_redis_is_told_without_its_password() {
        for (url, place) in [
            ("redis://127.0.0.1:6379/0", "127.0.0.1:6379"),
            ("rediss://user:p@ss@redis.example:6380", "redis.example:6380"),
            ("redis://:geheim@h", "h"),
        ] {
            let config =
                mailfleet_queue::Config { url: Secret::new(url), ..mailfleet_queue::Config::default() };
            assert_eq!(redis_place(&config), place);
        }
    }
}
