//! SIGTERM: the process ends within its deadline, its entries run elsewhere, and nobody pays for it.

use std::time::{Duration, Instant};

use mailfleet_testkit::eventually_blocking;
use mailfleet_tests::{Fleet, metrics, numbered};

#[test]
fn sigterm_in_the_middle_of_work_hands_back_uncounted_within_the_deadline() {
    let fleet = Fleet::start();
    let mut lock = fleet.hold_ledger();
    fleet.deliver((1..=50).map(numbered));
    let _producer = fleet.producer();
    let stopping =
        fleet.started(fleet.builder("mailfleet-consumer").env("MAILFLEET_SHUTDOWN__DRAIN_SECONDS", "6"));
    eventually_blocking("entries in flight", Duration::from_secs(20), || {
        (fleet.in_flight() > 0).then_some(())
    });
    let asked = Instant::now();
    stopping.sigterm();
    let status = stopping.wait_exit(Duration::from_secs(10)).unwrap();
    assert!(asked.elapsed() < Duration::from_secs(8), "took {:?}", asked.elapsed());
    assert!(status.success(), "{status}: {}", stopping.stderr());
    assert_eq!(fleet.in_flight(), 0, "everything was handed back");
    let counters = fleet.mailfleet_json(&["explain", &fleet.job(1)])["queue"][0]["counters"].clone();
    assert_eq!(counters, serde_json::json!({"attempts": 0, "crashes": 0, "drains": 1}), "free, and said so");
    lock.release();

    let other = fleet.consumer();
    // At once: what was handed back waits for no lease.
    let handed_back = Instant::now();
    fleet.wait_accounted(50, Duration::from_secs(30));
    assert!(handed_back.elapsed() < Duration::from_secs(10), "took {:?}", handed_back.elapsed());
    fleet.assert_all_once(50);
    let retried = metrics::sum(&other, &["mailfleet_processed_total{", "outcome=\"retried\""]);
    assert_eq!(retried, Some(0.0));
}

#[test]
fn a_second_sigterm_ends_the_process_at_once() {
    let fleet = Fleet::start();
    let _lock = fleet.hold_ledger();
    fleet.deliver((1..=10).map(numbered));
    let _producer = fleet.producer();
    let consumer = fleet.consumer();
    eventually_blocking("entries in flight", Duration::from_secs(20), || {
        (fleet.in_flight() > 0).then_some(())
    });
    let mark = consumer.mark();
    consumer.sigterm();
    consumer.wait_for_line_after(mark, "asked to stop", Duration::from_secs(5)).unwrap();
    consumer.sigterm();
    let status = consumer.wait_exit(Duration::from_secs(3)).unwrap();
    assert!(!status.success(), "{status}");
}

#[test]
fn an_idle_fleet_drains_at_once() {
    let fleet = Fleet::start();
    let (producer, consumer) = (fleet.producer(), fleet.consumer());
    fleet.deliver([numbered(1)]);
    fleet.wait_accounted(1, Duration::from_secs(20));
    for process in [producer, consumer] {
        process.sigterm();
        assert!(process.wait_exit(Duration::from_secs(5)).unwrap().success(), "{}", process.stderr());
    }
}
