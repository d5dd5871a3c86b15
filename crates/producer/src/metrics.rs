//! Every metric of the producer: names, labels, help.

use mailfleet_model::Lane;
use mailfleet_runtime::metrics::SECONDS;
use mailfleet_runtime::{CounterFamily, DepthGauges, Label, Metrics, QueueGauges, RedisMemory};
use prometheus::{Histogram, IntCounter};

use crate::doors::metrics::DoorMetrics;

/// What the queue said to one mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EnqueueResult {
    /// A new entry.
    Queued,
    /// That job was live already.
    AlreadyLive,
    /// Its lane is full: the mail waits in its mailbox.
    LaneFull,
    /// Its account has as many entries in the lane as it may: the mail waits in its mailbox.
    AccountFull,
    /// The queue is closed: the mail waits in its mailbox.
    Closed,
}

impl Label for EnqueueResult {
    const NAME: &'static str = "result";

    fn all() -> Vec<Self> {
        vec![Self::Queued, Self::AlreadyLive, Self::LaneFull, Self::AccountFull, Self::Closed]
    }

    fn value(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::AlreadyLive => "already_live",
            Self::LaneFull => "lane_full",
            Self::AccountFull => "account_full",
            Self::Closed => "closed",
        }
    }
}

/// Why a mail was not fetched in the ordinary way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aside {
    /// Expunged before we had it.
    Vanished,
    /// Above the size limit: dead-lettered.
    TooLarge,
    /// The server lists it and leaves it out of its answers.
    Omitted,
}

impl Label for Aside {
    const NAME: &'static str = "reason";

    fn all() -> Vec<Self> {
        vec![Self::Vanished, Self::TooLarge, Self::Omitted]
    }

    fn value(self) -> &'static str {
        match self {
            Self::Vanished => "vanished",
            Self::TooLarge => "too_large",
            Self::Omitted => "omitted",
        }
    }
}

/// The producer's metrics, registered once.
#[derive(Debug)]
pub struct ProducerMetrics {
    /// Mails fetched.
    pub fetched: IntCounter,
    /// Bytes of raw mail fetched.
    pub fetched_bytes: IntCounter,
    /// Mails by lane and by what the queue said.
    pub enqueued: CounterFamily<(Lane, EnqueueResult)>,
    /// Mails that did not go the ordinary way.
    pub aside: CounterFamily<Aside>,
    /// Time from asking for a batch to its last byte.
    pub fetch_seconds: Histogram,
    /// Time of one sweep of one mailbox.
    pub sweep_seconds: Histogram,
    /// Mails that a sweep found without outcome and without live job and fetched again.
    pub sweep_refetched: IntCounter,
    /// Replayed dead letters that the queue had lost and that were brought back.
    pub lost_replays: IntCounter,
    /// Accounts by state.
    pub accounts: DepthGauges,
    /// Mails on the server, without outcome, without live job, older than a minute; absent where unknown.
    pub unaccounted: DepthGauges,
    /// Open dead letters by reason; absent while PostgreSQL cannot be asked.
    pub dead_open: DepthGauges,
    /// How full the queue is.
    pub queue: QueueGauges,
    /// How full Redis is.
    pub memory: RedisMemory,
    /// Webhooks and registrations.
    pub doors: DoorMetrics,
}

impl ProducerMetrics {
    /// Registers all of them.
    pub fn register(metrics: &Metrics) -> prometheus::Result<Self> {
        Ok(Self {
            fetched: metrics.counter("mailfleet_fetched_total", "Mails fetched from mailboxes.")?,
            fetched_bytes: metrics
                .counter("mailfleet_fetched_bytes_total", "Bytes of raw mail fetched from mailboxes.")?,
            enqueued: metrics.counters("mailfleet_enqueued_total", "Mails by lane and the queue's answer.")?,
            aside: metrics.counters(
                "mailfleet_set_aside_total",
                "Mails that vanished, were too large, or were left out by their server.",
            )?,
            fetch_seconds: metrics.histogram(
                "mailfleet_fetch_batch_seconds",
                "From asking for a batch of mails to its last byte.",
                SECONDS,
            )?,
            sweep_seconds: metrics.histogram(
                "mailfleet_sweep_seconds",
                "Time of one sweep of one mailbox.",
                SECONDS,
            )?,
            sweep_refetched: metrics.counter(
                "mailfleet_sweep_refetched_total",
                "Mails that a sweep found without outcome and without live job.",
            )?,
            lost_replays: metrics.counter(
                "mailfleet_lost_replays_total",
                "Replayed dead letters that Redis had lost: put into the queue again, or opened again.",
            )?,
            accounts: metrics.depths("mailfleet_accounts", "Watched accounts by state.", &["state"])?,
            unaccounted: metrics.depths(
                "mailfleet_mailbox_unaccounted_messages",
                "Messages on the server without outcome and without live job, older than 60 s; absent while unknown.",
                &["account", "mailbox"],
            )?,
            dead_open: metrics.depths(
                "mailfleet_dead_letters_open",
                "Open dead letters by reason (the most frequent ones by name, the rest as `other`, which is always there \
                 while the numbers are known); use max over replicas.",
                &["reason"],
            )?,
            queue: QueueGauges::register(metrics)?,
            memory: RedisMemory::register(metrics)?,
            doors: DoorMetrics::register(metrics)?,
        })
    }
}
