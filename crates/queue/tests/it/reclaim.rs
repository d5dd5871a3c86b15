//! What becomes of the entries of consumers that die, and of those that only seem to.

use std::time::{Duration, Instant};

use mailfleet_model::{Class, Lane};
use mailfleet_queue::{Consumer, Delivery, Enqueued, Failure, NewJob, Settled};
use mailfleet_testkit::eventually;

use crate::fixture::{
    Fixture, LEASE, Patience, SOON, at, claim_one, die_with, envelope, id, reclaimed, uids,
};

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
    let patience = Patience::with("twenty that run alone");
    loop {
        patience.lasts();
        assert_eq!(first.len(), 1, "only one that must run alone is in hand at a time");
        assert!(first[0].run_alone() && first[0].counters().crashes == 0 && !first[0].exhausted_crashes());
        seen.extend(uids(&first));
        living.done(first).await.unwrap();
        if seen.len() == 20 {
            break;
        }
        // Not all leases run out at the same moment where they were taken by several requests, as with several partitions.
        first = eventually("the next one that runs alone", SOON, || async {
            let mut next = living.claim(10).await.unwrap();
            if next.is_empty() {
                next = living.reclaim(10).await.unwrap();
            }
            (!next.is_empty()).then_some(next)
        })
        .await;
    }
    assert!(died.elapsed() < LEASE + Duration::from_secs(5), "{:?}", died.elapsed());
    seen.sort_unstable();
    assert_eq!(seen, (1..=20).collect::<Vec<_>>());
}

/// Entry 1, from `watcher`'s reclaims and claims; whatever else comes is done.
async fn the_first(watcher: &Consumer) -> Delivery {
    eventually("entry 1", SOON, || async {
        let mut some = watcher.reclaim(10).await.unwrap();
        some.extend(watcher.claim(10).await.unwrap());
        let others: Vec<_> =
            some.extract_if(.., |delivery| uids(std::slice::from_ref(delivery)) != [1]).collect();
        assert!(others.iter().all(|delivery| delivery.counters().crashes == 0));
        watcher.done(others).await.unwrap();
        some.pop()
    })
    .await
}

#[tokio::test]
async fn only_a_death_while_running_by_itself_is_a_crash_and_the_third_is_the_last() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=2).await;
    let watcher = f.consumer();
    let _keeper = watcher.spawn_keeper().unwrap();
    // Entry 1 kills whoever runs it; entry 2 was beside it once.
    die_with(f.consumer().claim(2).await.unwrap());
    // Then alone, which proves nothing while its process works on other batches.
    let alone = the_first(&watcher).await;
    assert!(alone.run_alone() && !alone.is_suspect() && alone.counters().crashes == 0);
    watcher.hand_back(vec![alone]).await.unwrap();
    let victim = f.consumer();
    let alone = claim_one(&victim).await;
    assert!(alone.run_alone() && !alone.is_suspect(), "handed back it keeps what is known of it");
    die_with([alone]);
    for crashes in 0..3 {
        let suspect = the_first(&watcher).await;
        assert!(suspect.run_alone() && suspect.is_suspect(), "{suspect:?}");
        assert_eq!((suspect.counters().crashes, suspect.exhausted_crashes()), (crashes, false));
        // In the hands of one that dies before it has begun with it.
        watcher.hand_back(vec![suspect]).await.unwrap();
        die_with([claim_one(&f.consumer()).await]);
        let suspect = the_first(&watcher).await;
        assert_eq!(suspect.counters().crashes, crashes, "it did not run");
        // Begun and given back in good order, and begun by one that dies of it.
        assert!(watcher.begin(&suspect).await.unwrap() && watcher.begin(&suspect).await.unwrap());
        watcher.hand_back(vec![suspect]).await.unwrap();
        let victim = f.consumer();
        let suspect = claim_one(&victim).await;
        assert_eq!(suspect.counters().crashes, crashes);
        assert!(victim.begin(&suspect).await.unwrap());
        die_with([suspect]);
    }
    let last = reclaimed(&watcher).await;
    assert_eq!(uids(&last), [1]);
    assert!(last[0].exhausted_crashes() && last[0].counters().crashes == 3);
    let last = last.into_iter().map(|delivery| (delivery, "crashes".to_owned())).collect();
    assert_eq!(watcher.dead_letter(last).await.unwrap(), [Settled::Done]);
}

