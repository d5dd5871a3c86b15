//! Transactions cut in the middle leave nothing.

use mailfleet_model::{Class, Classify};
use mailfleet_store::{Config, DeadOutcome, Persisted, Store};

use crate::support::{SOON, World, config};

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_killed_in_mid_transaction_leaves_nothing() {
    let world = World::new().await;
    for table in ["email_messages", "attachments", "mailfleet.dead_letters"] {
        // The transaction has written the ledger (and more) and waits for a lock that the test holds.
        let rival = world.rival().await;
        rival.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN EXCLUSIVE MODE")).await.unwrap();
        let (store, mails) = (world.store.clone(), world.mails(1..=3));
        let persisting = tokio::spawn(async move { store.persist(&mails).await });
        let pid = world.waiting_backend().await;
        world.sql(&format!("SELECT pg_terminate_backend({pid})"));
        let error = tokio::time::timeout(SOON, persisting).await.unwrap().unwrap().unwrap_err();
        assert_eq!(error.class(), Class::Outage, "{error}");
        rival.batch_execute("ROLLBACK").await.unwrap();
        let left = world.count("email_content") + world.count("mailfleet.mailbox_messages");
        assert_eq!(left, 0, "{table}");
    }
    assert_eq!(world.store.persist(&world.mails(1..=3)).await.unwrap(), vec![Persisted::New; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_and_its_outcome_stand_or_fall_together() {
    let world = World::new().await;
    let rival = world.rival().await;
    rival.batch_execute("BEGIN; LOCK TABLE mailfleet.dead_letters IN EXCLUSIVE MODE").await.unwrap();
    let (store, letter) = (world.store.clone(), world.letter(1));
    let burying = tokio::spawn(async move { store.dead_letter(&[letter]).await });
    let pid = world.waiting_backend().await;
    world.sql(&format!("SELECT pg_terminate_backend({pid})"));
    assert_eq!(burying.await.unwrap().unwrap_err().class(), Class::Outage);
    rival.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!((world.outcome(1), world.count("mailfleet.dead_letters")), (0, 0));
    assert_eq!(world.store.dead_letter(&[world.letter(1)]).await.unwrap(), [DeadOutcome::Recorded]);
    assert_eq!((world.outcome(1), world.count("mailfleet.dead_letters")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_leaves_neither_half_a_transaction_nor_a_blocked_connection() {
    let world = World::new().await;
    // One connection, so that the next caller would get the abandoned one.
    let store = Store::connect(&Config { pool_size: 1, ..config(&world.url) }).unwrap();
    let rival = world.rival().await;
    rival.batch_execute("BEGIN; LOCK TABLE email_messages IN EXCLUSIVE MODE").await.unwrap();
    let (working, mails) = (store.clone(), world.mails(1..=3));
    let persisting = tokio::spawn(async move { working.persist(&mails).await });
    world.waiting_backend().await;
    persisting.abort();
    assert!(persisting.await.unwrap_err().is_cancelled());
    // Answers at once, although the abandoned statement still waits in the server.
    tokio::time::timeout(SOON, store.ping()).await.unwrap().unwrap();
    rival.batch_execute("ROLLBACK").await.unwrap();
    let fates = tokio::time::timeout(SOON, store.persist(&world.mails(1..=3))).await.unwrap().unwrap();
    assert_eq!(fates, vec![Persisted::New; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_lets_go_of_its_locks_while_its_statement_still_waits() {
    let world = World::new().await;
    let rival = world.rival().await;
    rival.batch_execute("BEGIN; LOCK TABLE attachments IN EXCLUSIVE MODE").await.unwrap();
    let (store, mails) = (world.store.clone(), world.mails(1..=3));
    let persisting = tokio::spawn(async move { store.persist(&mails).await });
    // It has written ledger, content and messages, and waits for the lock of the attachments.
    let pid = world.waiting_backend().await;
    persisting.abort();
    assert!(persisting.await.unwrap_err().is_cancelled());
    mailfleet_testkit::eventually("the abandoned backend to end", SOON, || async {
        let alive = world.sql(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"));
        (alive.trim() == "0").then_some(())
    })
    .await;
    rival.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(world.store.persist(&world.mails(1..=3)).await.unwrap(), vec![Persisted::New; 3]);
}
