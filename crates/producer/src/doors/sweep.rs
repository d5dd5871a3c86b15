//! The sweep of the inbox: calls that were kept, took no effect, and that the queue does not know (any more).
//!
//! Putting in is idempotent, and so is the effect: a row that is on its way at this moment is at worst met halfway.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mailfleet_model::{Class, Classify as _, InboxId, JobId};
use mailfleet_queue::Enqueued;
use mailfleet_runtime::{Beat, Shutdown};

use super::Inbox;
use super::enqueue;
use crate::looks::{self, Found, Look, Pace};
use crate::problem::Problem;

/// A younger row is on its way.
const GRACE: Duration = Duration::from_secs(3);
/// Rows looked at in one step.
const PAGE: u32 = 500;
/// How often the waiting rows are counted.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// Runs until the process stops: looks at the start, whenever Redis may have lost something, soon after rows did not get
/// into the queue on their short way, and every `producer.sweep_seconds`.
pub async fn watch(inbox: Inbox, shutdown: Shutdown) -> anyhow::Result<()> {
    let pace = Pace::new(inbox.services.config.producer.sweep_every(), GRACE, Instant::now());
    let services = Arc::clone(&inbox.services);
    looks::watch(&services, Unapplied(inbox), pace, shutdown).await
}

/// The look at the inbox.
struct Unapplied(Inbox);

impl Look for Unapplied {
    const WHAT: &'static str = "webhook calls without effect";

    fn missed(&self) -> bool {
        self.0.missed.take()
    }

    async fn look(&mut self, _lost: bool) -> Result<Found, Problem> {
        restore(&self.0).await
    }
}

/// Looks at every row without effect.
async fn restore(inbox: &Inbox) -> Result<Found, Problem> {
    let mut after = InboxId(0);
    loop {
        let page = inbox.services.store.unapplied_inbox(GRACE, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(Found::Complete) };
        after = *last;
        let jobs: Vec<JobId> = page.iter().copied().map(JobId::events).collect();
        let live = inbox.events.live(&jobs).await?;
        let unknown: Vec<InboxId> =
            page.into_iter().zip(live).filter_map(|(row, live)| (!live).then_some(row)).collect();
        if unknown.is_empty() {
            continue;
        }
        let metrics = &inbox.services.metrics.doors;
        let counted = |rows: usize| u64::try_from(rows).unwrap_or(u64::MAX);
        let answers = enqueue::put(inbox, &unknown)
            .await
            .inspect_err(|_| metrics.sweep_failed.inc_by(counted(unknown.len())))?;
        let queued = answers.iter().filter(|answer| **answer == Enqueued::Queued).count();
        let waiting = answers.iter().filter(|answer| !answer.is_in()).count();
        metrics.swept.inc_by(counted(queued));
        metrics.sweep_failed.inc_by(counted(waiting));
        if queued > 0 {
            tracing::info!(
                queued,
                waiting,
                "webhook calls that the queue did not know were put into it again"
            );
        }
        if waiting > 0 {
            // The lane is full, or the queue closed: the rest of the rows would only hear the same.
            return Ok(Found::Full);
        }
    }
}

/// Shows how many calls wait for their effect, and with `beat`, of a process with a door, whether PostgreSQL would take a
/// call. Runs until the process stops.
pub async fn count(inbox: Inbox, shutdown: Shutdown, beat: Option<Beat>) -> anyhow::Result<()> {
    let services = &inbox.services;
    while let Some(counted) = shutdown.unless_stopping(Box::pin(services.store.inbox_waiting())).await {
        match &counted {
            Ok(_) => {
                if let Some(beat) = &beat {
                    beat.ok();
                }
            }
            Err(error) => {
                if let Some(beat) = &beat {
                    beat.failed(error);
                }
                match services.outage_log.open() {
                    Some(suppressed) if matches!(error.class(), Class::Outage | Class::Transient) => {
                        tracing::warn!(suppressed, "{error}; the inbox is not counted");
                    }
                    Some(suppressed) => tracing::error!(suppressed, "cannot count the inbox: {error}"),
                    None => {}
                }
            }
        }
        let (waiting, oldest) = counted.ok().unzip();
        services.metrics.doors.waiting.set(&[], waiting);
        services.metrics.doors.oldest.set(&[], oldest);
        if !shutdown.sleep(COUNT_EVERY).await {
            break;
        }
    }
    Ok(())
}
