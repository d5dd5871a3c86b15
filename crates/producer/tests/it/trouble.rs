//! What a person must be told, and how the process ends.

use std::time::{Duration, Instant};

use mailfleet_testkit::{PostgresServer, Process, RedisServer, eventually};

use crate::world::{LONG, Producer, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_named_and_the_other_account_goes_on() {
    let world = World::new().await;
    world.account("broken", "eve", &["INBOX"], "wrong").await;
    world.deliver("ada", "INBOX", "hers", 1);
    let producer = world.producer("");
    let line = producer.process.wait_for_line("rejected the login of eve", LONG).unwrap();
    assert!(line.contains("check user name and password") && line.contains("broken"), "{line}");
    assert!(!line.contains("wrong"), "the password is not shown: {line}");
    world.until_waiting(1).await;
    producer.until_metric("mailfleet_accounts{state=\"auth_failed\"}", 1.0).await;
    eventually("ready all the same", LONG, || async { (producer.get("/readyz").0 == 200).then_some(()) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_mailbox_is_named_and_the_others_go_on() {
    let world = World::without_accounts().await;
    world.account("box", "ada", &["Nowhere", "INBOX"], "secret").await;
    world.deliver("ada", "INBOX", "hers", 1);
    let producer = world.producer("");
    let line = producer.process.wait_for_line("Nowhere", LONG).unwrap();
    assert!(line.contains("check the account's list of mailboxes"), "{line}");
    world.until_waiting(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_an_idle_producer_at_once() {
    let world = World::new().await;
    let producer = world.producer("idle_seconds = 110\n");
    producer.until_metric("mailfleet_sweep_seconds_count", 1.0).await;
    let begun = Instant::now();
    producer.process.sigterm();
    let status = producer.process.wait_exit(LONG).unwrap();
    assert!(status.success(), "{}", producer.process.stderr());
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_in_mid_backfill_leaves_a_cursor_that_the_next_one_takes_up() {
    let world = World::new().await;
    world.deliver("ada", "INBOX", "mail", 300);
    let producer = world.producer("batch_count = 5\n");
    eventually("work in progress", LONG, || async { (world.waiting().await > 0).then_some(()) }).await;
    producer.process.sigterm();
    assert!(producer.process.wait_exit(LONG).unwrap().success());
    let cursor = world.cursor(world.id("box").await, "INBOX").await;
    assert_eq!(u64::from(cursor), world.waiting().await, "the batch in hand was finished");
    let _producer = world.producer("");
    world.until_waiting(300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_cuts_off_a_server_that_does_not_answer() {
    let world = World::new().await;
    let producer = world.producer("[shutdown]\ndrain_seconds = 4\n");
    producer.until_metric("mailfleet_sweep_seconds_count", 1.0).await;
    world.dovecot.pause().unwrap();
    producer.process.sigterm();
    let status = producer.process.wait_exit(Duration::from_secs(6)).unwrap();
    world.dovecot.resume().unwrap();
    assert!(status.success(), "{}", producer.process.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_evicts_is_refused() {
    let world = World::new().await;
    let evicting =
        RedisServer::start_with(&[("maxmemory", "50mb"), ("maxmemory-policy", "allkeys-lru")]).unwrap();
    let config = world.config("");
    let text = std::fs::read_to_string(&config).unwrap().replace(&world.redis.url(), &evicting.url());
    std::fs::write(&config, text).unwrap();
    let producer = Producer::start(&config);
    assert_eq!(producer.process.wait_exit(LONG).unwrap().code(), Some(1));
    let line = producer.process.wait_for_line("error: ", LONG).unwrap();
    assert!(line.contains("allkeys-lru") && line.contains("maxmemory-policy noeviction"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_migrations_is_refused_with_the_remedy() {
    let world = World::new().await;
    let empty = PostgresServer::shared().fresh_database().unwrap();
    let config = world.config("");
    let text = std::fs::read_to_string(&config).unwrap();
    let old = text.lines().find(|line| line.starts_with("url = \"postgres")).unwrap().to_owned();
    std::fs::write(&config, text.replace(&old, &format!("url = \"{empty}\""))).unwrap();
    let producer = Producer::start(&config);
    assert_eq!(producer.process.wait_exit(LONG).unwrap().code(), Some(1));
    let line = producer.process.wait_for_line("error: ", LONG).unwrap();
    assert!(line.contains("mailfleet migrate"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hierarchy_table_of_another_shape_is_refused_by_column() {
    let world = World::new().await;
    world.sql("ALTER TABLE email_messages ALTER COLUMN processed TYPE text USING processed::text");
    let config = world.config("");
    let process = Process::binary("mailfleet-producer").unwrap().arg("--config").arg(config).spawn().unwrap();
    assert_eq!(process.wait_exit(LONG).unwrap().code(), Some(1));
    let line = process.wait_for_line("error: ", LONG).unwrap();
    assert!(line.contains("email_messages") && line.contains("processed"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_that_is_away_at_the_start_is_waited_for() {
    let world = World::new().await;
    let postgres = PostgresServer::start().unwrap();
    postgres.stop().unwrap();
    let config = world.config("");
    let text = std::fs::read_to_string(&config).unwrap();
    let old = text.lines().find(|line| line.starts_with("url = \"postgres")).unwrap().to_owned();
    std::fs::write(&config, text.replace(&old, &format!("url = \"{}\"", postgres.url("postgres")))).unwrap();
    let producer = Producer::start(&config);
    producer.process.wait_for_line("waiting for PostgreSQL", LONG).unwrap();
    assert_eq!(producer.get("/readyz").0, 503);
    assert!(producer.process.is_running());
    producer.process.sigterm();
    assert!(producer.process.wait_exit(LONG).unwrap().success());
}
