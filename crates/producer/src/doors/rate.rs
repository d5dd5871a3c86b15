//! How many calls an endpoint or a token may make: a bucket for each, filled at a steady rate.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;
use uuid::Uuid;

/// Buckets that are kept at most. Only what PostgreSQL knows gets one, so this many are in use only with as many endpoints.
const BUCKETS_MAX: usize = 20_000;

/// The buckets.
#[derive(Debug)]
pub struct Buckets {
    per_second: f64,
    burst: f64,
    filled: Mutex<HashMap<Uuid, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    calls: f64,
    at: Instant,
}

impl Buckets {
    /// Buckets that hold `burst` calls and get `per_second` of them back.
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second: per_second.into(), burst: burst.into(), filled: Mutex::default() }
    }

    /// Takes one call out of the bucket of `of`; where it is empty, after how many whole seconds there is one again.
    pub fn take(&self, of: Uuid, now: Instant) -> Result<(), u64> {
        // A map of plain numbers is whole after every step.
        let mut buckets = self.filled.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(&of) {
            buckets.retain(|_, bucket| self.calls(*bucket, now) < self.burst);
            if buckets.len() >= BUCKETS_MAX {
                // Rather let some calls too many through than grow.
                buckets.clear();
            }
        }
        let bucket = buckets.entry(of).or_insert(Bucket { calls: self.burst, at: now });
        let calls = self.calls(*bucket, now);
        *bucket = Bucket { calls, at: now };
        if calls >= 1.0 {
            bucket.calls -= 1.0;
            return Ok(());
        }
        let seconds = ((1.0 - calls) / self.per_second).ceil().max(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at least 1, at most 1 s a call"
        )]
        Err(seconds as u64)
    }

    fn calls(&self, bucket: Bucket, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        passed.mul_add(self.per_second, bucket.calls).min(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_taken_and_then_the_steady_rate() {
        let (buckets, start) = (Buckets::new(2, 3), Instant::now());
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for _ in 0..3 {
            assert_eq!(buckets.take(one, start), Ok(()));
        }
        assert_eq!(buckets.take(one, start), Err(1));
        assert_eq!(buckets.take(other, start), Ok(()), "one endpoint does not pay for another");
        let later = start + Duration::from_millis(500);
        assert_eq!(buckets.take(one, later), Ok(()));
        assert_eq!(buckets.take(one, later), Err(1));
        let much_later = start + Duration::from_secs(3_600);
        for _ in 0..3 {
            assert_eq!(buckets.take(one, much_later), Ok(()));
        }
        assert_eq!(buckets.take(one, much_later), Err(1), "no more than a burst is saved up");
    }

    #[test]
    fn the_number_of_buckets_is_bounded_and_an_empty_one_is_not_forgotten_for_a_full_one() {
        let (buckets, start) = (Buckets::new(1, 1), Instant::now());
        let poor = Uuid::from_u128(0);
        for id in 1..BUCKETS_MAX as u128 {
            buckets.take(Uuid::from_u128(id), start).unwrap();
        }
        let later = start + Duration::from_secs(60);
        buckets.take(poor, later).unwrap();
        buckets.take(Uuid::from_u128(u128::MAX), later).unwrap();
        assert!(buckets.filled.lock().unwrap().len() < 10);
        assert_eq!(buckets.take(poor, later), Err(1));
    }
}
