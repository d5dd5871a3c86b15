//! Redis or PostgreSQL away, restarted or emptied: an outage is not a failure.

use std::time::Duration;

use mailfleet_testkit::eventually_blocking;
use mailfleet_tests::{Fleet, metrics, numbered};

#[test]
fn redis_restarted_under_load_loses_and_doubles_nothing() {
    let fleet = Fleet::start();
    let _producer = fleet.producer();
    let _consumers = [fleet.consumer(), fleet.consumer()];
    for round in 0..3u32 {
        fleet.deliver((round * 100 + 1..=round * 100 + 100).map(numbered));
        fleet.wait_accounted(u64::from(round) * 100 + 1, Duration::from_secs(30));
        // Once in peace and twice by kill -9, which loses the tail that was not synced.
        if round == 0 {
            fleet.redis.stop().unwrap();
        } else {
            fleet.redis.kill();
        }
        fleet.redis.start_again().unwrap();
    }
    fleet.wait_accounted(300, Duration::from_secs(60));
    fleet.assert_all_once(300);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_flushed_between_enqueue_and_persist_loses_and_doubles_nothing() {
    let fleet = Fleet::start();
    let mut lock = fleet.hold_ledger();
    fleet.deliver((1..=100).map(numbered));
    let _producer = fleet.producer();
    // The old owner has claimed them and works on them; it cannot commit yet.
    let _owner = fleet.consumer();
    eventually_blocking("all enqueued and some claimed", Duration::from_secs(30), || {
        (fleet.in_flight() > 0 && fleet.in_flight() + fleet.waiting() >= 100).then_some(())
    });
    fleet.redis.flushall().await;
    let _other = fleet.consumer();
    // The sweep enqueues them anew while the old owner still has them in hand: two runs of one mail.
    eventually_blocking("enqueued again by the sweep", Duration::from_secs(30), || {
        (fleet.in_flight() + fleet.waiting() >= 100).then_some(())
    });
    lock.release();
    fleet.wait_accounted(100, Duration::from_secs(60));
    eventually_blocking("the queue to be empty", Duration::from_secs(30), || {
        (fleet.in_flight() + fleet.waiting() == 0).then_some(())
    });
    fleet.assert_all_once(100);
}

#[test]
fn postgresql_away_for_twenty_seconds_costs_no_attempt() {
    let fleet = Fleet::start();
    let _producer = fleet.producer();
    let consumers = [fleet.consumer(), fleet.consumer()];
    fleet.deliver((1..=100).map(numbered));
    fleet.wait_accounted(1, Duration::from_secs(30));
    fleet.postgres.kill();
    let away = std::time::Instant::now();
    fleet.deliver((101..=200).map(numbered));
    // The outage itself is what is tested: its length is the condition.
    eventually_blocking("twenty seconds of outage", Duration::from_secs(25), || {
        (away.elapsed() >= Duration::from_secs(20)).then_some(())
    });
    assert!(consumers.iter().all(mailfleet_testkit::Process::is_running), "consumers wait, they do not end");
    fleet.postgres.start_again().unwrap();
    fleet.wait_accounted(200, Duration::from_secs(60));
    fleet.assert_all_once(200);
    for consumer in &consumers {
        let retried = metrics::sum(consumer, &["mailfleet_processed_total{", "outcome=\"retried\""]);
        assert_eq!(retried, Some(0.0), "attempts were counted");
    }
}
