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
/// Looks that go on to meet a full lane come at last this far apart: each goes through everything that waits.
const REPEAT_AFTER: Duration = Duration::from_secs(30);
/// Rows looked at in one step.
const PAGE: u32 = 500;
/// How often the waiting rows are counted.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Everything is on its way now.
    Complete,
    /// The lane was full, or the queue closed, before everything was in.
    Full,
    /// PostgreSQL or Redis was away, or Redis full.
    Outage,
    /// Something that waiting does not heal.
    Fault,
}

/// When the next look is due.
#[derive(Debug)]
struct Pace {
    /// Between two looks when nothing happens.
    every: Duration,
    due: Instant,
    /// From when on a look finds every row that is known to have been missed: none of them is too young any more.
    old_enough: Instant,
    /// Until the next look when some rows are known to wait.
    soon: Duration,
}

impl Pace {
    /// The first look is due at once.
    const fn new(every: Duration, now: Instant) -> Self {
        Self { every, due: now, old_enough: now, soon: GRACE }
    }

    /// Some rows did not get into the queue, or are there no more.
    fn missed(&mut self, now: Instant) {
        self.old_enough = now + GRACE;
        self.due = self.due.min(now + self.soon);
    }

    /// A look that began then is over now.
    fn looked(&mut self, found: Found, begun: Instant, now: Instant) {
        let wait = match found {
            Found::Outage => GRACE,
            Found::Full => self.soon,
            Found::Complete | Found::Fault if begun < self.old_enough => self.old_enough - begun,
            Found::Complete | Found::Fault => self.every,
        };
        self.due = now + wait.min(self.every);
        self.soon = if found == Found::Full { (self.soon * 2).min(REPEAT_AFTER) } else { GRACE };
    }
}

/// Runs until the process stops: looks at the start, whenever Redis may have lost something, soon after rows did not get
/// into the queue on their short way, and every `producer.sweep_seconds`.
pub async fn watch(inbox: Inbox, shutdown: Shutdown) -> anyhow::Result<()> {
    let services = &inbox.services;
    let mut pace = Pace::new(services.config.producer.sweep_every(), Instant::now());
    let mut generation = None;
    loop {
        // Both are read before the work: what is lost or missed in the middle of it makes the next look due.
        let now = services.generation();
        let lost = generation != Some(now);
        let begun = Instant::now();
        if inbox.missed.take() || lost {
            pace.missed(begun);
        }
        if lost || pace.due <= begun {
            let Some(outcome) = shutdown.unless_stopping(Box::pin(restore(&inbox))).await else {
                return Ok(());
            };
            generation = Some(now);
            let found = match outcome {
                Ok(found) => found,
                Err(problem) if matches!(problem.class(), Class::Outage | Class::Transient) => {
                    if let Some(suppressed) = services.outage_log.open() {
                        tracing::warn!(
                            suppressed,
                            "{problem}; waiting to look for webhook calls without effect"
                        );
                    }
                    Found::Outage
                }
                Err(problem) => {
                    tracing::error!("cannot look for webhook calls without effect: {problem}");
                    Found::Fault
                }
            };
            pace.looked(found, begun, Instant::now());
        }
        if !shutdown.sleep(LOOK_EVERY).await {
            return Ok(());
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(300);

    /// Seconds from `begun` to the next look.
    fn due(pace: &Pace, begun: Instant) -> u64 {
        pace.due.duration_since(begun).as_secs()
    }

    #[test]
    fn rows_that_were_missed_are_looked_for_within_seconds_and_an_outage_is_waited_out_in_seconds() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut pace = Pace::new(EVERY, begun);
        assert_eq!(due(&pace, begun), 0);
        pace.looked(Found::Complete, begun, begun);
        assert_eq!(due(&pace, begun), 300);
        for seconds in 10..=15 {
            pace.missed(at(seconds));
            assert_eq!(due(&pace, begun), 15, "one look for all that is missed meanwhile");
        }
        for seconds in [15, 20, 25] {
            pace.looked(Found::Outage, at(seconds), at(seconds));
            assert_eq!(due(&pace, begun), seconds + 5, "as long as it lasts");
        }
        pace.looked(Found::Complete, at(30), at(31));
        assert_eq!(due(&pace, begun), 331);
    }

    #[test]
    fn a_row_that_was_too_young_for_a_look_is_not_left_to_the_one_after_minutes() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        for found in [Found::Complete, Found::Fault] {
            let mut pace = Pace::new(EVERY, begun);
            pace.missed(at(0));
            pace.missed(at(4));
            assert_eq!(due(&pace, begun), 0, "the first look is due anyway");
            pace.looked(found, at(4), at(4));
            assert_eq!(due(&pace, begun), 9, "{found:?}");
            pace.looked(found, at(9), at(9));
            assert_eq!(due(&pace, begun), 309, "{found:?}");
        }
    }

    #[test]
    fn looks_at_a_lane_that_stays_full_come_further_apart_whatever_is_missed_meanwhile() {
        let begun = Instant::now();
        let mut pace = Pace::new(EVERY, begun);
        let mut now = begun;
        let waits = [5, 10, 20, 30, 30].map(|_| {
            pace.looked(Found::Full, now, now);
            pace.missed(now);
            let wait = pace.due.duration_since(now);
            now = pace.due;
            wait.as_secs()
        });
        assert_eq!(waits, [5, 10, 20, 30, 30]);
        pace.looked(Found::Complete, now, now);
        pace.missed(now);
        assert_eq!(pace.due.duration_since(now), GRACE, "and then as at first");
    }

    #[test]
    fn no_look_comes_later_than_the_configuration_says() {
        let begun = Instant::now();
        let mut pace = Pace::new(Duration::from_secs(1), begun);
        for found in [Found::Complete, Found::Full, Found::Outage, Found::Fault] {
            pace.missed(begun);
            pace.looked(found, begun, begun);
            assert_eq!(due(&pace, begun), 1, "{found:?}");
        }
    }
}
