//! What becomes of the entries of consumers that die, and of those that only seem to.

use std::time::{Duration, Instant};

use mailfleet_model::Lane;
use mailfleet_queue::Settled;
use mailfleet_testkit::eventually;

use crate::fixture::{Fixture, LEASE, SOON, claim_one, die_with, id, reclaimed, uids};

#[tokio::test]
async fn what_a_dead_consumer_held_runs_elsewhere_soon_after_the_lease_one_by_one() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=20).await;
    let (dead, living) = (f.consumer(), f.consumer());
    let _keeper = living.spawn_keeper().unwrap();
    die_with(dead.claim(20).await.unwrap());
    let died = Instant::now();
    let mut seen = Vec::new();
    let mut first = reclaimed(&living).await;
    while seen.len() < 20 {
        assert_eq!(first.len(), 1, "only one that must run alone is in hand at a time");
        assert!(first[0].run_alone() && first[0].counters().crashes == 0 && !first[0].exhausted_crashes());
        seen.extend(uids(&first));
        living.done(first).await.unwrap();
        first = living.claim(10).await.unwrap();
    }
    assert!(died.elapsed() < LEASE + Duration::from_secs(5), "{:?}", died.elapsed());
    seen.sort_unstable();
    assert_eq!(seen, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn only_a_death_while_running_alone_is_a_crash_and_the_third_is_the_last() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=2).await;
    let watcher = f.consumer();
    let _keeper = watcher.spawn_keeper().unwrap();
    // Entry 1 kills whoever runs it; entry 2 was beside it once.
    die_with(f.consumer().claim(2).await.unwrap());
    for crashes in 0..3 {
        let delivery = eventually("entry 1", SOON, || async {
            let mut some = watcher.reclaim(10).await.unwrap();
            some.extend(watcher.claim(10).await.unwrap());
            let other: Vec<_> =
                some.extract_if(.., |delivery| uids(std::slice::from_ref(delivery)) == [2]).collect();
            assert!(other.iter().all(|delivery| delivery.counters().crashes == 0));
            watcher.done(other).await.unwrap();
            some.pop()
        })
        .await;
        assert_eq!((delivery.counters().crashes, delivery.exhausted_crashes()), (crashes, false));
        // It dies in the hands of another, who got it as it would have: handed back, it keeps running alone.
        watcher.hand_back(vec![delivery]).await.unwrap();
        let victim = f.consumer();
        let delivery = claim_one(&victim).await;
        assert!(delivery.run_alone());
        die_with([delivery]);
    }
    let last = reclaimed(&watcher).await;
    assert_eq!(uids(&last), [1]);
    assert!(last[0].exhausted_crashes() && last[0].counters().crashes == 3);
    let last = last.into_iter().map(|delivery| (delivery, "crashes".to_owned())).collect();
    assert_eq!(watcher.dead_letter(last).await.unwrap(), [Settled::Done]);
}

#[tokio::test]
async fn nothing_live_is_taken_after_an_outage() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=50).await;
    let (living, other) = (f.consumer(), f.consumer());
    let keepers = [living.spawn_keeper().unwrap(), other.spawn_keeper().unwrap()];
    let held = living.claim(50).await.unwrap();
    for stopped in [true, false] {
        if stopped {
            f.redis.pause().unwrap();
            outlast(LEASE * 3).await;
            f.redis.resume().unwrap();
        } else {
            f.redis.stop().unwrap();
            outlast(LEASE * 3).await;
            f.redis.start_again().unwrap();
        }
        let back = Instant::now();
        // Eager for four leases: nothing that merely looks expired may be taken.
        eventually("four leases to pass", SOON, || async {
            if let Ok(taken) = other.reclaim(100).await {
                assert!(taken.is_empty(), "{taken:?}");
            }
            (back.elapsed() > LEASE * 4).then_some(())
        })
        .await;
    }
    assert!(held.iter().all(|delivery| !delivery.lease_lost()));
    assert!(living.done(held).await.unwrap().iter().all(|settled| *settled == Settled::Done));
    drop(keepers);
}

/// The length of an outage: the one thing that has to be waited for.
async fn outlast(outage: Duration) {
    tokio::time::sleep(outage).await;
}

