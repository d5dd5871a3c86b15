use mailfleet_model::{InboxId, JobId, LedgerOutcome, StorageKey};
use mailfleet_store::{DeadState, Explain};

use crate::support::{World, uid};

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_explained_by_job_by_message_id_and_by_key() {
    let world = World::new().await;
    let mail = world.mail(1);
    let mut copy = mail.clone();
    copy.at.mailbox = world.store.mailbox(world.account, "Archive").await.unwrap().id;
    copy.job = JobId::mail(&copy.at);
    world.store.dead_letter(&[world.letter(1)]).await.unwrap();
    world.store.persist(&[mail.clone(), copy.clone(), world.mail(2)]).await.unwrap();
    let questions = [
        Explain::Job(mail.job.clone()),
        Explain::MessageId("<1@mail.example>".to_owned()),
        Explain::MessageId("1@mail.example".to_owned()),
        Explain::Key(mail.key.clone()),
        Explain::Job(copy.job.clone()),
    ];
    for question in questions {
        let answers = world.store.explain(&question).await.unwrap();
        assert_eq!(answers.len(), 1, "{question:?}");
        let found = answers[0].mail.as_ref().unwrap();
        assert_eq!((&found.key, found.tenant, found.account), (&mail.key, world.tenant, Some(world.account)));
        assert_eq!(
            (found.subject.as_str(), found.attachments, found.raw_size_bytes),
            ("subject 1", 2, Some(10))
        );
        assert_eq!((found.direction.as_str(), found.status.as_str()), ("inbound", "received"));
        assert!(found.processed.is_some());
        let places: Vec<&str> = answers[0].ledger.iter().map(|entry| entry.mailbox_name.as_str()).collect();
        assert!(places.len() == 2 && places.contains(&"INBOX") && places.contains(&"Archive"), "{places:?}");
        assert!(answers[0].ledger.iter().all(|entry| entry.outcome == LedgerOutcome::Persisted));
        assert!(answers[0].ledger.iter().any(|entry| entry.job == mail.job && entry.account_name == "sales"));
        if matches!(question, Explain::MessageId(_)) {
            assert_eq!(answers[0].dead_letter.as_ref().unwrap().state, DeadState::Resolved);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_id_finds_its_own_mails_alone() {
    let world = World::new().await;
    let mut mails = world.mails(1..=4);
    // Each a beginning of another, as keys are written: with underscores, wildcards and letters after them.
    for (mail, id) in mails.iter_mut().zip(["a", "a_b", "a%", "a`"]) {
        mail.key = StorageKey::inbound(Some(id), world.account, id.as_bytes());
    }
    world.store.persist(&mails).await.unwrap();
    for (mail, id) in mails.iter().zip(["a", "a_b", "a%", "a`"]) {
        let answers = world.store.explain(&Explain::MessageId(id.to_owned())).await.unwrap();
        let keys: Vec<_> = answers.iter().map(|answer| answer.mail.as_ref().unwrap().key.clone()).collect();
        assert_eq!(keys, std::slice::from_ref(&mail.key), "{id}");
    }
    assert_eq!(world.store.explain(&Explain::MessageId("b".to_owned())).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dead_or_skipped_is_explained_too() {
    let world = World::new().await;
    let letter = world.letter(1);
    world.store.dead_letter(std::slice::from_ref(&letter)).await.unwrap();
    world.store.record_vanished(world.mailbox.id, letter.at.unwrap().uidvalidity, &[uid(2)]).await.unwrap();
    for question in [Explain::Job(letter.job.clone()), Explain::MessageId("1@mail.example".to_owned())] {
        let answers = world.store.explain(&question).await.unwrap();
        assert_eq!((answers.len(), &answers[0].mail), (1, &None));
        let dead = answers[0].dead_letter.as_ref().unwrap();
        assert_eq!((dead.reason.as_str(), &dead.raw), ("unknown_tenant", &None));
        assert_eq!(answers[0].ledger[0].outcome, LedgerOutcome::Dead);
    }
    let vanished = world.store.explain(&Explain::Job(world.mail(2).job)).await.unwrap();
    assert_eq!(vanished[0].ledger[0].policy, Some("vanished"));
    assert_eq!(world.store.explain(&Explain::Job(world.mail(3).job)).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn explaining_reads_indexes_and_not_tables() {
    let world = World::new().await;
    let plan = |from: &str| world.sql(&format!("SET enable_seqscan = off; EXPLAIN SELECT * FROM {from}"));
    for from in [
        "email_messages m WHERE m.storage_key COLLATE \"C\" >= 'email_a_' AND m.storage_key COLLATE \"C\" < 'email_a`'",
        "email_messages m WHERE right(m.storage_key, 32) = 'x'",
        "mailfleet.mailbox_messages l WHERE l.key_hash = ANY(ARRAY['6d0b5e4e-52a4-4f0e-9d5f-8f8a6d7d0001'::uuid])",
        "mailfleet.dead_letters WHERE message_id = 'x'",
        "mailfleet.delivery_events d WHERE d.source = 'w:' || 7 || ':0'",
    ] {
        let plan = plan(from);
        assert!(plan.contains("Index Cond"), "{from}\n{plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_call_is_explained_whatever_its_events_hold() {
    let world = World::new().await;
    let call = |events: &str| {
        let id = world.sql(&format!(
            "INSERT INTO mailfleet.webhook_inbox (endpoint_id, tenant_id, provider, dedupe, body, events) \
             VALUES (gen_random_uuid(), '{}', 'generic', gen_random_uuid(), '', '{events}') RETURNING id",
            world.tenant
        ));
        InboxId(id.lines().next().unwrap().parse().unwrap())
    };
    let odd = call("{\"kind\": \"sent\"}");
    let found = world.store.explain_call(odd).await.unwrap().unwrap();
    assert_eq!((found.brought, found.events, found.endpoint), (0, vec![], None));
    let newer = call("[7, {\"kind\": \"framed\", \"recipient\": \"ann@example.com\"}]");
    let found = world.store.explain_call(newer).await.unwrap().unwrap();
    assert_eq!((found.tenant, found.brought, found.applied), (world.tenant, 2, None));
    let kinds: Vec<_> = found.events.iter().map(|event| event.kind.as_deref()).collect();
    assert_eq!(kinds, [None, Some("framed")]);
    assert_eq!(found.events[1].source, format!("w:{newer}:1"));
    let many = call(&format!("[{}]", vec!["{}"; 1_001].join(",")));
    let found = world.store.explain_call(many).await.unwrap().unwrap();
    assert_eq!((found.brought, found.events.len()), (1_001, 1_000));
    assert_eq!(found.events.last().unwrap().source, format!("w:{many}:999"));
    assert_eq!(world.store.explain_call(InboxId(77)).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_count_what_is_there() {
    let world = World::new().await;
    let mut bounce = world.mail(3);
    bounce.message_type = "bounce".to_owned();
    world.store.persist(&[world.mail(1), world.mail(2), bounce]).await.unwrap();
    world.store.dead_letter(&[world.letter(4)]).await.unwrap();
    let totals = world.store.totals().await.unwrap();
    let kind = |kind: &str, count| ("inbound".to_owned(), kind.to_owned(), count);
    assert_eq!(totals.mails, [kind("bounce", 1), kind("email", 2)]);
    assert_eq!(totals.outcomes, [(LedgerOutcome::Dead, 1), (LedgerOutcome::Persisted, 3)]);
    assert_eq!((totals.attachments, totals.mail_count()), (6, 3));
    assert_eq!(totals.outcome_count(LedgerOutcome::Persisted), 3);
    assert_eq!(totals.dead, [("unknown_tenant".to_owned(), 1)]);
}
