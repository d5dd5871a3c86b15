//! Looks for what got lost on its way into the queue: at the start, whenever Redis may have lost something, soon after
//! something is known to have been missed, and at an interval.

use std::future::Future;
use std::time::{Duration, Instant};

use mailfleet_model::{Class, Classify};
use mailfleet_runtime::Shutdown;

use crate::problem::Problem;
use crate::services::Services;

/// How soon a loss of Redis is noticed here.
const NOTICE_EVERY: Duration = Duration::from_secs(1);
/// The next look after one that met an outage, as long as it lasts.
const AFTER_OUTAGE: Duration = Duration::from_secs(5);
/// Looks that go on to meet a full lane come at last this far apart: each goes through everything that waits.
const REPEAT_AFTER: Duration = Duration::from_secs(30);

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Everything is on its way now.
    Complete,
    /// A lane was full, or the queue closed, before everything was in.
    Full,
}

/// One kind of look.
pub trait Look: Send {
    /// What is looked for, for the log.
    const WHAT: &'static str;

    /// Whether something is known to have been missed since the last time this was asked.
    fn missed(&self) -> bool {
        false
    }

    /// Looks at everything; `lost`: for the first time, or Redis may have lost something since the last look.
    fn look(&mut self, lost: bool) -> impl Future<Output = Result<Found, Problem>> + Send;
}

/// When the next look is due.
#[derive(Debug)]
pub struct Pace {
    /// Between two looks when nothing happens.
    every: Duration,
    /// What is younger is on its way, and not looked at.
    grace: Duration,
    /// Until the next look when something is known to wait, at first.
    soon: Duration,
    /// The same now.
    next_soon: Duration,
    due: Instant,
    /// From when on a look finds all that is known to have been missed: none of it is too young any more.
    old_enough: Instant,
}

/// How a look ended, for the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Found(Found),
    /// PostgreSQL or Redis was away, or Redis full.
    Outage,
    /// Something that waiting does not heal.
    Fault,
}

impl Pace {
    /// The first look is due at once; `grace` is what a look leaves alone as too young.
    pub const fn new(every: Duration, grace: Duration, now: Instant) -> Self {
        let soon = if grace.as_nanos() < REPEAT_AFTER.as_nanos() { grace } else { REPEAT_AFTER };
        Self { every, grace, soon, next_soon: soon, due: now, old_enough: now }
    }

    /// Something did not get into the queue, or is there no more.
    fn missed(&mut self, now: Instant) {
        self.old_enough = now + self.grace;
        self.due = self.due.min(now + self.next_soon);
    }

    /// A look that began then is over now.
    fn looked(&mut self, end: End, begun: Instant, now: Instant) {
        let full = end == End::Found(Found::Full);
        let wait = match end {
            End::Outage => AFTER_OUTAGE,
            End::Found(Found::Full) => self.next_soon,
            End::Found(Found::Complete) | End::Fault if begun < self.old_enough => self.old_enough - begun,
            End::Found(Found::Complete) | End::Fault => self.every,
        };
        self.due = now + wait.min(self.every);
        self.next_soon = if full { (self.next_soon * 2).min(REPEAT_AFTER) } else { self.soon };
    }
}

