//! What is taken when, and how much of it.

use std::collections::BTreeSet;
use std::time::Duration;

use mailfleet_model::{Class, Lane};
use mailfleet_queue::{Delivery, Failure, NewJob};
use mailfleet_testkit::eventually;

use crate::fixture::{Fixture, Patience, SOON, at, claim_one, envelope, job, uids};

#[tokio::test]
async fn full_lanes_share_by_their_weights_and_spare_capacity_goes_to_the_most_urgent() {
    let f = Fixture::start();
    f.enqueue(Lane::High, 1..=100).await;
    f.enqueue(Lane::Normal, 101..=200).await;
    f.enqueue(Lane::Low, 201..=300).await;
    let consumer = f.consumer();
    let deliveries = consumer.claim(100).await.unwrap();
    let of = |lane| deliveries.iter().filter(|delivery| delivery.lane() == lane).count();
    assert_eq!(Lane::ALL.map(of), [70, 20, 10]);
    consumer.done(deliveries).await.unwrap();
    // 30 high are left: they all go, and what the high lane leaves goes to the normal one before the low one.
    let deliveries = consumer.claim(100).await.unwrap();
    let of = |lane| deliveries.iter().filter(|delivery| delivery.lane() == lane).count();
    assert_eq!(Lane::ALL.map(of), [30, 60, 10]);
    consumer.done(deliveries).await.unwrap();
}

#[tokio::test]
async fn no_lane_starves_even_when_entries_are_claimed_one_by_one() {
    let f = Fixture::start();
    f.enqueue(Lane::High, 1..=150).await;
    f.enqueue(Lane::Low, 201..=300).await;
    let consumer = f.consumer();
    let mut low = 0;
    for _ in 0..100 {
        let delivery = claim_one(&consumer).await;
        low += usize::from(delivery.lane() == Lane::Low);
        consumer.done(vec![delivery]).await.unwrap();
    }
    assert_eq!(low, 10);
}

#[tokio::test]
async fn what_is_handed_back_goes_before_new_entries_and_is_free() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=4).await;
    let (stopping, other) = (f.consumer(), f.consumer());
    let deliveries = stopping.claim(2).await.unwrap();
    assert_eq!(uids(&deliveries), [1, 2]);
    stopping.hand_back(deliveries).await.unwrap();
    assert_eq!(stopping.held(), 0);
    let deliveries = other.claim(10).await.unwrap();
    assert_eq!(uids(&deliveries), [1, 2, 3, 4]);
    let first = &deliveries[0];
    assert_eq!((first.counters().attempts, first.counters().crashes, first.counters().drains), (0, 0, 1));
    assert!(!first.run_alone());
    other.done(deliveries).await.unwrap();
}

#[tokio::test]
async fn a_retry_comes_back_after_its_due_time_and_before_new_entries() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, [1]).await;
    let consumer = f.consumer();
    let delivery = claim_one(&consumer).await;
    consumer
        .retry(delivery, Duration::from_millis(400), &Failure::new(Class::Transient, "no"))
        .await
        .unwrap();
    let retried = std::time::Instant::now();
    f.enqueue(Lane::Normal, 2..=3).await;
    let early = consumer.claim(2).await.unwrap();
    assert_eq!(uids(&early), [2, 3], "1 is not due yet");
    consumer.done(early).await.unwrap();
    f.enqueue(Lane::Normal, 4..=9).await;
    let depth = || async {
        let depth = f.queue.depth().await.unwrap();
        (depth.lane(Lane::Normal).delayed, depth.due, depth.backlog())
    };
    assert_eq!(depth().await, (Some(1), Some(0), Some(6)), "a retry that is not due is no backlog");
    // Once it is due, the very next claim gives it, although others wait in the lane.
    eventually("the due time", SOON, || async {
        (retried.elapsed() > Duration::from_millis(450)).then_some(())
    })
    .await;
    assert_eq!(depth().await, (Some(1), Some(1), Some(7)), "due, and not taken yet");
    let delivery = claim_one(&consumer).await;
    assert_eq!((uids(std::slice::from_ref(&delivery)), delivery.counters().attempts), (vec![1], 1));
    assert_eq!(depth().await, (Some(0), Some(0), Some(7)), "in hand");
    consumer.done(vec![delivery]).await.unwrap();
}

