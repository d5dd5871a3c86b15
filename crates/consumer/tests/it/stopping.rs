//! SIGTERM: the process ends by itself within its deadline, whatever is away, and what it held runs next elsewhere.

use std::time::{Duration, Instant};

use mailfleet_model::{JobId, Lane};
use mailfleet_queue::State;
use mailfleet_testkit::{PostgresServer, Process, eventually};

use crate::world::{Consumer, LONG, World, mail, mails};

/// The drain of these tests, in seconds.
const DRAIN: u64 = 3;

fn start(world: &World<'_>) -> Consumer {
    world.consumer(&format!("[shutdown]\ndrain_seconds = {DRAIN}\n"))
}

/// SIGTERM, and a clean end before the deadline.
fn stop(consumer: &Consumer, what: &str) {
    let begun = Instant::now();
    consumer.0.sigterm();
    let status = consumer.0.wait_exit(Duration::from_secs(DRAIN + 5)).unwrap();
    // The last second is the runtime's, for tasks that nobody tracks.
    assert!(begun.elapsed() < Duration::from_secs(DRAIN + 1), "{what}: {:?}", begun.elapsed());
    assert!(status.success(), "{what}: {status}\n{}", consumer.0.stderr());
}

#[tokio::test]
async fn it_ends_within_the_deadline_whatever_is_away() {
    let postgres = PostgresServer::start().unwrap();
    let world = World::on(&postgres).await;

    let consumer = start(&world);
    consumer.until_ready(200).await;
    stop(&consumer, "idle");

    let consumer = start(&world);
    consumer.until_ready(200).await;
    postgres.stop().unwrap();
    consumer.until_ready(503).await;
    world.enqueue(mails(1..=3)).await;
    stop(&consumer, "PostgreSQL away");

    let consumer = start(&world);
    consumer.0.wait_for_line("waiting for PostgreSQL", LONG).unwrap();
    stop(&consumer, "PostgreSQL away since the start");
    postgres.start_again().unwrap();

    let consumer = start(&world);
    consumer.until_ready(200).await;
    world.until_stored(3).await;
    world.redis.stop().unwrap();
    consumer.until_ready(503).await;
    stop(&consumer, "Redis away");
    world.redis.start_again().unwrap();

    let consumer = start(&world);
    consumer.until_ready(200).await;
    world.redis.stop().unwrap();
    postgres.stop().unwrap();
    consumer.until_ready(503).await;
    stop(&consumer, "both away");
    world.redis.start_again().unwrap();
    postgres.start_again().unwrap();

    let consumer = start(&world);
    consumer.until_ready(200).await;
    world.redis.pause().unwrap();
    stop(&consumer, "Redis stands still");
    world.redis.resume().unwrap();

    let consumer = start(&world);
    consumer.0.wait_for_line("PostgreSQL answers", LONG).unwrap();
    postgres.pause().unwrap();
    let job = world.enqueue([(9, mail("mail 9", ""))]).await.remove(0);
    until_in_flight(&world, &job).await;
    stop(&consumer, "PostgreSQL stands still, with work in hand");
    assert_handed_back(&world, &job).await;
    postgres.resume().unwrap();
}

#[tokio::test]
async fn what_hangs_in_a_statement_is_handed_back_uncounted_and_runs_next() {
    let world = World::new().await;
    world.on_message("IF NEW.subject = 'slow' THEN PERFORM pg_sleep(60); END IF;");
    let consumer = start(&world);
    let job = world.enqueue([(1, mail("slow", ""))]).await.remove(0);
    until_in_flight(&world, &job).await;
    stop(&consumer, "a statement that hangs");
    assert_handed_back(&world, &job).await;
    // Nobody ends the statement for it: the server notices that its client has gone, and lets go of the locks.
    eventually(
        "the abandoned statement to end, long before its time-out of 30 s",
        Duration::from_secs(10),
        || async {
            let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
            (world.sql(asleep) == "0").then_some(())
        },
    )
    .await;
    world.sql("DROP TRIGGER act ON email_messages");
    let _other = world.consumer("");
    world.until_stored(1).await;
    world.until_empty().await;
}

#[tokio::test]
async fn drains_cost_an_entry_nothing_however_many_there_are() {
    let world = World::new().await;
    let job = world.enqueue([(1, mail("handed on", ""))]).await.remove(0);
    let victim = world.victim();
    for _ in 0..10 {
        let taken = victim.claim(10).await.unwrap();
        assert_eq!(taken.len(), 1);
        victim.hand_back(taken).await.unwrap();
    }
    let counters = world.queue.locate(&job).await.unwrap().unwrap().counters;
    assert_eq!(
        (counters.attempts, counters.crashes, counters.drains),
        (0, 0, 10),
        "more than both other budgets"
    );
    let consumer = world.consumer("");
    world.until_stored(1).await;
    world.until_empty().await;
    assert_eq!((consumer.processed("persisted"), consumer.processed("dead_lettered")), (1, 0));
}

#[tokio::test]
async fn work_in_hand_is_finished_and_the_name_goes() {
    let world = World::new().await;
    world.on_message("PERFORM pg_sleep(0.02);");
    let consumer = start(&world);
    let jobs = world.enqueue(mails(1..=40)).await;
    until_in_flight(&world, &jobs[0]).await;
    stop(&consumer, "in the middle of work");
    world.until_stored(40).await;
    world.until_empty().await;
    let names = world.redis("XINFO CONSUMERS K:normal consumers");
    assert!(!names.contains(&format!("-{}-", consumer.0.pid())), "{names}");
}

#[tokio::test]
async fn a_pool_without_room_for_the_sign_of_life_is_refused_by_name() {
    let finished = Process::binary("mailfleet-consumer")
        .unwrap()
        .arg("--check-config")
        .env("MAILFLEET_POSTGRES__URL", "postgres://x@127.0.0.1/x")
        .env("MAILFLEET_POSTGRES__POOL_SIZE", "3")
        .finish(LONG)
        .unwrap();
    assert_eq!(finished.status.code(), Some(64));
    assert!(finished.stderr.contains("postgres.pool_size") && finished.stderr.contains("consumer.workers"));
}

async fn until_in_flight(world: &World<'_>, job: &JobId) {
    eventually("the entry in a consumer's hands", LONG, || async {
        let location = world.queue.locate(job).await.unwrap()?;
        matches!(location.state, State::InFlight { .. }).then_some(())
    })
    .await;
}

async fn assert_handed_back(world: &World<'_>, job: &JobId) {
    let location = world.queue.locate(job).await.unwrap().unwrap();
    assert!(matches!(location.state, State::Waiting), "{location:?}");
    let counters = location.counters;
    assert_eq!((counters.attempts, counters.crashes, counters.drains), (0, 0, 1));
    assert_eq!(world.queue.depth().await.unwrap().lane(Lane::Normal).released, Some(1));
}
