//! What urgent mail waits for.

use mailfleet_model::Lane;
use mailfleet_queue::NewJob;
use mailfleet_testkit::eventually;

use crate::world::{LONG, World, job, mail};

#[tokio::test]
async fn an_urgent_mail_waits_for_the_batch_in_hand_and_not_for_the_backlog_however_slow_it_is() {
    const BATCH: usize = 10;
    let world = World::new().await;
    // Each takes its time in PostgreSQL, and there is one worker.
    world.on_message("IF NEW.subject <> 'urgent' THEN PERFORM pg_sleep(0.03); END IF;");
    let in_lane = |lane, uid, subject: &str| NewJob { lane, ..job(world.own, uid, mail(subject, "")) };
    let backlog = (1..=300).map(|uid| in_lane(Lane::Low, uid, &format!("low {uid}"))).collect();
    world.queue.enqueue(backlog).await.unwrap();
    let _consumer = world.consumer(&format!("workers = 1\nbatch_count = {BATCH}\n"));
    let stored = |condition: &str| -> usize {
        world.sql(&format!("SELECT count(*) FROM email_messages WHERE {condition}")).parse().unwrap()
    };
    let before = eventually("the backlog to be worked on", LONG, || async {
        Some(stored("true")).filter(|stored| *stored > 0)
    })
    .await;
    world.queue.enqueue(vec![in_lane(Lane::High, 1_000, "urgent")]).await.unwrap();
    eventually("the urgent mail", LONG, || async { (stored("subject = 'urgent'") == 1).then_some(()) }).await;
    // By the order of their transactions.
    let urgent = "(SELECT xmin::text::bigint FROM email_messages WHERE subject = 'urgent')";
    let passed = stored(&format!("xmin::text::bigint < {urgent}")) - before;
    // The batch in hand, and as many as a busy machine has had time for between the look and the enqueue.
    assert!(passed <= 8 * BATCH, "{passed} of the backlog were stored before it");
}
