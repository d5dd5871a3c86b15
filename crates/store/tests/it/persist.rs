use std::collections::HashSet;

use mailfleet_model::{Class, Classify as _, JobId, TenantId, Uid};
use mailfleet_store::Persisted;

use crate::support::{SOON, World, store, uid};

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_stored_whole() {
    let world = World::new().await;
    let mail = world.mail(1);
    assert_eq!(world.store.persist(std::slice::from_ref(&mail)).await.unwrap(), [Persisted::New]);
    let content = world.sql(
        "SELECT content_text, content_html, headers->>'subject', headers->'received'->>1, raw_size_bytes, \
         compression_algorithm, retention_days, expires > now() + interval '2554 days', content_hash FROM email_content",
    );
    let hash = format!("00000001{}", "0".repeat(56));
    assert_eq!(content, format!("text 1|<p>text 1</p>|subject 1|two|10|none|2555|t|{hash}"));
    let message = world.sql(
        "SELECT direction, message_type, from_email, to_email, subject, status, processed IS NOT NULL, \
         extract(epoch FROM created)::bigint FROM email_messages",
    );
    assert_eq!(
        message,
        "inbound|email|ann@customer.example|sales@acme.example,info@acme.example|subject 1|received|t|1700000000"
    );
    let attachments = world.sql(
        "SELECT ordinal, filename, mime_type, size_bytes, content, storage_disposition FROM attachments ORDER BY ordinal",
    );
    assert_eq!(
        attachments,
        "0|1-0.bin|application/octet-stream|5|\\x0000ff0a0d|inline\n\
         1|1-1.bin|application/octet-stream|5|\\x0100ff0a0d|attachment"
    );
    assert_eq!(world.count(&format!("email_messages WHERE tenant_id = '{}'", world.tenant)), 1);
    assert_eq!(world.outcome(1), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_persisted_twice_is_stored_once() {
    let world = World::new().await;
    let mails = world.mails(1..=20);
    assert_eq!(world.store.persist(&mails).await.unwrap(), vec![Persisted::New; 20]);
    assert_eq!(world.store.persist(&mails).await.unwrap(), vec![Persisted::AlreadyRecorded; 20]);
    assert_eq!((world.count("email_content"), world.count("attachments")), (20, 40));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_mail_in_another_folder_is_one_mail_with_two_ledger_rows() {
    let world = World::new().await;
    let mail = world.mail(1);
    let mut again = mail.clone();
    again.at.uid = uid(2);
    again.job = JobId::mail(&again.at);
    // Once in one batch, once in a later one.
    let mut third = mail.clone();
    third.at.uid = uid(3);
    third.job = JobId::mail(&third.at);
    assert_eq!(world.store.persist(&[mail, again]).await.unwrap(), [Persisted::New, Persisted::Duplicate]);
    assert_eq!(world.store.persist(&[third]).await.unwrap(), [Persisted::Duplicate]);
    assert_eq!((world.count("email_content"), world.count("mailfleet.mailbox_messages")), (1, 3));
    assert_eq!(world.count("attachments"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_job_twice_in_one_batch_takes_effect_once() {
    let world = World::new().await;
    let mail = world.mail(1);
    let fates = world.store.persist(&[mail.clone(), world.mail(2), mail]).await.unwrap();
    assert_eq!(fates, [Persisted::New, Persisted::New, Persisted::AlreadyRecorded]);
    assert_eq!(world.count("email_content"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_racing_writers_store_each_mail_once() {
    let world = World::new().await;
    let writers: Vec<_> = (0..8u32)
        .map(|writer| {
            // Stores of their own, so that connections are too; overlapping batches in different orders.
            let (store, mut mails) = (store(&world.url), world.mails(1..=60));
            mails.rotate_left(writer as usize * 7);
            if writer % 2 == 1 {
                mails.reverse();
            }
            tokio::spawn(async move { store.persist(&mails).await.unwrap() })
        })
        .collect();
    let mut new = 0;
    for writer in writers {
        let fates = writer.await.unwrap();
        assert!(
            fates.iter().all(|fate| matches!(fate, Persisted::New | Persisted::AlreadyRecorded)),
            "{fates:?}"
        );
        new += fates.iter().filter(|fate| **fate == Persisted::New).count();
    }
    assert_eq!(new, 60);
    assert_eq!((world.count("email_messages"), world.count("attachments")), (60, 120));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_mail_is_refused_by_name_and_the_rest_is_stored() {
    let world = World::new().await;
    world.store.persist(&[world.mail(1)]).await.unwrap();
    let intruder = |number: u32, key_of: u32| {
        let mut mail = world.mail(number);
        mail.key = world.mail(key_of).key;
        mail
    };
    let mut other_tenant = intruder(3, 1);
    other_tenant.content_hash = world.mail(1).content_hash;
    other_tenant.tenant = TenantId(uuid::Uuid::from_u128(9));
    // Against a stored mail (other content, other tenant), and within one batch.
    let batch = [world.mail(2), intruder(4, 1), other_tenant, world.mail(5), intruder(6, 5)];
    let fates = world.store.persist(&batch).await.unwrap();
    let refused =
        |fate: &Persisted| matches!(fate, Persisted::Refused { code, .. } if code == "key_conflict");
    assert_eq!(fates.iter().map(refused).collect::<Vec<_>>(), [false, true, true, false, true], "{fates:?}");
    assert_eq!(world.count("email_content"), 3);
    assert_eq!([3, 4, 6].map(|number| world.outcome(number)), [0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_in_a_batch_of_fifty_is_found_and_the_others_are_committed() {
    let world = World::new().await;
    let mut mails = world.mails(1..=50);
    // Two attachments with one ordinal: the table refuses them, whatever the text.
    mails[36].attachments[1].ordinal = 0;
    let fates = world.store.persist(&mails).await.unwrap();
    for (number, fate) in (1..).zip(&fates) {
        match fate {
            Persisted::Refused { code, message } => {
                assert_eq!((number, code.as_str()), (37, "23505"));
                assert!(message.contains("attachments"), "{message}");
            }
            fate => assert_eq!(fate, &Persisted::New, "{number}"),
        }
    }
    assert_eq!((world.count("email_messages"), world.outcome(37)), (49, 0));

    // Put right, it goes in; all rows bad are all refused.
    mails[36].attachments[1].ordinal = 1;
    assert_eq!(world.store.persist(&mails[36..=36]).await.unwrap(), [Persisted::New]);
    let mut bad = world.mails(51..=58);
    for mail in &mut bad {
        mail.attachments[1].ordinal = 0;
    }
    let fates = world.store.persist(&bad).await.unwrap();
    assert!(fates.iter().all(|fate| matches!(fate, Persisted::Refused { .. })), "{fates:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_is_cut_and_answered_in_order() {
    let world = World::new().await;
    let mut mails = world.mails(1..=2_100);
    for mail in &mut mails {
        mail.attachments.clear();
    }
    mails.swap(0, 2_000);
    let fates = world.store.persist(&mails).await.unwrap();
    assert_eq!(fates, vec![Persisted::New; 2_100]);
    let stored =
        world.store.outcomes(world.mailbox.id, mails[0].at.uidvalidity, uid(1), uid(u32::MAX)).await.unwrap();
    let expected: HashSet<Uid> = mails.iter().map(|mail| mail.at.uid).collect();
    assert_eq!(stored.into_iter().collect::<HashSet<_>>(), expected);
    assert_eq!(world.store.persist(&[]).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_costs_nobody_an_error() {
    let world = World::new().await;
    let rival = world.rival().await;
    let write = |number: u32| {
        format!(
            "INSERT INTO mailfleet.mailbox_messages (mailbox_id, uidvalidity, uid, outcome) VALUES ({}, 7, {number}, 1)",
            world.mailbox.id
        )
    };
    // The rival holds UID 2 and will ask for UID 1, which the store holds while it waits for UID 2. The rival's own
    // deadlock check is put off, so that the store is the one to be thrown out.
    rival.batch_execute(&format!("SET deadlock_timeout = '60s'; BEGIN; {}", write(2))).await.unwrap();
    let (store, mails) = (world.store.clone(), world.mails(1..=2));
    let persisting = tokio::spawn(async move { store.persist(&mails).await });
    world.waiting_backend().await;
    tokio::time::timeout(SOON, rival.batch_execute(&write(1))).await.unwrap().unwrap();
    rival.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(persisting.await.unwrap().unwrap(), [Persisted::New, Persisted::New]);
    let deadlocks = world.sql("SELECT pg_stat_clear_snapshot(); SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()");
    assert!(deadlocks.trim().parse::<u64>().unwrap() >= 1, "the deadlock did not happen: {deadlocks}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_place_among_the_links_is_another_tenants_is_refused_alone() {
    let world = World::new().await;
    // The content was removed, and the account has changed hands since.
    world.store.persist(&[world.mail(1)]).await.unwrap();
    world.sql(
        "TRUNCATE email_content, mailfleet.mailbox_messages CASCADE; \
         UPDATE mailfleet.messages SET tenant_id = gen_random_uuid()",
    );
    let fates = world.store.persist(&world.mails(1..=3)).await.unwrap();
    assert!(
        matches!(&fates[..], [Persisted::Refused { code, .. }, Persisted::New, Persisted::New] if code == "key_conflict"),
        "{fates:?}"
    );
    assert_eq!((world.count("email_messages"), world.count("mailfleet.messages")), (2, 3));
    assert_eq!([1, 2, 3].map(|number| world.outcome(number)), [0, 3, 3]);
    // Where a right is missing nobody is to blame.
    world.sql("REVOKE UPDATE ON mailfleet.messages FROM mailfleet_writer");
    let error = world.store.persist(&[world.mail(4)]).await.unwrap_err();
    assert_eq!((error.code(), error.class()), (Some("42501"), Class::Fault), "{error}");
}