#[tokio::test]
async fn old_entries_are_found_behind_any_number_of_fresh_ones() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=620).await;
    let (busy, dead, other) = (f.consumer(), f.consumer(), f.consumer());
    let keepers = [busy.spawn_keeper().unwrap(), other.spawn_keeper().unwrap()];
    let mut held = busy.claim(500).await.unwrap();
    held.extend(busy.claim(100).await.unwrap());
    die_with(dead.claim(20).await.unwrap());
    let mut found = eventually("one of the dead", SOON, || async {
        let some = other.reclaim(5).await.unwrap();
        (!some.is_empty()).then_some(some)
    })
    .await;
    let mut seen = Vec::new();
    while seen.len() < 20 {
        seen.extend(uids(&found));
        other.done(found).await.unwrap();
        found = other.reclaim(5).await.unwrap();
        found.extend(other.claim(5).await.unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (601..=620).collect::<Vec<_>>());
    assert!(held.iter().all(|delivery| !delivery.lease_lost()));
    busy.done(held).await.unwrap();
    drop(keepers);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_made_good_by_adoption_free_of_charge() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=3).await;
    f.queue.ensure_groups().await.unwrap();
    let consumer = f.consumer();
    let name = consumer.name().to_string();
    let _: redis::Value =
        f.redis(&format!("XREADGROUP GROUP consumers {name} COUNT 2 STREAMS K:normal >")).await;
    let held = claim_one(&consumer).await;
    let adopted = consumer.adopt().await.unwrap();
    assert_eq!((uids(std::slice::from_ref(&held)), uids(&adopted)), (vec![3], vec![1, 2]));
    assert!(adopted.iter().all(|delivery| !delivery.run_alone() && delivery.counters().attempts == 0));
    assert_eq!((consumer.held(), consumer.stats().adopted), (3, 2));
    assert!(consumer.adopt().await.unwrap().is_empty());
    consumer.done(adopted).await.unwrap();
    consumer.done(vec![held]).await.unwrap();
}

#[tokio::test]
async fn a_claim_whose_future_is_dropped_loses_nothing() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=500).await;
    let consumer = f.consumer();
    let mut seen = Vec::new();
    let mut micros = 0;
    while seen.len() < 500 {
        micros = (micros + 7) % 2_000;
        let wait = Duration::from_micros(micros);
        let Ok(claimed) = tokio::time::timeout(wait, consumer.claim(10)).await else { continue };
        let deliveries = claimed.unwrap();
        assert!(deliveries.iter().all(|delivery| !delivery.run_alone()));
        seen.extend(uids(&deliveries));
        consumer.done(deliveries).await.unwrap();
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=500).collect::<Vec<_>>());
    assert!(f.queue.locate(&id(1)).await.unwrap().is_none());
}

#[tokio::test]
async fn the_name_of_a_dead_consumer_goes_and_that_of_a_living_idle_one_stays() {
    let f = Fixture::start();
    let (watcher, living, dead, holder) = (f.consumer(), f.consumer(), f.consumer(), f.consumer());
    let keepers = [watcher.spawn_keeper().unwrap(), holder.spawn_keeper().unwrap()];
    f.enqueue(Lane::Normal, 1..=3).await;
    // A consumer that holds something is not forgotten, however long it works on it without a claim.
    let held = claim_one(&holder).await;
    for consumer in [&dead, &living] {
        consumer.done(vec![claim_one(consumer).await]).await.unwrap();
    }
    let names = || async {
        let rows: Vec<std::collections::HashMap<String, redis::Value>> =
            f.redis("XINFO CONSUMERS K:normal consumers").await;
        let name = |row: &std::collections::HashMap<String, redis::Value>| {
            redis::from_redis_value::<String>(row["name"].clone()).unwrap()
        };
        rows.iter().map(name).collect::<Vec<_>>()
    };
    let is_in = |names: &[String], consumer: &mailfleet_queue::Consumer| {
        names.iter().any(|name| name == consumer.name().as_str())
    };
    let before = names().await;
    assert!([&living, &dead, &holder].iter().all(|consumer| is_in(&before, consumer)), "{before:?}");

    let forget_after = LEASE * 2;
    eventually("the dead to be forgotten", SOON, || async {
        assert!(living.claim(1).await.unwrap().is_empty());
        assert!(living.reclaim(10).await.unwrap().is_empty());
        assert!(watcher.reclaim_and_forget(10, forget_after).await.unwrap().is_empty());
        let now = names().await;
        assert!(is_in(&now, &living) && is_in(&now, &holder), "{now:?}");
        (!is_in(&now, &dead)).then_some(())
    })
    .await;
    // The default is far longer than any pause of a living consumer.
    f.enqueue(Lane::Normal, [4]).await;
    dead.done(vec![claim_one(&dead).await]).await.unwrap();
    assert!(watcher.reclaim(10).await.unwrap().is_empty());
    assert!(is_in(&names().await, &dead), "a name that was only quiet is there again");
    assert_eq!(holder.done(vec![held]).await.unwrap(), [Settled::Done]);
    drop(keepers);
}
