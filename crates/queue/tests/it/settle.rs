//! The ends of a delivery.

use std::time::Duration;

use mailfleet_model::{Class, JobId, Lane};
use mailfleet_queue::{Enqueued, Failure, IndexPlace, NewJob, Settled, State};
use mailfleet_testkit::eventually;

use crate::fixture::{Fixture, SOON, at, claim_one, envelope, id, job, keys, reclaimed, uids};

#[tokio::test]
async fn every_failed_attempt_is_counted_and_remembered() {
    let f = Fixture::start_with(&[], |config| config.max_attempts = 3);
    f.enqueue(Lane::High, [1]).await;
    let consumer = f.consumer();
    for attempt in 0..3 {
        let delivery =
            eventually("the entry", SOON, || async { consumer.claim(1).await.unwrap().pop() }).await;
        assert_eq!(delivery.counters().attempts, attempt);
        assert_eq!(delivery.attempts_left(), 3 - attempt);
        let told: Vec<_> = delivery.history().iter().map(|attempt| attempt.error.as_str()).collect();
        assert_eq!(told, ["error 0", "error 1", "error 2"][..attempt as usize]);
        assert!(
            delivery
                .history()
                .iter()
                .all(|a| a.worker == consumer.name().as_str() && a.class == Class::Transient)
        );
        assert!(!delivery.run_alone());
        let failure = Failure::new(Class::Transient, format!("error {attempt}"));
        consumer.retry(delivery, Duration::ZERO, &failure).await.unwrap();
    }
    let delivery = eventually("the entry", SOON, || async { consumer.claim(1).await.unwrap().pop() }).await;
    assert_eq!(delivery.attempts_left(), 0);
    consumer.dead_letter(vec![(delivery, "attempts".to_owned())]).await.unwrap();
}

#[tokio::test]
async fn a_delay_that_is_nobodys_fault_counts_nothing() {
    let f = Fixture::start();
    f.enqueue(Lane::Low, [1, 2]).await;
    let consumer = f.consumer();
    let deliveries = consumer.claim(2).await.unwrap();
    assert_eq!(consumer.delay_uncounted(deliveries, Duration::ZERO).await.unwrap(), [Settled::Done; 2]);
    let deliveries = eventually("both", SOON, || async {
        let deliveries = consumer.claim(2).await.unwrap();
        (deliveries.len() == 2).then_some(deliveries)
    })
    .await;
    assert!(deliveries.iter().all(|delivery| delivery.counters() == mailfleet_model::Counters::default()));
    consumer.done(deliveries).await.unwrap();
}

#[tokio::test]
async fn a_batch_of_several_lanes_with_and_without_raw_mail_beside_it_takes_with_it_what_is_its_own_alone() {
    let f = Fixture::start();
    let lanes = [Lane::Low, Lane::High, Lane::Normal];
    let mail = |uid: u32| {
        let lane = lanes[uid as usize % 3];
        job(uid, lane, noise(if uid.is_multiple_of(2) { 5_000 } else { 10 }))
    };
    f.queue.enqueue((1..=12).map(mail).collect()).await.unwrap();
    let consumer = f.consumer();
    let mut deliveries = consumer.claim(12).await.unwrap();
    deliveries.sort_by_key(|delivery| std::cmp::Reverse(uids(std::slice::from_ref(delivery))));
    // Two of the middle are somebody else's meanwhile: one with raw mail beside it, one without.
    let other = f.consumer();
    for uid in [7, 8] {
        let taken = deliveries.iter().find(|delivery| *delivery.job_id() == id(uid)).unwrap();
        let (lane, entry) = (format!("{:?}", taken.lane()).to_lowercase(), taken.entry_id());
        let claim = format!("XCLAIM K:{lane} consumers {} 0 {entry} JUSTID", other.name().as_str());
        let _: Vec<String> = f.redis(&claim).await;
    }
    let settled = consumer.done(deliveries).await.unwrap();
    let lost = |uid: u32| if [7, 8].contains(&uid) { Settled::LostLease } else { Settled::Done };
    assert_eq!(settled, (1..=12).rev().map(lost).collect::<Vec<_>>());
    let blobs: Vec<String> = f.redis("KEYS *blob*").await;
    assert_eq!(blobs.len(), 1, "{blobs:?}");
    assert!(blobs[0].ends_with(id(8).as_str()), "{blobs:?}");
    let all: Vec<_> = (1..=12).map(id).collect();
    let live = f.queue.live(&all).await.unwrap();
    assert_eq!(live, (1..=12).map(|uid| [7, 8].contains(&uid)).collect::<Vec<_>>());
    let depth = f.queue.depth().await.unwrap();
    // 7 in the high lane, 8 in the normal one.
    assert_eq!(Lane::ALL.map(|lane| depth.lane(lane).total()), [Some(1), Some(1), Some(0)]);
}

