//! The sweep over what waits, and returned mails, which anybody can write.

use std::time::Duration;

use mailfleet_model::{DeliveryEvent, EventKind};
use mailfleet_store::{EventFate, Registered, Swept};

use super::{ANN, BEN, apply, event, message, standing};
use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_goes_through_what_waits_in_pages_and_leaves_what_has_no_message() {
    let world = World::new().await;
    let events: Vec<DeliveryEvent> =
        (0..25).map(|n| event(EventKind::Sent, &format!("{n}@acme.example"), ANN)).collect();
    assert_eq!(apply(&world, &events).await, [EventFate::Waiting; 25]);
    let (mut after, mut looked_at) = (0, 0);
    for page in 0..3 {
        let swept = world.store.match_waiting(after, 10).await.unwrap();
        looked_at += swept.looked_at;
        assert_eq!((swept.matched, swept.next.is_some()), (0, page < 2));
        after = swept.next.unwrap_or(after);
    }
    assert_eq!(looked_at, 25);
}

/// A returned mail that speaks of a recipient, as the consumer records it.
fn returned_mail(world: &World, number: u32, message_id: &str, recipient: &str) {
    forwarded_mail(world, number, message_id, recipient, None);
}

/// The same from a server that forwards: it tells the address we wrote to as well.
fn forwarded_mail(world: &World, number: u32, message_id: &str, recipient: &str, original: Option<&str>) {
    let original = original.map_or("NULL".to_owned(), |original| format!("'{original}'"));
    world.sql(&format!(
        "INSERT INTO mailfleet.delivery_events (source, tenant_id, kind, message_id, recipient, original_recipient, \
         permanence, occurred) VALUES ('m:email_none_{number}:0', '{}', 'bounced', '{message_id}', '{recipient}', {original}, \
         'hard', now())",
        world.tenant
    ));
}

/// Events of a sending server that stand apart from their messages, as if nobody had looked.
fn missed(world: &World, numbers: std::ops::Range<u32>) {
    world.sql(&format!(
        "INSERT INTO mailfleet.delivery_events (source, tenant_id, kind, message_id, recipient, occurred) \
         SELECT 'w:' || n || ':0', '{}', 'delivered', n || '@acme.example', '{ANN}', now() \
         FROM generate_series({}, {}) AS n",
        world.tenant,
        numbers.start,
        numbers.end - 1
    ));
}

async fn register(world: &World, numbers: std::ops::Range<u32>) {
    let messages: Vec<_> = numbers.map(|n| message(world, &format!("{n}@acme.example"), &[ANN])).collect();
    world.store.register_outbound(&messages).await.unwrap();
}

