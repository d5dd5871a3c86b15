//! The sweep of the inbox: calls that were kept, took no effect, and that the queue does not know (any more).
//!
//! Putting in is idempotent, and so is the effect: a row that is on its way at this moment is at worst met halfway.

use std::time::{Duration, Instant};

use mailfleet_model::{Class, Classify, InboxId, JobId};
use mailfleet_queue::Enqueued;
use mailfleet_runtime::{Beat, Shutdown};

use super::Inbox;
use super::enqueue;
use crate::problem::Problem;

/// A younger row is on its way.
const GRACE: Duration = Duration::from_secs(5);
/// How soon a loss of Redis is noticed here.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A look that met a full lane is repeated after this.
const REPEAT_AFTER: Duration = Duration::from_secs(30);
/// Rows looked at in one step.
const PAGE: u32 = 500;
/// How often the waiting rows are counted.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// Runs until the process stops: looks at the start, whenever Redis may have lost something, and every
/// `producer.sweep_seconds`.
pub async fn watch(inbox: Inbox, shutdown: Shutdown) -> anyhow::Result<()> {
    let services = &inbox.services;
    let (mut generation, mut due) = (None, Instant::now());
    loop {
        // Read before the work: what is lost in the middle of it makes the next look due.
        let now = services.generation();
        let lost = generation != Some(now);
        if lost || due <= Instant::now() {
            let Some(outcome) = shutdown.unless_stopping(Box::pin(restore(&inbox))).await else {
                return Ok(());
            };
            // What was too young after a loss is not any more when its grace is over.
            let every = services.config.producer.sweep_every();
            let every = if lost { every.min(GRACE) } else { every };
            match outcome {
                Ok(full) => {
                    generation = Some(now);
                    due = Instant::now() + if full { every.min(REPEAT_AFTER) } else { every };
                }
                Err(problem) if matches!(problem.class(), Class::Outage | Class::Transient) => {
                    if let Some(suppressed) = services.outage_log.open() {
                        tracing::warn!(
                            suppressed,
                            "{problem}; waiting to look for webhook calls without effect"
                        );
                    }
                }
                Err(problem) => {
                    tracing::error!("cannot look for webhook calls without effect: {problem}");
                    generation = Some(now);
                    due = Instant::now() + every;
                }
            }
        }
        if !shutdown.sleep(LOOK_EVERY).await {
            return Ok(());
        }
    }
}

/// Looks at every row without effect; true when some wait for room in the lane.
async fn restore(inbox: &Inbox) -> Result<bool, Problem> {
    let (mut after, mut full) = (InboxId(0), false);
    loop {
        let page = inbox.services.store.unapplied_inbox(GRACE, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(full) };
        after = *last;
        let jobs: Vec<JobId> = page.iter().copied().map(JobId::events).collect();
        let live = inbox.events.live(&jobs).await?;
        let unknown: Vec<InboxId> =
            page.into_iter().zip(live).filter_map(|(row, live)| (!live).then_some(row)).collect();
        if unknown.is_empty() {
            continue;
        }
        let answers = enqueue::put(inbox, &unknown).await?;
        let count = |what| answers.iter().filter(|answer| **answer == what).count();
        let (queued, waiting) = (count(Enqueued::Queued), count(Enqueued::LaneFull));
        inbox.services.metrics.doors.swept.inc_by(u64::try_from(queued).unwrap_or(u64::MAX));
        if queued > 0 {
            tracing::info!(
                queued,
                waiting,
                "webhook calls that the queue did not know were put into it again"
            );
        }
        if waiting > 0 {
            // The lane is full: the rest of the rows would only hear the same.
            full = true;
            return Ok(full);
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
