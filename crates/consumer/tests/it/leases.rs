//! What runs elsewhere is given up here, in the middle of whatever it waits for.

use std::time::Duration;

use mailfleet_model::Lane;
use mailfleet_testkit::eventually;

use crate::world::{Consumer, LONG, World, mail, mails};

/// One worker: as long as it hangs nothing goes on.
const ONE: &str = "workers = 1\n";

/// Long enough for a busy machine: the keeper asks every third of a lease, and the server looks after its clients each
/// second. By itself the statement would end after 30 s, and a wait never.
const SOON: Duration = Duration::from_secs(15);

/// Waits until so many statements of this world's database stand still.
async fn until_asleep(world: &World<'_>, count: u32, within: Duration) {
    eventually(&format!("{count} statements that hang"), within, || async {
        let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
        (world.sql(asleep) == count.to_string()).then_some(())
    })
    .await;
}

async fn until_lost(consumer: &Consumer, count: u64, within: Duration) {
    eventually(&format!("{count} lost leases to be heeded"), within, || async {
        (consumer.processed("lease_lost") == count).then_some(())
    })
    .await;
}

/// Takes an entry from whoever holds it, as if somebody else had put it aside: nobody runs it again.
fn take_away(world: &World<'_>, uid: u32) {
    let pending = world.redis("XPENDING K:normal consumers - + 100");
    let ids: Vec<&str> = pending.lines().map(str::trim).filter(|line| is_entry_id(line)).collect();
    // They were enqueued in the order of their UIDs.
    let id = ids[usize::try_from(uid).unwrap() - 1];
    world.redis(&format!("XCLAIM K:normal consumers delayed 0 {id} IDLE 86400000 JUSTID"));
}

fn is_entry_id(word: &str) -> bool {
    word.split_once('-').is_some_and(|(ms, n)| {
        [ms, n].iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

#[tokio::test]
async fn a_statement_under_way_is_given_up_when_the_leases_are_lost_and_the_worker_goes_on() {
    let world = World::new().await;
    world.on_message("IF NEW.subject = 'mail 2' THEN PERFORM pg_sleep(60); END IF;");
    let consumer = world.consumer(ONE);
    consumer.until_ready(200).await;
    world.enqueue(mails(1..=3)).await;
    until_asleep(&world, 1, LONG).await;

    world.redis("FLUSHALL");
    until_asleep(&world, 0, SOON).await;
    until_lost(&consumer, 3, SOON).await;
    world.enqueue(mails(11..=13)).await;
    world.until_stored(3).await;
    assert_eq!(world.subjects(), ["mail 11", "mail 12", "mail 13"], "nothing of what was given up");
    assert_eq!(world.sql("SELECT count(*) FROM mailfleet.mailbox_messages"), "3");

    world.sql("DROP TRIGGER act ON email_messages");
    world.enqueue(mails(1..=3)).await;
    world.until_stored(6).await;
    world.until_empty().await;
    assert!(world.letters().await.is_empty());
    assert_eq!(
        [consumer.processed("persisted"), consumer.processed("retried"), consumer.processed("put_off")],
        [6, 0, 0]
    );
    consumer.until_ready(200).await;
}

#[tokio::test]
async fn what_waits_for_postgresql_is_given_up_as_well() {
    let world = World::new().await;
    let consumer = world.consumer(ONE);
    world.enqueue([(9, mail("mail 9", ""))]).await;
    world.until_stored(1).await;
    world.until_empty().await;
    world.on_message("RAISE 'the trigger is broken' USING ERRCODE = '42P01';");
    // Whoever has met that waits until the schema is whole, for however long it takes.
    world.sql("ALTER TABLE attachments RENAME TO mislaid");
    world.enqueue(mails(1..=3)).await;
    consumer.until_ready(503).await;
    eventually("all of them in hand", LONG, || async {
        (world.queue.depth().await.ok()?.lane(Lane::Normal).in_flight == Some(3)).then_some(())
    })
    .await;
    for uid in 1..=3 {
        take_away(&world, uid);
    }
    until_lost(&consumer, 3, SOON).await;
    assert_eq!(consumer.get("/readyz").0, 503, "nobody has mended it");
    assert_eq!((consumer.processed("retried"), consumer.processed("put_off")), (0, 0));
}

#[tokio::test]
async fn of_rows_that_are_written_one_by_one_those_that_were_lost_meanwhile_are_left_out() {
    let world = World::new().await;
    world.sql("CREATE TABLE door (id integer); INSERT INTO door VALUES (1); CREATE SEQUENCE tried");
    // Together they fail, however often that is tried; then the first of them waits at the door.
    world.on_message(
        "IF NEW.subject = 'mail 1' AND nextval('tried') <= 5 THEN RAISE 'not together' USING ERRCODE = '55P03'; END IF; \
         WHILE NEW.subject = 'mail 1' AND EXISTS (SELECT FROM door) LOOP PERFORM pg_sleep(0.05); END LOOP;",
    );
    let consumer = world.consumer(ONE);
    consumer.until_ready(200).await;
    world.enqueue(mails(1..=3)).await;
    consumer.0.wait_for_line("each entry is tried alone", LONG).unwrap();
    take_away(&world, 2);
    consumer.0.wait_for_line("leases were lost", LONG).unwrap();
    world.sql("DELETE FROM door");
    world.until_stored(2).await;
    until_lost(&consumer, 1, LONG).await;
    assert_eq!(world.subjects(), ["mail 1", "mail 3"], "the second one is another's");
    assert_eq!((consumer.processed("persisted"), consumer.processed("retried")), (2, 0));
}
