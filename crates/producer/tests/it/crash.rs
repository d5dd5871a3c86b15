//! Sudden ends of every party: nothing is lost, nothing is there twice.

use std::collections::BTreeSet;

use mailfleet_model::{Lane, MailRef, Uid};
use mailfleet_testkit::eventually;

use crate::world::{LONG, World, job, mail};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_fetches_nothing_again() {
    let world = World::new().await;
    world.deliver("ada", "INBOX", "old", 10);
    let producer = world.producer("");
    world.until_waiting(10).await;
    world.deliver("ada", "INBOX", "new", 5);
    world.until_waiting(15).await;
    world.until_cursor(world.id("box").await, "INBOX", 15).await;
    producer.process.sigkill();

    let producer = world.producer("");
    producer.until_metric("mailfleet_sweep_seconds_count", 1.0).await;
    assert_eq!(producer.metric("mailfleet_fetched_total"), Some(0.0));
    let gauge = "mailfleet_mailbox_unaccounted_messages{account=\"box\",mailbox=\"INBOX\"}";
    assert_eq!(producer.metric(gauge), Some(0.0));
    assert_eq!(world.waiting().await, 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_killed_between_enqueue_and_cursor_finds_its_jobs_and_moves_on() {
    let world = World::new().await;
    let account = world.id("box").await;
    world.deliver("ada", "INBOX", "mail", 8);
    // What it left: an epoch in which nothing is history and the cursor stands at 2, and 3 to 6 in the queue; 3 was
    // worked off meanwhile.
    let first = world.at(account, "ada", "INBOX", 1).await;
    world.store.begin_epoch(first.mailbox, first.uidvalidity, 1).await.unwrap();
    let at = |uid| MailRef { uid: Uid::new(uid).unwrap(), ..first };
    let jobs = |uids: std::ops::RangeInclusive<u32>| -> Vec<_> {
        uids.map(|uid| job(at(uid), Lane::Normal, &mail(&format!("mail {uid}"), ""))).collect()
    };
    world.queue.enqueue(jobs(1..=3)).await.unwrap();
    assert_eq!(world.drain().await.len(), 3);
    world.store.advance_cursor(first.mailbox, first.uidvalidity, Uid::new(2).unwrap()).await.unwrap();
    world.queue.enqueue(jobs(4..=6)).await.unwrap();

    let producer = world.producer("");
    world.until_cursor(account, "INBOX", 8).await;
    producer.until_metric("mailfleet_fetched_total", 2.0).await;
    let subjects: Vec<String> = world.drain().await.into_values().map(|(_, subject)| subject).collect();
    assert_eq!(subjects.len(), 5, "{subjects:?}");
    assert!((4..=8).all(|uid| subjects.contains(&format!("mail {uid}"))), "{subjects:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_killed_in_mid_batch_loses_and_doubles_nothing() {
    let world = World::new().await;
    world.deliver("ada", "INBOX", "mail", 400);
    for kill_at in [1, 120, 260] {
        let producer = world.producer("batch_count = 7\n");
        eventually("work in progress", LONG, || async { (world.waiting().await >= kill_at).then_some(()) })
            .await;
        producer.process.sigkill();
        let (cursor, waiting) = (world.cursor(world.id("box").await, "INBOX").await, world.waiting().await);
        assert!(u64::from(cursor) <= waiting, "the cursor ({cursor}) is ahead of the queue ({waiting})");
    }
    let producer = world.producer("batch_count = 7\n");
    world.until_waiting(400).await;
    world.until_cursor(world.id("box").await, "INBOX", 400).await;
    producer.until_metric("mailfleet_sweep_seconds_count", 1.0).await;
    let taken = world.drain().await;
    let subjects: BTreeSet<String> = taken.into_values().map(|(_, subject)| subject).collect();
    assert_eq!(subjects.len(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_flush_everything_is_swept_back_at_once() {
    let world = World::new().await;
    world.deliver("ada", "INBOX", "old", 20);
    let producer = world.producer("");
    world.until_waiting(20).await;
    producer.until_metric("mailfleet_sweep_seconds_count", 1.0).await;
    world.redis.flushall().await;
    // The periodic sweep is an hour away.
    world.until_waiting(20).await;
    producer.until_metric("mailfleet_sweep_refetched_total", 20.0).await;
    assert_eq!(world.drain().await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_forgot_while_it_was_down_comes_back() {
    let world = World::new().await;
    world.deliver("ada", "INBOX", "old", 20);
    let producer = world.producer("");
    world.until_waiting(20).await;
    producer.until_metric("mailfleet_sweep_seconds_count", 1.0).await;
    world.redis.flushall().await;
    world.redis.stop().unwrap();
    world.deliver("ada", "INBOX", "meanwhile", 3);
    world.redis.start_again().unwrap();
    world.until_waiting(23).await;
    assert_eq!(world.drain().await.len(), 23);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_uidvalidity_begins_a_new_epoch() {
    let world = World::new().await;
    world.deliver("ada", "INBOX", "mail", 5);
    let _producer = world.producer("");
    world.until_waiting(5).await;
    assert_eq!(world.drain().await.len(), 5);
    world.dovecot.kill();
    world.dovecot.start_again().unwrap();
    let before = world.dovecot.uidvalidity("ada", "INBOX").unwrap();
    world.dovecot.kill();
    world.dovecot.start_again().unwrap();
    let after = world.dovecot.reset_uidvalidity("ada", "INBOX").unwrap();
    assert_ne!(before, after);
    world.deliver("ada", "INBOX", "gap", 1);
    // Cut, so that the mailbox is opened anew.
    world.dovecot.kill();
    world.dovecot.start_again().unwrap();
    world.until_waiting(6).await;
    let jobs = world.drain().await;
    assert!(jobs.keys().all(|job| job.mail_ref().unwrap().uidvalidity.get() == after));
    world.until_cursor(world.id("box").await, "INBOX", 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_mail_server_is_found_again() {
    let world = World::new().await;
    world.deliver("ada", "INBOX", "old", 2);
    let producer = world.producer("");
    world.until_waiting(2).await;
    world.dovecot.kill();
    producer.process.wait_for_line("connecting again", LONG).unwrap();
    world.deliver("ada", "INBOX", "meanwhile", 2);
    world.dovecot.start_again().unwrap();
    world.until_waiting(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_of_mails_that_are_gone_do_not_stand_for_mails_that_are_there() {
    let world = World::new().await;
    world.deliver("ada", "INBOX", "mail", 6);
    let account = world.id("box").await;
    let producer = world.producer("");
    world.until_waiting(6).await;
    world.until_cursor(account, "INBOX", 6).await;
    assert_eq!(world.drain().await.len(), 6);
    producer.process.sigkill();
    // Half of them are expunged and the cursor falls back, as after a restore of the database.
    world.dovecot.expunge("ada", "INBOX", &[2, 3, 5]).unwrap();
    world.sql(
        "UPDATE mailfleet.mailboxes SET last_uid = 1; DELETE FROM mailfleet.mailbox_messages WHERE uid = 4",
    );
    let _producer = world.producer("");
    world.until_waiting(1).await;
    world.until_cursor(account, "INBOX", 6).await;
    assert!(world.drain().await.into_values().all(|(_, subject)| subject == "mail 4"));
}