/// Runs until the process stops.
pub async fn watch<L: Look>(
    services: &Services,
    mut look: L,
    mut pace: Pace,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let mut generation = None;
    loop {
        // Both are read before the work: what is lost or missed in the middle of it makes the next look due.
        let now = services.generation();
        let lost = generation != Some(now);
        let begun = Instant::now();
        if look.missed() || lost {
            pace.missed(begun);
        }
        if lost || pace.due <= begun {
            let Some(outcome) = shutdown.unless_stopping(Box::pin(look.look(lost))).await else {
                return Ok(());
            };
            generation = Some(now);
            let end = match outcome {
                Ok(found) => End::Found(found),
                Err(problem) if matches!(problem.class(), Class::Outage | Class::Transient) => {
                    if let Some(suppressed) = services.outage_log.open() {
                        tracing::warn!(suppressed, "{problem}; waiting to look for {}", L::WHAT);
                    }
                    End::Outage
                }
                Err(problem) => {
                    tracing::error!("cannot look for {}: {problem}", L::WHAT);
                    End::Fault
                }
            };
            pace.looked(end, begun, Instant::now());
        }
        if !shutdown.sleep(NOTICE_EVERY).await {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(300);
    const GRACE: Duration = Duration::from_secs(5);
    const COMPLETE: End = End::Found(Found::Complete);
    const FULL: End = End::Found(Found::Full);

    /// Seconds from `begun` to the next look.
    fn due(pace: &Pace, begun: Instant) -> u64 {
        pace.due.duration_since(begun).as_secs()
    }

    #[test]
    fn what_was_missed_is_looked_for_within_seconds_and_an_outage_is_waited_out_in_seconds() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut pace = Pace::new(EVERY, GRACE, begun);
        assert_eq!(due(&pace, begun), 0);
        pace.looked(COMPLETE, begun, begun);
        assert_eq!(due(&pace, begun), 300);
        for seconds in 10..=15 {
            pace.missed(at(seconds));
            assert_eq!(due(&pace, begun), 15, "one look for all that is missed meanwhile");
        }
        for seconds in [15, 20, 25] {
            pace.looked(End::Outage, at(seconds), at(seconds));
            assert_eq!(due(&pace, begun), seconds + 5, "as long as it lasts");
        }
        pace.looked(COMPLETE, at(30), at(31));
        assert_eq!(due(&pace, begun), 331);
    }

    #[test]
    fn what_was_too_young_for_a_look_is_not_left_to_the_one_after_minutes() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        for end in [COMPLETE, End::Fault] {
            let mut pace = Pace::new(EVERY, GRACE, begun);
            pace.missed(at(0));
            pace.missed(at(4));
            assert_eq!(due(&pace, begun), 0, "the first look is due anyway");
            pace.looked(end, at(4), at(4));
            assert_eq!(due(&pace, begun), 9, "{end:?}");
            pace.looked(end, at(9), at(9));
            assert_eq!(due(&pace, begun), 309, "{end:?}");
        }
    }

    #[test]
    fn looks_at_a_lane_that_stays_full_come_further_apart_whatever_is_missed_meanwhile() {
        let begun = Instant::now();
        let mut pace = Pace::new(EVERY, GRACE, begun);
        let mut now = begun;
        let waits = [5, 10, 20, 30, 30].map(|_| {
            pace.looked(FULL, now, now);
            pace.missed(now);
            let wait = pace.due.duration_since(now);
            now = pace.due;
            wait.as_secs()
        });
        assert_eq!(waits, [5, 10, 20, 30, 30]);
        pace.looked(COMPLETE, now, now);
        pace.missed(now);
        assert_eq!(pace.due.duration_since(now), GRACE, "and then as at first");
    }

    #[test]
    fn a_long_grace_makes_nobody_wait_longer_for_room() {
        let begun = Instant::now();
        let mut pace = Pace::new(EVERY, Duration::from_secs(60), begun);
        pace.missed(begun);
        pace.looked(FULL, begun, begun);
        assert_eq!(due(&pace, begun), 30);
        pace.looked(COMPLETE, begun, begun);
        assert_eq!(due(&pace, begun), 60, "and what was too young is looked at when it is not any more");
    }

    #[test]
    fn no_look_comes_later_than_the_configuration_says() {
        let begun = Instant::now();
        let mut pace = Pace::new(Duration::from_secs(1), GRACE, begun);
        for end in [COMPLETE, FULL, End::Outage, End::Fault] {
            pace.missed(begun);
            pace.looked(end, begun, begun);
            assert_eq!(due(&pace, begun), 1, "{end:?}");
        }
    }
}
