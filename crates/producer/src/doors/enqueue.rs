//! The way from the inbox into the queue of events. It comes after the commit and after the answer: whatever goes wrong
//! here is made good by the sweep, which is told of it and does not wait for its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mailfleet_model::{
    Class, Classify, Direction, ENVELOPE_VERSION, Encoding, Envelope, InboxId, Lane, Work,
};
use mailfleet_queue::{Enqueued, NewJob};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Inbox;

/// Calls that wait for their way into the queue; more are left to the sweep.
const WAITING_MAX: usize = 10_000;
/// Calls that go in together.
const BATCH: usize = 200;

/// Whether rows did not get in on this way since the sweep last asked: it shall look soon.
#[derive(Debug, Clone, Default)]
pub struct Missed(Arc<AtomicBool>);

impl Missed {
    fn tell(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was told since the last time this was asked.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

/// Tells the way into the queue of a new row.
#[derive(Debug, Clone)]
pub struct Hint {
    rows: mpsc::Sender<InboxId>,
    missed: Missed,
}

/// The receiving end.
#[derive(Debug)]
pub struct Hints(mpsc::Receiver<InboxId>);

/// Both ends; what finds no place between them is told to `missed`.
pub fn hints(missed: Missed) -> (Hint, Hints) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Hint { rows: sender, missed }, Hints(receiver))
}

impl Hint {
    /// For as long as nobody knows whether a row is committed: from before the statement to its answer.
    pub const fn in_doubt(&self) -> Doubt<'_> {
        Doubt { hint: self, is_known: false }
    }

    /// This row is committed. Never waits: where nobody can take the hint now, the sweep finds the row.
    pub fn committed(&self, row: InboxId) {
        if self.rows.try_send(row).is_err() {
            self.missed.tell();
        }
    }
}

/// A call that is being kept. Whoever waits for its answer may go away before it comes, and this with it, although the row is
/// committed: then the sweep shall look soon. When the call is repeated, at whichever producer, it is only known to be there.
#[derive(Debug)]
pub struct Doubt<'h> {
    hint: &'h Hint,
    is_known: bool,
}

impl Doubt<'_> {
    /// The answer has come, and the row, if it is new, is about to be told.
    pub fn clear(mut self) {
        self.is_known = true;
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if !self.is_known {
            self.hint.missed.tell();
        }
    }
}

/// Runs until the door is closed and what it told before is in.
pub async fn run(inbox: Inbox, mut hints: Hints, closed: CancellationToken) -> anyhow::Result<()> {
    let mut rows = Vec::with_capacity(BATCH);
    loop {
        let told = tokio::select! {
            biased;
            told = hints.0.recv_many(&mut rows, BATCH) => told,
            () = closed.cancelled() => 0,
        };
        if told == 0 {
            return Ok(());
        }
        let answer = put(&inbox, &rows).await;
        rows.clear();
        let error = match answer {
            Ok(answers) => {
                if let Some(refused) = answers.iter().find(|answer| !answer.is_in()) {
                    inbox.missed.tell();
                    if let Some(suppressed) = inbox.services.lane_full_log.open() {
                        let why = match refused {
                            Enqueued::Closed => "the queue of events is closed",
                            _ => "the high lane of events is full",
                        };
                        tracing::warn!(suppressed, "{why}; webhook events wait in PostgreSQL");
                    }
                }
                continue;
            }
            Err(error) => error,
        };
        inbox.missed.tell();
        match inbox.services.outage_log.open() {
            Some(suppressed) if matches!(error.class(), Class::Outage | Class::Transient) => {
                tracing::warn!(suppressed, "{error}; webhook events wait in PostgreSQL");
            }
            Some(suppressed) => tracing::error!(suppressed, "{error}; webhook events wait in PostgreSQL"),
            None => {}
        }
    }
}

/// Puts rows into the queue, urgent. Those that are live there are left as they are.
pub async fn put(inbox: &Inbox, rows: &[InboxId]) -> mailfleet_queue::Result<Vec<Enqueued>> {
    let enqueued_at_ms = inbox.services.clock.now_ms();
    let jobs = rows.iter().map(|row| NewJob {
        envelope: Envelope {
            v: ENVELOPE_VERSION,
            work: Work::Events { inbox: *row },
            size: 0,
            message_id: None,
            direction: Direction::default(),
            flags: Vec::new(),
            internal_date_ms: None,
            enqueued_at_ms,
            encoding: Encoding::Identity,
            traceparent: None,
        },
        lane: Lane::High,
        raw: bytes::Bytes::new(),
    });
    inbox.events.enqueue(jobs.collect()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_finds_the_way_into_the_queue_full_makes_the_sweep_look_soon() {
        let missed = Missed::default();
        let (hint, mut hints) = hints(missed.clone());
        for row in 1..=WAITING_MAX {
            hint.committed(InboxId(row.try_into().unwrap()));
        }
        assert!(!missed.take(), "all of them wait for their way");
        hint.committed(InboxId(0));
        assert!(missed.take());
        assert!(!missed.take(), "told once");
        assert_eq!(hints.0.try_recv(), Ok(InboxId(1)));
        hint.committed(InboxId(0));
        assert!(!missed.take(), "there is room again");
        drop(hints);
        hint.committed(InboxId(0));
        assert!(missed.take(), "nobody listens any more");
    }

    #[test]
    fn a_call_whose_answer_nobody_waited_for_is_left_to_the_sweep() {
        let missed = Missed::default();
        let (hint, _hints) = hints(missed.clone());
        hint.in_doubt().clear();
        assert!(!missed.take(), "its answer has come");
        drop(hint.in_doubt());
        assert!(missed.take(), "it may be committed");
    }
}
