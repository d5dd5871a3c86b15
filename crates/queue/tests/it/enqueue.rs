//! Jobs enter their lanes once, and where their raw mail goes.

use std::time::Instant;

use mailfleet_model::{Class, Classify, Encoding, Lane};
use mailfleet_queue::{Enqueued, Failure, MAX_RAW_BYTES, Settled, State};
use mailfleet_testkit::eventually;

use crate::fixture::{Fixture, LEASE, SOON, claim_one, die_with, id, job, keys, reclaimed, uids};

#[tokio::test]
async fn the_same_job_enqueued_again_is_left_as_it_is_wherever_it_is() {
    let f = Fixture::start();
    let again = || async { f.queue.enqueue(vec![job(1, Lane::High, "mail")]).await.unwrap()[0] };
    let twice =
        f.queue.enqueue(vec![job(1, Lane::Normal, "mail"), job(1, Lane::Normal, "mail")]).await.unwrap();
    assert_eq!(twice, [Enqueued::Queued, Enqueued::AlreadyLive]);
    assert_eq!(again().await, Enqueued::AlreadyLive, "waiting");
    let consumer = f.consumer();
    let delivery = claim_one(&consumer).await;
    assert_eq!(again().await, Enqueued::AlreadyLive, "in flight");
    consumer.retry(delivery, SOON, &Failure::new(Class::Transient, "no")).await.unwrap();
    assert_eq!(again().await, Enqueued::AlreadyLive, "delayed");
    assert_eq!(f.queue.live(&[id(2), id(1)]).await.unwrap(), [false, true]);
    assert_eq!(
        f.redis::<(u64, u64)>(
            "EVAL return{redis.call('XLEN',KEYS[1]),redis.call('XLEN',KEYS[2])} 2 K:high K:normal"
        )
        .await,
        (0, 1)
    );
}

#[tokio::test]
async fn a_job_that_is_done_may_be_enqueued_again() {
    let f = Fixture::start();
    let consumer = f.consumer();
    for _ in 0..2 {
        f.enqueue(Lane::Normal, [1]).await;
        assert_eq!(consumer.done(vec![claim_one(&consumer).await]).await.unwrap(), [Settled::Done]);
        assert_eq!(f.queue.live(&[id(1)]).await.unwrap(), [false]);
    }
}

#[tokio::test]
async fn small_mail_travels_inside_its_entry_and_large_mail_beside_it_and_both_go_with_done() {
    let f = Fixture::start();
    let mut random = fastrand::Rng::with_seed(7);
    let noise: Vec<u8> = (0..50_000).map(|_| random.u8(..)).collect();
    let prose: Vec<u8> = (0..400_000).map(|_| b"the quick brown fox"[random.usize(..19)]).collect();
    let raws = [b"small".to_vec(), noise, prose, vec![b'x'; 15_000]];
    let jobs = (1..).zip(&raws).map(|(uid, raw)| job(uid, Lane::Normal, raw.clone())).collect();
    f.queue.enqueue(jobs).await.unwrap();
    // 15,000 equal bytes shrink to a few and so travel inside.
    let blobs: Vec<u64> = f.redis("EVAL return{#KEYS,redis.call('STRLEN',KEYS[1]),redis.call('STRLEN',KEYS[2]),redis.call('EXISTS',KEYS[3],KEYS[4])} 4 K:blob:m:00000000000000000000000000000001:1:7:2 K:blob:m:00000000000000000000000000000001:1:7:3 K:blob:m:00000000000000000000000000000001:1:7:1 K:blob:m:00000000000000000000000000000001:1:7:4").await;
    assert_eq!((blobs[1], blobs[3]), (50_000, 0));
    assert!((1_000..300_000).contains(&blobs[2]), "{blobs:?}");
    let consumer = f.consumer();
    let deliveries = consumer.claim(10).await.unwrap();
    let encodings: Vec<_> = deliveries.iter().map(|delivery| delivery.envelope().encoding).collect();
    assert_eq!(encodings, [Encoding::Identity, Encoding::Identity, Encoding::Zstd, Encoding::Zstd]);
    for (delivery, raw) in deliveries.iter().zip(&raws) {
        assert_eq!(delivery.raw(), raw);
        assert_eq!(delivery.envelope().flags, ["\\Seen"]);
    }
    assert!(consumer.done(deliveries).await.unwrap().iter().all(|settled| *settled == Settled::Done));
    assert!(consumer.claim(10).await.unwrap().is_empty());
    let mut left: Vec<String> = f.redis("KEYS *").await;
    left.sort();
    assert_eq!(left, [format!("{}normal", keys(f.queue.config()))]);
    assert_eq!(f.redis::<u64>("XLEN K:normal").await, 0);
}

