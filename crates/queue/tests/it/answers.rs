//! What the queue says about itself.

use std::time::Duration;

use mailfleet_model::{Class, Classify, Lane, Secret};
use mailfleet_queue::{Failure, LaneDepth, Memory, Oldest, Queue, Refuses, State};
use mailfleet_testkit::eventually;

use crate::fixture::{Fixture, SOON, claim_one, config, die_with, id};

#[tokio::test]
async fn the_depth_says_how_much_of_everything_there_is() {
    let f = Fixture::start();
    let empty = f.queue.depth().await.unwrap();
    let zero = LaneDepth {
        waiting: Some(0),
        in_flight: Some(0),
        delayed: Some(0),
        released: Some(0),
        oldest: Oldest { waiting: Some(0), in_flight: Some(0), delayed: Some(0), released: Some(0) },
        bytes: Some(0),
        paused: Some(false),
        refuses: Some(Refuses::default()),
        dead: Some(0),
    };
    assert_eq!(
        (empty.lanes, empty.dead, empty.due, empty.closed),
        ([zero; 3], Some(0), Some(0), Some(false))
    );
    assert_eq!(empty.backlog(), Some(0), "known to be nothing");

    f.enqueue(Lane::Normal, 1..=10).await;
    let consumer = f.consumer();
    let mut held = consumer.claim(6).await.unwrap();
    consumer.retry(held.pop().unwrap(), SOON, &Failure::new(Class::Transient, "no")).await.unwrap();
    consumer.hand_back(vec![held.pop().unwrap(), held.pop().unwrap()]).await.unwrap();
    consumer.dead_letter(vec![(held.pop().unwrap(), "data".to_owned())]).await.unwrap();
    let depth = eventually("some age", SOON, || async {
        let depth = f.queue.depth().await.unwrap();
        (depth.lane(Lane::Normal).oldest_age_ms() >= Some(50)).then_some(depth)
    })
    .await;
    let normal = depth.lane(Lane::Normal);
    assert_eq!(
        (normal.waiting, normal.in_flight, normal.delayed, normal.released, normal.total(), depth.dead),
        (Some(4), Some(2), Some(1), Some(2), Some(9), Some(1))
    );
    consumer.done(held).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_known_is_unknown_and_not_zero() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=2).await;
    let held = f.consumer().claim(2).await.unwrap();
    // Deleted by hand although pending: fewer entries than pending ones, so the unread ones cannot be told.
    let _: u64 = f.redis(&format!("XDEL K:normal {}", held[0].entry_id())).await;
    let _: u64 = f.redis("DEL K:low").await;
    let _: String = f.redis("SET K:low rubbish").await;
    let depth = f.queue.depth().await.unwrap();
    let nothing = LaneDepth { paused: Some(false), dead: Some(0), ..LaneDepth::default() };
    assert_eq!(depth.lane(Lane::Low), &nothing);
    assert_eq!((depth.lane(Lane::Normal).waiting, depth.backlog()), (None, None));
    assert_eq!(depth.lane(Lane::High).waiting, Some(0));
    let error = f.consumer().claim(1).await.unwrap_err();
    assert_eq!(error.class(), Class::Fault, "{error}");
    die_with(held);
}

#[tokio::test]
async fn a_job_is_located_wherever_it_is() {
    let f = Fixture::start();
    let state = || async { f.queue.locate(&id(1)).await.unwrap().map(|location| location.state) };
    assert_eq!(state().await, None);
    f.enqueue(Lane::High, [1]).await;
    assert_eq!(state().await, Some(State::Waiting));
    let consumer = f.consumer();
    let delivery = claim_one(&consumer).await;
    let in_flight = f.queue.locate(&id(1)).await.unwrap().unwrap();
    assert!(
        matches!(in_flight.state, State::InFlight { consumer: name, idle_ms } if name == consumer.name().as_str() && idle_ms < 5_000)
    );
    assert_eq!((in_flight.lane, in_flight.entry_id.as_str()), (Lane::High, delivery.entry_id()));
    consumer.retry(delivery, SOON, &Failure::new(Class::Transient, "no luck")).await.unwrap();
    let delayed = f.queue.locate(&id(1)).await.unwrap().unwrap();
    assert!(matches!(delayed.state, State::Delayed { due_ms } if due_ms > 1_000_000_000_000));
    assert_eq!((delayed.counters.attempts, delayed.history[0].error.as_str()), (1, "no luck"));
    let _: u64 = f.redis(&format!("ZADD K:delayed 1 h:{}", delayed.entry_id)).await;
    let delivery = claim_one(&consumer).await;
    consumer.hand_back(vec![delivery]).await.unwrap();
    assert_eq!(state().await, Some(State::Waiting));
    let delivery = claim_one(&consumer).await;
    consumer.dead_letter(vec![(delivery, "data".to_owned())]).await.unwrap();
    assert_eq!(state().await, Some(State::Dead));
}

