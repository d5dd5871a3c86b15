//! Logs of an outage, at most once in a while.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lets one log line pass in each interval and counts those it holds back.
///
/// ```
/// # use mailfleet_runtime::LogGate;
/// static GATE: LogGate = LogGate::each_second();
/// if let Some(suppressed) = GATE.open() {
///     tracing::warn!(suppressed, "PostgreSQL is away, waiting");
/// }
/// ```
#[derive(Debug)]
pub struct LogGate {
    every: Duration,
    state: Mutex<Gate>,
}

#[derive(Debug)]
struct Gate {
    last: Option<Instant>,
    suppressed: u64,
}

impl LogGate {
    /// A gate that lets one line pass in each `every`.
    #[must_use]
    pub const fn new(every: Duration) -> Self {
        Self { every, state: Mutex::new(Gate { last: None, suppressed: 0 }) }
    }

    /// A gate that lets one line pass a second.
    #[must_use]
    pub const fn each_second() -> Self {
        Self::new(Duration::from_secs(1))
    }

    /// `Some` with the number of lines held back since the last one when a line may pass, else `None`.
    pub fn open(&self) -> Option<u64> {
        let now = Instant::now();
        // A poisoned gate only means that a thread panicked between two plain assignments; the numbers are usable.
        let mut gate = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if gate.last.is_some_and(|last| now.saturating_duration_since(last) < self.every) {
            gate.suppressed += 1;
            return None;
        }
        gate.last = Some(now);
        Some(std::mem::take(&mut gate.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_logs_once_a_second_and_counts_the_rest() {
        let gate = LogGate::each_second();
        assert_eq!(gate.open(), Some(0));
        assert_eq!(gate.open(), None);
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(gate.open(), None);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(gate.open(), Some(2));
        assert_eq!(gate.open(), None);
    }
}
