//! A message that we sent has one row, whatever comes first; and what comes back changes it only where it is ours.

use mailfleet_model::{DeliveryEvent, EventKind, Permanence, StorageKey};
use mailfleet_store::{Persisted, Registered};

use crate::links::{campaign, inbound, registration, sent};
use crate::support::World;

const ROW: &str = "SELECT e.status, e.from_email, e.subject, c.content_text, c.raw_size_bytes, \
     (SELECT count(*) FROM attachments a WHERE a.parent_storage_key = e.storage_key), \
     (SELECT string_agg(r.recipient || '=' || r.status, ',' ORDER BY r.recipient) \
     FROM mailfleet.message_recipients r WHERE r.storage_key = e.storage_key), m.evidence, m.bytes > 0 \
     FROM email_messages e JOIN email_content c USING (storage_key) JOIN mailfleet.messages m USING (storage_key)";

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_and_the_sent_copy_make_one_row_in_either_order() {
    let world = World::new().await;
    let spring = campaign(&world, world.tenant, "spring", "lead@example.org").await;
    let copy = |number: u32, id: &str| {
        let mut mail = sent(&world, number, id, &[], &[]);
        mail.attachments = world.mail(number).attachments;
        mail.recipients = vec!["Lead@Example.org".to_owned(), "boss@example.org".to_owned()];
        mail
    };
    let told = |id: &str| registration(&world, id, Some(spring));

    world.store.register_outbound(&[told("a@acme.example")]).await.unwrap();
    assert_eq!(world.sql(ROW), "queued|sales@acme.example|An offer||0|0|lead@example.org=0|registered|f");
    assert_eq!(world.store.persist(&[copy(1, "a@acme.example")]).await.unwrap(), [Persisted::New]);
    let whole = |number: u32| {
        format!(
            "sent|sales@acme.example|subject {number}|text {number}|10|2|boss@example.org=1,lead@example.org=1|registered|t"
        )
    };
    assert_eq!(world.sql(ROW), whole(1));

    world.sql("TRUNCATE mailfleet.messages, mailfleet.message_recipients, email_content CASCADE");
    assert_eq!(world.store.persist(&[copy(2, "b@acme.example")]).await.unwrap(), [Persisted::New]);
    let registered = world.store.register_outbound(&[told("b@acme.example")]).await.unwrap();
    assert_eq!(registered, [Registered::Known]);
    assert_eq!(world.sql(ROW), whole(2), "what was there is not emptied");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_sent_copies_the_first_stays() {
    let world = World::new().await;
    let first = sent(&world, 1, "a@acme.example", &[], &[]);
    let second = sent(&world, 2, "a@acme.example", &[], &[]);
    let third = sent(&world, 3, "a@acme.example", &[], &[]);
    assert_eq!(
        world.store.persist(&[first, second]).await.unwrap(),
        [Persisted::New, Persisted::Duplicate],
        "in one batch"
    );
    assert_eq!(world.store.persist(&[third]).await.unwrap(), [Persisted::Duplicate], "in a later one");
    assert_eq!(world.sql("SELECT content_text FROM email_content"), "text 1");
    assert_eq!([1, 2, 3].map(|number| world.outcome(number)), [3, 3, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sent_copy_without_a_message_id_is_kept_with_its_recipients() {
    let world = World::new().await;
    let mut mail = sent(&world, 1, "a@acme.example", &[], &[]);
    mail.message_id = None;
    mail.key = StorageKey::inbound(None, world.account, b"raw");
    world.store_all(&[mail]).await;
    assert_eq!(
        world.sql("SELECT direction, status, (SELECT count(*) FROM mailfleet.message_recipients) FROM email_messages"),
        "outbound|sent|1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_returned_mail_changes_an_outbound_message_only_where_both_are_ours() {
    let world = World::new().await;
    world.store_all(&[sent(&world, 1, "o@acme.example", &[], &[])]).await;
    let returned = |number: u32, id: &str, recipient: &str| {
        let mut mail = inbound(&world, number, &format!("dsn{number}@example.org"), &[], &[]);
        mail.message_type = "bounce".to_owned();
        let mut event = DeliveryEvent::new(EventKind::Bounced, recipient);
        event.permanence = Some(Permanence::Hard);
        event.message_id = Some(id.to_owned());
        event.reason = Some("userunknown".to_owned());
        mail.events = vec![event];
        mail
    };
    let status = || {
        world.sql(
            "SELECT e.status, r.recipient, r.status FROM email_messages e \
             JOIN mailfleet.message_recipients r USING (storage_key) WHERE direction = 'outbound' ORDER BY 2",
        )
    };
    world
        .store_all(&[
            returned(2, "other@acme.example", "lead@example.org"),
            returned(3, "o@acme.example", "stranger@example.org"),
        ])
        .await;
    assert_eq!(status(), "sent|lead@example.org|1", "neither changes anything");
    assert_eq!(world.count("email_messages WHERE message_type = 'bounce' AND status = 'received'"), 2);
    world.store_all(&[returned(4, "o@acme.example", "LEAD@example.org")]).await;
    assert_eq!(status(), "bounced|lead@example.org|5");

    // The other way round: the bounce was there before the message it is about.
    world.store_all(&[returned(5, "late@acme.example", "lead@example.org")]).await;
    world.store_all(&[sent(&world, 6, "late@acme.example", &[], &[])]).await;
    assert_eq!(status(), "bounced|lead@example.org|5\nbounced|lead@example.org|5");
}