#[tokio::test]
async fn the_server_is_asked_without_config_and_a_refusal_is_no_error() {
    let f = Fixture::start_with(&[("maxmemory", "64mb")], |_| {});
    let open = f.queue.server_info().await.unwrap();
    assert_eq!(open.maxmemory_policy.as_deref(), Some("noeviction"));
    assert_eq!(
        (open.maxmemory_bytes, open.append_only, open.role.as_deref()),
        (Some(64 << 20), Some(true), Some("master"))
    );
    assert!(open.version.unwrap().split('.').count() == 3 && open.run_id.is_some());

    let _: String = f.redis("ACL SETUSER fleet on >pw ~* &* +@all -config -info").await;
    let url = f.redis.url().replace("redis://", "redis://fleet:pw@");
    let queue =
        Queue::connect(&mailfleet_queue::Config { url: Secret::new(url), ..config(String::new()) }).unwrap();
    let hidden = queue.server_info().await.unwrap();
    assert_eq!((hidden.version, hidden.maxmemory_policy), (None, None));
    assert_eq!(queue.memory().await.unwrap(), Memory::default());
}

#[tokio::test]
async fn the_memory_is_told_with_its_limit_where_there_is_one() {
    let f = Fixture::start_with(&[("maxmemory", "64mb")], |_| {});
    let memory = f.queue.memory().await.unwrap();
    assert!(memory.used_bytes.is_some_and(|used| used > 0), "{memory:?}");
    assert_eq!(memory.max_bytes, Some(64 << 20));
    let _: Vec<String> = f.everywhere("CONFIG SET maxmemory 0");
    assert_eq!(f.queue.memory().await.unwrap().max_bytes, None, "no limit is none, not zero");
}

#[tokio::test]
async fn the_doorbell_wakes_an_idle_consumer_at_once() {
    let f = Fixture::start();
    let consumer = f.consumer();
    // The first wait ends when the listener is there.
    consumer.wait(SOON).await;
    for uid in 1..=3 {
        let start = std::time::Instant::now();
        let ((), ()) = tokio::join!(consumer.wait(SOON), f.enqueue(Lane::Normal, [uid]));
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        let delivery = claim_one(&consumer).await;
        consumer.done(vec![delivery]).await.unwrap();
    }
    let start = std::time::Instant::now();
    consumer.wait(Duration::from_millis(50)).await;
    assert!(start.elapsed() >= Duration::from_millis(50), "no work, no ring");
}

#[tokio::test]
async fn a_due_time_that_outlived_its_group_is_not_believed() {
    let f = Fixture::start();
    let consumer = f.consumer();
    f.enqueue(Lane::Normal, [1, 2]).await;
    f.enqueue(Lane::Low, [3]).await;
    let all = consumer.claim(3).await.unwrap();
    assert_eq!(all.len(), 3);
    consumer.delay_uncounted(all, Duration::ZERO).await.unwrap();
    let state = |uid| {
        let queue = &f.queue;
        async move { queue.locate(&id(uid)).await.unwrap().unwrap().state }
    };
    assert!(matches!(state(1).await, State::Delayed { .. }));
    assert_eq!(f.queue.depth().await.unwrap().due, Some(3));
    let _: u64 = f.redis("XGROUP DESTROY K:normal consumers").await;
    assert_eq!((state(1).await, state(2).await), (State::Waiting, State::Waiting));
    assert!(matches!(state(3).await, State::Delayed { .. }));
    let depth = f.queue.depth().await.unwrap();
    assert_eq!((depth.due, depth.backlog()), (Some(1), Some(3)));
    // Taken anew: the line of the delayed set still stands where no claim has met it.
    let _: String = f.redis("XGROUP CREATE K:normal consumers 0").await;
    let _: redis::Value = f.redis("XREADGROUP GROUP consumers somebody COUNT 1 STREAMS K:normal >").await;
    assert!(matches!(state(1).await, State::InFlight { consumer, .. } if consumer == "somebody"));
}
