//! The depth tells how old, how large and how open everything is, and never a number that is not so.

use std::collections::BTreeMap;
use std::time::Duration;

use mailfleet_model::{Class, Lane};
use mailfleet_queue::{Depth, Failure, LaneDepth};
use mailfleet_testkit::eventually;

use crate::fixture::{Fixture, SOON, at, claim_one, die_with, envelope, id, job, keys};

impl Fixture {
    async fn depth(&self) -> Depth {
        self.queue.depth().await.unwrap()
    }

    async fn normal(&self) -> LaneDepth {
        *self.depth().await.lane(Lane::Normal)
    }

    /// Waits until the oldest of these is so old that the next one is younger for sure.
    async fn until_old(&self, uid: u32) {
        eventually("an age", SOON, || async {
            let id = self.queue.locate(&id(uid)).await.unwrap().unwrap().entry_id;
            let (seconds, micros): (u64, u64) = self.redis("TIME").await;
            let at: u64 = id.split_once('-').unwrap().0.parse().unwrap();
            (seconds * 1_000 + micros / 1_000 >= at + 30).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn each_state_tells_the_age_of_its_own_oldest_entry() {
    let f = Fixture::start();
    let consumer = f.consumer();
    // Oldest first: released, in flight (with two consumers), delayed, dead, waiting.
    for uid in 1..=6 {
        f.enqueue(Lane::Normal, [uid]).await;
        f.until_old(uid).await;
    }
    let other = f.consumer();
    let back = claim_one(&consumer).await;
    let first = claim_one(&other).await;
    let second = claim_one(&consumer).await;
    let later = claim_one(&consumer).await;
    let dead = claim_one(&consumer).await;
    consumer.hand_back(vec![back]).await.unwrap();
    consumer.retry(later, SOON, &Failure::new(Class::Transient, "no")).await.unwrap();
    let none = f.depth().await.oldest_dead_ms;
    consumer.dead_letter(vec![(dead, "data".to_owned())]).await.unwrap();
    assert_eq!(none, Some(0));

    let depth = f.depth().await;
    let oldest = depth.lane(Lane::Normal).oldest;
    let [released, in_flight, delayed, waiting] =
        [oldest.released, oldest.in_flight, oldest.delayed, oldest.waiting].map(|age| age.unwrap());
    assert!(released >= in_flight + 30 && in_flight >= delayed + 60 && delayed >= waiting + 60, "{oldest:?}");
    assert!(waiting >= 30, "{oldest:?}");
    assert_eq!(depth.lane(Lane::Normal).oldest_age_ms(), Some(released));
    // A dead letter is as old as its death.
    eventually("the age of the dead letter", SOON, || async {
        (f.depth().await.oldest_dead_ms? >= 20).then_some(())
    })
    .await;
    // The oldest in hand is that of all consumers.
    other.done(vec![first]).await.unwrap();
    let oldest = f.normal().await.oldest;
    assert!(oldest.in_flight.unwrap() + 30 <= oldest.released.unwrap(), "{oldest:?}");
    consumer.done(vec![second]).await.unwrap();
    assert_eq!(f.normal().await.oldest.in_flight, Some(0), "none");
}

#[tokio::test]
async fn with_more_consumers_than_are_looked_at_the_oldest_in_hand_is_unknown_and_all_else_is_told() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=502).await;
    // All at once, by the server itself: five hundred clients would take long.
    let script = "for i=1,501 do redis.call('XREADGROUP','GROUP','consumers','c'..i,'COUNT','1','STREAMS',KEYS[1],'>')end";
    let read = async |script: &str| {
        f.queue.ensure_groups().await.unwrap();
        let connection = &mut f.redis.connection().await;
        let key = format!("{}normal", keys(f.queue.config()));
        let _: () = redis::cmd("EVAL").arg(script).arg(1).arg(key).query_async(connection).await.unwrap();
    };
    read(script).await;
    let normal = f.normal().await;
    assert_eq!((normal.waiting, normal.in_flight), (Some(1), Some(501)));
    assert_eq!(normal.oldest.in_flight, None);
    assert!(normal.oldest.waiting.is_some() && normal.oldest_age_ms().is_some());
}

#[tokio::test]
async fn what_somebody_deletes_by_hand_never_makes_a_number_zero_that_is_not() {
    // In every lane of five, of which two are in hand, any one or two are deleted.
    let f = Fixture::start();
    for (first, second) in (0..5).flat_map(|first| (first..5).map(move |second| (first, second))) {
        let _: String = f.redis("FLUSHALL").await;
        f.enqueue(Lane::Normal, 1..=5).await;
        let held = f.consumer().claim(2).await.unwrap();
        let entries: Vec<(String, Vec<String>)> = f.redis("XRANGE K:normal - +").await;
        let (gone_one, gone_two) = (&entries[first].0, &entries[second].0);
        let _: u64 = f.redis(&format!("XDEL K:normal {gone_one} {gone_two}")).await;
        let unread = (2..5).filter(|n| *n != first && *n != second).count() as u64;
        let normal = f.normal().await;
        if unread > 0 {
            assert_ne!(normal.waiting, Some(0), "{first} and {second} of five deleted, {unread} are left");
        }
        assert_eq!(normal.in_flight, Some(2), "in somebody's hands all the same");
        assert!(normal.bytes != Some(0));
        let backlog = f.depth().await.backlog();
        assert!(backlog.is_none_or(|backlog| backlog >= 2), "{backlog:?}");
        die_with(held);
    }
    // Exactly as many of those in hand are deleted as nobody has read.
    let _: String = f.redis("FLUSHALL").await;
    f.enqueue(Lane::Normal, 1..=3).await;
    let held = f.consumer().claim(2).await.unwrap();
    let _: u64 = f.redis(&format!("XDEL K:normal {}", held[0].entry_id())).await;
    let normal = f.normal().await;
    assert_eq!((normal.waiting, f.depth().await.backlog()), (None, None), "it is one, and cannot be told");
    die_with(held);
}

#[tokio::test]
async fn the_bytes_are_what_entries_and_blobs_store_and_a_lost_number_is_unknown_until_it_is_counted() {
    let f = Fixture::start();
    let noise: Vec<u8> = (0..50_000).map(|_| fastrand::u8(..)).collect();
    let prose = vec![b'x'; 400_000];
    f.queue
        .enqueue(vec![job(1, Lane::Normal, "small"), job(2, Lane::Normal, noise), job(3, Lane::High, prose)])
        .await
        .unwrap();
    let of = |uid, size| (id(uid).as_str().len() + envelope(at(1, uid), size).encode().len()) as u64;
    let bytes = f.normal().await.bytes;
    assert_eq!(bytes, Some(of(1, 5) + 5 + of(2, 50_000) + 50_000));
    let packed = f.depth().await.lane(Lane::High).bytes.unwrap();
    assert!(packed < 2_000, "as it is packed: {packed}");

    // A retry keeps them, and with done they go.
    let consumer = f.consumer();
    let mut held = consumer.claim(3).await.unwrap();
    held.sort_by_key(|delivery| delivery.job_id().clone());
    consumer.done(vec![held.pop().unwrap()]).await.unwrap();
    consumer.retry(held.remove(0), Duration::ZERO, &Failure::new(Class::Transient, "no")).await.unwrap();
    assert_eq!((f.normal().await.bytes, f.depth().await.lane(Lane::High).bytes), (bytes, Some(0)));

    // The numbers are lost: what comes now is not all there is.
    let _: u64 = f.redis("DEL K:accounts").await;
    f.enqueue(Lane::Normal, [4]).await;
    assert_eq!(f.normal().await.bytes, None);
    assert!(f.normal().await.lacks_bytes());
    // Whoever reads the depth has it counted.
    f.queue.mend_counts(&f.depth().await).await;
    assert_eq!(f.normal().await.bytes, bytes.map(|bytes| bytes + of(4, 6) + 6));
    consumer.done(held).await.unwrap();
    assert_eq!(f.normal().await.bytes, Some(of(1, 5) + 5 + of(4, 6) + 6));
    // The one that was retried, then the last.
    for left in [of(4, 6) + 6, 0] {
        consumer.done(consumer.claim(1).await.unwrap()).await.unwrap();
        assert_eq!(f.normal().await.bytes, Some(left));
    }
}

#[tokio::test]
async fn the_bytes_and_ages_of_all_partitions_are_one() {
    let f = Fixture::start_with(&[], |config| config.partitions = 4);
    let mails = |account, uids: std::ops::Range<u32>| {
        uids.map(move |uid| mailfleet_queue::NewJob {
            envelope: envelope(at(account, uid), 4),
            lane: Lane::Low,
            raw: "mail".into(),
        })
    };
    f.queue.enqueue((1..9).flat_map(|account| mails(account, 1..4)).collect()).await.unwrap();
    let one = Fixture::start();
    one.queue.enqueue((1..9).flat_map(|account| mails(account, 1..4)).collect()).await.unwrap();
    let (four, one) = (f.depth().await, one.depth().await);
    let low = |depth: &Depth| (depth.lane(Lane::Low).waiting, depth.lane(Lane::Low).bytes);
    assert_eq!(low(&four), low(&one));
    let one = mailfleet_queue::Config { partitions: 1, ..f.queue.config().clone() };
    let of_one_partition = mailfleet_queue::Queue::connect(&one).unwrap().depth().await.unwrap();
    assert!(low(&of_one_partition).1 < low(&four).1);
}

#[tokio::test]
async fn where_redis_does_not_know_the_lag_of_a_lane_what_waits_is_counted_or_unknown_and_never_zero() {
    let f = Fixture::start();
    let lag = async || {
        let groups: Vec<BTreeMap<String, redis::Value>> = f.redis("XINFO GROUPS K:normal").await;
        groups[0]["lag"].clone()
    };
    f.enqueue(Lane::Normal, 1..=6).await;
    let held = f.consumer().claim(2).await.unwrap();
    let entries: Vec<(String, Vec<String>)> = f.redis("XRANGE K:normal - +").await;
    // One that nobody has read is deleted from the midst.
    let _: u64 = f.redis(&format!("XDEL K:normal {}", entries[3].0)).await;
    assert_eq!(lag().await, redis::Value::Nil);
    let depth = f.depth().await;
    let normal = depth.lane(Lane::Normal);
    assert_eq!((normal.waiting, normal.in_flight, depth.backlog()), (Some(3), Some(2), Some(5)));
    // The group is set back, so that what is in hand is to be read again.
    let _: String = f.redis("XGROUP SETID K:normal consumers 0").await;
    let waiting = f.normal().await.waiting;
    assert!(waiting.is_none_or(|waiting| waiting >= 3), "{waiting:?}");
    // It is set to the end: what was passed over waits, nobody can say since when, and it is not nothing.
    let _: String = f.redis("XGROUP SETID K:normal consumers $").await;
    f.until_old(6).await;
    let normal = f.normal().await;
    assert_eq!((normal.waiting, normal.oldest.waiting, normal.oldest_age_ms()), (None, None, None));
    assert_eq!((normal.in_flight, f.depth().await.backlog()), (Some(2), None));
    die_with(held);
}
