//! The way from the inbox into the queue of events. It comes after the commit and after the answer: whatever goes wrong
//! here is made good by the sweep.

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

/// Tells the way into the queue of a new row.
#[derive(Debug, Clone)]
pub struct Hint(mpsc::Sender<InboxId>);

/// The receiving end.
#[derive(Debug)]
pub struct Hints(mpsc::Receiver<InboxId>);

/// Both ends.
pub fn hints() -> (Hint, Hints) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Hint(sender), Hints(receiver))
}

impl Hint {
    /// This row is committed. Never waits: where nobody can take the hint now, the sweep finds the row.
    pub fn committed(&self, row: InboxId) {
        let _ = self.0.try_send(row);
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
        let Err(error) = answer else { continue };
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
