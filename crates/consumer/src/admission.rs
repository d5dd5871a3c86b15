//! Work is admitted by its memory as well as by its number: how much raw mail all workers of a process hold together.
//!
//! A claim says what it took only afterwards. So before it the room for the most it may take is set aside, and after it
//! what it did not take is given up again. Nobody waits for room while holding some, so that room always comes. First come,
//! first served: workers that are always at it pass nobody who waits, such as whoever takes over from dead consumers.

use std::sync::Arc;

use mailfleet_queue::Delivery;
use mailfleet_runtime::Metrics;
use prometheus::IntGauge;
use tokio::sync::{Mutex, watch};

/// What is shown of it.
#[derive(Debug, Clone)]
pub struct HeldBytes {
    now: IntGauge,
    peak: IntGauge,
}

impl HeldBytes {
    /// Registers both.
    pub fn register(metrics: &Metrics) -> prometheus::Result<Self> {
        Ok(Self {
            now: metrics.gauge("mailfleet_held_bytes", "Raw mail in the hands of this process.")?,
            peak: metrics.gauge(
                "mailfleet_held_bytes_peak",
                "Most raw mail that was in the hands of this process at once since it started.",
            )?,
        })
    }
}

/// The one account of held bytes. Clones share it.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    held: watch::Sender<Held>,
    /// Held by whoever is the next to get room; the others wait for it in their order.
    next: Mutex<()>,
    budget: u64,
    /// The most that one claim takes.
    claim: u64,
    shown: HeldBytes,
}

#[derive(Debug, Clone, Copy, Default)]
struct Held {
    /// In hand, or set aside for a claim.
    booked: u64,
    /// In hand.
    actual: u64,
}

impl Held {
    /// Whether a claim may begin. One always may where nothing is held, whatever the numbers say.
    const fn admits(self, claim: u64, budget: u64) -> bool {
        self.booked == 0 || self.booked.saturating_add(claim) <= budget
    }
}

impl Admission {
    /// Room for `budget` bytes over all workers, of which a claim takes no more than `claim`.
    pub fn new(budget: u64, claim: u64, shown: HeldBytes) -> Self {
        let (held, next) = (watch::channel(Held::default()).0, Mutex::default());
        Self(Arc::new(Shared { held, next, budget, claim, shown }))
    }

    /// Waits for room behind those who wait already, and sets it aside for one claim.
    pub async fn room(&self) -> Room {
        let Shared { held, next, budget, claim, .. } = &*self.0;
        let _next = next.lock().await;
        let mut changes = held.subscribe();
        loop {
            let admitted = held.send_if_modified(|held| {
                let admitted = held.admits(*claim, *budget);
                if admitted {
                    held.booked += claim;
                }
                admitted
            });
            if admitted {
                return Room { admission: self.clone(), booked: *claim, actual: 0 };
            }
            // The sender lives in self, so waiting cannot fail.
            let _ = changes.wait_for(|held| held.admits(*claim, *budget)).await;
        }
    }

    fn change(&self, by: impl FnOnce(&mut Held)) {
        let mut actual = 0;
        self.0.held.send_modify(|held| {
            by(held);
            actual = held.actual;
            // Under the lock, so that the gauges follow the numbers in their order.
            let shown = i64::try_from(actual).unwrap_or(i64::MAX);
            self.0.shown.now.set(shown);
            if shown > self.0.shown.peak.get() {
                self.0.shown.peak.set(shown);
            }
        });
    }
}

/// Bytes that are held, until this is dropped.
#[derive(Debug)]
#[must_use = "the room is given up when this is dropped"]
pub struct Room {
    admission: Admission,
    booked: u64,
    actual: u64,
}

impl Room {
    /// What was set aside becomes what these deliveries weigh. That is more only by mails above the largest that is taken
    /// apart: then nobody else claims until there is room again.
    pub fn filled_with(mut self, deliveries: &[Delivery]) -> Self {
        self.set(weight(deliveries));
        self
    }

    /// The part of the room that these deliveries take.
    pub fn split(&mut self, deliveries: &[Delivery]) -> Self {
        let bytes = weight(deliveries).min(self.actual);
        self.booked -= bytes;
        self.actual -= bytes;
        Self { admission: self.admission.clone(), booked: bytes, actual: bytes }
    }

    fn set(&mut self, bytes: u64) {
        let (booked, actual) = (self.booked, self.actual);
        self.admission.change(|held| {
            held.booked = held.booked - booked + bytes;
            held.actual = held.actual - actual + bytes;
        });
        (self.booked, self.actual) = (bytes, bytes);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.set(0);
    }
}

fn weight(deliveries: &[Delivery]) -> u64 {
    deliveries.iter().map(|delivery| delivery.raw().len() as u64).sum()
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;

    fn admission(budget: u64, claim: u64) -> Admission {
        Admission::new(budget, claim, HeldBytes::register(&Metrics::new(Registry::new())).unwrap())
    }

    async fn is_full(admission: &Admission) -> bool {
        tokio::select! {
            biased;
            room = admission.room() => { drop(room); false }
            () = tokio::task::yield_now() => true,
        }
    }

    #[tokio::test]
    async fn a_claim_waits_until_the_most_that_it_may_take_has_room() {
        let admission = admission(100, 40);
        let (mut first, second) = (admission.room().await, admission.room().await);
        assert!(is_full(&admission).await, "80 of 100 are set aside");
        first.set(20);
        drop(admission.room().await);
        first.set(21);
        assert!(is_full(&admission).await, "61 and 40 are more than 100");
        drop(second);
        let third = admission.room().await;
        assert_eq!((first.actual, third.booked), (21, 40));
    }

    #[tokio::test]
    async fn who_waits_for_room_is_woken_when_there_is_some() {
        let admission = admission(50, 40);
        let held = admission.room().await;
        let waiting = tokio::spawn({
            let admission = admission.clone();
            async move { drop(admission.room().await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(held);
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn who_comes_back_at_once_passes_nobody_who_waits() {
        let admission = admission(50, 40);
        let held = admission.room().await;
        let waiting = tokio::spawn({
            let admission = admission.clone();
            async move { admission.room().await }
        });
        tokio::task::yield_now().await;
        drop(held);
        assert!(is_full(&admission).await, "the room that is free now is another's");
        let theirs = waiting.await.unwrap();
        drop(theirs);
        assert!(!is_full(&admission).await);
    }

    #[tokio::test]
    async fn one_claim_is_always_admitted_and_what_exceeds_the_budget_is_worked_off_first() {
        let admission = admission(10, 40);
        let mut only = admission.room().await;
        only.set(500);
        assert!(is_full(&admission).await);
        assert_eq!(admission.0.shown.now.get(), 500);
        drop(only);
        drop(admission.room().await);
        assert_eq!((admission.0.shown.now.get(), admission.0.shown.peak.get()), (0, 500));
    }
}
