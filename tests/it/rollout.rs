//! A roll-out with real processes: consumers are scaled up, replaced one by one and scaled down while mail and delivery
//! events keep coming.

use std::time::Duration;

use mailfleet_testkit::{Process, eventually_blocking};
use mailfleet_tests::{Fleet, Platform, metrics, numbered};

/// Mails that come during each step.
const A_STEP: u32 = 150;
/// Messages that are registered and reported on during each step.
const SENT_A_STEP: u32 = 20;
/// Longer than any drain of this test takes, shorter than the default grace of Kubernetes.
const SOON: Duration = Duration::from_secs(25);

/// What the consumers that are gone had counted when they were told to stop.
#[derive(Default)]
struct Counted {
    retried: f64,
    reclaimed: f64,
    leases_lost: f64,
}

struct Rollout<'a> {
    fleet: &'a Fleet,
    platform: Platform,
    mails: u32,
    counted: Counted,
}

impl Rollout<'_> {
    /// New mail comes, and some of it is done: whatever happens next happens in the middle of work.
    fn load(&mut self) {
        let before = self.fleet.accounted();
        self.fleet.deliver((self.mails + 1..=self.mails + A_STEP).map(numbered));
        self.mails += A_STEP;
        self.platform.send(SENT_A_STEP);
        eventually_blocking("progress under load", SOON, || (self.fleet.accounted() > before).then_some(()));
    }

    /// As Kubernetes stops a pod: SIGTERM, and the process must be gone before the grace is over.
    fn stop(&mut self, consumers: Vec<Process>) {
        for consumer in &consumers {
            self.count(consumer);
            consumer.sigterm();
        }
        for consumer in consumers {
            let status = consumer.wait_exit(SOON).unwrap();
            assert!(status.success(), "{status}: {}", consumer.stderr());
            // Nor did it burn an attempt after it was counted.
            assert!(!consumer.stderr().contains("attempt failed"), "{}", consumer.stderr());
        }
    }

    fn count(&mut self, consumer: &Process) {
        let sum = |parts: &[&str]| metrics::sum(consumer, parts).unwrap_or_else(|| panic!("no {parts:?}"));
        self.counted.retried += sum(&["mailfleet_processed_total{", "outcome=\"retried\""]);
        self.counted.reclaimed += sum(&["mailfleet_reclaimed_total"]);
        self.counted.leases_lost += sum(&["mailfleet_leases_lost_total"]);
    }
}

#[test]
fn consumers_scaled_and_replaced_under_load_lose_and_double_nothing_and_burn_no_attempt() {
    let fleet = Fleet::start();
    let (platform, producer) = Platform::start(&fleet);
    let mut rollout = Rollout { fleet: &fleet, platform, mails: 0, counted: Counted::default() };
    let mut running = vec![fleet.consumer()];
    rollout.load();

    // 1 → 4.
    running.extend((0..3).map(|_| fleet.consumer()));
    rollout.load();

    // A rolling update: a new one first, then an old one goes; the producer is replaced the other way round.
    for _ in 0..4 {
        running.push(fleet.consumer());
        rollout.load();
        let old = running.remove(0);
        rollout.stop(vec![old]);
    }
    producer.sigterm();
    assert!(producer.wait_exit(SOON).unwrap().success(), "{}", producer.stderr());
    let _producer = rollout.platform.producer(&fleet);
    rollout.load();

    // 4 → 1, three at once.
    let leaving = running.split_off(1);
    assert_eq!(leaving.len(), 3);
    rollout.stop(leaving);
    rollout.load();

    fleet.wait_accounted(u64::from(rollout.mails), Duration::from_secs(60));
    rollout.platform.assert_all_once(&fleet, Duration::from_secs(60));
    fleet.assert_all_once(rollout.mails);
    rollout.count(&running[0]);
    let Counted { retried, reclaimed, leases_lost } = rollout.counted;
    assert_eq!((retried, reclaimed, leases_lost), (0.0, 0.0, 0.0), "a roll-out costs nothing");
}
