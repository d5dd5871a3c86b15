//! The worker's side of the queue: one consumer of the group.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use mailfleet_model::Lane;

use crate::bell::Bell;
use crate::held::Held;
use crate::log_gate::LogGate;
use crate::name::ConsumerName;
use crate::queue::Queue;
use crate::stray::Stray;
use crate::turns::Turns;

/// What new entries are taken to have weighed before any was read: mails with a picture.
const WEIGHT_AT_FIRST: u64 = 32 << 10;

/// One consumer of the group. Clones are the same consumer.
#[derive(Clone)]
pub struct Consumer(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) name: ConsumerName,
    pub(crate) held: Arc<Held>,
    pub(crate) stats: Stats,
    /// Claim, adoption and reclaim exclude each other: an adoption beside a claim whose answer is still under way would
    /// take the same entries, and they would run twice in one process.
    pub(crate) taking: tokio::sync::Mutex<()>,
    /// Whose turn it is. Changed whole, so usable even after a panic.
    pub(crate) turns: Mutex<Turns>,
    pub(crate) left: AtomicBool,
    /// What the last new entries of each lane weighed on average, in bytes of raw mail.
    pub(crate) weights: [AtomicU64; 3],
    /// For warnings about entries, of which a damaged Redis may hold any number.
    pub(crate) gate: LogGate,
    /// Found without a job id, and not asked for yet. Pushed and taken whole, so usable even after a panic.
    pub(crate) strays: Mutex<Vec<Stray>>,
    bell: OnceLock<Bell>,
}

/// What a consumer has met since it started. Only grows.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) blob_gone: AtomicU64,
    pub(crate) unknown_version: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) quarantined: AtomicU64,
    pub(crate) reclaimed: AtomicU64,
    pub(crate) adopted: AtomicU64,
    pub(crate) leases_lost: AtomicU64,
    pub(crate) vanished: AtomicU64,
}

/// What a consumer has met since it started; feeds counters of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConsumerStats {
    /// Entries closed because their raw mail was gone; the sweep fetches it again.
    pub blob_gone: u64,
    /// Entries given back because this build does not know their version.
    pub unknown_version: u64,
    /// Entries that could not be read and were delivered as malformed.
    pub malformed: u64,
    /// Entries without a job id that were put away, see [`Consumer::put_away`].
    pub quarantined: u64,
    /// Entries taken over from owners whose leases had run out.
    pub reclaimed: u64,
    /// Own entries taken in again after their claim's answer was lost.
    pub adopted: u64,
    /// Deliveries that were lost while they were held, each once; not those that [`Consumer::leave`] handed back.
    pub leases_lost: u64,
    /// Pending entries that somebody else deleted or trimmed from their lanes; the sweep fetches their mail again.
    pub vanished: u64,
}

impl std::ops::AddAssign for ConsumerStats {
    /// The sum over consumers of several queues.
    fn add_assign(&mut self, other: Self) {
        let Self {
            blob_gone,
            unknown_version,
            malformed,
            quarantined,
            reclaimed,
            adopted,
            leases_lost,
            vanished,
        } = other;
        self.blob_gone += blob_gone;
        self.unknown_version += unknown_version;
        self.malformed += malformed;
        self.quarantined += quarantined;
        self.reclaimed += reclaimed;
        self.adopted += adopted;
        self.leases_lost += leases_lost;
        self.vanished += vanished;
    }
}

pub(crate) fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("name", &self.0.name)
            .field("held", &self.held())
            .finish_non_exhaustive()
    }
}

impl Consumer {
    pub(crate) fn new(queue: Queue, name: ConsumerName) -> Self {
        let first = fastrand::u16(..queue.config().partitions);
        Self(Arc::new(Shared {
            queue,
            name,
            held: Arc::default(),
            stats: Stats::default(),
            taking: tokio::sync::Mutex::new(()),
            turns: Mutex::new(Turns::starting_at(fastrand::u64(0..1 << 32), first)),
            left: AtomicBool::new(false),
            weights: Lane::ALL.map(|_| AtomicU64::new(WEIGHT_AT_FIRST)),
            gate: LogGate::default(),
            strays: Mutex::default(),
            bell: OnceLock::new(),
        }))
    }

    /// Its name in the group.
    #[must_use]
    pub fn name(&self) -> &ConsumerName {
        &self.0.name
    }

    /// The queue it works on.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// How many deliveries are held: claimed and not settled.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.held.len()
    }

    /// What it has met since it started.
    #[must_use]
    pub fn stats(&self) -> ConsumerStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let stats = &self.0.stats;
        ConsumerStats {
            blob_gone: read(&stats.blob_gone),
            unknown_version: read(&stats.unknown_version),
            malformed: read(&stats.malformed),
            quarantined: read(&stats.quarantined),
            reclaimed: read(&stats.reclaimed),
            adopted: read(&stats.adopted),
            leases_lost: read(&stats.leases_lost),
            vanished: read(&stats.vanished),
        }
    }

    /// Waits for the turn to take entries, for as long as the value exists; none after the good-bye, whoever waited before it.
    pub(crate) async fn turn_to_take(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let taking = self.0.taking.lock().await;
        (!self.0.left.load(Ordering::Acquire)).then_some(taking)
    }

    /// Entries were pending and are in their lanes no more.
    pub(crate) fn have_vanished(&self, entries: usize) {
        count(&self.0.stats.vanished, entries);
        if entries > 0
            && let Some(held_back) = self.0.gate.pass(Instant::now())
        {
            let queue = &self.0.queue.config().queue;
            tracing::warn!(
                entries,
                queue,
                held_back,
                "somebody deleted pending entries from the queue; the sweep fetches their mail again"
            );
        }
    }

    /// Waits until the doorbell rings, but no longer than `at_most`. Ask for at most a second or so: a ring can be lost
    /// with its connection, and a due retry does not ring. Must be called within a tokio runtime, on which the listener
    /// then lives as long as the consumer.
    pub async fn wait(&self, at_most: Duration) {
        let bell = self.0.bell.get_or_init(|| Bell::listen(self.0.queue.clone()));
        // Time out or ring: both mean "claim again".
        let _ = tokio::time::timeout(at_most, bell.rung()).await;
    }
}
