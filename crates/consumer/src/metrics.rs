//! Every metric of the consumer: names, labels, help.

use mailfleet_model::{Class, Lane};
use mailfleet_runtime::metrics::SECONDS;
use mailfleet_runtime::{CounterFamily, Label, Metrics, QueueGauges, RedisMemory};
use prometheus::{Histogram, IntCounter};

/// How the processing of one entry ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// New rows were committed.
    Persisted,
    /// Delivery events took effect.
    Applied,
    /// The same mail is there already (another folder, a new UIDVALIDITY): only the ledger grew.
    Duplicate,
    /// Its effect was there already, or its row was removed: a redelivery of finished work.
    Redelivered,
    /// Parked with a reason.
    DeadLettered,
    /// Put aside for another attempt.
    Retried,
    /// Put off, uncounted, because nothing is known against it.
    PutOff,
    /// Handed back by a stopping worker.
    HandedBack,
    /// Left alone because its lease was lost: another consumer has it.
    LeaseLost,
    /// It ended the child process that read it first; it comes again alone, one crash the poorer.
    Crashed,
}

impl Label for Outcome {
    const NAME: &'static str = "outcome";

    fn all() -> Vec<Self> {
        vec![
            Self::Persisted,
            Self::Applied,
            Self::Duplicate,
            Self::Redelivered,
            Self::DeadLettered,
            Self::Retried,
            Self::PutOff,
            Self::HandedBack,
            Self::LeaseLost,
            Self::Crashed,
        ]
    }

    fn value(self) -> &'static str {
        match self {
            Self::Persisted => "persisted",
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Redelivered => "redelivered",
            Self::DeadLettered => "dead_lettered",
            Self::Retried => "retried",
            Self::PutOff => "put_off",
            Self::HandedBack => "handed_back",
            Self::LeaseLost => "lease_lost",
            Self::Crashed => "crashed",
        }
    }
}

/// The consumer's metrics, registered once.
#[derive(Debug)]
pub struct ConsumerMetrics {
    /// Dead letters by class of the failure.
    pub dead: CounterFamily<Class>,
    /// Dead letters that PostgreSQL did not take.
    pub letters_refused: IntCounter,
    /// Entries taken over from consumers that let their lease run out.
    pub reclaimed: IntCounter,
    /// Entries whose raw mail was gone from Redis; the sweep fetches them again.
    pub blob_gone: IntCounter,
    /// Leases lost while their entries were held.
    pub leases_lost: IntCounter,
    /// Pending entries that somebody else deleted from their lanes; the sweep fetches their mail again.
    pub vanished: IntCounter,
    /// Entries given back because this build does not know their version.
    pub unknown_version: IntCounter,
    /// Entries without a job id, taken out of Redis once their dead letters were written.
    pub quarantined: IntCounter,
    /// Time to parse a batch.
    pub parse_seconds: Histogram,
    /// Time of one persist transaction, COMMIT included.
    pub persist_seconds: Histogram,
    /// From the producer's enqueue to COMMIT.
    pub enqueue_to_commit_seconds: Histogram,
    /// Entries in a claimed batch.
    pub batch_entries: Histogram,
    /// How full the queues are.
    pub queue: QueueGauges,
    /// How full Redis is.
    pub memory: RedisMemory,
}

impl ConsumerMetrics {
    /// Registers all of them.
    pub fn register(metrics: &Metrics) -> prometheus::Result<Self> {
        Ok(Self {
            dead: metrics
                .counters("mailfleet_dead_lettered_total", "Dead letters by class of the failure.")?,
            letters_refused: metrics.counter(
                "mailfleet_dead_letters_refused_total",
                "Dead letters that PostgreSQL did not take; their entries stay in the queue and come again.",
            )?,
            reclaimed: metrics.counter(
                "mailfleet_reclaimed_total",
                "Entries taken over from a consumer whose lease ran out.",
            )?,
            blob_gone: metrics.counter(
                "mailfleet_blob_gone_total",
                "Entries whose raw mail was gone from Redis and that were left to the sweep.",
            )?,
            leases_lost: metrics
                .counter("mailfleet_leases_lost_total", "Leases lost while their entries were held.")?,
            vanished: metrics.counter(
                "mailfleet_entries_vanished_total",
                "Pending entries that somebody else deleted or trimmed from their lanes.",
            )?,
            unknown_version: metrics.counter(
                "mailfleet_unknown_version_total",
                "Entries given back because this build does not know their version.",
            )?,
            quarantined: metrics.counter(
                "mailfleet_quarantined_total",
                "Entries without a job id that became dead letters.",
            )?,
            parse_seconds: metrics.histogram(
                "mailfleet_parse_seconds",
                "Time to parse one batch.",
                SECONDS,
            )?,
            persist_seconds: metrics.histogram(
                "mailfleet_persist_seconds",
                "Time of one persist call, COMMIT included.",
                SECONDS,
            )?,
            enqueue_to_commit_seconds: metrics.histogram(
                "mailfleet_enqueue_to_commit_seconds",
                "From the enqueue by the producer to COMMIT.",
                SECONDS,
            )?,
            batch_entries: metrics.histogram(
                "mailfleet_batch_entries",
                "Entries in one claimed batch.",
                &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0],
            )?,
            queue: QueueGauges::register(metrics)?,
            memory: RedisMemory::register(metrics)?,
        })
    }
}

/// Registers the entries of one queue by how they ended and their lane; each run of an entry counts once.
pub fn processed(metrics: &Metrics, queue: &str) -> prometheus::Result<CounterFamily<(Outcome, Lane)>> {
    metrics.counters_of_queue("mailfleet_processed_total", "Entries by queue, outcome and lane.", queue)
}

/// A count or a number of milliseconds as a metric's value; exact up to 2⁵³.
#[expect(clippy::cast_precision_loss, reason = "metrics are floating-point numbers")]
pub fn wide(number: impl TryInto<i64>) -> f64 {
    number.try_into().map_or(f64::MAX, |number| number as f64)
}
