//! What a keeper vouches for: that leases could be renewed all the time, not that somebody answered.

use std::time::Duration;

use mailfleet_model::Lane;
use mailfleet_testkit::eventually;

use crate::fixture::{Fixture, LEASE, SOON, claim_one, reclaimed};

#[tokio::test]
async fn nothing_live_is_taken_after_redis_answered_all_the_time_and_took_no_writes() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, [1]).await;
    let owner = f.consumer();
    let held = claim_one(&owner).await;
    // Each on a queue of its own, as in two processes.
    let other = mailfleet_queue::Queue::connect(f.queue.config()).unwrap();
    let watcher = other.consumer(mailfleet_queue::ConsumerName::for_this_process());
    let (keeper, _other) = (owner.spawn_keeper().unwrap(), watcher.spawn_keeper().unwrap());
    for _ in f.everywhere::<String>("CONFIG SET min-replicas-to-write 1") {}
    eventually("a lease that ran out", SOON, || async {
        let rows: Vec<(String, String, u64, u64)> = f.redis("XPENDING K:normal consumers - + 1").await;
        (Duration::from_millis(rows[0].2) > LEASE * 3).then_some(())
    })
    .await;
    for _ in f.everywhere::<String>("CONFIG SET min-replicas-to-write 0") {}
    assert!(watcher.reclaim(1).await.unwrap().is_empty(), "its owner is alive");
    eventually("a renewed lease", SOON, || async {
        let rows: Vec<(String, String, u64, u64)> = f.redis("XPENDING K:normal consumers - + 1").await;
        (Duration::from_millis(rows[0].2) < LEASE).then_some(())
    })
    .await;
    assert!(!held.lease_lost());
    // Once its owner is dead it is taken, and by one that only looks on.
    drop(keeper);
    let taken = reclaimed(&watcher).await;
    assert_eq!(taken.len(), 1);
    watcher.done(taken).await.unwrap();
    drop(held);
}

#[tokio::test]
async fn a_partition_that_cannot_be_written_to_costs_no_other_one_its_leases() {
    let f = Fixture::start_with(&[], |config| config.partitions = 2);
    f.enqueue(Lane::Normal, [1]).await;
    let owner = f.consumer();
    let held = claim_one(&owner).await;
    let _: String = f.redis("SET mailfleet:{email:processing:0}:delayed rubbish").await;
    let _keeper = owner.spawn_keeper().unwrap();
    let _: Vec<String> = f
        .redis(&format!("XCLAIM K:normal consumers {} 0 {} IDLE 60000 JUSTID", owner.name(), held.entry_id()))
        .await;
    eventually("a renewed lease", SOON, || async {
        let rows: Vec<(String, String, u64, u64)> = f.redis("XPENDING K:normal consumers - + 1").await;
        (Duration::from_millis(rows[0].2) < LEASE).then_some(())
    })
    .await;
    owner.done(vec![held]).await.unwrap();
}
