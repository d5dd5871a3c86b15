//! Servers that go away and come back: it shows in readiness, it costs nothing, and the log stays readable.

use std::time::{Duration, Instant};

use mailfleet_model::{Counters, Lane};
use mailfleet_testkit::{PostgresServer, eventually};

use crate::world::{Consumer, LONG, World, mails};

#[tokio::test]
async fn readiness_follows_both_servers_and_nothing_is_counted() {
    let postgres = PostgresServer::start().unwrap();
    let mut world = World::on(&postgres).await;
    // As in real life: the keeper of a lease of a second would try, and complain, each second.
    world.lease_ms = 30_000;
    let consumer = world.consumer("");
    consumer.until_ready(200).await;
    world.enqueue(mails(1..=50)).await;
    world.until_stored(50).await;

    postgres.kill();
    let body = consumer.until_ready(503).await;
    assert!(body.contains("\"store\"") && body.contains("reach PostgreSQL"), "{body}");
    let jobs = world.enqueue(mails(51..=100)).await;
    quiet(&consumer).await;
    assert_eq!(world.queue.depth().await.unwrap().lane(Lane::Normal).waiting, Some(50), "nothing is claimed");
    postgres.start_again().unwrap();
    world.until_stored(100).await;
    consumer.until_ready(200).await;

    world.redis.stop().unwrap();
    let body = consumer.until_ready(503).await;
    assert!(body.contains("\"queue\""), "{body}");
    quiet(&consumer).await;
    world.redis.start_again().unwrap();
    world.enqueue(mails(101..=150)).await;
    world.until_stored(150).await;
    consumer.until_ready(200).await;

    postgres.stop().unwrap();
    world.redis.stop().unwrap();
    consumer.until_ready(503).await;
    quiet(&consumer).await;
    world.redis.start_again().unwrap();
    postgres.start_again().unwrap();
    world.enqueue(mails(151..=160)).await;
    world.until_stored(160).await;
    consumer.until_ready(200).await;

    world.until_empty().await;
    assert_eq!(world.queue.live(&jobs).await.unwrap(), [false; 50]);
    assert!(world.letters().await.is_empty());
    assert_eq!((consumer.processed("persisted"), consumer.processed("retried")), (160, 0));
}

#[tokio::test]
async fn work_in_hand_waits_for_postgresql_and_for_redis_and_is_settled_then() {
    let postgres = PostgresServer::start().unwrap();
    let world = World::on(&postgres).await;
    // The insert waits for the test, so that the outage finds it under way.
    world.sql("CREATE TABLE door (id integer); INSERT INTO door VALUES (1)");
    world.on_message("IF NEW.subject = 'mail 1' THEN PERFORM pg_sleep(60) FROM door; END IF;");
    let consumer = world.consumer("");
    let jobs = world.enqueue(mails(1..=5)).await;
    eventually("work in hand", LONG, || async {
        let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        (world.sql(sleeping) == "1").then_some(())
    })
    .await;
    postgres.kill();
    world.redis.stop().unwrap();
    consumer.until_ready(503).await;
    postgres.start_again().unwrap();
    world.sql("DELETE FROM door");
    // Committed while Redis is away; the entries are settled when it is back, by the same process.
    world.until_stored(5).await;
    world.redis.start_again().unwrap();
    world.until_empty().await;
    assert_eq!(world.queue.live(&jobs).await.unwrap(), [false; 5]);
    assert_eq!((consumer.processed("persisted"), consumer.processed("retried")), (5, 0));
    assert!(world.letters().await.is_empty());
    consumer.until_ready(200).await;
}

#[tokio::test]
async fn a_server_that_stands_still_is_away_and_what_was_in_hand_is_counted_nowhere() {
    let postgres = PostgresServer::start().unwrap();
    let world = World::on(&postgres).await;
    let consumer = world.consumer("");
    consumer.until_ready(200).await;
    postgres.pause().unwrap();
    let jobs = world.enqueue(mails(1..=5)).await;
    consumer.until_ready(503).await;
    for job in &jobs {
        assert_eq!(world.queue.locate(job).await.unwrap().unwrap().counters, Counters::default());
    }
    postgres.resume().unwrap();
    world.until_stored(5).await;
    world.redis.pause().unwrap();
    consumer.until_ready(503).await;
    world.redis.resume().unwrap();
    consumer.until_ready(200).await;
    world.until_empty().await;
    assert_eq!((consumer.processed("persisted"), consumer.processed("retried")), (5, 0));
}

/// Watches an outage from its beginning: who claims, who keeps leases and who listens to the doorbell each say once what
/// is wrong; apart from that there is less than a line a second.
async fn quiet(consumer: &Consumer) {
    const WATCHED: Duration = Duration::from_secs(4);
    let (mark, begun) = (consumer.0.mark(), Instant::now());
    eventually("the watch to end", LONG, || async { (begun.elapsed() >= WATCHED).then_some(()) }).await;
    let lines = consumer.0.mark() - mark;
    assert!(lines <= 4 + 3, "{lines} lines in {WATCHED:?}:\n{}", consumer.0.stderr());
    assert!(consumer.0.is_running());
}