/// Makes PostgreSQL do this when an event gets its message; `OLD` is the event.
fn on_attach(world: &World, action: &str) {
    world.sql(&format!(
        "CREATE OR REPLACE FUNCTION act() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \
         $$ BEGIN {action} RETURN NEW; END $$; \
         CREATE OR REPLACE TRIGGER act BEFORE UPDATE ON mailfleet.delivery_events FOR EACH ROW EXECUTE FUNCTION act()"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_returned_mail_waits_until_its_recipient_is_one_of_the_messages() {
    let world = World::new().await;
    returned_mail(&world, 1, "1@acme.example", ANN);
    returned_mail(&world, 2, "1@acme.example", BEN);
    returned_mail(&world, 3, "1@acme.example", "never@example.com");
    returned_mail(&world, 4, "2@acme.example", ANN);
    assert_eq!(world.store.match_waiting(0, 100).await.unwrap().matched, 0);
    world.store.register_outbound(&[message(&world, "1@acme.example", &[ANN])]).await.unwrap();
    assert_eq!(standing(&world, "1@acme.example"), format!("bounced: {ANN}=5"));
    // A webhook makes Ben a recipient: what was said of him before holds now.
    apply(&world, &[event(EventKind::Sent, "1@acme.example", BEN)]).await;
    assert_eq!(standing(&world, "1@acme.example"), format!("bounced: {ANN}=5 {BEN}=5"));
    // And so does a second registration.
    let more = message(&world, "1@acme.example", &["late@example.com"]);
    returned_mail(&world, 5, "1@acme.example", "late@example.com");
    assert_eq!(world.store.match_waiting(0, 100).await.unwrap().matched, 0);
    assert_eq!(world.store.register_outbound(&[more]).await.unwrap(), [Registered::Known]);
    assert_eq!(standing(&world, "1@acme.example"), format!("bounced: {ANN}=5 {BEN}=5 late@example.com=5"));
    assert_eq!(world.store.match_waiting(0, 100).await.unwrap().looked_at, 2, "the others wait on");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_locks_nothing_for_returned_mails_about_whom_we_never_wrote_to() {
    let world = World::new().await;
    register(&world, 1..2).await;
    for number in 0..20 {
        returned_mail(&world, number, "1@acme.example", &format!("made.up.{number}@example.com"));
    }
    // Somebody holds the lock of the message: who wanted it would stand still.
    let rival = world.rival().await;
    let hold = format!("SELECT pg_advisory_lock(hashtextextended('{} 1@acme.example', 0))", world.tenant);
    rival.batch_execute(&hold).await.unwrap();
    let look = tokio::time::timeout(Duration::from_secs(10), world.store.match_waiting(0, 100));
    let swept = look.await.expect("it waits for nobody").unwrap();
    assert_eq!(swept, Swept { looked_at: 20, matched: 0, failed: 0, next: None });
    // The lock is the right one: what is to be attached waits for it.
    returned_mail(&world, 20, "1@acme.example", ANN);
    let look = tokio::time::timeout(Duration::from_millis(300), world.store.match_waiting(0, 100));
    assert!(look.await.is_err(), "it waits for the lock");
    rival.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    assert_eq!(world.store.match_waiting(0, 100).await.unwrap().matched, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_takes_a_bounded_number_of_locks_in_one_transaction() {
    let world = World::new().await;
    register(&world, 0..170).await;
    missed(&world, 0..170);
    world.sql("CREATE TABLE seen (locks bigint)");
    on_attach(
        &world,
        "INSERT INTO seen SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();",
    );
    assert_eq!(world.store.match_waiting(0, 1_000).await.unwrap().matched, 170);
    assert_eq!(world.sql("SELECT count(*), max(locks) FROM seen"), "170|50");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_always_fails_keeps_neither_its_page_nor_what_stands_behind_it() {
    let world = World::new().await;
    register(&world, 0..20).await;
    missed(&world, 0..20);
    let odd = |code: &str| {
        format!("IF OLD.message_id = '3@acme.example' THEN RAISE 'odd' USING ERRCODE = '{code}'; END IF;")
    };
    // A fault may be of all of them: the page is given up, and the next one looked at.
    on_attach(&world, &odd("XX000"));
    let first = world.store.match_waiting(0, 10).await.unwrap();
    assert_eq!((first.looked_at, first.matched, first.failed), (10, 0, 10));
    let second = world.store.match_waiting(first.next.unwrap(), 10).await.unwrap();
    assert_eq!((second.matched, second.failed), (10, 0));
    // What is refused for its data is found.
    on_attach(&world, &odd("23514"));
    let third = world.store.match_waiting(0, 10).await.unwrap();
    assert_eq!((third.looked_at, third.matched, third.failed), (10, 9, 1));
    // What lost against others is repeated.
    world.sql("CREATE SEQUENCE tries");
    on_attach(&world, "IF nextval('tries') < 4 THEN RAISE 'not yet' USING ERRCODE = '40P01'; END IF;");
    let last = world.store.match_waiting(0, 10).await.unwrap();
    assert_eq!((last.matched, last.failed), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_newer_version_keeps_nobody_and_waits_on() {
    let world = World::new().await;
    missed(&world, 0..2);
    world.sql(
        "ALTER TABLE mailfleet.delivery_events DROP CONSTRAINT delivery_events_kind_check; \
         UPDATE mailfleet.delivery_events SET kind = 'exploded' WHERE message_id = '0@acme.example'; \
         UPDATE mailfleet.delivery_events SET message_id = '0@acme.example'",
    );
    register(&world, 0..1).await;
    assert_eq!(standing(&world, "0@acme.example"), format!("delivered: {ANN}=3"));
    let swept = world.store.match_waiting(0, 10).await.unwrap();
    assert_eq!((swept.looked_at, swept.matched, swept.failed), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_recipient_is_ours_by_either_address() {
    let world = World::new().await;
    let forwarded =
        |number: u32, id: &str| forwarded_mail(&world, number, id, "x@elsewhere.example", Some(ANN));
    // The report first, and the message first.
    forwarded(1, "1@acme.example");
    register(&world, 1..3).await;
    forwarded(2, "2@acme.example");
    assert_eq!(world.store.match_waiting(0, 10).await.unwrap().matched, 1);
    for id in ["1@acme.example", "2@acme.example"] {
        assert_eq!(standing(&world, id), format!("bounced: {ANN}=5"));
    }
    // The one that failed is ours and the other is not; both are: neither got that mail; neither is.
    let three = message(&world, "3@acme.example", &["x@elsewhere.example"]);
    let four = message(&world, "4@acme.example", &[ANN, "x@elsewhere.example"]);
    let five = message(&world, "5@acme.example", &[BEN]);
    (3..6).for_each(|number| forwarded(number, &format!("{number}@acme.example")));
    world.store.register_outbound(&[three, four, five]).await.unwrap();
    assert_eq!(standing(&world, "3@acme.example"), "bounced: x@elsewhere.example=5");
    assert_eq!(standing(&world, "4@acme.example"), format!("bounced: {ANN}=5 x@elsewhere.example=5"));
    assert_eq!(standing(&world, "5@acme.example"), format!("queued: {BEN}=0"));
    assert_eq!(world.count("mailfleet.delivery_events WHERE storage_key IS NULL"), 1);
    // And the same where one of both becomes known only when the event has its message by the other.
    for (number, first, second) in [(6, "x@elsewhere.example", ANN), (7, ANN, "x@elsewhere.example")] {
        let id = format!("{number}@acme.example");
        forwarded(number, &id);
        world.store.register_outbound(&[message(&world, &id, &[first])]).await.unwrap();
        assert_eq!(standing(&world, &id), format!("bounced: {first}=5"));
        if number == 6 {
            world.store.register_outbound(&[message(&world, &id, &[second])]).await.unwrap();
        } else {
            apply(&world, &[event(EventKind::Sent, &id, second)]).await;
        }
        assert_eq!(standing(&world, &id), format!("bounced: {ANN}=5 x@elsewhere.example=5"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_much_was_said_before_of_a_new_recipient_all_of_it_is_heard() {
    let world = World::new().await;
    world.store.register_outbound(&[message(&world, "1@acme.example", &[ANN])]).await.unwrap();
    // Returned by a server that forwards, again and again; only the last one is for good.
    world.sql(&format!(
        "INSERT INTO mailfleet.delivery_events (source, tenant_id, kind, message_id, recipient, original_recipient, \
         permanence, occurred, storage_key) SELECT 'm:email_none_' || n || ':0', m.tenant_id, 'bounced', '1@acme.example', \
         '{BEN}', '{ANN}', CASE WHEN n > 10000 THEN 'hard' ELSE 'soft' END, now(), m.storage_key \
         FROM email_messages m, generate_series(1, 10001) AS n"
    ));
    world.store.register_outbound(&[message(&world, "1@acme.example", &[ANN, BEN])]).await.unwrap();
    assert_eq!(standing(&world, "1@acme.example"), format!("bounced: {ANN}=0 {BEN}=5"));
}
