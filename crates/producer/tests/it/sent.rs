//! Sent folders: watched like the others, and what is in them is known as ours.

use mailfleet_model::{Direction, Lane};
use mailfleet_queue::ConsumerName;

use crate::world::{World, mail};

#[tokio::test(flavor = "multi_thread")]
async fn mail_in_a_sent_folder_travels_as_ours_on_the_normal_lane() {
    let world = World::new().await;
    world.sql("UPDATE mailfleet.email_accounts SET sent_mailboxes = '{Sent}'");
    world.deliver("ada", "Sent", "old", 2);
    world.dovecot.deliver("ada", &mail("came in", "")).unwrap();
    let _producer = world.producer("poll_seconds = 1\n");
    world.until_waiting(3).await;
    world.until_cursor(world.id("box").await, "Sent", 2).await;
    // What would go first if it came in: whatever our own mail says in its header, it is not an answer to us.
    let report = "Return-Path: <>\r\nContent-Type: multipart/report; boundary=x\r\n";
    world.dovecot.deliver_to("ada", "Sent", &mail("new", report)).unwrap();
    world.until_waiting(4).await;

    let consumer = world.queue.consumer(ConsumerName::for_this_process());
    let mut taken: Vec<(String, Direction, Lane)> = Vec::new();
    for delivery in consumer.claim(10).await.unwrap() {
        let envelope = delivery.envelope();
        taken.push((envelope.message_id.clone().unwrap(), envelope.direction, delivery.lane()));
    }
    taken.sort_by(|a, b| a.0.cmp(&b.0));
    let (low, normal) = (Lane::Low, Lane::Normal);
    assert_eq!(
        taken,
        [
            ("came.in@acme.example".to_owned(), Direction::Inbound, low),
            ("new@acme.example".to_owned(), Direction::Outbound, normal),
            ("old.1@acme.example".to_owned(), Direction::Outbound, low),
            ("old.2@acme.example".to_owned(), Direction::Outbound, low),
        ]
    );
}
