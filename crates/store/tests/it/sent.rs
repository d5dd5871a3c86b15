//! A message that we sent has one row, whatever comes first; and what comes back changes it only where it is ours.

use mailfleet_model::{DeliveryEvent, EventKind, Permanence, StorageKey};
use mailfleet_store::{MailRow, NewOutbound, Persisted, Registered};

use crate::links::{campaign, inbound, registration, sent};
use crate::support::{SOON, World, new_account, store};

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
async fn a_registration_and_a_sent_copy_at_one_moment_make_one_row_whoever_is_first() {
    let world = World::new().await;
    let spring = campaign(&world, world.tenant, "spring", "lead@example.org").await;
    let (rival, tenant) = (world.rival().await, world.tenant);
    for round in 1..=8u32 {
        let id = format!("race{round}@acme.example");
        let mut copy = sent(&world, round, &id, &[], &[]);
        copy.attachments = world.mail(round).attachments;
        copy.recipients = vec!["Lead@Example.org".to_owned(), "boss@example.org".to_owned()];
        let message = registration(&world, &id, Some(spring));
        // Both come to the lock of the message's name, one after the other, and stand before it; then it opens, and the
        // first goes on while the second waits for it.
        let name = format!("hashtextextended('{tenant} {id}', 0)");
        rival.batch_execute(&format!("SELECT pg_advisory_lock({name})")).await.unwrap();
        let waiting = async |count: &str| {
            mailfleet_testkit::eventually("writers at one lock", SOON, async || {
                let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
                (world.sql(waiting) == count).then_some(())
            })
            .await;
        };
        let (one, other) = (store(&world.url), store(&world.url));
        let told = async move { one.register_outbound(&[message]).await.unwrap() };
        let seen = async move { other.persist(&[copy]).await.unwrap() };
        let told_first = round % 2 == 0;
        let (told, seen) = if told_first {
            let told = tokio::spawn(told);
            waiting("1").await;
            (told, tokio::spawn(seen))
        } else {
            let seen = tokio::spawn(seen);
            waiting("1").await;
            (tokio::spawn(told), seen)
        };
        waiting("2").await;
        rival.batch_execute(&format!("SELECT pg_advisory_unlock({name})")).await.unwrap();
        let registered = if told_first { Registered::New } else { Registered::Known };
        assert_eq!(told.await.unwrap(), [registered], "round {round}");
        assert_eq!(seen.await.unwrap(), [Persisted::New], "round {round}");

        for table in ["email_content", "email_messages", "mailfleet.messages"] {
            assert_eq!(world.count(table), 1, "{table}, round {round}");
        }
        let whole = format!(
            "sent|sales@acme.example|subject {round}|text {round}|{}|2|boss@example.org=1,lead@example.org=1|registered|t",
            format!("raw mail {round}").len(),
        );
        assert_eq!(world.sql(ROW), whole, "round {round}");
        assert_eq!(world.place(&id), "|registered|spring|", "round {round}");
        world.sql("TRUNCATE mailfleet.messages, mailfleet.message_recipients, email_content CASCADE");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_came_through_the_queue_has_a_latency() {
    let world = World::new().await;
    let copy = |number: u32, id: &str| {
        let enqueued = chrono::DateTime::from_timestamp(1_700_000_000, 0);
        MailRow { enqueued, ..sent(&world, number, id, &[], &[]) }
    };
    world.store.register_outbound(&[registration(&world, "a@acme.example", None)]).await.unwrap();
    assert_eq!(world.sql("SELECT latency_ms IS NULL FROM mailfleet.messages"), "t");
    world.store_all(&[copy(1, "a@acme.example"), copy(2, "b@acme.example")]).await;
    world.store.register_outbound(&[registration(&world, "b@acme.example", None)]).await.unwrap();
    world.store_all(&[sent(&world, 3, "c@acme.example", &[], &[])]).await;
    // Enqueued that long ago that no clock and no rounding could make it less.
    let latencies = "SELECT message_id, latency_ms > 86400000 FROM mailfleet.messages ORDER BY 1";
    assert_eq!(world.sql(latencies), "a@acme.example|t\nb@acme.example|t\nc@acme.example|");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_is_the_registered_one_else_that_of_the_copy_in_any_order() {
    let world = World::new().await;
    let account = async |name: &str| {
        let account = world.store.add_account(new_account(name, Some(world.tenant))).await.unwrap();
        (account, world.store.mailbox(account, "Sent").await.unwrap().id)
    };
    let (told, seen, late) = (world.account, account("seen").await, account("late").await.0);
    let copy = |number: u32, id: &str| {
        let mut mail = sent(&world, number, id, &[], &[]);
        (mail.at.account, mail.at.mailbox) = seen;
        mail
    };
    let register = async |id: &str, account| {
        let message = NewOutbound { account, ..registration(&world, id, None) };
        world.store.register_outbound(&[message]).await.unwrap();
    };
    register("a", Some(told)).await;
    world.store_all(&[copy(1, "a"), copy(2, "b"), copy(3, "c"), copy(5, "e")]).await;
    register("b", Some(told)).await;
    register("c", None).await;
    register("d", None).await;
    world.store_all(&[copy(4, "d")]).await;
    register("d", Some(told)).await;
    // Of several registrations the first that tells one, with or without a copy.
    for id in ["a", "b", "d"] {
        register(id, None).await;
        register(id, Some(late)).await;
    }
    // And one that tells the account of the folder has told it.
    register("e", Some(seen.0)).await;
    register("e", Some(told)).await;
    let accounts = "SELECT x.message_id, a.name FROM mailfleet.messages x JOIN email_messages e USING (storage_key) \
         JOIN mailfleet.email_accounts a ON a.id = x.account_id AND a.id = e.email_account_id ORDER BY 1";
    assert_eq!(world.sql(accounts), "a|sales\nb|sales\nc|seen\nd|sales\ne|seen");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_message_is_the_earliest_that_was_told_in_any_order_and_one_in_both_tables() {
    let world = World::new().await;
    let copy = |number: u32, id: &str| sent(&world, number, id, &[], &[]);
    let told = |id: &str, days: i64| {
        let created = copy(1, id).created + chrono::Duration::days(days);
        NewOutbound { created, ..registration(&world, id, None) }
    };
    let register = async |messages: &[NewOutbound]| world.store.register_outbound(messages).await.unwrap();
    register(&[told("a", -2), told("b", 2)]).await;
    world.store_all(&[copy(1, "a"), copy(2, "b"), copy(3, "c"), copy(4, "d")]).await;
    register(&[told("c", -2), told("d", 2)]).await;
    // Twice in one batch, and again.
    register(&[told("e", 0), told("e", -2)]).await;
    register(&[told("f", 0)]).await;
    register(&[told("f", -2)]).await;
    let times = "SELECT string_agg(m.message_id || (m.created::date - '2023-11-14'::date), ' ' ORDER BY m.message_id) \
         FROM mailfleet.messages m JOIN email_messages e ON e.storage_key = m.storage_key AND e.created = m.created";
    assert_eq!(world.sql(times), "a-2 b0 c-2 d0 e-2 f-2");
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
