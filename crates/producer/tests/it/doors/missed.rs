//! Calls whose short way into the queue failed for a moment: they are through within seconds, and do not wait for the
//! sweep's own time (an hour in these tests).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use mailfleet_model::{InboxId, JobId, Lane};
use mailfleet_queue::{ConsumerName, Queue};
use mailfleet_testkit::eventually;

use super::http::Client;
use super::{Endpoint, SECRET, client, endpoint, event, events_queue, rows, section, until_live};
use crate::world::{LONG, Producer, World};

/// Rows are let alone for five seconds, and looked at once a second.
const SECONDS: Duration = Duration::from_secs(15);
/// What a look of the sweep could not bring back.
const FAILED: &str = "mailfleet_webhook_sweep_failed_total";

/// Waits until the looks at the start are over, so that only something missed makes the next one due: Redis loses a first
/// event, which the last of the looks for that finds.
async fn after_the_first_looks(world: &World<'_>, producer: &Producer, client: &Client, endpoint: &Endpoint) {
    producer.until_ready(200).await;
    assert_eq!(client.generic(endpoint, &event(0)).code, 200);
    let (queue, job) = (events_queue(world), super::only_job(world));
    until_live(&queue, &job).await;
    world.redis.flushall().await;
    producer.until_metric("mailfleet_webhook_swept_total", 1.0).await;
    until_live(&queue, &job).await;
}

/// The job of the call with this event.
fn job(world: &World<'_>, number: u32) -> JobId {
    let sql = format!(
        "SELECT id FROM mailfleet.webhook_inbox WHERE convert_from(body, 'UTF8') LIKE '%r{number}@%'"
    );
    JobId::events(InboxId(world.sql(&sql).parse().unwrap()))
}

/// Sets how many bytes Redis may hold; 0 is without a limit.
fn limit_memory(world: &World<'_>, bytes: u64) {
    let mut redis = TcpStream::connect(("127.0.0.1", world.redis.port())).unwrap();
    redis.set_read_timeout(Some(LONG)).unwrap();
    redis.write_all(format!("CONFIG SET maxmemory {bytes}\r\nQUIT\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    redis.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "+OK\r\n+OK\r\n");
}

async fn until_live_soon(queue: &Queue, job: &JobId) {
    eventually("the job within seconds", SECONDS, || async {
        (queue.live(std::slice::from_ref(job)).await.ok()? == [true]).then_some(())
    })
    .await;
}

/// Waits until so many failures were counted: each look that fails counts all rows that it met, which may be some of them
/// first and all of them again later.
async fn until_failed(producer: &Producer, rows: f64) {
    eventually(&format!("{FAILED} of {rows} or more"), LONG, || async {
        (producer.metric(FAILED)? >= rows).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_while_redis_was_full_is_through_within_seconds_of_there_being_room() {
    let world = World::without_accounts().await;
    let endpoint = endpoint(&world, "generic", SECRET).await;
    let producer = world.producer(&section(""));
    let client = client(&producer);
    after_the_first_looks(&world, &producer, &client, &endpoint).await;
    let queue = events_queue(&world);
    limit_memory(&world, 1);
    for number in 1..=3 {
        assert_eq!(client.generic(&endpoint, &event(number)).code, 200, "nobody waits for Redis");
    }
    producer.process.wait_for_line("webhook events wait in PostgreSQL", LONG).unwrap();
    assert_eq!((rows(&world), queue.depth().await.unwrap().lane(Lane::High).waiting), (4, Some(1)));
    limit_memory(&world, 0);
    for number in 1..=3 {
        until_live_soon(&queue, &job(&world, number)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_found_the_lane_full_is_through_within_seconds_of_there_being_room() {
    let world = World::without_accounts().await;
    let endpoint = endpoint(&world, "generic", SECRET).await;
    let config = world.config(&section(""));
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[queue]\n", "[queue]\nhigh_max_entries = 2\n")).unwrap();
    let producer = Producer::start(&config);
    let client = client(&producer);
    after_the_first_looks(&world, &producer, &client, &endpoint).await;
    let queue = events_queue(&world);
    assert_eq!(client.generic(&endpoint, &event(1)).code, 200);
    until_live(&queue, &job(&world, 1)).await;
    assert_eq!(client.generic(&endpoint, &event(2)).code, 200);
    producer.process.wait_for_line("the high lane of events is full", LONG).unwrap();
    let consumer = queue.consumer(ConsumerName::for_this_process());
    let batch = consumer.claim(10).await.unwrap();
    assert_eq!(batch.len(), 2);
    assert_eq!(queue.live(&[job(&world, 2)]).await.unwrap(), [false]);
    world.sql("UPDATE mailfleet.webhook_inbox SET applied = now() WHERE convert_from(body, 'UTF8') NOT LIKE '%r2@%'");
    consumer.done(batch).await.unwrap();
    until_live_soon(&queue, &job(&world, 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_sweep_could_not_bring_back_into_a_full_lane_is_counted() {
    let world = World::without_accounts().await;
    let endpoint = endpoint(&world, "generic", SECRET).await;
    let config = world.config(&section(""));
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[queue]\n", "[queue]\nhigh_max_entries = 1\n")).unwrap();
    let producer = Producer::start(&config);
    let client = client(&producer);
    producer.until_ready(200).await;
    assert_eq!(client.generic(&endpoint, &event(1)).code, 200);
    until_live(&events_queue(&world), &job(&world, 1)).await;
    assert_eq!(producer.metric(FAILED), Some(0.0));
    for number in 2..=4 {
        assert_eq!(client.generic(&endpoint, &event(number)).code, 200);
    }
    until_failed(&producer, 3.0).await;
    assert_eq!(producer.metric("mailfleet_webhook_swept_total"), Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_sweep_could_not_bring_back_into_a_full_redis_is_counted() {
    let world = World::without_accounts().await;
    let endpoint = endpoint(&world, "generic", SECRET).await;
    let producer = world.producer(&section(""));
    let client = client(&producer);
    producer.until_ready(200).await;
    limit_memory(&world, 1);
    for number in 1..=3 {
        assert_eq!(client.generic(&endpoint, &event(number)).code, 200);
    }
    until_failed(&producer, 3.0).await;
    assert_eq!(producer.metric("mailfleet_webhook_swept_total"), Some(0.0));
}
