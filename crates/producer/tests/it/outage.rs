//! PostgreSQL and Redis away for a while: nothing is counted, nothing lost, and nobody has to do anything.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

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
    let none_dead = "mailfleet_dead_letters_open{reason=\"other\"}";
    producer.until_metric(none_dead, 0.0).await;
    postgres.stop().unwrap();
    world.deliver("ada", "INBOX", "meanwhile", 3);
    producer.process.wait_for_line("cannot reach PostgreSQL", LONG).unwrap();
    eventually("not ready", LONG, || async { (producer.get("/readyz").0 == 503).then_some(()) }).await;
    eventually("a number that is not known", LONG, || async {
        producer.metric(none_dead).is_none().then_some(())
    })
    .await;
    postgres.start_again().unwrap();
    world.until_waiting(6).await;
    world.until_cursor(world.id("box").await, "INBOX", 6).await;
    eventually("ready again", LONG, || async { (producer.get("/readyz").0 == 200).then_some(()) }).await;
    producer.until_metric(none_dead, 0.0).await;
    assert!(producer.process.is_running());
    producer.process.sigterm();
    assert!(producer.process.wait_exit(LONG).unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_that_goes_away_in_mid_fetch_costs_neither_mail_nor_session() {
    let postgres = PostgresServer::start().unwrap();
    let world = World::on(&postgres).await;
    let account = world.account("box", "ada", &["INBOX"], "secret").await;
    world.deliver("ada", "INBOX", "mail", 300);
    let producer = world.producer("batch_count = 1\n");
    eventually("work in progress", LONG, || async { (world.waiting().await >= 10).then_some(()) }).await;
    postgres.kill();
    producer.until_ready(503).await;
    assert!(world.waiting().await < 300, "it went away before the end");
    assert_eq!(
        producer.metric("mailfleet_mailbox_unaccounted_messages{account=\"box\",mailbox=\"INBOX\"}"),
        None,
        "what cannot be known is not shown"
    );
    postgres.start_again().unwrap();
    world.until_waiting(300).await;
    world.until_cursor(account, "INBOX", 300).await;
    producer.until_ready(200).await;
    producer.until_metric("mailfleet_fetched_total", 300.0).await;
    all_there_once(&world, 300).await;
    assert_eq!(producer.logged("logged in"), 1, "the session went on: {}", producer.process.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_goes_away_in_mid_fetch_costs_neither_mail_nor_session() {
    let world = World::new().await;
    world.deliver("ada", "INBOX", "mail", 300);
    let producer = world.producer("batch_count = 1\n");
    eventually("work in progress", LONG, || async { (world.waiting().await >= 10).then_some(()) }).await;
    world.redis.kill();
    producer.until_ready(503).await;
    let cursor = world.cursor(world.id("box").await, "INBOX").await;
    assert!(cursor < 300, "it went away before the end");
    world.redis.start_again().unwrap();
    world.until_waiting(300).await;
    world.until_cursor(world.id("box").await, "INBOX", 300).await;
    producer.until_ready(200).await;
    all_there_once(&world, 300).await;
    assert_eq!(producer.logged("logged in"), 1, "the session went on: {}", producer.process.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_is_away_is_told_of_once_a_second_whatever_the_number_of_accounts() {
    let world = World::without_accounts().await;
    for number in 1..=20 {
        world.account(&format!("box {number}"), "ada", &["INBOX"], "secret").await;
    }
    world.dovecot.kill();
    let producer = world.producer("");
    producer.process.wait_for_line("connecting again", LONG).unwrap();
    let begun = Instant::now();
    eventually("three lines", LONG, || async { (producer.logged("connecting again") >= 3).then_some(()) })
        .await;
    // The first was there when the clock began; two more take two seconds. One tick of slack for the test's own waits.
    assert!(begun.elapsed() >= Duration::from_millis(1_800), "{}", producer.process.stderr());
    producer.until_metric("mailfleet_accounts{state=\"connecting\"}", 20.0).await;
    world.dovecot.start_again().unwrap();
    producer.until_metric("mailfleet_accounts{state=\"connected\"}", 20.0).await;
}

/// Every mail `mail 1` to `mail <count>` is in the queue, once.
async fn all_there_once(world: &World<'_>, count: usize) {
    let subjects: BTreeSet<String> = world.drain().await.into_values().map(|(_, subject)| subject).collect();
    let expected: BTreeSet<String> = (1..=count).map(|number| format!("mail {number}")).collect();
    assert_eq!(subjects, expected);
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
