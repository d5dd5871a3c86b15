//! What every account's thread shares: the servers behind it, the budgets, and the way from a thread into async code.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mailfleet_model::Clock;
use mailfleet_queue::Queue;
use mailfleet_runtime::LogGate;
use mailfleet_store::Store;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::metrics::ProducerMetrics;
use crate::plan::Range;
use crate::problem::Problem;

/// Memory is handed out in pieces of this many bytes, because a semaphore counts to 2³² only.
const PIECE: u64 = 4096;

/// How often a full lane is logged.
const LANE_FULL_EVERY: Duration = Duration::from_secs(10);

/// Shared by all accounts of the process.
#[derive(Debug)]
pub struct Services {
    /// The configuration.
    pub config: Arc<Config>,
    /// PostgreSQL.
    pub store: Store,
    /// Redis.
    pub queue: Queue,
    /// The metrics.
    pub metrics: ProducerMetrics,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Lets one line a second about an outage of PostgreSQL or Redis pass, whatever the number of accounts.
    pub outage_log: LogGate,
    /// The same for mail servers that are away: one of them may serve every account.
    pub mail_outage_log: LogGate,
    /// The same for lanes that are full, which every account with mail for them meets.
    pub lane_full_log: LogGate,
    /// The same for webhook calls that are refused, of which anybody can send any number.
    pub refusal_log: LogGate,
    handle: Handle,
    cut: CancellationToken,
    memory: Arc<Semaphore>,
    /// The part of `memory` that backfill and sweeps may take, so that slow servers with much history cannot hold
    /// up everybody's fresh mail.
    bulk: Arc<Semaphore>,
    sweeps: Semaphore,
    generation: AtomicU64,
}

impl Services {
    /// Call it within the runtime on which the threads' calls shall run.
    pub fn new(
        config: Arc<Config>,
        store: Store,
        queue: Queue,
        metrics: ProducerMetrics,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let budget = |bytes| Arc::new(Semaphore::new(usize::try_from(pieces(bytes)).unwrap_or(1)));
        let (memory, bulk) = (budget(config.producer.memory_bytes), budget(bulk_bytes(&config)));
        let sweeps = Semaphore::new(config.producer.sweep_concurrency);
        Self {
            config,
            store,
            queue,
            metrics,
            clock,
            outage_log: LogGate::each_second(),
            mail_outage_log: LogGate::each_second(),
            lane_full_log: LogGate::new(LANE_FULL_EVERY),
            refusal_log: LogGate::each_second(),
            handle: Handle::current(),
            cut: CancellationToken::new(),
            memory,
            bulk,
            sweeps,
            generation: AtomicU64::new(0),
        }
    }

    /// Runs a question to PostgreSQL or Redis from an account's thread. After [`cut`](Self::cut) it is dropped where
    /// it stands, which is what a kill would do to it: the cursor has not moved, so nothing is lost.
    pub fn block_on<T, E>(&self, question: impl Future<Output = Result<T, E>>) -> Result<T, Problem>
    where
        Problem: From<E>,
    {
        match self.handle.block_on(self.cut.run_until_cancelled(question)) {
            Some(answer) => answer.map_err(Problem::from),
            None => Err(Problem::Stopping),
        }
    }

    /// Ends every call of [`block_on`](Self::block_on), running or to come.
    pub fn cut(&self) {
        self.cut.cancel();
    }

    /// Waits for room to hold so many bytes of mail, until what is returned is dropped. First come, first served, so a
    /// large batch is not overtaken for ever by small ones.
    pub fn room(&self, bytes: u64, range: Range) -> Result<Room, Problem> {
        self.block_on(self.room_when_free(bytes, range))
    }

    /// As [`room`](Self::room), for async code.
    pub async fn room_when_free(&self, bytes: u64, range: Range) -> Result<Room, Problem> {
        // Always in this order, and whoever holds room waits for no other room: nobody can wait in a circle.
        let bulk = match range {
            Range::History => Some(take(&self.bulk, bytes.min(bulk_bytes(&self.config))).await?),
            Range::Fresh => None,
        };
        let memory = take(&self.memory, bytes.min(self.config.producer.memory_bytes)).await?;
        Ok(Room { _memory: memory, _bulk: bulk })
    }

    /// Waits for the right to sweep one mailbox.
    pub fn sweep_slot(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.block_on(async { self.sweeps.acquire().await.map_err(|_| Problem::Stopping) })
    }

    /// The number that tells sweeps apart: a mailbox whose last sweep began under another one is due.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Redis may have lost something: every mailbox is due for a sweep.
    pub fn sweep_all(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

/// Room for mail, given back when dropped.
#[derive(Debug)]
pub struct Room {
    _memory: OwnedSemaphorePermit,
    _bulk: Option<OwnedSemaphorePermit>,
}

async fn take(from: &Arc<Semaphore>, bytes: u64) -> Result<OwnedSemaphorePermit, Problem> {
    let wanted = u32::try_from(pieces(bytes)).unwrap_or(u32::MAX);
    // The semaphore is never closed; were it, stopping would be the right thing to do.
    Arc::clone(from).acquire_many_owned(wanted).await.map_err(|_| Problem::Stopping)
}

fn bulk_bytes(config: &Config) -> u64 {
    config.producer.memory_bytes / 4 * 3
}

const fn pieces(bytes: u64) -> u64 {
    bytes.div_ceil(PIECE)
}
