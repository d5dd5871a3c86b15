//! What is new is read in a second step after the claiming script: what may happen in between, and what is too much.

use std::collections::BTreeMap;
use std::time::Duration;

use mailfleet_model::{Class, Lane, LaneWeights};
use mailfleet_queue::{Failure, Settled};
use mailfleet_testkit::eventually;

use crate::fixture::{Fixture, SOON, claim_one, job, uids};

/// As good as every turn is the high lane's.
const URGENT: LaneWeights = LaneWeights { high: 10_000, normal: 1, low: 1 };

#[tokio::test]
async fn what_was_read_beyond_the_memory_is_put_back_uncounted_and_goes_before_what_is_new() {
    const MAIL: usize = 5_000;
    let f = Fixture::start_with(&[], |config| {
        (config.partitions, config.inline_bytes, config.max_claim_bytes) = (1, 1_024, 9_000);
        config.weights = URGENT;
    });
    let consumer = f.consumer();
    // After small ones it expects more of them, and asks for eight of what would fit.
    f.enqueue(Lane::High, 1..=4).await;
    let small = consumer.claim(50).await.unwrap();
    assert_eq!(uids(&small), [1, 2, 3, 4]);
    consumer.done(small).await.unwrap();
    let large = |uid| job(uid, Lane::High, (0..MAIL).map(|_| fastrand::u8(..)).collect::<Vec<_>>());
    f.queue.enqueue((5..=16).map(large).collect()).await.unwrap();
    let held = consumer.claim(50).await.unwrap();
    assert_eq!((uids(&held), consumer.held()), (vec![5, 6], 2));
    let owners: (u64, String, String, Vec<(String, String)>) = f.redis("XPENDING K:high consumers").await;
    let name = consumer.name().as_str();
    let of =
        |owner: &str| owners.3.iter().find(|(name, _)| name == owner).map(|(_, entries)| entries.clone());
    assert_eq!(of(name), Some("2".to_owned()), "nothing is its own without its knowing: {owners:?}");
    let back = of("released").expect("something was put back").parse::<u32>().unwrap();
    assert!((1..10).contains(&back), "some were put back, and some are new: {owners:?}");
    // Nobody is behind what was put back, whoever is next.
    let mut rest = Vec::new();
    let others = [f.consumer(), consumer];
    for turn in 0..20 {
        let other = &others[turn % 2];
        let some = other.claim(1).await.unwrap();
        for delivery in &some {
            assert_eq!(delivery.counters(), mailfleet_model::Counters::default(), "{delivery:?}");
            assert!(!delivery.run_alone() && delivery.history().is_empty(), "{delivery:?}");
        }
        rest.extend(uids(&some));
        other.done(some).await.unwrap();
    }
    assert_eq!(rest, (7..=16).collect::<Vec<_>>(), "in their order");
    others[1].done(held).await.unwrap();
}

impl Fixture {
    /// Whether it is noted that the normal lane's group was made anew over entries that nobody has read since.
    async fn is_remade(&self) -> bool {
        self.redis::<u64>("HEXISTS K:accounts #remade|n").await == 1
    }

    /// Three jobs with two failed attempts each; the group of their lane is lost and made anew.
    async fn remake(&self) {
        self.enqueue(Lane::Normal, 1..=3).await;
        let consumer = self.consumer();
        for attempts in 0..2 {
            let due = eventually("all three", SOON, || async {
                let taken = consumer.claim(3).await.unwrap();
                (taken.len() == 3).then_some(taken)
            });
            for delivery in due.await {
                assert_eq!(delivery.counters().attempts, attempts);
                // Falls due at once, and together with the others.
                let failure = Failure::new(Class::Transient, "no");
                let settled = consumer.retry(delivery, Duration::ZERO, &failure).await.unwrap();
                assert_eq!(settled, Settled::Done);
            }
        }
        let _: i64 = self.redis("XGROUP DESTROY K:normal consumers").await;
        self.queue.ensure_groups().await.unwrap();
        assert!(self.is_remade().await);
    }

    /// What was remade comes with what it has been through, and once it is read the note goes.
    async fn all_is_remembered(&self) {
        let other = self.consumer();
        for uid in 1..=3 {
            assert!(self.is_remade().await, "before {uid} is read");
            let delivery = claim_one(&other).await;
            assert_eq!(uids(std::slice::from_ref(&delivery)), [uid]);
            assert_eq!((delivery.counters().attempts, delivery.history().len()), (2, 2), "{delivery:?}");
            other.done(vec![delivery]).await.unwrap();
        }
        self.enqueue(Lane::Normal, [4]).await;
        let new = claim_one(&other).await;
        assert_eq!((new.counters().attempts, new.history().len()), (0, 0));
        assert!(!self.is_remade().await, "all of them are read");
        other.done(vec![new]).await.unwrap();
    }
}

#[tokio::test]
async fn a_group_made_anew_keeps_what_its_entries_have_been_through_until_each_is_read() {
    let f = Fixture::start();
    f.remake().await;
    f.all_is_remembered().await;
}

#[tokio::test]
async fn a_recount_does_not_forget_that_a_group_was_made_anew() {
    let f = Fixture::start();
    f.remake().await;
    f.recount(2).await;
    f.all_is_remembered().await;
}

#[tokio::test]
async fn of_two_who_are_granted_the_same_last_entry_the_slower_one_gets_what_another_lane_has() {
    let f = Fixture::start_with(&[], |config| (config.partitions, config.weights) = (1, URGENT));
    let (one, other) = (f.consumer(), f.consumer());
    for round in 0..100 {
        f.enqueue(Lane::High, [2 * round + 1]).await;
        f.enqueue(Lane::Normal, [2 * round + 2]).await;
        // Both scripts run before either has read what it was granted, as often as not.
        let (first, second) = tokio::join!(one.claim(1), other.claim(1));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!((first.len(), second.len()), (1, 1), "in round {round}");
        one.done(first).await.unwrap();
        other.done(second).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_passed_over_by_hand_does_not_use_up_the_turns_of_other_lanes() {
    let f = Fixture::start_with(&[], |config| (config.partitions, config.weights) = (1, URGENT));
    let consumer = f.consumer();
    for way in ["SETID", "XACK"] {
        let _: String = f.redis("FLUSHALL").await;
        f.enqueue(Lane::High, 1..=3).await;
        f.queue.ensure_groups().await.unwrap();
        if way == "SETID" {
            let _: String = f.redis("XGROUP SETID K:high consumers $").await;
        } else {
            let held = f.consumer().claim(3).await.unwrap();
            let ids: Vec<_> = held.iter().map(|delivery| delivery.entry_id().to_owned()).collect();
            let _: u64 = f.redis(&format!("XACK K:high consumers {}", ids.join(" "))).await;
        }
        f.enqueue(Lane::Normal, [11]).await;
        let only = claim_one(&consumer).await;
        assert_eq!(uids(std::slice::from_ref(&only)), [11], "{way}");
        consumer.done(vec![only]).await.unwrap();
        let lane: BTreeMap<String, redis::Value> = f.redis::<Vec<_>>("XINFO GROUPS K:high").await.remove(0);
        assert_eq!(lane["pending"], redis::Value::Int(0), "{way}: they stay where they are");
    }
}
