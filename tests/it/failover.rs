//! The fleet on a Redis that sentinels watch over, which fails over.

use std::time::{Duration, Instant};

use mailfleet_testkit::{GuardedRedis, Process, eventually_blocking};
use mailfleet_tests::{Fleet, metrics, numbered};

use crate::connections::{queue_at, until_ready};
use crate::quiet_logs::assert_quiet;

/// Until the replica is the master; when that was seen.
fn until_promoted(guarded: &GuardedRedis) -> Instant {
    eventually_blocking("the promoted replica", Duration::from_secs(30), || {
        guarded.is_promoted().then_some(())
    });
    Instant::now()
}

#[test]
fn when_sentinels_fail_over_under_load_readiness_is_red_meanwhile_and_work_goes_on_soon_without_loss_or_double()
 {
    let fleet = Fleet::start();
    let guarded = GuardedRedis::start(None).unwrap();
    queue_at(&fleet, &guarded.url(), "");
    let processes: [Process; 3] = [fleet.producer(), fleet.consumer(), fleet.consumer()];
    // What the replica knows as work to do is done after it was cut off: all of that comes again at the new master.
    let mut lock = fleet.hold_ledger();
    fleet.deliver((1..=50).map(numbered));
    eventually_blocking("all enqueued", Duration::from_secs(30), || {
        (fleet.in_flight() + fleet.waiting() >= 50).then_some(())
    });
    guarded.master.wait_for_replica(&guarded.replica).unwrap();
    guarded.master.cut_replicas().unwrap();
    lock.release();
    fleet.wait_accounted(50, Duration::from_secs(30));
    // And these are lost with the master, at whatever step they are.
    fleet.deliver((51..=100).map(numbered));

    // One of three alone cannot decide, so that the outage lasts until it was seen.
    let (quorum, marks) = (&guarded.sentinels[..2], processes.each_ref().map(Process::mark));
    for sentinel in quorum {
        sentinel.stop().unwrap();
    }
    guarded.master.kill();
    let begun = Instant::now();
    for process in &processes {
        until_ready(process, 503);
    }
    // By what they met, and not by a silence that lasted too long.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // These can only come by the new master.
    fleet.deliver((101..=200).map(numbered));
    for sentinel in quorum {
        sentinel.start_again().unwrap();
    }
    let since = until_promoted(&guarded);
    let late = "SELECT count(*) FROM email_messages WHERE split_part(subject, ' ', 2)::int > 100";
    eventually_blocking("work that came later", Duration::from_secs(30), || {
        (fleet.count(late) > 0).then_some(())
    });
    let took = since.elapsed();
    println!("work went on {took:?} after the promotion");
    // Five seconds, and some for a busy machine.
    assert!(took < Duration::from_secs(8), "{took:?}");
    for (process, mark) in processes.iter().zip(marks) {
        until_ready(process, 200);
        assert_quiet(process, mark);
    }
    fleet.wait_accounted(200, Duration::from_secs(90));
    fleet.assert_all_once(200);
    // The first of them is the producer.
    let again = |consumer| metrics::sum(consumer, &["mailfleet_processed_total{", "outcome=\"redelivered\""]);
    let again: f64 = processes[1..].iter().filter_map(again).sum();
    println!("{again} came once more");
    assert!(again > 0.0, "what was done last was lost with the master");
    assert_eq!(fleet.redis.ask::<u64>("DBSIZE").unwrap(), 0, "all of it was there, and nowhere else");
}
