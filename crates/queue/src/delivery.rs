//! One unit of work in a worker's hands.

use std::fmt;

use bytes::Bytes;
use mailfleet_model::{Counters, Envelope, JobId, Lane};

use crate::columns::Leaving;
use crate::held::Lease;
use crate::name::ConsumerName;
use crate::record::{self, Attempt, Failure};

/// A claimed entry. It is consumed by exactly one of done, retry, dead-letter, hand back and delay of its
/// [`Consumer`](crate::Consumer). While it exists its lease is kept alive; dropped without being settled it runs again
/// elsewhere, alone, once its lease has run out.
#[must_use = "an entry that is not settled runs again after its lease"]
pub struct Delivery(Box<Inner>);

/// What is known against an entry, by the deaths with it in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// Nothing.
    Clear,
    /// It runs alone.
    Alone,
    /// It runs with nothing else of its process at work.
    Suspect,
}

/// Why an entry cannot be read, and what stands in it.
#[derive(Debug)]
pub(crate) struct Malformed {
    pub(crate) why: String,
    pub(crate) fields: Vec<(Vec<u8>, Vec<u8>)>,
}

pub(crate) struct Inner {
    pub(crate) lease: Lease,
    pub(crate) job: JobId,
    pub(crate) envelope: Envelope,
    pub(crate) raw: Bytes,
    /// Whether the raw mail stands beside its entry.
    pub(crate) has_blob: bool,
    pub(crate) counters: Counters,
    pub(crate) history: Vec<Attempt>,
    pub(crate) standing: Standing,
    pub(crate) exhausted: bool,
    pub(crate) malformed: Option<Malformed>,
    pub(crate) max_attempts: u32,
}

impl Delivery {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Box::new(inner))
    }

    /// The caller has them from here on: until then they are those of a call which may be dropped, and are adopted then.
    pub(crate) fn hand_out(mut deliveries: Vec<Self>) -> Vec<Self> {
        for delivery in &mut deliveries {
            delivery.0.lease.hand_out();
        }
        deliveries
    }

    /// What a script has to know to take its entry out of the lane.
    pub(crate) fn leaving(&self) -> Leaving<'_> {
        Leaving { entry_id: self.entry_id(), job: self.job_id(), has_blob: self.0.has_blob }
    }

    pub(crate) const fn lease(&self) -> &Lease {
        &self.0.lease
    }

    pub(crate) fn settled(self) {
        self.0.lease.settled();
    }

    /// The job.
    #[must_use]
    pub const fn job_id(&self) -> &JobId {
        &self.0.job
    }

    /// The lane it came through.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        self.0.lease.key().lane
    }

    /// The id of its stream entry.
    #[must_use]
    pub fn entry_id(&self) -> &str {
        &self.0.lease.key().id
    }

    /// What to do. Of a [`malformed`](Self::malformed) entry it is a stand-in made from the job id.
    #[must_use]
    pub const fn envelope(&self) -> &Envelope {
        &self.0.envelope
    }

    /// The raw mail, as it was enqueued. Of a [`malformed`](Self::malformed) entry: the bytes as they are stored, unless they
    /// can be told to be compressed; empty where there are none.
    #[must_use]
    pub const fn raw(&self) -> &Bytes {
        &self.0.raw
    }

    /// What the job has been through before this delivery.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.0.counters
    }

    /// The failed attempts so far, oldest first.
    #[must_use]
    pub fn history(&self) -> &[Attempt] {
        &self.0.history
    }

    /// The history with a further attempt, within the bounds of a history: for the dead letter that tells of this very run.
    #[must_use]
    pub fn history_with(&self, at_ms: i64, worker: &ConsumerName, failure: &Failure) -> Vec<Attempt> {
        let mut history = self.0.history.clone();
        record::remember(&mut history, at_ms, worker.as_str(), failure);
        history
    }

    /// Whether it must not share a batch or a transaction with others: its consumer died on it, or beside it, before.
    /// A consumer never holds more than one such delivery, except those out of crashes, which are not to be run.
    #[must_use]
    pub const fn run_alone(&self) -> bool {
        matches!(self.0.standing, Standing::Alone | Standing::Suspect)
    }

    /// Whether a consumer died with it in hand although it did not share a batch, or a process died of it before. Then it is
    /// to run with nothing else of this process at work, after a [`Consumer::begin`](crate::Consumer::begin): only so can a
    /// death be its own, and is counted as one. True only of what [runs alone](Self::run_alone).
    #[must_use]
    pub const fn is_suspect(&self) -> bool {
        matches!(self.0.standing, Standing::Suspect)
    }

    /// Whether it has crashed its process as often as it may: it is to be dead-lettered, not run.
    #[must_use]
    pub const fn exhausted_crashes(&self) -> bool {
        self.0.exhausted
    }

    /// Why the entry cannot be read, if so: it is to be dead-lettered with its raw bytes, not run.
    #[must_use]
    pub fn malformed(&self) -> Option<&str> {
        self.0.malformed.as_ref().map(|malformed| malformed.why.as_str())
    }

    /// What stands in a [`malformed`](Self::malformed) entry besides its raw mail, as it stands there: all names and values, in
    /// their order. Empty for any other.
    #[must_use]
    pub fn fields(&self) -> &[(Vec<u8>, Vec<u8>)] {
        self.0.malformed.as_ref().map_or(&[], |malformed| &malformed.fields)
    }

    /// How many more errors it may have, this run's included; at 1 an error of this run is the last one.
    #[must_use]
    pub const fn attempts_left(&self) -> u32 {
        self.0.max_attempts.saturating_sub(self.0.counters.attempts)
    }

    /// Whether the lease was lost: somebody else runs it, or it is gone. Stop working on it; whatever settles it will
    /// answer [`Settled::LostLease`](crate::Settled::LostLease).
    #[must_use]
    pub fn lease_lost(&self) -> bool {
        self.0.lease.is_lost()
    }

    /// Comes when the [lease is lost](Self::lease_lost), at once if it was before: to give up what is under way on it. May be
    /// dropped and called again.
    pub async fn lost(&self) {
        self.0.lease.lost().await;
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the raw mail.
        f.debug_struct("Delivery")
            .field("job", &self.0.job)
            .field("entry", self.0.lease.key())
            .field("raw_bytes", &self.0.raw.len())
            .field("counters", &self.0.counters)
            .field("standing", &self.0.standing)
            .field("exhausted", &self.0.exhausted)
            .field("malformed", &self.malformed())
            .finish_non_exhaustive()
    }
}
