//! Operators pause lanes and close queues: what that holds back, what goes on, and who hears of it how soon.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use mailfleet_model::{Class, JobId, Lane};
use mailfleet_queue::{
    Config, Consumer, ConsumerName, Enqueued, Failure, NewJob, Pause, Paused, Queue, State,
};
use mailfleet_testkit::eventually;

use crate::fixture::{Fixture, SOON, at, claim_one, die_with, envelope, id, job, uids};

#[tokio::test]
async fn a_paused_lane_gives_nothing_new_while_what_is_in_hand_is_finished_and_enqueues_go_on() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=4).await;
    let consumer = f.consumer();
    let mut held = consumer.claim(3).await.unwrap();
    f.queue.pause(Some(Lane::Normal), "alice", "a bad\nrelease").await.unwrap();
    f.enqueue(Lane::Normal, [5]).await;
    f.enqueue(Lane::Low, [11]).await;

    let others = consumer.claim(10).await.unwrap();
    assert_eq!(uids(&others), [11], "the other lanes go on");
    let failure = Failure::new(Class::Transient, "no");
    consumer.retry(held.pop().unwrap(), Duration::ZERO, &failure).await.unwrap();
    consumer.hand_back(vec![held.pop().unwrap()]).await.unwrap();
    consumer.done(held.into_iter().chain(others).collect()).await.unwrap();
    eventually("the retry to be ripe", SOON, || async {
        assert!(consumer.claim(10).await.unwrap().is_empty(), "not even what fell due or was handed back");
        (f.queue.locate(&id(3)).await.unwrap().unwrap().state == State::Waiting).then_some(())
    })
    .await;
    let depth = f.queue.depth().await.unwrap();
    let normal = depth.lane(Lane::Normal);
    assert_eq!((normal.waiting, normal.released, normal.paused), (Some(2), Some(2), Some(true)));
    assert_eq!((depth.lane(Lane::Low).paused, depth.backlog()), (Some(false), Some(0)));

    assert!(f.queue.resume(None).await.unwrap());
    let rest = consumer.claim(10).await.unwrap();
    assert_eq!(uids(&rest), [2, 3, 4, 5]);
    consumer.done(rest).await.unwrap();
}

#[tokio::test]
async fn who_paused_what_and_why_is_told_by_the_queue_and_by_each_job_of_the_lane() {
    let f = Fixture::start();
    assert_eq!(f.queue.paused().await.unwrap(), Paused::default());
    f.enqueue(Lane::Normal, [1]).await;
    f.enqueue(Lane::Low, [2]).await;
    f.queue.pause(Some(Lane::Low), "alice@host", " a bad\nrelease ").await.unwrap();
    let paused = f.queue.paused().await.unwrap();
    let pause = paused.lane(Lane::Low).unwrap();
    assert_eq!((pause.by.as_deref(), pause.reason.as_deref()), (Some("alice@host"), Some("a bad release")));
    assert!(pause.at_ms.unwrap() > 1_700_000_000_000, "{pause:?}");
    assert_eq!(
        (paused.lane(Lane::High), paused.lane(Lane::Normal), paused.closed.as_ref()),
        (None, None, None)
    );
    // Each partition has its own time of it.
    let of_its_job = f.queue.locate(&id(2)).await.unwrap().unwrap().paused.unwrap();
    assert_eq!((&of_its_job.by, &of_its_job.reason), (&pause.by, &pause.reason));
    assert!(of_its_job.at_ms.unwrap().abs_diff(pause.at_ms.unwrap()) < 1_000, "{of_its_job:?}");
    assert_eq!(f.queue.locate(&id(1)).await.unwrap().unwrap().paused, None);
    // Written by hand: a pause all the same, of which nothing is known.
    let _: u64 = f.redis("HSET K:paused high 1").await;
    assert_eq!(f.queue.paused().await.unwrap().lane(Lane::High), Some(&Pause::default()));
}

