//! Two-stage shutdown.
//!
//! *Soft*: take nothing new, finish or hand back what is held, end. *Hard*: the process ends at once; whoever still
//! runs is cut off, which is harmless because every effect is a transaction (kill -9 does the same).
//! The soft token is a child of the hard one, so hard implies soft.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Invalid;

/// Section `[shutdown]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShutdownConfig {
    /// Seconds from the first signal until the process ends whatever is left, 1 to 3600, default 25. Keep it below
    /// the grace period of what starts the process (Kubernetes: 30 s), or its SIGKILL comes first.
    pub drain_seconds: u64,
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self { drain_seconds: 25 }
    }
}

impl ShutdownConfig {
    /// Checks the range.
    pub fn validate(&self) -> Result<(), Invalid> {
        match self.drain_seconds {
            1..=3600 => Ok(()),
            other => Err(Invalid::new("shutdown.drain_seconds", format!("is {other}, must be 1 to 3600"))),
        }
    }

    /// The drain deadline.
    #[must_use]
    pub const fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}

/// The two tokens and the deadline. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown {
    /// Cancelled at the first signal: stop taking work, finish or hand back what is held, and return.
    pub soft: CancellationToken,
    /// Cancelled when the process is about to end whatever still runs.
    pub hard: CancellationToken,
    drain: Duration,
    started: Arc<OnceLock<Instant>>,
}

impl Shutdown {
    /// A shutdown that has not begun, with `drain` from soft to hard. [`crate::run()`] makes the one of the process;
    /// tests make their own.
    #[must_use]
    pub fn new(drain: Duration) -> Self {
        let hard = CancellationToken::new();
        Self { soft: hard.child_token(), hard, drain, started: Arc::new(OnceLock::new()) }
    }

    /// The time from soft to hard.
    #[must_use]
    pub const fn drain(&self) -> Duration {
        self.drain
    }

    /// Begins the soft stage. Later calls change nothing.
    pub fn begin(&self) {
        // The deadline is set before the token is seen, so that `time_left` is `Some` for whoever saw the token.
        self.started.get_or_init(Instant::now);
        self.soft.cancel();
    }

    /// Begins the hard stage, and the soft one where it has not begun.
    pub fn end(&self) {
        self.started.get_or_init(Instant::now);
        self.hard.cancel();
    }

    /// Whether the soft stage has begun.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Time until the hard stage; `None` while nothing stops. A component that waits for a handler bounds the wait
    /// with less than this, to keep time for handing back.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.started.get().map(|started| (*started + self.drain).saturating_duration_since(Instant::now()))
    }

    /// Sleeps, but not into the soft stage. True when the time has passed, false when the process stops.
    pub async fn sleep(&self, duration: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.soft.cancelled() => false,
            () = tokio::time::sleep(duration) => true,
        }
    }

    /// Runs a future until the soft stage; `None` when it was dropped for that. Only for futures that may be dropped
    /// at any await: not for a write half done.
    pub async fn unless_stopping<F: Future>(&self, future: F) -> Option<F::Output> {
        self.soft.run_until_cancelled(future).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_left_runs_from_the_first_signal() {
        let shutdown = Shutdown::new(Duration::from_secs(25));
        assert_eq!(shutdown.time_left(), None);
        shutdown.begin();
        tokio::time::advance(Duration::from_secs(10)).await;
        shutdown.begin();
        assert_eq!(shutdown.time_left(), Some(Duration::from_secs(15)));
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(shutdown.time_left(), Some(Duration::ZERO));
        assert!(!shutdown.hard.is_cancelled(), "the supervisor decides when it is hard");
    }

    #[tokio::test(start_paused = true)]
    async fn hard_implies_soft_and_soft_wakes_a_sleeper() {
        let shutdown = Shutdown::new(Duration::from_secs(25));
        assert!(shutdown.sleep(Duration::from_secs(1)).await);
        shutdown.end();
        assert!(shutdown.is_stopping());
        assert!(!shutdown.sleep(Duration::from_hours(1)).await);
        assert_eq!(shutdown.unless_stopping(std::future::pending::<()>()).await, None);
    }

    #[test]
    fn a_drain_out_of_range_names_the_key() {
        for drain_seconds in [0, 3601] {
            let error = ShutdownConfig { drain_seconds }.validate().unwrap_err();
            assert_eq!(error.key, "shutdown.drain_seconds");
        }
        assert!(ShutdownConfig::default().validate().is_ok());
    }
}
