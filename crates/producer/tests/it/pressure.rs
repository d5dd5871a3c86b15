//! What the queue does not take waits in its mailbox, and comes when it is taken.

use std::time::Duration;

use mailfleet_testkit::eventually;

use crate::world::{Producer, World};

/// Waits until the queue has refused some mail for this reason.
async fn until_refused(producer: &Producer, result: &str) {
    let name = format!("mailfleet_enqueued_total{{lane=\"low\",result=\"{result}\"}}");
    let refused = || async { (producer.metric(&name)? > 0.0).then_some(()) };
    eventually(&name, Duration::from_secs(15), refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_has_its_share_of_the_queue_keeps_its_mail_and_holds_up_no_other() {
    let world = World::new().await;
    world.deliver("ada", "INBOX", "old", 12);
    let config = world.config("batch_count = 5\n");
    let text =
        std::fs::read_to_string(&config).unwrap().replace("[queue]\n", "[queue]\naccount_max_entries = 4\n");
    std::fs::write(&config, text).unwrap();
    let producer = Producer::start(&config);
    let ada = world.id("box").await;
    world.until_waiting(4).await;
    world.until_cursor(ada, "INBOX", 4).await;
    until_refused(&producer, "account_full").await;

    world.deliver("ben", "INBOX", "his", 3);
    let ben = world.account("other", "ben", &["INBOX"], "secret").await;
    world.until_waiting(7).await;
    world.until_cursor(ben, "INBOX", 3).await;
    // Its own fresh mail has a lane of its own, and a share of that.
    world.deliver("ada", "INBOX", "fresh", 2);
    world.until_waiting(9).await;
    assert_eq!(world.cursor(ada, "INBOX").await, 4, "the cursor passes nothing that is not enqueued");

    let mut subjects = Vec::new();
    for room in [9, 4, 4] {
        world.until_waiting(room).await;
        subjects.extend(world.drain().await.into_values().map(|(_, subject)| subject));
    }
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), 17, "{subjects:?}");
    world.until_cursor(ada, "INBOX", 14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_waits_in_its_mailbox_while_the_queue_is_closed() {
    let world = World::new().await;
    world.queue.close("alice", "").await.unwrap();
    world.deliver("ada", "INBOX", "old", 3);
    let producer = world.producer("");
    until_refused(&producer, "closed").await;
    producer.until_metric("mailfleet_queue_closed{queue=\"email:processing\"}", 1.0).await;
    let ada = world.id("box").await;
    assert_eq!(world.cursor(ada, "INBOX").await, 0);
    world.queue.resume(None).await.unwrap();
    world.until_waiting(3).await;
    world.until_cursor(ada, "INBOX", 3).await;
}