#[tokio::test]
async fn of_lanes_that_were_paused_together_one_can_be_resumed_and_the_others_stay() {
    let f = Fixture::start();
    f.queue.pause(None, "alice", "").await.unwrap();
    let before = f.queue.paused().await.unwrap();
    assert!(Lane::ALL.iter().all(|lane| before.lane(*lane).unwrap().reason.is_none()));
    assert!(f.queue.resume(Some(Lane::Normal)).await.unwrap());
    let after = f.queue.paused().await.unwrap();
    assert_eq!((after.lane(Lane::High), after.lane(Lane::Normal)), (before.lane(Lane::High), None));
    assert_eq!(after.lane(Lane::Low), before.lane(Lane::Low), "by whom and since when as before");
    assert!(!f.queue.resume(Some(Lane::Normal)).await.unwrap(), "it was not paused any more");
    assert!(f.queue.resume(None).await.unwrap());
    assert!(f.queue.paused().await.unwrap().is_nothing());
}

#[tokio::test]
async fn consumers_that_poll_stop_within_a_second_and_a_resume_wakes_the_idle_at_once() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=2).await;
    let consumer = f.consumer();
    consumer.wait(SOON).await;
    f.queue.pause(Some(Lane::Normal), "alice", "").await.unwrap();
    assert!(consumer.claim(10).await.unwrap().is_empty(), "the very next claim heeds it");
    // Rings from before (of the enqueue) are heard first.
    eventually("silence", SOON, || async {
        let start = Instant::now();
        consumer.wait(Duration::from_millis(50)).await;
        (start.elapsed() >= Duration::from_millis(50)).then_some(())
    })
    .await;
    let start = Instant::now();
    let ((), resumed) = tokio::join!(consumer.wait(SOON), f.queue.resume(None));
    assert!(resumed.unwrap() && start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(uids(&consumer.claim(10).await.unwrap()), [1, 2]);
}

#[tokio::test]
async fn a_dead_consumers_entry_of_a_paused_lane_waits_and_one_of_its_own_unanswered_claim_does_not() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=2).await;
    let (dead, living) = (f.consumer(), f.consumer());
    let _keeper = living.spawn_keeper().unwrap();
    die_with(dead.claim(1).await.unwrap());
    // Claimed, and the answer was lost.
    let _: redis::Value =
        f.redis(&format!("XREADGROUP GROUP consumers {} COUNT 1 STREAMS K:normal >", living.name())).await;
    f.queue.pause(None, "alice", "").await.unwrap();
    let adopted = living.adopt().await.unwrap();
    assert_eq!(uids(&adopted), [2], "it is in hand");
    living.done(adopted).await.unwrap();
    eventually("the lease to run out", SOON, || async {
        assert!(living.reclaim(10).await.unwrap().is_empty(), "to run it again would be to begin");
        assert!(living.claim(10).await.unwrap().is_empty());
        (f.queue.locate(&id(1)).await.unwrap().unwrap().state == State::Waiting).then_some(())
    })
    .await;
    f.queue.resume(None).await.unwrap();
    let delivery = claim_one(&living).await;
    assert!(delivery.run_alone() && delivery.counters().crashes == 0);
    living.done(vec![delivery]).await.unwrap();
}

