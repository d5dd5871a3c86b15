//! What a command works with: the configuration and the servers behind it, opened when they are asked for.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use mailfleet_model::{Clock, SystemClock};
use mailfleet_queue::{Queue, Queues};
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

    /// The queue of mails. Connects lazily too.
    pub fn queue(&self) -> anyhow::Result<Queue> {
        Ok(self.queues()?.mails)
    }

    /// The queues of all kinds of work.
    pub fn queues(&self) -> anyhow::Result<Queues> {
        Queues::connect(&self.config()?.queue).context("queue")
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