#[tokio::test]
async fn a_dead_letter_leaves_its_lane_for_the_index_and_a_replay_brings_it_back_once() {
    let f = Fixture::start();
    let mail = || job(1, Lane::Normal, noise(5_000));
    f.queue.enqueue(vec![mail()]).await.unwrap();
    let blobs: Vec<String> = f.redis("KEYS *blob*").await;
    assert_eq!(blobs.len(), 1);
    let consumer = f.consumer();
    let delivery = claim_one(&consumer).await;
    assert_eq!(consumer.dead_letter(vec![(delivery, "data".to_owned())]).await.unwrap(), [Settled::Done]);
    assert_eq!(f.queue.locate(&id(1)).await.unwrap().unwrap().state, State::Dead);
    assert_eq!(f.queue.live(&[id(1)]).await.unwrap(), [false]);
    let depth = f.queue.depth().await.unwrap();
    assert_eq!((depth.dead, depth.lane(Lane::Normal).total()), (Some(1), Some(0)));
    let blobs: Vec<String> = f.redis("KEYS *blob*").await;
    assert!(blobs.is_empty(), "{blobs:?}");

    assert_eq!(f.queue.replay(vec![mail()]).await.unwrap(), [Enqueued::Queued]);
    assert_eq!(f.queue.replay(vec![mail()]).await.unwrap(), [Enqueued::AlreadyLive]);
    assert_eq!(f.queue.depth().await.unwrap().dead, Some(0));
    let delivery = claim_one(&consumer).await;
    assert_eq!((delivery.counters().attempts, delivery.raw().len()), (0, 5_000));
    assert_eq!(delivery.attempts_left(), 1, "a replay's first error is its last");
    // A hand-over is no error, and does not give it more.
    consumer.hand_back(vec![delivery]).await.unwrap();
    let delivery = claim_one(&consumer).await;
    assert_eq!(delivery.attempts_left(), 1);
    consumer.done(vec![delivery]).await.unwrap();
    f.queue.enqueue(vec![mail()]).await.unwrap();
    assert_eq!(claim_one(&consumer).await.attempts_left(), 5, "another life");
}

#[tokio::test]
async fn the_index_of_dead_letters_is_rebuilt_from_what_postgresql_knows() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, [1]).await;
    let letters: Vec<_> = (1..=3).map(|uid| (id(uid), Lane::Low, "data".to_owned())).collect();
    assert_eq!(f.queue.rebuild_dead_index(&letters).await.unwrap(), 2, "job 1 lives");
    assert_eq!(f.queue.rebuild_dead_index(&letters).await.unwrap(), 0);
    assert_eq!(f.queue.forget_dead(&[id(1), id(2), id(9)]).await.unwrap(), 1);
    assert_eq!(f.queue.depth().await.unwrap().dead, Some(1));
    assert_eq!(f.queue.live(&[id(1)]).await.unwrap(), [true]);
    assert!(f.queue.locate(&id(2)).await.unwrap().is_none());
    // The stream alone is lost, by somebody's hands: its lines are made again, and those of jobs that live are not.
    assert_eq!(f.queue.rebuild_dead_index(&letters).await.unwrap(), 1, "job 2 was forgotten");
    let _: u64 = f.redis("DEL K:dead").await;
    assert_eq!(f.queue.rebuild_dead_index(&letters).await.unwrap(), 2);
    assert_eq!(f.queue.rebuild_dead_index(&letters).await.unwrap(), 0);
    assert_eq!(f.queue.depth().await.unwrap().dead, Some(2));
    assert_eq!(f.queue.forget_dead(&[id(2), id(3)]).await.unwrap(), 2);
    assert_eq!(f.queue.depth().await.unwrap().dead, Some(0));
}