#[tokio::test]
async fn a_closed_queue_takes_nothing_and_is_emptied_even_at_maxmemory() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=2).await;
    let _: String = f.redis("CONFIG SET maxmemory 100kb").await;
    f.queue.close("alice", "other partitions").await.unwrap();
    f.queue.pause(Some(Lane::High), "alice", "").await.unwrap();
    let _: String = f.redis("CONFIG SET maxmemory 0").await;
    assert_eq!(f.queue.paused().await.unwrap().closed.unwrap().by.as_deref(), Some("alice"));
    let answers =
        f.queue.enqueue(vec![job(1, Lane::Normal, "mail"), job(3, Lane::High, "mail")]).await.unwrap();
    assert_eq!(answers, [Enqueued::AlreadyLive, Enqueued::Closed]);
    assert!(answers[0].is_in() && !answers[1].is_in());
    let consumer = f.consumer();
    let mut held = consumer.claim(10).await.unwrap();
    consumer.dead_letter(vec![(held.pop().unwrap(), "data".to_owned())]).await.unwrap();
    consumer.done(held).await.unwrap();
    let depth = f.queue.depth().await.unwrap();
    assert_eq!((depth.lane(Lane::Normal).total(), depth.closed), (Some(0), Some(true)));
    let replay = || f.queue.replay(vec![job(2, Lane::Normal, "mail")]);
    assert_eq!(replay().await.unwrap(), [Enqueued::Closed]);
    assert_eq!(f.queue.locate(&id(2)).await.unwrap().unwrap().state, State::Dead, "and stays what it was");
    assert!(f.queue.resume(None).await.unwrap());
    assert_eq!(replay().await.unwrap(), [Enqueued::Queued]);
}

/// Five mails of each account, to be enqueued.
fn mails(accounts: RangeInclusive<u128>) -> Vec<NewJob> {
    let all = accounts.flat_map(|account| (1..=5).map(move |uid| at(account, uid)));
    all.map(|at| NewJob { envelope: envelope(at, 4), lane: Lane::Normal, raw: "mail".into() }).collect()
}

/// Works until the queue is empty, and says what it did.
async fn empty(queue: &Queue, consumer: &Consumer) -> Vec<JobId> {
    let done = RefCell::new(Vec::new());
    eventually("the queue to be empty", SOON, || async {
        let some = consumer.claim(10).await.unwrap();
        done.borrow_mut().extend(some.iter().map(|delivery| delivery.job_id().clone()));
        consumer.done(some).await.unwrap();
        let depth = queue.depth().await.unwrap();
        Lane::ALL.into_iter().all(|lane| depth.lane(lane).total() == Some(0)).then_some(())
    })
    .await;
    done.into_inner()
}

#[tokio::test]
async fn partitions_are_changed_by_a_drain_and_no_job_is_lost_or_doubled() {
    let f = Fixture::start_with(&[], |config| config.partitions = 1);
    f.queue.enqueue(mails(1..=6)).await.unwrap();
    let consumer = f.consumer();
    let mut held = consumer.claim(3).await.unwrap();
    // One is on its way to a retry when the drain begins, others are in hand.
    let failure = Failure::new(Class::Transient, "no");
    consumer.retry(held.pop().unwrap(), Duration::from_millis(300), &failure).await.unwrap();
    f.queue.close("alice", "3 partitions").await.unwrap();
    // Producers go on offering; all of it is refused and stays in its mailboxes.
    let later = f.queue.enqueue(mails(7..=9)).await.unwrap();
    assert!(later.iter().all(|answer| *answer == Enqueued::Closed), "{later:?}");
    let mut done: Vec<JobId> = held.iter().map(|delivery| delivery.job_id().clone()).collect();
    consumer.done(held).await.unwrap();
    done.extend(empty(&f.queue, &consumer).await);
    consumer.leave().await.unwrap();

    // All programs are started again with three partitions, and the queue is opened.
    let three = Queue::connect(&Config { partitions: 3, ..f.queue.config().clone() }).unwrap();
    assert!(three.paused().await.unwrap().closed.is_some(), "a program that comes early finds it closed");
    three.resume(None).await.unwrap();
    let later = three.enqueue(mails(7..=9)).await.unwrap();
    assert!(later.iter().all(|answer| *answer == Enqueued::Queued), "{later:?}");
    let partitions: Vec<Vec<String>> = f.everywhere("KEYS mailfleet:{email:processing:*}:normal");
    assert_eq!(partitions.concat().len(), 3, "{partitions:?}");
    let consumer = three.consumer(ConsumerName::for_this_process());
    done.extend(empty(&three, &consumer).await);
    done.sort();
    let mut all: Vec<JobId> = mails(1..=9).iter().map(NewJob::job_id).collect();
    all.sort();
    assert_eq!(done, all);
}
