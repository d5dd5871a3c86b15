//! One batch from claim to settlement: decide, bury, tell Redis; each entry ends in exactly one way.
//!
//! The order is fixed: PostgreSQL first, Redis second. Every step may be repeated, because the ledger (for mails) and the
//! inbox (for events) make the second run of an entry a no-op; so a crash between any two steps costs time and nothing
//! else.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mailfleet_model::{Backoff, Clock, Lane, TenantId};
use mailfleet_queue::{Consumer, Delivery, Failure, Settled};
use mailfleet_runtime::{CounterFamily, LogGate};
use mailfleet_store::{Error, Store};
use tokio::sync::mpsc;

use crate::admission::{Admission, Room};
use crate::blame::Suspects;
use crate::gate::Gate;
use crate::ingest::Rejection;
use crate::metrics::{ConsumerMetrics, Outcome, wide};
use crate::settle::Settler;
use crate::turns::{Turn, Turns};

/// How long an undecided entry waits.
const LATER: Duration = Duration::from_secs(10);

/// A kind of work, with what it alone needs. A new kind is an implementation of this, a queue and its workers.
pub trait Kind: Sized + Send + Sync + 'static {
    /// What is written to PostgreSQL of one entry.
    type Row: Send + Sync;
    /// What PostgreSQL answers of one entry.
    type Fate: Send;
    /// What is made of a batch without asking anybody.
    type Read: Send;

    /// Whether work on it may take long although nothing is wrong with the servers, so that it must keep no worker from the
    /// others.
    fn takes_long(_delivery: &Delivery) -> bool {
        false
    }

    /// Tries an entry where it can do no harm, before it has its turn by itself. A verdict is given where it must not go on.
    fn try_first(
        _context: &Context<Self>,
        _delivery: &Delivery,
    ) -> impl Future<Output = Option<Verdict>> + Send {
        std::future::ready(None)
    }

    /// Does what is work for the processor alone. It is bounded by the size of the mails and not given up in the middle,
    /// since a thread cannot be: a batch that went on without it would leave it running beside whatever comes next.
    fn read(context: &Context<Self>, cases: &mut [Case<'_>]) -> impl Future<Output = Self::Read> + Send;

    /// Brings the entries that go on to their verdicts, through [`Context::write`]. One that gets none comes again,
    /// uncounted. May be dropped at any moment.
    fn decide(
        context: &Context<Self>,
        cases: &mut [Case<'_>],
        read: Self::Read,
    ) -> impl Future<Output = ()> + Send;

    /// One call of the store, safe to repeat; answers in the order of `rows`.
    fn write(
        context: &Context<Self>,
        rows: &[Self::Row],
    ) -> impl Future<Output = Result<Vec<Self::Fate>, Error>> + Send;

    /// Whether something was written that was not there.
    fn is_new(fate: &Self::Fate) -> bool;

    /// The verdict on an entry of which PostgreSQL has answered; notes in it what is known now.
    fn judge(context: &Context<Self>, case: &mut Case<'_>, fate: Self::Fate) -> Verdict;
}

/// What every worker of one kind of work shares.
#[derive(Debug)]
pub struct Context<K> {
    /// Redis.
    pub consumer: Consumer,
    /// PostgreSQL.
    pub store: Store,
    /// Whether PostgreSQL can be used; one for all kinds.
    pub gate: Arc<Gate>,
    /// Who works at the same time; one for all kinds.
    pub turns: Arc<Turns>,
    /// Entries that fail while others do not.
    pub suspects: Suspects,
    /// How much may be held; none for work that weighs nothing.
    pub admission: Option<Admission>,
    /// Where work goes that takes long, each with the room it takes. A consumer holds one such entry at a time.
    pub apart: mpsc::Sender<(Delivery, Option<Room>)>,
    /// Moves entries in Redis, waiting out its outages.
    pub settler: Arc<Settler>,
    /// What is counted over all kinds of work.
    pub metrics: Arc<ConsumerMetrics>,
    /// The entries of this kind by how they ended.
    pub processed: CounterFamily<(Outcome, Lane)>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// For lines about single entries, of which a bad day has thousands.
    pub log: LogGate,
    /// What this kind of work alone needs.
    pub kind: K,
}

/// How the store's part of an entry ended; what Redis must be told.
#[derive(Debug)]
pub enum Verdict {
    /// Its effect is committed, or was already.
    Done(Outcome),
    /// To be dead-lettered; after [`Context::decide`] the letter is written.
    Dead(Rejection),
    /// Another attempt later.
    Retry(Failure),
    /// Not decided, and nobody's fault: the entry comes again, uncounted.
    Later,
    /// Another consumer has it: Redis is told nothing.
    Lost,
    /// It ended a process that was not this one: it comes again, alone, one crash the poorer.
    Crashed(Failure),
}

/// One entry on its way through [`Context::decide`].
#[derive(Debug)]
pub struct Case<'a> {
    /// The entry.
    pub delivery: &'a Delivery,
    /// Whose it is, once that is known.
    pub tenant: Option<TenantId>,
    /// How it ends, once that is known.
    pub verdict: Option<Verdict>,
}

impl<'a> Case<'a> {
    fn new(delivery: &'a Delivery) -> Self {
        let verdict = Rejection::unread(delivery).map(Verdict::Dead);
        Self { delivery, tenant: None, verdict }
    }

    /// Whether work on it goes on.
    pub fn goes_on(&mut self) -> bool {
        self.is_ours() && self.verdict.is_none()
    }

    /// Whether its lease is still there. An entry whose lease was lost runs elsewhere; it is left to that run, unless
    /// PostgreSQL has its effect already.
    pub fn is_ours(&mut self) -> bool {
        if self.delivery.lease_lost() && !matches!(self.verdict, Some(Verdict::Done(_))) {
            self.verdict = Some(Verdict::Lost);
        }
        !matches!(self.verdict, Some(Verdict::Lost))
    }
}

impl<K: Kind> Context<K> {
    /// Waits for the room that a claim needs; `None` where nothing is to be waited for.
    pub async fn room(&self) -> Option<Room> {
        match &self.admission {
            Some(admission) => Some(admission.room().await),
            None => None,
        }
    }

    /// PostgreSQL's half: does the work, writes dead letters. Gives a verdict for each entry.
    ///
    /// Only borrows the deliveries: a caller that stops polling still has them and can hand them back. What was
    /// committed by then is found by the next run. The turn is to be kept until the entries are settled: as long as they are
    /// not, a death of the process is put down to what had its turn by itself. There is none where all leases were lost, since
    /// nothing of the batch is ours any more.
    pub async fn decide(&self, batch: &[Delivery]) -> (Vec<Verdict>, Option<Turn<'_>>) {
        self.metrics.batch_entries.observe(wide(batch.len()));
        let mut cases: Vec<Case<'_>> = batch.iter().map(Case::new).collect();
        let turn = self.work(batch, &mut cases).await;
        if turn.is_none() {
            // What PostgreSQL has answered is known; what was under way runs elsewhere and is counted there.
            for case in &mut cases {
                case.is_ours();
            }
        }
        (cases.into_iter().map(|case| case.verdict.unwrap_or(Verdict::Later)).collect(), turn)
    }

    /// The steps of a batch. `None` when they were given up because all leases were lost.
    async fn work(&self, batch: &[Delivery], cases: &mut [Case<'_>]) -> Option<Turn<'_>> {
        let turn = unless_lost(batch, async {
            self.end_replayed_crashes(cases).await;
            self.turn(cases).await
        })
        .await?;
        let read = K::read(self, cases).await;
        unless_lost(batch, async {
            K::decide(self, cases, read).await;
            cases.iter_mut().for_each(last_attempt);
            self.bury(cases).await;
        })
        .await?;
        Some(turn)
    }

    /// Waits for the batch's turn. A suspect, which is a batch of its own, is tried first, and begins by itself.
    async fn turn(&self, cases: &mut [Case<'_>]) -> Turn<'_> {
        if let [case] = cases
            && case.delivery.is_suspect()
            && case.goes_on()
        {
            case.verdict = K::try_first(self, case.delivery).await;
            if case.goes_on() {
                let turn = self.turns.by_itself().await;
                // Time has passed, and somebody else may have it.
                if case.goes_on() && !self.settler.begin(case.delivery).await {
                    case.verdict = Some(Verdict::Lost);
                }
                return turn;
            }
        }
        self.turns.beside().await
    }

    /// Redis' half, after PostgreSQL: tells it how each entry ended. Each is counted once: what PostgreSQL holds now
    /// by that, what Redis is asked to do by its answer.
    pub async fn settle(&self, batch: Vec<Delivery>, verdicts: Vec<Verdict>) {
        let (mut done, mut dead, mut retries, mut later) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut crashed = Vec::new();
        for (delivery, verdict) in batch.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Done(outcome) => {
                    self.count(outcome, delivery.lane());
                    done.push(delivery);
                }
                Verdict::Dead(rejection) => {
                    self.metrics.dead.get(rejection.class).inc();
                    self.count(Outcome::DeadLettered, delivery.lane());
                    dead.push((delivery, rejection.reason));
                }
                Verdict::Retry(failure) => retries.push((delivery, failure)),
                Verdict::Later => later.push(delivery),
                // Dropped without a word: there is no lease left to let go.
                Verdict::Lost => self.count(Outcome::LeaseLost, delivery.lane()),
                Verdict::Crashed(failure) => crashed.push((delivery, failure)),
            }
        }
        // What is committed first: it is what would run for nothing if time were up now.
        self.settler.done(done).await;
        self.settler.dead_letter(dead).await;
        for (delivery, failure) in retries {
            self.retry(delivery, failure).await;
        }
        for (delivery, failure) in crashed {
            self.crashed(delivery, failure).await;
        }
        let lanes: Vec<Lane> = later.iter().map(Delivery::lane).collect();
        self.count_settled(Outcome::PutOff, lanes, self.settler.delay(later, LATER).await);
    }

    /// A stopping worker's way out: everything goes back, uncounted.
    pub async fn hand_back(&self, batch: Vec<Delivery>) {
        let lanes: Vec<Lane> = batch.iter().map(Delivery::lane).collect();
        self.count_settled(Outcome::HandedBack, lanes, self.settler.hand_back(batch).await);
    }

    async fn retry(&self, delivery: Delivery, failure: Failure) {
        let (lane, attempt) = (delivery.lane(), delivery.counters().attempts.saturating_add(1));
        let after = Backoff::RETRY.delay(attempt, fastrand::f64());
        if let Some(suppressed) = self.log.open() {
            let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(
                job = %delivery.job_id(), class = %failure.class, error = failure.text, attempt, after_ms, suppressed,
                "attempt failed; tried again"
            );
        }
        let settled = self.settler.retry(delivery, after, failure).await;
        self.count_settled(Outcome::Retried, [lane], settled);
    }

    async fn crashed(&self, delivery: Delivery, failure: Failure) {
        let (lane, crash) = (delivery.lane(), delivery.counters().crashes.saturating_add(1));
        let after = Backoff::RETRY.delay(crash, fastrand::f64());
        let settled = self.settler.crashed(delivery, after, failure).await;
        self.count_settled(Outcome::Crashed, [lane], settled);
    }

    /// Counts what Redis did; what it was not told is counted by whoever runs it next.
    fn count_settled(
        &self,
        outcome: Outcome,
        lanes: impl IntoIterator<Item = Lane>,
        settled: impl IntoIterator<Item = Settled>,
    ) {
        for (lane, settled) in lanes.into_iter().zip(settled) {
            match settled {
                Settled::Done => self.count(outcome, lane),
                Settled::LostLease => self.count(Outcome::LeaseLost, lane),
            }
        }
    }

    fn count(&self, outcome: Outcome, lane: Lane) {
        self.processed.get((outcome, lane)).inc();
    }
}

/// Runs a step to its end, or until every lease of the batch is lost: the step is dropped then, in the middle of whatever it
/// waits for. A statement under way takes its connection along, and the server rolls back.
async fn unless_lost<T>(batch: &[Delivery], step: impl Future<Output = T>) -> Option<T> {
    let all_lost = async {
        for delivery in batch {
            delivery.lost().await;
        }
    };
    tokio::select! {
        biased;
        ended = step => Some(ended),
        () = all_lost => None,
    }
}

/// Turns the failure of a last attempt into a dead letter.
fn last_attempt(case: &mut Case<'_>) {
    if let Some(Verdict::Retry(failure)) = &case.verdict
        && case.delivery.attempts_left() <= 1
    {
        case.verdict = Some(Verdict::Dead(Rejection::exhausted(failure.clone())));
    }
}
