//! `kill -9` of anything of ours, at any moment: every mail is there once.

use std::time::Duration;

use mailfleet_testkit::eventually_blocking;
use mailfleet_tests::{Fleet, numbered};

const MAILS: u32 = 400;

#[test]
fn a_consumer_killed_with_work_in_flight_loses_and_doubles_nothing() {
    let fleet = Fleet::start();
    fleet.deliver((1..=MAILS).map(numbered));
    let _producer = fleet.producer();
    // Five are killed in a row, each as soon as it has brought something home and so is in the middle of more.
    for round in 1..=5 {
        let victim = fleet.consumer();
        let before = fleet.accounted();
        eventually_blocking("progress", Duration::from_secs(30), || {
            (fleet.accounted() > before || before >= u64::from(MAILS)).then_some(())
        });
        victim.sigkill();
        assert!(!victim.wait_exit(Duration::from_secs(5)).unwrap().success(), "round {round}");
    }
    let _consumers = [fleet.consumer(), fleet.consumer()];
    fleet.wait_accounted(u64::from(MAILS), Duration::from_secs(60));
    fleet.assert_all_once(MAILS);
}

#[test]
fn work_of_a_dead_consumer_runs_elsewhere_within_lease_and_five_seconds() {
    let fleet = Fleet::start();
    // A consumer that stands still holds what it claimed; the lock keeps it from committing.
    let mut lock = fleet.hold_ledger();
    fleet.deliver((1..=10).map(numbered));
    let _producer = fleet.producer();
    let victim = fleet.consumer();
    eventually_blocking("entries in flight", Duration::from_secs(20), || {
        (fleet.in_flight() > 0).then_some(())
    });
    let other = fleet.consumer();
    victim.sigkill();
    lock.release();
    let killed = std::time::Instant::now();
    fleet.wait_accounted(10, Duration::from_secs(30));
    // Lease 3 s + 5 s, and a second for the asking.
    assert!(killed.elapsed() < Duration::from_secs(9), "took {:?}", killed.elapsed());
    fleet.assert_all_once(10);
    assert!(other.is_running());
}

#[test]
fn a_producer_killed_in_mid_batch_loses_and_doubles_nothing() {
    let fleet = Fleet::start();
    // Small batches, so that there are many places to be killed at.
    fleet.configure("batch_count = 10\n");
    fleet.deliver((1..=MAILS).map(numbered));
    let mut killed_early = 0;
    for round in 0..4u64 {
        let victim = fleet.producer();
        let enough = 40 * (round + 1);
        eventually_blocking("some batches to be enqueued", Duration::from_secs(30), || {
            (fleet.in_flight() + fleet.waiting() >= enough).then_some(())
        });
        victim.sigkill();
        victim.wait_exit(Duration::from_secs(5)).unwrap();
        killed_early += u32::from(fleet.waiting() < u64::from(MAILS));
    }
    assert!(killed_early > 0, "the producer was never killed before it had enqueued everything");
    let _producer = fleet.producer();
    let _consumers = [fleet.consumer(), fleet.consumer()];
    fleet.wait_accounted(u64::from(MAILS), Duration::from_secs(60));
    fleet.assert_all_once(MAILS);
}