#[tokio::test]
async fn what_kills_whoever_takes_it_before_it_has_begun_ends_at_last() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, [1]).await;
    let watcher = f.consumer();
    let _keeper = watcher.spawn_keeper().unwrap();
    let victim = f.consumer();
    let delivery = claim_one(&victim).await;
    // As it stands after eleven deaths with it in hand.
    let (name, entry) = (victim.name(), delivery.entry_id().to_owned());
    let _: redis::Value =
        f.redis(&format!("XCLAIM K:normal consumers {name} 0 {entry} RETRYCOUNT 21 JUSTID")).await;
    die_with([delivery]);
    for crashes in [0, 1, 2] {
        let suspect = the_first(&watcher).await;
        assert_eq!((suspect.is_suspect(), suspect.counters().crashes), (true, crashes));
        watcher.hand_back(vec![suspect]).await.unwrap();
        die_with([claim_one(&f.consumer()).await]);
    }
    let last = reclaimed(&watcher).await;
    assert!(last[0].exhausted_crashes(), "{last:?}");
    watcher.done(last).await.unwrap();
}

#[tokio::test]
async fn a_crash_elsewhere_is_counted_with_its_story_although_its_consumer_leaves_right_after() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, [1]).await;
    let consumer = f.consumer();
    for crashes in 1..=2 {
        let delivery = claim_one(&consumer).await;
        let failure = Failure::new(Class::Hostile, format!("the end of child {crashes}"));
        assert_eq!(consumer.crashed(delivery, Duration::ZERO, &failure).await.unwrap(), Settled::Done);
    }
    consumer.leave().await.unwrap();
    let found = f.queue.locate(&id(1)).await.unwrap().unwrap();
    let (attempts, crashes) = (found.counters.attempts, found.counters.crashes);
    assert_eq!((attempts, crashes, found.counters.drains), (0, 2, 0));
    let told: Vec<&str> = found.history.iter().map(|attempt| attempt.error.as_str()).collect();
    assert_eq!(told, ["the end of child 1", "the end of child 2"]);
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

#[tokio::test]
async fn a_reclaim_that_was_sent_before_redis_stood_still_takes_nothing_after_it() {
    const LEASE_MS: u64 = 600;
    let f = Fixture::start_with(&[], |config| config.lease_ms = LEASE_MS);
    f.enqueue(Lane::Normal, 1..=5).await;
    let (living, other) = (f.consumer(), f.consumer());
    let keepers = [living.spawn_keeper().unwrap(), other.spawn_keeper().unwrap()];
    let held = living.claim(5).await.unwrap();
    let end = tokio::sync::watch::Sender::new(false);
    // One reclaim after the other, so that at most stops one of them lies in the socket.
    let eager = tokio::spawn({
        let end = end.subscribe();
        async move {
            let patience = Patience::with("reclaims beside a server that stands still");
            while !*end.borrow() {
                patience.lasts();
                let taken = other.reclaim(100).await.unwrap();
                assert!(taken.is_empty(), "{taken:?}");
            }
        }
    });
    for _ in 0..8 {
        outlast(Duration::from_millis(LEASE_MS * 5 / 4)).await;
        f.redis.pause().unwrap();
        outlast(Duration::from_millis(LEASE_MS * 5 / 4)).await;
        f.redis.resume().unwrap();
    }
    end.send_replace(true);
    eager.await.unwrap();
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
    let patience = Patience::with("twenty of the dead");
    while seen.len() < 20 {
        patience.lasts();
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
    let f = Fixture::start_with(&[], |config| config.partitions = 3);
    let mail = |uid| NewJob {
        envelope: envelope(at(u128::from(uid % 3), uid), 4),
        lane: Lane::Normal,
        raw: "mail".into(),
    };
    assert_eq!(f.queue.enqueue((1..=500).map(mail).collect()).await.unwrap(), [Enqueued::Queued; 500]);
    let consumer = f.consumer();
    let mut seen = Vec::new();
    let mut micros = 0;
    let patience = Patience::with("claims that are dropped");
    while seen.len() < 500 {
        patience.lasts();
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
    let is_in =
        |names: &[String], consumer: &Consumer| names.iter().any(|name| name == consumer.name().as_str());
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
