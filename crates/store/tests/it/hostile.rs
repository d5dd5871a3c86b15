//! Texts that broke others: each must go in, or be refused alone.

use chrono::{DateTime, Utc};
use mailfleet_model::StorageKey;
use mailfleet_store::{DeadOutcome, Persisted};
use serde_json::{Value, json};

use crate::support::{World, store};

#[tokio::test(flavor = "multi_thread")]
async fn nul_never_breaks_an_insert_wherever_it_stands() {
    let world = World::new().await;
    let nul = || "a\0b".to_owned();
    let mut mail = world.mail(1);
    mail.key = StorageKey::inbound(Some("a\0b@c"), world.account, b"1");
    mail.content_text = nul();
    mail.content_html = nul();
    mail.headers = json!({"k\0": ["v\0", {"deep\0": "\0"}], "escaped": "\\u0000", "twice": "\\\\u0000\0"});
    mail.message_type = nul();
    mail.from_email = nul();
    mail.to_email = nul();
    mail.subject = nul();
    mail.attachments[0].filename = Some(nul());
    mail.attachments[0].mime_type = nul();
    mail.attachments[0].content_id = Some(nul());
    assert_eq!(world.store.persist(&[mail]).await.unwrap(), [Persisted::New]);
    assert_eq!(world.sql("SELECT subject FROM email_messages"), "a\u{fffd}b");
    assert_eq!(world.sql("SELECT headers->>'escaped' FROM email_content"), "\\u0000");
    assert_eq!(world.sql("SELECT headers->E'k\\uFFFD'->1->>E'deep\\uFFFD' FROM email_content"), "\u{fffd}");

    let mut letter = world.letter(2);
    letter.error = format!("latin-1 \u{b5}, {}", nul());
    letter.reason = nul();
    letter.envelope_json = json!({"k\0": "\0"});
    letter.history = json!([{"error": "\0"}]);
    letter.message_id = Some(nul());
    assert_eq!(world.store.dead_letter(&[letter]).await.unwrap(), [DeadOutcome::Recorded]);
    // A name nobody has, with a NUL in it, is looked for and not found.
    assert_eq!(world.store.account_by_name("a\0b").await.unwrap(), None);
    assert!(world.store.tenants_by_domain(&[nul()]).await.unwrap().is_empty());
    world.store.mailbox(world.account, "a\0b").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_decoders_make_of_lone_surrogates_is_stored() {
    let world = World::new().await;
    let mut mail = world.mail(1);
    // A lone surrogate cannot be in a Rust string; what arrives is its replacement, or its escape as plain text.
    mail.subject = String::from_utf16_lossy(&[0x61, 0xd800, 0x62]);
    mail.headers =
        json!({"subject": mail.subject, "plain": "\\ud800", "max": "\u{10ffff}\u{feff}\u{1b}\u{7f}"});
    assert_eq!(world.store.persist(&[mail]).await.unwrap(), [Persisted::New]);
    assert_eq!(world.sql("SELECT subject = E'a\\uFFFDb', headers->>'plain' FROM email_content JOIN email_messages USING (storage_key)"), "t|\\ud800");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_id_of_15_kb_and_a_subject_of_1_mb_are_stored() {
    let world = World::new().await;
    let id = format!("{}@long.example", "ü".repeat(15_000));
    let mut mail = world.mail(1);
    mail.key = StorageKey::inbound(Some(&id), world.account, b"1");
    mail.subject = pseudo_random_text(1 << 20);
    mail.to_email = mail.subject.clone();
    mail.headers = json!({"message-id": id, "subject": mail.subject});
    mail.from_email = mail.subject.clone();
    mail.attachments[0].filename = Some(mail.subject.clone());
    mail.attachments[0].content_id = Some(mail.subject.clone());
    assert_eq!(world.store.persist(&[mail]).await.unwrap(), [Persisted::New]);
    assert_eq!(world.sql("SELECT length(subject) FROM email_messages"), (1 << 20).to_string());

    let mut letter = world.letter(2);
    letter.message_id = Some(id);
    letter.reason = "r".repeat(5_000);
    letter.error = "e".repeat(1 << 20);
    assert_eq!(world.store.dead_letter(&[letter]).await.unwrap(), [DeadOutcome::Recorded]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_outside_the_calendar_are_stored_as_its_ends() {
    let world = World::new().await;
    let mut mails = world.mails(1..=2);
    mails[0].created = DateTime::<Utc>::MIN_UTC;
    mails[1].created = DateTime::<Utc>::MAX_UTC;
    assert_eq!(world.store.persist(&mails).await.unwrap(), [Persisted::New, Persisted::New]);
    assert_eq!(world.sql("SELECT extract(year FROM created) FROM email_messages ORDER BY 1"), "1\n9999");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_too_deep_for_the_server_are_refused_alone() {
    let world = World::new().await;
    let deep = (0..20_000).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
    let mut mails = world.mails(1..=4);
    // Too deep for the JSON writer's and the test's own stack? Both recurse about 20 000 times: on a thread with room.
    mails[2].headers = deep;
    let (store, work) = (store(&world.url), mails);
    let thread = std::thread::Builder::new().stack_size(256 << 20).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { store.persist(&work).await.unwrap() })
    });
    let fates = thread.unwrap().join().unwrap();
    assert!(matches!(&fates[2], Persisted::Refused { code, .. } if code == "54001"), "{:?}", fates[2]);
    assert_eq!(fates.iter().filter(|fate| **fate == Persisted::New).count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_does_not_quote_the_mail() {
    let world = World::new().await;
    world.sql("ALTER TABLE email_content ADD CHECK (content_text NOT LIKE '%geheim%')");
    let mut mails = world.mails(1..=3);
    mails[1].content_text = "https://customer.example/reset?token=geheim".to_owned();
    let fates = world.store.persist(&mails).await.unwrap();
    let Persisted::Refused { code, message } = &fates[1] else { panic!("{fates:?}") };
    assert_eq!(code, "23514");
    assert!(message.contains("email_content_content_text_check") && !message.contains("geheim"), "{message}");
    assert_eq!((&fates[0], &fates[2]), (&Persisted::New, &Persisted::New));
}

/// Text that does not compress, so that limits on stored sizes are met, always the same.
fn pseudo_random_text(chars: usize) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..chars)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(b'!' + u8::try_from(state % 90).unwrap())
        })
        .collect()
}
