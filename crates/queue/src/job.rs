//! What a producer hands in, and what becomes of it.

use bytes::Bytes;
use mailfleet_model::{Envelope, JobId, Lane};

/// The most raw bytes one job carries: 128 MiB. What is larger must be refused before it gets here.
pub const MAX_RAW_BYTES: usize = 128 << 20;

/// A job to be enqueued.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// What to do. `encoding` is set by the queue.
    pub envelope: Envelope,
    /// How urgent it is.
    pub lane: Lane,
    /// The raw mail, at most [`MAX_RAW_BYTES`].
    pub raw: Bytes,
}

impl NewJob {
    /// The deterministic id of the job.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.envelope.job_id()
    }
}

/// What became of a job that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Enqueued {
    /// It is in its lane now.
    Queued,
    /// It was in a lane, held or delayed already; nothing was done.
    AlreadyLive,
    /// Its lane refuses, because of its entries or the memory of Redis (see [`Refuses`](crate::Refuses)); nothing was done.
    /// Leave the mail in its mailbox and come back later.
    LaneFull,
    /// Its account has as many entries in its lane as it may (`account_max_entries`); nothing was done. Leave the mail in
    /// its mailbox and come back later; other accounts go on.
    AccountFull,
    /// The queue is closed (see [`Queue::close`](crate::Queue::close)); nothing was done. Come back later.
    Closed,
}

impl Enqueued {
    /// Whether the job is in the queue now, by this call or by an earlier one; else it was refused.
    #[must_use]
    pub const fn is_in(self) -> bool {
        matches!(self, Self::Queued | Self::AlreadyLive)
    }
}
