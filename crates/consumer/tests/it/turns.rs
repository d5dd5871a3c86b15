//! A crash is put down to an entry only if nothing else of its process was at work.

use std::sync::Mutex;

use mailfleet_model::{JobId, Lane};
use mailfleet_queue::State;
use mailfleet_testkit::eventually;

use crate::rehearsal::{deadly, world};
use crate::world::{LONG, World, mail, mails};

/// Two workers, so that a batch could run beside what must run by itself.
const TWO: &str = "workers = 2\nbatch_count = 10\n";

/// Makes PostgreSQL stand still over this mail.
fn hang_on(world: &World<'_>, subject: &str) {
    world.on_message(&format!("IF NEW.subject = '{subject}' THEN PERFORM pg_sleep(60); END IF;"));
}

async fn until_it_hangs(world: &World<'_>) {
    eventually("a statement that hangs", LONG, || async {
        let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
        (world.sql(asleep) == "1").then_some(())
    })
    .await;
}

/// Waits until the consumer has renewed the lease of this entry twice: time enough to do more with it, if it did.
async fn for_some_time(world: &World<'_>, job: &JobId) {
    let seen = Mutex::new((0, 0));
    eventually("two rounds of the keeper", LONG, || async {
        let State::InFlight { idle_ms, .. } = world.queue.locate(job).await.unwrap()?.state else {
            return None;
        };
        let mut seen = seen.lock().unwrap();
        let (rounds, last) = *seen;
        *seen = (rounds + u32::from(idle_ms < last), idle_ms);
        (seen.0 >= 2).then_some(())
    })
    .await;
}

/// The crashes of a job once somebody else has taken its entry from the dead.
async fn crashes_after_reclaim(world: &World<'_>, job: &JobId) -> u32 {
    let holder = || async {
        match world.queue.locate(job).await.unwrap().unwrap().state {
            State::InFlight { consumer, .. } => Some(consumer),
            _ => None,
        }
    };
    let dead = holder().await.expect("it was in hand");
    let watcher = world.victim();
    let _keeper = watcher.spawn_keeper().unwrap();
    eventually("the entry to be taken over", LONG, || async {
        let taken = watcher.reclaim(10).await.unwrap();
        let moved = holder().await.as_ref() != Some(&dead);
        watcher.hand_back(taken).await.unwrap();
        moved.then_some(())
    })
    .await;
    world.queue.locate(job).await.unwrap().unwrap().counters.crashes
}

#[tokio::test]
async fn a_suspect_in_hand_is_not_charged_with_the_death_that_another_batch_caused() {
    let world = world().await;
    hang_on(&world, "slow");
    let suspect = deadly(&world, mail("innocent", "")).await;
    world.enqueue([(2, mail("slow", ""))]).await;
    let consumer = world.consumer(TWO);
    until_it_hangs(&world).await;
    // It is in hand and has been tried; its turn comes when the other batch is done.
    consumer.0.wait_for_line("read by a child process", LONG).unwrap();
    for_some_time(&world, &suspect).await;
    consumer.0.sigkill();
    assert!(world.subjects().is_empty());
    assert_eq!(crashes_after_reclaim(&world, &suspect).await, 0);

    world.sql("DROP TRIGGER act ON email_messages");
    let consumer = world.consumer(TWO);
    world.until_stored(2).await;
    world.until_empty().await;
    assert!(world.letters().await.is_empty());
    assert_eq!(consumer.processed("crashed"), 0);
}

#[tokio::test]
async fn a_suspect_has_its_turn_with_nothing_beside_it_and_then_a_death_is_its_own() {
    let world = world().await;
    hang_on(&world, "deadly");
    let suspect = deadly(&world, mail("deadly", "")).await;
    let consumer = world.consumer(TWO);
    until_it_hangs(&world).await;
    // Others are taken meanwhile, by both workers or by one, and wait for their turn.
    world.enqueue(mails(2..=30)).await;
    eventually("others in hand", LONG, || async {
        (world.queue.depth().await.unwrap().lane(Lane::Normal).in_flight? > 1).then_some(())
    })
    .await;
    for_some_time(&world, &suspect).await;
    consumer.0.sigkill();
    assert!(world.subjects().is_empty(), "nothing was at work beside it");
    assert_eq!(crashes_after_reclaim(&world, &suspect).await, 1);

    world.sql("DROP TRIGGER act ON email_messages");
    let _consumer = world.consumer(TWO);
    world.until_stored(30).await;
    world.until_empty().await;
    assert!(world.letters().await.is_empty());
}
