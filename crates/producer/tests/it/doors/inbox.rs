//! What was answered with 2xx is never lost again, whatever dies.

use std::time::Duration;

use mailfleet_model::{JobId, Lane};
use mailfleet_testkit::eventually;

use super::{SECRET, client, endpoint, event, events_queue, only_job, open, rows, section, until_live};
use crate::world::{LONG, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_committed_before_it_is_answered() {
    let world = World::without_accounts().await;
    let endpoint = endpoint(&world, "generic", SECRET).await;
    let (producer, client) = open(&world, "");
    for number in 1..=5 {
        assert_eq!(client.generic(&endpoint, &event(number)).code, 200);
        // A connection of its own sees it at once.
        assert_eq!(rows(&world), u64::from(number));
    }
    assert_eq!(client.generic(&endpoint, &event(6)).code, 200);
    producer.process.sigkill();
    assert_eq!(rows(&world), 6);
    // What did not get into the queue is brought there by the next one.
    world.redis.flushall().await;
    let next = world.producer(&section(""));
    next.until_metric("mailfleet_webhook_swept_total", 6.0).await;
    assert_eq!(events_queue(&world).depth().await.unwrap().lane(Lane::High).waiting, Some(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_redis_loses_before_any_consumer_ran_is_enqueued_again() {
    let world = World::without_accounts().await;
    let endpoint = endpoint(&world, "generic", SECRET).await;
    let (producer, client) = open(&world, "");
    assert_eq!(client.generic(&endpoint, &event(1)).code, 200);
    let (queue, job) = (events_queue(&world), only_job(&world));
    until_live(&queue, &job).await;
    world.redis.flushall().await;
    assert_eq!(queue.live(std::slice::from_ref(&job)).await.unwrap(), [false]);
    until_live(&queue, &job).await;
    producer.until_metric("mailfleet_webhook_swept_total", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_leaves_alone_what_is_applied_live_or_in_the_hands_of_an_operator() {
    let world = World::without_accounts().await;
    let endpoint = endpoint(&world, "generic", SECRET).await;
    let (producer, client) = open(&world, "");
    for number in 1..=4 {
        assert_eq!(client.generic(&endpoint, &event(number)).code, 200);
    }
    let queue = events_queue(&world);
    eventually("four jobs", LONG, || async {
        (queue.depth().await.ok()?.lane(Lane::High).waiting == Some(4)).then_some(())
    })
    .await;
    let sent = |number| format!("convert_from(body, 'UTF8') LIKE '%r{number}@%'");
    world.sql(&format!("UPDATE mailfleet.webhook_inbox SET applied = now() WHERE {}", sent(1)));
    for (number, state) in [(2, "open"), (3, "discarded")] {
        world.sql(&format!(
            "INSERT INTO mailfleet.dead_letters (job_id, lane, envelope, reason, class, error, attempts, crashes, drains, state) \
             SELECT 'e:' || id, 'high', '{{}}', 'data', 'data', 'odd', 5, 0, 0, '{state}' FROM mailfleet.webhook_inbox WHERE {}",
            sent(number)
        ));
    }
    world.redis.flushall().await;
    producer.until_metric("mailfleet_webhook_swept_total", 1.0).await;
    producer.until_metric("mailfleet_webhook_inbox_waiting", 1.0).await;
    assert_eq!(queue.depth().await.unwrap().lane(Lane::High).waiting, Some(1));
    let left = world.sql(&format!("SELECT id FROM mailfleet.webhook_inbox WHERE {}", sent(4)));
    until_live(&queue, &JobId::parse(&format!("e:{left}")).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_may_be_away_and_calls_are_taken_all_the_same() {
    let world = World::without_accounts().await;
    let endpoint = endpoint(&world, "generic", SECRET).await;
    let (producer, client) = open(&world, "");
    producer.until_ready(200).await;
    world.redis.kill();
    let begun = std::time::Instant::now();
    for number in 1..=3 {
        assert_eq!(client.generic(&endpoint, &event(number)).code, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "nobody waits for Redis: {:?}", begun.elapsed());
    assert_eq!(rows(&world), 3);
    world.redis.start_again().unwrap();
    let queue = events_queue(&world);
    eventually("three jobs", LONG, || async {
        (queue.depth().await.ok()?.lane(Lane::High).waiting == Some(3)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_enqueued_again_by_a_producer_without_a_door_too() {
    let world = World::without_accounts().await;
    let endpoint = endpoint(&world, "generic", SECRET).await;
    let (first, door) = open(&world, "");
    assert_eq!(door.generic(&endpoint, &event(1)).code, 200);
    first.process.sigterm();
    assert!(first.process.wait_exit(LONG).unwrap().success());
    world.redis.flushall().await;
    let second = world.producer("");
    until_live(&events_queue(&world), &only_job(&world)).await;
    assert!(second.process.is_running());
    drop(client(&first));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_taken_also_by_a_producer_that_starts_while_redis_is_away() {
    let world = World::without_accounts().await;
    let endpoint = endpoint(&world, "generic", SECRET).await;
    world.redis.stop().unwrap();
    let (producer, client) = open(&world, "");
    assert_eq!(client.generic(&endpoint, &event(1)).code, 200);
    assert_eq!(rows(&world), 1);
    world.redis.start_again().unwrap();
    until_live(&events_queue(&world), &only_job(&world)).await;
    producer.until_ready(200).await;
}