#[tokio::test]
async fn a_claim_takes_no_more_raw_mail_than_it_may_but_always_one() {
    let f = Fixture::start_with(&[], |config| config.max_claim_bytes = 100_000);
    let noise = || (0..60_000).map(|_| fastrand::u8(..)).collect::<Vec<_>>();
    let mut jobs: Vec<_> = (1..=9).map(|uid| job(uid, Lane::Normal, noise())).collect();
    jobs.push(job(10, Lane::Normal, vec![1; 200_000]));
    f.queue.enqueue(jobs).await.unwrap();
    let consumer = f.consumer();
    let mut seen = BTreeSet::new();
    for expected in [2, 2, 2, 2, 2] {
        let deliveries = consumer.claim(50).await.unwrap();
        assert_eq!(deliveries.len(), expected);
        seen.extend(uids(&deliveries));
        assert!(deliveries.iter().all(|delivery| !delivery.run_alone()));
        consumer.done(deliveries).await.unwrap();
    }
    assert_eq!(seen, (1..=10).collect());
}

#[tokio::test]
async fn a_paused_lane_gives_nothing_and_its_share_goes_to_the_others() {
    let f = Fixture::start();
    f.enqueue(Lane::High, 1..=5).await;
    f.enqueue(Lane::Low, 11..=15).await;
    let consumer = f.consumer();
    let _: u64 = f.redis("HSET K:paused high 1").await;
    let deliveries = consumer.claim(10).await.unwrap();
    assert_eq!(uids(&deliveries), [11, 12, 13, 14, 15]);
    let _: u64 = f.redis("DEL K:paused").await;
    let resumed = consumer.claim(10).await.unwrap();
    assert_eq!(uids(&resumed), [1, 2, 3, 4, 5]);
    consumer.done(deliveries.into_iter().chain(resumed).collect()).await.unwrap();
}

#[tokio::test]
async fn large_mail_of_an_urgent_lane_keeps_no_other_lane_from_its_share() {
    let f = Fixture::start_with(&[], |config| config.max_claim_bytes = 100_000);
    let noise = || (0..60_000).map(|_| fastrand::u8(..)).collect::<Vec<_>>();
    f.queue.enqueue((1..=20).map(|uid| job(uid, Lane::High, noise())).collect()).await.unwrap();
    f.enqueue(Lane::Normal, 101..=120).await;
    f.enqueue(Lane::Low, 201..=220).await;
    let consumer = f.consumer();
    let deliveries = consumer.claim(100).await.unwrap();
    let of = |lane| deliveries.iter().filter(|delivery| delivery.lane() == lane).count();
    // Of bytes the high lane has taken more than its share, the others have not.
    assert_eq!((of(Lane::High), of(Lane::Normal)), (2, 20));
    assert!(of(Lane::Low) >= 10, "{}", of(Lane::Low));
    consumer.done(deliveries).await.unwrap();
}

#[tokio::test]
async fn what_is_claimed_or_adopted_from_all_lanes_and_partitions_passes_the_bytes_by_a_mail_of_each_lane_at_most()
 {
    const BYTES: u64 = 200_000;
    const MAIL: u64 = 60_000;
    let f = Fixture::start_with(&[], |config| (config.partitions, config.max_claim_bytes) = (4, BYTES));
    let raw = || (0..MAIL).map(|_| fastrand::u8(..)).collect::<Vec<_>>().into();
    let mails = (1..=8u128).flat_map(|account| Lane::ALL.map(|lane| (account, lane)));
    let jobs = mails.flat_map(|(account, lane)| {
        let first = 1 + 10 * u32::try_from(lane.index()).unwrap();
        (first..first + 4).map(move |uid| (envelope(at(account, uid), 60_000), lane))
    });
    f.queue
        .enqueue(jobs.map(|(envelope, lane)| NewJob { envelope, lane, raw: raw() }).collect())
        .await
        .unwrap();
    let bytes = |deliveries: &[Delivery]| deliveries.iter().map(|it| it.raw().len() as u64).sum::<u64>();
    let consumer = f.consumer();
    let claimed = consumer.claim(100).await.unwrap();
    assert!((BYTES..=BYTES + 3 * MAIL).contains(&bytes(&claimed)), "{}", bytes(&claimed));

    f.queue.ensure_groups().await.unwrap();
    // Answers of claims from each partition are lost.
    for partition in 0..4 {
        let key = format!("mailfleet:{{email:processing:{partition}}}:low");
        let name = consumer.name();
        let _: redis::Value =
            f.redis(&format!("XREADGROUP GROUP consumers {name} COUNT 4 STREAMS {key} >")).await;
    }
    let mut left = 0;
    let patience = Patience::with("adoption");
    loop {
        patience.lasts();
        let adopted = consumer.adopt().await.unwrap();
        if adopted.is_empty() {
            break;
        }
        assert!(bytes(&adopted) <= BYTES + MAIL, "{}", bytes(&adopted));
        left += adopted.len();
        consumer.done(adopted).await.unwrap();
    }
    assert!(left >= 12, "all of them, one time after the other: {left}");
    consumer.done(claimed).await.unwrap();
}
