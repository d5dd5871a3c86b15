//! Full-jitter exponential backoff (the "full jitter" of AWS' article on backoff): spread, bounded, pure.

use std::time::Duration;

/// Waiting time over `min(base × 2^attempt, cap)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The ceiling of the first wait.
    pub base: Duration,
    /// No wait is longer than this.
    pub cap: Duration,
}

impl Backoff {
    /// Retries of one entry: 1 s, doubling, at most 300 s.
    pub const RETRY: Self = Self { base: Duration::from_secs(1), cap: Duration::from_mins(5) };
    /// Reconnects to a server: 100 ms, doubling, at most 4 s, so that work goes on within 5 s of its return.
    pub const RECONNECT: Self = Self { base: Duration::from_millis(100), cap: Duration::from_secs(4) };

    /// The longest wait after `attempt` failures (1 for the first).
    #[must_use]
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let factor = 2u32.checked_pow(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base.checked_mul(factor).unwrap_or(self.cap).min(self.cap)
    }

    /// The wait after `attempt` failures; `unit` is a random number in `0.0..1.0`.
    #[must_use]
    pub fn delay(&self, attempt: u32, unit: f64) -> Duration {
        self.ceiling(attempt).mul_f64(if unit.is_finite() { unit.clamp(0.0, 1.0) } else { 1.0 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_wait_exceeds_its_ceiling_or_the_cap(attempt in 0u32..10_000, unit in proptest::num::f64::ANY) {
            let wait = Backoff::RETRY.delay(attempt, unit);
            prop_assert!(wait <= Backoff::RETRY.ceiling(attempt));
            prop_assert!(wait <= Duration::from_secs(300));
        }

        #[test]
        fn ceilings_never_shrink(attempt in 1u32..1_000) {
            prop_assert!(Backoff::RETRY.ceiling(attempt) <= Backoff::RETRY.ceiling(attempt + 1));
        }
    }

    #[test]
    fn the_first_ceilings_double() {
        let seconds: Vec<u64> = (1..=10).map(|n| Backoff::RETRY.ceiling(n).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
    }
}
