//! Whose lease an entry is: of those who hold it, and of nobody else.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mailfleet_model::{Class, Lane};
use mailfleet_queue::{Consumer, Failure, Settled, State};
use mailfleet_testkit::eventually;

use crate::fixture::{Fixture, LEASE, SOON, claim_one, die_with, id, reclaimed};

/// Far beyond any lease.
const LONG_AGO_MS: u64 = 600_000;

#[tokio::test]
async fn a_delayed_entry_is_nobodys_lease_however_long_it_waits() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=2).await;
    let (consumer, dead, other) = (f.consumer(), f.consumer(), f.consumer());
    let keepers = [consumer.spawn_keeper().unwrap(), other.spawn_keeper().unwrap()];
    let (delayed, held) = (claim_one(&consumer).await, claim_one(&dead).await);
    let entry = delayed.entry_id().to_owned();
    let failure = Failure::new(Class::Transient, "no");
    consumer.retry(delayed, Duration::from_secs(3_600), &failure).await.unwrap();
    // As it stands when it has waited for many leases.
    let line = format!("XCLAIM K:normal consumers delayed 0 {entry} IDLE {LONG_AGO_MS} JUSTID");
    let _: Vec<String> = f.redis(&line).await;
    // What somebody else has let go shows that the reclaim has looked.
    die_with([held]);
    let taken = reclaimed(&other).await;
    assert_eq!(crate::fixture::uids(&taken), [2]);
    let begun = Instant::now();
    eventually("one more lease to pass", SOON, || async {
        assert!(other.reclaim(100).await.unwrap().is_empty());
        (begun.elapsed() > LEASE).then_some(())
    })
    .await;
    let found = f.queue.locate(&id(1)).await.unwrap().unwrap();
    assert!(matches!(found.state, State::Delayed { .. }), "{found:?}");
    assert_eq!((found.counters.attempts, found.counters.crashes), (1, 0));
    other.done(taken).await.unwrap();
    drop(keepers);
}

impl Fixture {
    /// The lease of what this consumer holds has run out; what else is known of it stays.
    async fn runs_out(&self, holder: &Consumer, entry: &str) {
        let name = holder.name();
        let line = format!("XCLAIM K:normal consumers {name} 0 {entry} IDLE {LONG_AGO_MS} JUSTID");
        let claimed: Vec<String> = self.redis(&line).await;
        assert_eq!(claimed, [entry]);
    }
}

#[tokio::test]
async fn a_crash_is_counted_although_the_record_was_lost_and_the_third_is_still_the_last() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, [1]).await;
    let watcher = f.consumer();
    let _keeper = watcher.spawn_keeper().unwrap();
    for crashes in 0..3 {
        let victim = f.consumer();
        let delivery = claim_one(&victim).await;
        assert_eq!(delivery.counters().crashes, crashes);
        assert!(victim.begin(&delivery).await.unwrap());
        if crashes == 0 {
            assert_eq!(f.redis::<u64>("DEL K:live").await, 1);
        }
        f.runs_out(&victim, delivery.entry_id()).await;
        die_with([delivery]);
        let taken = reclaimed(&watcher).await;
        assert_eq!(taken[0].counters().crashes, crashes + 1, "after a death while it ran");
        assert_eq!(taken[0].exhausted_crashes(), crashes == 2);
        if crashes < 2 {
            watcher.hand_back(taken).await.unwrap();
        } else {
            let letters = taken.into_iter().map(|delivery| (delivery, "crashes".to_owned())).collect();
            assert_eq!(watcher.dead_letter(letters).await.unwrap(), [Settled::Done]);
        }
    }
    assert!(matches!(f.queue.locate(&id(1)).await.unwrap().unwrap().state, State::Dead));
    assert_eq!(f.queue.depth().await.unwrap().lane(Lane::Normal).total(), Some(0));
}

#[tokio::test]
async fn ten_thousand_names_of_the_dead_hold_nobody_up_and_are_forgotten() {
    const NAMES: usize = 10_000;
    let f = Fixture::start_with(&[], |config| config.partitions = 1);
    f.queue.ensure_groups().await.unwrap();
    let (living, dying) = (f.consumer(), f.consumer());
    let _keeper = living.spawn_keeper().unwrap();
    f.enqueue(Lane::Low, 1..=2).await;
    let (held, lost) = (claim_one(&living).await, claim_one(&dying).await);
    let mut names = redis::cmd("EVAL");
    names.arg("for i = 1, tonumber(ARGV[1]) do redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], 'consumers', 'dead-' .. i) end");
    let key = crate::fixture::keys(f.queue.config()) + "low";
    names.arg(1).arg(key).arg(NAMES);
    let _: redis::Value = names.query_async(&mut f.redis.connection().await).await.unwrap();
    let names = async || -> Vec<String> {
        let rows: Vec<HashMap<String, redis::Value>> = f.redis("XINFO CONSUMERS K:low consumers").await;
        let name =
            |row: &HashMap<String, redis::Value>| redis::from_redis_value(row["name"].clone()).unwrap();
        rows.iter().map(name).collect()
    };
    assert_eq!(names().await.len(), NAMES + 2);
    // The dead one's name is behind or before ten thousand others; its entry is found all the same.
    die_with([lost]);
    let taken = reclaimed(&living).await;
    let begun = Instant::now();
    assert!(living.reclaim_and_forget(100, Duration::ZERO).await.unwrap().is_empty());
    assert!(begun.elapsed() < Duration::from_secs(2), "Redis stood still for {:?}", begun.elapsed());
    let left = names().await;
    assert!(left == [living.name().as_str()], "{} names are left", left.len());
    let settled = living.done(taken.into_iter().chain([held]).collect()).await.unwrap();
    assert_eq!(settled, [Settled::Done; 2]);
}

#[tokio::test]
async fn pending_entries_that_somebody_deleted_are_counted_by_whoever_was_to_take_them() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=4).await;
    let (dead, consumer) = (f.consumer(), f.consumer());
    let _keeper = consumer.spawn_keeper().unwrap();
    let mut held = dead.claim(3).await.unwrap();
    let entries: Vec<String> = held.iter().map(|delivery| delivery.entry_id().to_owned()).collect();
    // One was handed back and waits, one is due, one is a dead consumer's.
    dead.hand_back(vec![held.remove(0)]).await.unwrap();
    dead.delay_uncounted(vec![held.remove(0)], Duration::ZERO).await.unwrap();
    die_with(held);
    assert_eq!(f.redis::<u64>(&format!("XDEL K:normal {}", entries.join(" "))).await, 3);
    eventually("the due time", SOON, || async {
        (f.queue.depth().await.unwrap().due == Some(1)).then_some(())
    })
    .await;
    let rest = consumer.claim(10).await.unwrap();
    assert_eq!((crate::fixture::uids(&rest), consumer.stats().vanished), (vec![4], 2));
    eventually("the dead one's to be missed", SOON, || async {
        assert!(consumer.reclaim(10).await.unwrap().is_empty());
        (consumer.stats().vanished == 3).then_some(())
    })
    .await;
    consumer.done(rest).await.unwrap();
    assert!(
        consumer.claim(10).await.unwrap().is_empty() && consumer.stats().vanished == 3,
        "each of them once"
    );
}
