//! PostgreSQL and Redis away for a while: nothing is counted, nothing lost, and nobody has to do anything.

use std::time::Duration;

use mailfleet_testkit::{PostgresServer, eventually};

use crate::world::{LONG, Producer, World};

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_may_be_away_for_a_while() {
    let postgres = PostgresServer::start().unwrap();
    let world = World::on(&postgres).await;
    world.account("box", "ada", &["INBOX"], "secret").await;
    world.deliver("ada", "INBOX", "before", 3);
    let producer = world.producer("");
    world.until_waiting(3).await;
    producer.until_metric("mailfleet_sweep_seconds_count", 1.0).await;
    postgres.stop().unwrap();
    world.deliver("ada", "INBOX", "meanwhile", 3);
    producer.process.wait_for_line("cannot reach PostgreSQL", LONG).unwrap();
    eventually("not ready", LONG, || async { (producer.get("/readyz").0 == 503).then_some(()) }).await;
    postgres.start_again().unwrap();
    world.until_waiting(6).await;
    world.until_cursor(world.id("box").await, "INBOX", 6).await;
    eventually("ready again", LONG, || async { (producer.get("/readyz").0 == 200).then_some(()) }).await;
    assert!(producer.process.is_running());
    producer.process.sigterm();
    assert!(producer.process.wait_exit(LONG).unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_and_comes_back_is_waited_for() {
    let world = World::new().await;
    world.deliver("ada", "INBOX", "before", 3);
    let config = world.config("");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[queue]\n", "[queue]\nresponse_timeout_ms = 300\n")).unwrap();
    let producer = Producer::start(&config);
    world.until_waiting(3).await;
    let depth = "mailfleet_queue_entries{lane=\"low\",queue=\"email:processing\",state=\"waiting\"}";
    producer.until_metric(depth, 3.0).await;
    world.redis.pause().unwrap();
    world.deliver("ada", "INBOX", "meanwhile", 3);
    producer.process.wait_for_line("waiting, no cursor moves", LONG).unwrap();
    eventually("a depth that is not known", LONG, || async {
        producer.metric(depth).is_none().then_some(())
    })
    .await;
    world.redis.resume().unwrap();
    eventually("all six", Duration::from_secs(20), || async {
        world.queue.depth().await.ok()?;
        (world.waiting().await == 6).then_some(())
    })
    .await;
}
