//! Transactions commit in any order, and processes die anywhere.

use mailfleet_store::RolledUp;

use super::{Message, OTHER_CAMPAIGN, a_rebuild_changes_nothing, outbound, page, recipient, run, run_once};
use crate::support::World;

const SUBJECTS: &str = "SELECT coalesce(sum(received), 0) FROM analytics.tenant_day";

fn mail(key: &str) -> Message<'_> {
    Message { key, ..Message::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_commits_late_is_counted_although_its_number_and_time_are_lower() {
    let world = World::new().await;
    run(&world.store).await;
    let (slow, quick) = (world.rival().await, world.rival().await);
    // The slow one begins first and notes first; the quick one has the lower transaction id, so that it can be taken
    // while the slow one is still open.
    slow.batch_execute("BEGIN").await.unwrap();
    quick.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.unwrap();
    slow.batch_execute(&mail("slow").sql(&world)).await.unwrap();
    quick.batch_execute(&(mail("quick").sql(&world) + "COMMIT")).await.unwrap();
    let quick_note = world.sql("SELECT id, created FROM mailfleet.analytics_changes");
    run(&world.store).await;
    assert_eq!(world.sql(SUBJECTS), "1", "the quick one is counted, the slow one is not there yet");

    slow.batch_execute("COMMIT").await.unwrap();
    // What makes this the order in which a cursor over numbers or times would lose the slow one.
    let (id, created) = quick_note.split_once('|').unwrap();
    let behind = format!("SELECT id < {id} AND created < '{created}' FROM mailfleet.analytics_changes");
    assert_eq!(world.sql(&behind), "t");
    run(&world.store).await;
    assert_eq!(world.sql(SUBJECTS), "2");
    a_rebuild_changes_nothing(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_beyond_the_oldest_open_transaction() {
    let world = World::new().await;
    run(&world.store).await;
    let slow = world.rival().await;
    slow.batch_execute(&format!("BEGIN; {}", mail("slow").sql(&world))).await.unwrap();
    world.sql(&mail("quick").sql(&world));
    assert_eq!(run_once(&world.store).await, 0);
    assert_eq!(world.store.waiting_changes().await.unwrap(), 1);
    assert!(world.store.roll_up_lag().await.unwrap() > std::time::Duration::ZERO);
    slow.batch_execute("COMMIT").await.unwrap();
    run(&world.store).await;
    assert_eq!(world.sql(SUBJECTS), "2");
    assert_eq!(world.store.roll_up_lag().await.unwrap(), std::time::Duration::ZERO);
    a_rebuild_changes_nothing(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_and_a_move_of_its_message_that_do_not_see_each_other_are_both_counted() {
    let world = World::new().await;
    world.sql(&outbound("out").sql(&world));
    run(&world.store).await;
    let (mover, adder) = (world.rival().await, world.rival().await);
    mover.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.unwrap();
    // It sees the message in its old campaign, whatever is committed meanwhile.
    let adds = recipient(&world, "out", "a@lead.example", 1);
    adder.batch_execute(&format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {adds}")).await.unwrap();
    mover
        .batch_execute(&format!("UPDATE mailfleet.messages SET campaign_id = '{OTHER_CAMPAIGN}'; COMMIT"))
        .await
        .unwrap();
    run(&world.store).await;
    let campaigns = "SELECT campaign_id, sent FROM analytics.campaign_day";
    assert_eq!(world.sql(campaigns), format!("{OTHER_CAMPAIGN}|0"));
    adder.batch_execute("COMMIT").await.unwrap();
    run(&world.store).await;
    assert_eq!(world.sql(campaigns), format!("{OTHER_CAMPAIGN}|1"));
    a_rebuild_changes_nothing(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cut_off_leaves_its_changes_for_the_next() {
    let world = World::new().await;
    world.sql(&outbound("out").sql(&world));
    let rival = world.rival().await;
    // The page has counted the campaign already when it waits for the tenants.
    rival.batch_execute("BEGIN; LOCK TABLE analytics.tenant_day IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let store = world.store.clone();
    let cut_off = tokio::spawn(async move { page(store.seize_roller("cut off").await.unwrap()).await });
    let backend = world.waiting_backend().await;
    world.sql(&format!("SELECT pg_terminate_backend({backend})"));
    cut_off.await.unwrap().unwrap_err();

    let store = world.store.clone();
    let dropped = tokio::spawn(async move { page(store.seize_roller("dropped").await.unwrap()).await });
    world.waiting_backend().await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());

    rival.batch_execute("COMMIT").await.unwrap();
    assert_eq!(world.count("analytics.campaign_day"), 0);
    assert_eq!(world.count("mailfleet.analytics_changes"), 1);
    run(&world.store).await;
    assert_eq!(world.count("analytics.campaign_day"), 1);
    let mut roller = world.store.seize_roller("again").await.unwrap();
    assert_eq!(roller.page().await.unwrap(), RolledUp::Idle);
    a_rebuild_changes_nothing(&world).await;
}
