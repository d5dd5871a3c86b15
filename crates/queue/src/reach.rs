//! Since when Redis has been reachable without a gap.
//!
//! The idle time of pending entries runs on while Redis cannot be reached: right after an outage every lease in the
//! fleet looks as if it had run out. So nobody reclaims before it has seen Redis answer for one whole lease, in which
//! every live owner had its chance to renew its own. A server that answers and takes no writes gives no such chance; so the
//! keeper, which vouches for the time in which nobody claims, asks each partition for a write.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Reach {
    lease: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    since: Option<Instant>,
    last: Option<Instant>,
}

impl Reach {
    pub(crate) fn new(lease: Duration) -> Self {
        Self { lease, state: Mutex::default() }
    }

    /// Longer without an answer than this, and it is not known whether Redis was there.
    fn gap(&self) -> Duration {
        self.lease * 2 / 3
    }

    /// A call that began at `from` was answered at `to`. A slow answer is an outage that ended well: a stopped or
    /// swapping server answers in the end what it was asked before.
    pub(crate) fn answered(&self, from: Instant, to: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let gap = state.last.is_none_or(|last| to.saturating_duration_since(last) > self.gap());
        if gap || state.since.is_none() || to.saturating_duration_since(from) > self.lease / 2 {
            state.since = Some(to);
        }
        state.last = state.last.max(Some(to));
    }

    /// A call failed because Redis is away.
    pub(crate) fn failed(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// Whether Redis has been seen without a gap for one whole lease up to `now`.
    pub(crate) fn for_a_whole_lease(&self, now: Instant) -> bool {
        let state = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.since.is_some_and(|since| now.saturating_duration_since(since) >= self.lease)
            && state.last.is_some_and(|last| now.saturating_duration_since(last) <= self.gap())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn answered_each_second(reach: &Reach, start: Instant, seconds: u64) -> Instant {
        let mut now = start;
        for _ in 0..=seconds {
            reach.answered(now, now);
            now += Duration::from_secs(1);
        }
        now
    }

    #[test]
    fn a_whole_lease_of_answers_is_needed_first() {
        let (reach, start) = (Reach::new(LEASE), Instant::now());
        assert!(!reach.for_a_whole_lease(start));
        let now = answered_each_second(&reach, start, 28);
        assert!(!reach.for_a_whole_lease(now));
        let now = answered_each_second(&reach, now, 2);
        assert!(reach.for_a_whole_lease(now));
    }

    #[test]
    fn a_failure_a_slow_answer_and_a_silence_start_the_lease_anew() {
        for trouble in 0..3 {
            let (reach, start) = (Reach::new(LEASE), Instant::now());
            let mut now = answered_each_second(&reach, start, 40);
            assert!(reach.for_a_whole_lease(now));
            match trouble {
                0 => reach.failed(),
                1 => reach.answered(now, now + Duration::from_secs(16)),
                _ => now += Duration::from_secs(21),
            }
            let now = answered_each_second(&reach, now + Duration::from_secs(17), 5);
            assert!(!reach.for_a_whole_lease(now), "{trouble}");
        }
    }
}
