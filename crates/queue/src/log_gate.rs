//! Outages are logged seldom, however many callers run into them, and however many queues of the process live on the same
//! Redis: what this crate says and what its callers say stay under one line a second together.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(2);

/// The gate of what runs by itself, keepers and doorbells: one for all that say that Redis is away.
pub(crate) static OUTAGE: LogGate = LogGate::new();
/// Their gate for saying that it is there again, and what was lost.
pub(crate) static RETURN: LogGate = LogGate::new();

/// Lets one line through in two seconds and counts the others.
#[derive(Debug, Default)]
pub(crate) struct LogGate(Mutex<(Option<Instant>, u64)>);

impl LogGate {
    /// A gate that nothing has passed yet.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new((None, 0)))
    }

    /// The number of lines held back since the last one, if a line may be written now.
    pub(crate) fn pass(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            state.1 += 1;
            return None;
        }
        let held_back = state.1;
        *state = (Some(now), 0);
        Some(held_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_two_seconds_passes_and_says_how_many_did_not() {
        let (gate, start) = (LogGate::default(), Instant::now());
        assert_eq!(gate.pass(start), Some(0));
        assert_eq!(gate.pass(start + Duration::from_millis(1)), None);
        assert_eq!(gate.pass(start + Duration::from_millis(1_999)), None);
        assert_eq!(gate.pass(start + Duration::from_millis(2_000)), Some(2));
    }
}
