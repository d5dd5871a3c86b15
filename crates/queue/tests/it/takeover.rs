//! How much a takeover takes at a time, from all partitions and from each.

use std::collections::{BTreeMap, BTreeSet};

use mailfleet_model::{JobId, Lane};
use mailfleet_queue::{Consumer, Delivery, Enqueued, NewJob, Settled};

use crate::fixture::{Fixture, Patience, at, claim_one, die_with, envelope, id, reclaimed, uids};

const PARTITIONS: u16 = 4;

fn key(partition: u16, name: &str) -> String {
    format!("mailfleet:{{email:processing:{partition}}}:{name}")
}

/// One mail of this many bytes for each account; account and partition have the same number.
async fn enqueue(f: &Fixture, accounts: impl IntoIterator<Item = u128>, uid: u32, bytes: usize) {
    let job = |account| {
        let raw: Vec<u8> = (0..bytes).map(|_| fastrand::u8(..)).collect();
        NewJob { envelope: envelope(at(account, uid), bytes), lane: Lane::Normal, raw: raw.into() }
    };
    let answers = f.queue.enqueue(accounts.into_iter().map(job).collect()).await.unwrap();
    assert!(answers.iter().all(|answer| *answer == Enqueued::Queued), "{answers:?}");
}

impl Fixture {
    /// The leases of all that this consumer holds have run out, and it has run by itself when it died.
    async fn died_of_them(&self, of: &Consumer) {
        // A claim that was content with others has not made them everywhere.
        self.queue.ensure_groups().await.unwrap();
        for partition in 0..PARTITIONS {
            let (key, name) = (key(partition, "normal"), of.name());
            let rows: Vec<(String, redis::Value, redis::Value, redis::Value)> =
                self.redis(&format!("XPENDING {key} consumers - + 100 {name}")).await;
            for (id, ..) in rows {
                let line = format!("XCLAIM {key} consumers {name} 0 {id} IDLE 600000 RETRYCOUNT 4 JUSTID");
                let _: Vec<String> = self.redis(&line).await;
            }
        }
    }
}

fn bytes(deliveries: &[Delivery]) -> usize {
    deliveries.iter().map(|delivery| delivery.raw().len()).sum()
}

#[tokio::test]
async fn what_is_out_of_crashes_in_all_partitions_comes_within_the_bytes_and_the_rest_of_it_after_a_lease() {
    const MAIL: usize = 60_000;
    const BYTES: usize = 100_000;
    let f = Fixture::start_with(&[], |config| {
        (config.partitions, config.max_crashes, config.max_claim_bytes) = (PARTITIONS, 1, BYTES as u64);
    });
    // Three mails in each partition, each of which has ended its process: none of them is to be run, all may come at once.
    for uid in 1..=3 {
        enqueue(&f, 0..u128::from(PARTITIONS), uid, MAIL).await;
    }
    let (dead, living) = (f.consumer(), f.consumer());
    let _keeper = living.spawn_keeper().unwrap();
    let mut held = Vec::new();
    let patience = Patience::with("all twelve");
    while held.len() < 12 {
        patience.lasts();
        held.extend(dead.claim(12).await.unwrap());
    }
    die_with(held);
    f.died_of_them(&dead).await;
    let mut seen: BTreeMap<JobId, u32> = BTreeMap::new();
    let patience = Patience::with("all twelve of the dead");
    while seen.len() < 12 {
        patience.lasts();
        let some = reclaimed(&living).await;
        assert!(some.iter().all(Delivery::exhausted_crashes), "{some:?}");
        // The last that is taken may be larger than what is left; nothing comes once there is nothing left.
        assert!(bytes(&some) < BYTES + MAIL, "{} bytes of at most {BYTES} and a mail", bytes(&some));
        for delivery in &some {
            *seen.entry(delivery.job_id().clone()).or_default() += 1;
        }
        let letters = some.into_iter().map(|delivery| (delivery, "crashes".to_owned())).collect();
        let settled = living.dead_letter(letters).await.unwrap();
        assert!(settled.iter().all(|settled| *settled == Settled::Done));
    }
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
}