#[tokio::test]
async fn the_low_lane_stops_first_and_a_full_lane_stops_no_other() {
    let f = Fixture::start_with(&[], |config| {
        (config.low_max_entries, config.normal_max_entries, config.high_max_entries) = (1, 2, 3);
    });
    let mut queued = [0; 3];
    for uid in 0..4 {
        for lane in Lane::ALL {
            let uid = 1 + uid * 3 + u32::try_from(lane.index()).unwrap();
            match f.queue.enqueue(vec![job(uid, lane, "mail")]).await.unwrap()[0] {
                Enqueued::Queued => queued[lane.index()] += 1,
                other => assert_eq!(other, Enqueued::LaneFull),
            }
        }
    }
    assert_eq!(queued, [3, 2, 1]);
    // What is delivered and not done counts as well; what is done makes room.
    let consumer = f.consumer();
    let deliveries = consumer.claim(10).await.unwrap();
    assert_eq!(f.queue.enqueue(vec![job(99, Lane::Low, "mail")]).await.unwrap(), [Enqueued::LaneFull]);
    consumer.done(deliveries).await.unwrap();
    assert_eq!(f.queue.enqueue(vec![job(99, Lane::Low, "mail")]).await.unwrap(), [Enqueued::Queued]);
}

#[tokio::test]
async fn at_maxmemory_enqueues_fail_as_an_outage_and_every_way_out_of_a_lane_works() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=6).await;
    f.queue
        .enqueue(vec![job(7, Lane::Normal, (0..100_000).map(|_| fastrand::u8(..)).collect::<Vec<_>>())])
        .await
        .unwrap();
    let consumer = f.consumer();
    let _: String = f.redis("CONFIG SET maxmemory 100kb").await;
    let error = f.queue.enqueue(vec![job(8, Lane::High, "mail")]).await.unwrap_err();
    assert!(error.is_outage() && error.to_string().contains("maxmemory"), "{error}");
    assert_eq!(f.queue.live(&[id(8)]).await.unwrap(), [false]);

    let mut held = consumer.claim(10).await.unwrap();
    assert_eq!(uids(&held), [1, 2, 3, 4, 5, 6, 7]);
    let failure = Failure::new(Class::Transient, "no");
    assert_eq!(
        consumer.done(vec![held.pop().unwrap(), held.pop().unwrap()]).await.unwrap(),
        [Settled::Done; 2]
    );
    assert_eq!(consumer.retry(held.pop().unwrap(), SOON, &failure).await.unwrap(), Settled::Done);
    assert_eq!(
        consumer.dead_letter(vec![(held.pop().unwrap(), "data".into())]).await.unwrap(),
        [Settled::Done]
    );
    assert_eq!(consumer.hand_back(vec![held.pop().unwrap()]).await.unwrap(), [Settled::Done]);
    assert_eq!(consumer.delay_uncounted(vec![held.pop().unwrap()], SOON).await.unwrap(), [Settled::Done]);
    let depth = f.queue.depth().await.unwrap();
    assert_eq!((depth.lane(Lane::Normal).delayed, depth.dead), (Some(2), Some(1)));
    // What is still held stays held, well beyond its lease.
    let keeper = consumer.spawn_keeper().unwrap();
    let start = Instant::now();
    eventually("two leases kept alive", SOON, || async {
        assert!(!held[0].lease_lost());
        let state = f.queue.locate(&id(1)).await.unwrap().unwrap().state;
        let alive = matches!(state, State::InFlight { idle_ms, .. } if idle_ms < 900);
        (alive && start.elapsed() > LEASE * 2).then_some(())
    })
    .await;
    drop(keeper);
    // And when its consumer dies, it is taken over.
    die_with(held);
    let other = f.consumer();
    let _keeper = other.spawn_keeper().unwrap();
    let deliveries = reclaimed(&other).await;
    assert_eq!(uids(&deliveries), [1]);
    other.done(deliveries).await.unwrap();
    consumer.leave().await.unwrap();
}

#[tokio::test]
async fn a_mail_that_is_too_large_for_the_queue_is_refused_by_name() {
    let f = Fixture::start();
    let error = f.queue.enqueue(vec![job(1, Lane::Low, vec![0; MAX_RAW_BYTES + 1])]).await.unwrap_err();
    assert_eq!(error.class(), Class::Hostile);
    assert!(error.to_string().contains(id(1).as_str()), "{error}");
}
