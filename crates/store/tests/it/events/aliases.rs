//! The names that providers give our messages.

use mailfleet_model::{DeliveryEvent, EventKind};
use mailfleet_store::{EventFate, NewOutbound};

use super::{ANN, BEN, apply, event, message, standing};
use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_found_by_the_name_its_provider_gave_it() {
    let world = World::new().await;
    let by = |kind, message_id: Option<&str>, recipient| DeliveryEvent {
        message_id: message_id.map(str::to_owned),
        alias: Some("ses:abc".to_owned()),
        ..event(kind, "", recipient)
    };
    // By the alias alone, before anything is known; then an event that tells both names, then the message.
    assert_eq!(apply(&world, &[by(EventKind::Delivered, None, ANN)]).await, [EventFate::Waiting]);
    assert_eq!(
        apply(&world, &[by(EventKind::Sent, Some("1@acme.example"), ANN)]).await,
        [EventFate::Waiting]
    );
    assert_eq!(apply(&world, &[by(EventKind::Deferred, None, BEN)]).await, [EventFate::Waiting]);
    world.store.register_outbound(&[message(&world, "1@acme.example", &[ANN])]).await.unwrap();
    assert_eq!(standing(&world, "1@acme.example"), format!("deferred: {ANN}=3 {BEN}=2"));
    assert_eq!(apply(&world, &[by(EventKind::Complained, None, ANN)]).await, [EventFate::Matched]);

    // An event that tells both names of a message that is there brings what waited for the alias.
    let second = |kind, message_id: Option<&str>| DeliveryEvent {
        alias: Some("ses:def".to_owned()),
        ..by(kind, message_id, ANN)
    };
    assert_eq!(apply(&world, &[second(EventKind::Delivered, None)]).await, [EventFate::Waiting]);
    world.store.register_outbound(&[message(&world, "2@acme.example", &[ANN])]).await.unwrap();
    apply(&world, &[second(EventKind::Opened, Some("2@acme.example"))]).await;
    assert_eq!(standing(&world, "2@acme.example"), format!("delivered: {ANN}=3"));

    // A provider that writes its own Message-ID: the alias decides, also where the event came first.
    let third = |kind, message_id: &str| DeliveryEvent {
        alias: Some("ses:ghi".to_owned()),
        ..by(kind, Some(message_id), ANN)
    };
    assert_eq!(apply(&world, &[third(EventKind::Sent, "x@provider.example")]).await, [EventFate::Waiting]);
    let aliases = vec!["ses:ghi".to_owned()];
    let ours = NewOutbound { aliases, ..message(&world, "3@acme.example", &[ANN]) };
    world.store.register_outbound(&[ours]).await.unwrap();
    assert_eq!(standing(&world, "3@acme.example"), format!("sent: {ANN}=1"));
    let late = third(EventKind::Delivered, "x@provider.example");
    assert_eq!(apply(&world, &[late]).await, [EventFate::Matched]);
    assert_eq!(standing(&world, "3@acme.example"), format!("delivered: {ANN}=3"));
}

/// An event that names a message by an alias and perhaps a Message-ID.
fn by(kind: EventKind, message_id: Option<&str>, alias: &str) -> DeliveryEvent {
    DeliveryEvent {
        message_id: message_id.map(str::to_owned),
        alias: Some(alias.to_owned()),
        ..event(kind, "", ANN)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_of_a_foreign_message_id_becomes_ours_in_any_order_of_arrival() {
    let world = World::new().await;
    let orders = [
        ["foreign", "own", "message"],
        ["foreign", "message", "own"],
        ["message", "foreign", "own"],
        ["own", "foreign", "message"],
    ];
    for (number, order) in orders.iter().enumerate() {
        let (id, alias) = (format!("{number}@acme.example"), format!("ses:{number}"));
        for step in order {
            match *step {
                // The provider writes its own Message-ID, and so does this event.
                "foreign" => {
                    let foreign = format!("{number}@provider.example");
                    apply(&world, &[by(EventKind::Complained, Some(&foreign), &alias)]).await;
                }
                "own" => drop(apply(&world, &[by(EventKind::Sent, Some(&id), &alias)]).await),
                _ => drop(world.store.register_outbound(&[message(&world, &id, &[ANN])]).await.unwrap()),
            }
        }
        assert_eq!(standing(&world, &id), format!("complained: {ANN}=6"), "{order:?}");
        let waiting = world.count("mailfleet.delivery_events WHERE storage_key IS NULL");
        assert_eq!(waiting, 0, "{order:?}");
    }
    // An alias of a message of ours is taken by no event.
    world.store.register_outbound(&[message(&world, "9@acme.example", &[ANN])]).await.unwrap();
    apply(&world, &[by(EventKind::Delivered, Some("9@acme.example"), "ses:0")]).await;
    apply(&world, &[by(EventKind::Complained, None, "ses:0")]).await;
    assert_eq!(standing(&world, "9@acme.example"), format!("delivered: {ANN}=3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_events_takes_a_bounded_number_of_locks() {
    let world = World::new().await;
    world.sql(
        "CREATE TABLE seen (locks bigint); \
         CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO seen \
         SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid(); RETURN NEW; END $$; \
         CREATE TRIGGER act BEFORE INSERT ON mailfleet.delivery_events FOR EACH ROW EXECUTE FUNCTION act()",
    );
    // Each has three names: its own two, and the message behind its alias.
    let told = |from: &str| -> Vec<DeliveryEvent> {
        let of = |n| by(EventKind::Sent, Some(&format!("{n}@{from}.example")), &format!("ses:{n}"));
        (0..120).map(of).collect()
    };
    assert_eq!(apply(&world, &told("provider")).await.len(), 120);
    assert_eq!(apply(&world, &told("acme")).await.len(), 120);
    assert_eq!(world.sql("SELECT count(*), max(locks) FROM seen"), "240|150");
}