#[tokio::test]
async fn a_partition_that_cannot_be_read_keeps_no_other_ones_dead_from_going_on() {
    let f = Fixture::start_with(&[], |config| (config.partitions, config.max_crashes) = (PARTITIONS, 1));
    enqueue(&f, [0, 3], 1, 4).await;
    let (dead, living) = (f.consumer(), f.consumer());
    let _keeper = living.spawn_keeper().unwrap();
    die_with(dead.claim(2).await.unwrap());
    f.died_of_them(&dead).await;
    for partition in [1, 2] {
        let _: u64 = f.redis(&format!("DEL {}", key(partition, "high"))).await;
        let _: String = f.redis(&format!("SET {} oops", key(partition, "high"))).await;
    }
    // As soon as Redis has been seen for a lease; until then nothing is asked.
    let both = reclaimed(&living).await;
    let accounts = both.iter().map(|delivery| delivery.envelope().work.mail().unwrap().account.0.as_u128());
    assert_eq!(accounts.collect::<BTreeSet<_>>(), BTreeSet::from([0, 3]), "{both:?}");
    assert!(living.done(both).await.unwrap().iter().all(|settled| *settled == Settled::Done));
    let error = living.reclaim(10).await.unwrap_err();
    assert!(!error.is_outage(), "with nothing to take it is told: {error}");
}

#[tokio::test]
async fn an_entry_that_is_adopted_without_room_for_it_waits_as_one_that_is_not_being_run() {
    let f = Fixture::start_with(&[], |config| config.partitions = 1);
    f.enqueue(Lane::Normal, 1..=2).await;
    let (dead, living) = (f.consumer(), f.consumer());
    let _keeper = living.spawn_keeper().unwrap();
    die_with(dead.claim(2).await.unwrap());
    // One runs alone here, which is all there is room for.
    let first = reclaimed(&living).await;
    assert_eq!(uids(&first), [1]);
    // The other had begun to run by itself under this consumer's name, which does not know of it any more.
    let entry = f.queue.locate(&id(2)).await.unwrap().unwrap().entry_id;
    let line = format!("XCLAIM K:normal consumers {} 0 {entry} RETRYCOUNT 4 JUSTID", living.name());
    let _: Vec<String> = f.redis(&line).await;
    assert!(living.adopt().await.unwrap().is_empty());
    let line = format!("XPENDING K:normal consumers {entry} {entry} 1");
    let rows: Vec<(String, String, u64, u64)> = f.redis(&line).await;
    assert_eq!(
        (rows[0].1.as_str(), rows[0].3),
        ("alone", 3),
        "a death with it in hand would be no crash of it"
    );
    living.done(first).await.unwrap();
    let second = claim_one(&living).await;
    assert!(second.is_suspect() && second.counters().crashes == 0, "{second:?}");
    living.done(vec![second]).await.unwrap();
}

#[tokio::test]
async fn what_was_adopted_before_another_partition_failed_is_not_thrown_away() {
    let f = Fixture::start_with(&[], |config| config.partitions = PARTITIONS);
    enqueue(&f, [0], 1, 4).await;
    f.queue.ensure_groups().await.unwrap();
    let consumer = f.consumer();
    // Of a claim no answer came, and then a partition cannot be read.
    let line = format!("XREADGROUP GROUP consumers {} STREAMS {} >", consumer.name(), key(0, "normal"));
    let _: redis::Value = f.redis(&line).await;
    let _: u64 = f.redis(&format!("DEL {}", key(1, "high"))).await;
    let _: String = f.redis(&format!("SET {} oops", key(1, "high"))).await;
    let mut adopted = consumer.adopt().await.unwrap_or_default();
    let _: u64 = f.redis(&format!("DEL {}", key(1, "high"))).await;
    adopted.extend(consumer.adopt().await.unwrap());
    assert_eq!(uids(&adopted), [1], "free of charge, and at once");
    assert!(!adopted[0].run_alone());
    consumer.done(adopted).await.unwrap();
}
