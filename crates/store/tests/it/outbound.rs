//! Registrations of messages that we send.

use mailfleet_model::{Class, Classify as _, EventKind, StorageKey};
use mailfleet_store::{NewOutbound, Registered};

use crate::events::{ANN, BEN, call, event, message, standing};
use crate::support::{World, store};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_registered_once_however_often_it_is_told() {
    let world = World::new().await;
    let first =
        NewOutbound { aliases: vec!["ses:1".to_owned()], ..message(&world, "<1@acme.example>", &[ANN]) };
    assert_eq!(world.store.register_outbound(std::slice::from_ref(&first)).await.unwrap(), [Registered::New]);
    let rows = "SELECT c.tenant_id = m.tenant_id, c.content_text, c.headers, c.content_hash IS NULL, m.direction, \
         m.message_type, m.status, m.from_email, m.to_email, m.subject, extract(epoch FROM m.created)::bigint \
         FROM email_content c JOIN email_messages m USING (storage_key)";
    let stored = world.sql(rows);
    assert_eq!(stored, format!("t||{{}}|t|outbound|email|queued|sales@acme.example|{ANN}|Offer|1700000000"));
    let key = StorageKey::outbound("1@acme.example", world.tenant);
    assert_eq!(world.sql("SELECT storage_key FROM email_messages"), key.as_str());
    // Told again with less and with more: nothing is emptied, what is new is added.
    let again = NewOutbound {
        from: String::new(),
        subject: String::new(),
        to_header: String::new(),
        aliases: vec!["postal:1".to_owned()],
        ..message(&world, "1@acme.example", &[BEN, "Ann@Example.com"])
    };
    let answers = world.store.register_outbound(&[again, first]).await.unwrap();
    assert_eq!(answers, [Registered::Known; 2]);
    assert_eq!(world.sql(rows), stored);
    assert_eq!(standing(&world, "1@acme.example"), format!("queued: {ANN}=0 {BEN}=0"));
    let aliases = "SELECT string_agg(alias, ',' ORDER BY alias) FROM mailfleet.message_aliases";
    assert_eq!(world.sql(aliases), "postal:1,ses:1");
    assert_eq!(world.store.register_outbound(&[]).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_after_its_events_finds_them_all() {
    let world = World::new().await;
    let events: Vec<_> = (0..30).map(|_| event(EventKind::Opened, "1@acme.example", ANN)).collect();
    let delivered = [event(EventKind::Delivered, "1@acme.example", ANN)];
    world.store.apply_inbox(&[call(&world, &events), call(&world, &delivered)]).await.unwrap();
    assert_eq!(world.count("mailfleet.message_recipients"), 0);
    world.store.register_outbound(&[message(&world, "1@acme.example", &[ANN, BEN])]).await.unwrap();
    assert_eq!(world.count("mailfleet.delivery_events WHERE storage_key IS NULL"), 0);
    assert_eq!(standing(&world, "1@acme.example"), format!("queued: {ANN}=3 {BEN}=0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_registrations_and_events_leave_one_row_each() {
    let world = World::new().await;
    let ids: Vec<String> = (0..40).map(|n| format!("{n}@acme.example")).collect();
    let rows: Vec<_> = ids.iter().map(|id| call(&world, &[event(EventKind::Delivered, id, ANN)])).collect();
    let messages: Vec<NewOutbound> = ids.iter().map(|id| message(&world, id, &[ANN])).collect();
    let registering = (0..4).map(|n| {
        let (store, mut messages) = (store(&world.url), messages.clone());
        messages.rotate_left(n * 11);
        tokio::spawn(async move { store.register_outbound(&messages).await.unwrap() })
    });
    let applying = (0..2).map(|n| {
        let (store, mut rows) = (store(&world.url), rows.clone());
        rows.rotate_left(n * 17);
        tokio::spawn(async move { store.apply_inbox(&rows).await.unwrap() })
    });
    let (registering, applying) = (registering.collect::<Vec<_>>(), applying.collect::<Vec<_>>());
    let mut new = 0;
    for run in registering {
        new += run.await.unwrap().into_iter().filter(|answer| *answer == Registered::New).count();
    }
    for run in applying {
        run.await.unwrap();
    }
    assert_eq!(new, 40);
    assert_eq!((world.count("email_content"), world.count("email_messages")), (40, 40));
    assert_eq!(world.count("email_messages WHERE status = 'delivered'"), 40);
    assert_eq!(world.count("mailfleet.delivery_events WHERE storage_key IS NOT NULL"), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_another_tenant_holds_is_refused_and_nothing_is_swallowed() {
    let world = World::new().await;
    let key = StorageKey::outbound("1@acme.example", world.tenant);
    world.sql(&format!(
        "INSERT INTO email_content (storage_key, tenant_id) VALUES ('{key}', gen_random_uuid())"
    ));
    let both = [message(&world, "1@acme.example", &[ANN]), message(&world, "2@acme.example", &[ANN])];
    let error = world.store.register_outbound(&both).await.unwrap_err();
    assert_eq!(error.class(), Class::Data);
    assert!(error.to_string().contains("another tenant"), "{error}");
    assert_eq!((world.count("email_messages"), world.count("mailfleet.message_recipients")), (0, 0));
    let error = world.store.register_outbound(&[message(&world, " <> ", &[ANN])]).await.unwrap_err();
    assert!(error.to_string().contains("Message-ID"), "{error}");
}