#[tokio::test]
async fn lines_of_the_index_are_read_page_by_page_and_only_those_that_still_stand_are_forgotten() {
    let f = Fixture::start_with(&[], |config| config.partitions = 3);
    let letters: Vec<_> = (1..=9).map(|uid| (id_of(uid), Lane::Low, "data".to_owned())).collect();
    assert_eq!(f.queue.rebuild_dead_index(&letters).await.unwrap(), 9);
    // What an earlier version put there as it was stands there too.
    let _: String = f.redis("XADD K:dead * note hello").await;
    let not_text = b"\xff\xfe".as_slice();
    let mut command = redis::cmd("EVAL");
    command.arg("return redis.call('XADD',KEYS[1],'*',ARGV[1],ARGV[1],'j',ARGV[1])").arg(1);
    command.arg(format!("{}dead", keys(f.queue.config()))).arg(not_text);
    let _: String = command.query_async(&mut f.redis.connection().await).await.unwrap();
    let (mut lines, mut place) = (Vec::new(), Some(IndexPlace::default()));
    while let Some(from) = place {
        let (page, next) = f.queue.index_page(&from, 2).await.unwrap();
        assert!(page.len() <= 2 && lines.len() < 1_000);
        lines.extend(page);
        place = next;
    }
    let mut jobs: Vec<_> = lines.iter().map(|line| line.job.clone()).collect();
    jobs.sort();
    assert_eq!(jobs, (1..=9).map(id_of).collect::<Vec<_>>());

    // One lives again, one has died again since.
    let again = |account: u32| NewJob {
        envelope: envelope(at(account.into(), 1), 3),
        lane: Lane::Low,
        raw: "raw".into(),
    };
    f.queue.replay(vec![again(1), again(2)]).await.unwrap();
    let consumer = f.consumer();
    let (again_dead, alive): (Vec<_>, Vec<_>) =
        consumer.claim(10).await.unwrap().into_iter().partition(|delivery| *delivery.job_id() == id_of(1));
    consumer
        .dead_letter(again_dead.into_iter().map(|delivery| (delivery, "again".to_owned())).collect())
        .await
        .unwrap();
    assert_eq!(f.queue.forget_lines(&lines).await.unwrap(), 7);
    assert_eq!(f.queue.forget_lines(&lines).await.unwrap(), 0);
    assert_eq!(f.queue.locate(&id_of(1)).await.unwrap().unwrap().state, State::Dead);
    assert_eq!(f.queue.live(&[id_of(2)]).await.unwrap(), [true]);
    consumer.done(alive).await.unwrap();
}

/// Bytes that do not pack: so many of them lie beside their entry.
fn noise(len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..len).map(|_| random.u8(..)).collect()
}

/// A job of the account of this number, so that the jobs are in several partitions.
fn id_of(account: u32) -> JobId {
    JobId::mail(&at(u128::from(account), 1))
}

#[tokio::test]
async fn a_delivery_dropped_without_being_settled_runs_again_alone_after_its_lease() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, [1]).await;
    let consumer = f.consumer();
    let _keeper = consumer.spawn_keeper().unwrap();
    drop(claim_one(&consumer).await);
    assert_eq!(consumer.held(), 0);
    assert!(consumer.adopt().await.unwrap().is_empty(), "its handler gave up on it: that is no lost answer");
    let deliveries = reclaimed(&consumer).await;
    assert_eq!(uids(&deliveries), [1]);
    assert!(deliveries[0].run_alone() && deliveries[0].counters().crashes == 0);
    consumer.done(deliveries).await.unwrap();
}

#[tokio::test]
async fn an_error_gives_the_deliveries_back_and_they_can_be_settled_later() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=3).await;
    let consumer = f.consumer();
    let deliveries = consumer.claim(3).await.unwrap();
    f.redis.stop().unwrap();
    let (error, deliveries) = consumer.done(deliveries).await.unwrap_err();
    assert!(error.is_outage(), "{error}");
    assert_eq!((uids(&deliveries), consumer.held()), (vec![1, 2, 3], 3));
    f.start_again().await;
    assert_eq!(consumer.done(deliveries).await.unwrap(), [Settled::Done; 3]);
    assert_eq!(consumer.held(), 0);
}

#[tokio::test]
async fn who_leaves_hands_back_what_it_holds_and_takes_its_name_along() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=3).await;
    f.enqueue(Lane::Low, 4..=5).await;
    let (leaving, other) = (f.consumer(), f.consumer());
    let held = leaving.claim(4).await.unwrap();
    // A claim whose answer never arrived.
    let name = leaving.name().to_string();
    let _: redis::Value =
        f.redis(&format!("XREADGROUP GROUP consumers {name} COUNT 1 STREAMS K:low >")).await;
    leaving.leave().await.unwrap();
    assert!(held.iter().all(mailfleet_queue::Delivery::lease_lost));
    assert_eq!(leaving.done(held).await.unwrap(), [Settled::LostLease; 4]);
    assert!(leaving.claim(10).await.unwrap().is_empty());
    let consumers: redis::Value = f.redis("XINFO CONSUMERS K:normal consumers").await;
    assert!(!format!("{consumers:?}").contains(&name), "{consumers:?}");
    let deliveries = other.claim(10).await.unwrap();
    assert_eq!(uids(&deliveries).len(), 5);
    assert!(deliveries.iter().all(|delivery| !delivery.run_alone() && delivery.counters().crashes == 0));
    assert_eq!(deliveries.iter().filter(|delivery| delivery.counters().drains == 1).count(), 4);
    other.done(deliveries).await.unwrap();
}
