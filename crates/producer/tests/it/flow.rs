//! The ordinary way of a mail, and what keeps it from being taken twice.

use std::time::Duration;

use mailfleet_model::Lane;
use mailfleet_testkit::eventually;

use crate::world::{LONG, Producer, World, mail};

#[tokio::test(flavor = "multi_thread")]
async fn every_mail_is_enqueued_once_on_its_lane_and_stays_unread() {
    let world = World::new().await;
    world.deliver("ada", "INBOX", "old", 25);
    let producer = world.producer("batch_count = 10\n");
    world.until_waiting(25).await;
    world.until_cursor(world.id("box").await, "INBOX", 25).await;

    world.deliver("ada", "INBOX", "new", 3);
    world.dovecot.deliver("ada", &mail("bounce", "Return-Path: <>\r\n")).unwrap();
    let report = "Content-Type: multipart/report; boundary=x\r\n";
    world.dovecot.deliver("ada", &mail("report", report)).unwrap();
    world.until_waiting(30).await;

    let taken = world.drain().await;
    let on = |lane: Lane| taken.values().filter(|(of, _)| *of == lane).count();
    assert_eq!((on(Lane::High), on(Lane::Normal), on(Lane::Low)), (2, 3, 25));
    assert!(taken.values().all(|(lane, subject)| subject.starts_with("old") == (*lane == Lane::Low)));
    world.until_cursor(world.id("box").await, "INBOX", 30).await;
    assert!(world.dovecot.search("ada", "INBOX", "SEEN").unwrap().is_empty(), "nothing is marked as read");
    producer.until_metric("mailfleet_fetched_total", 30.0).await;
    producer.until_metric("mailfleet_enqueued_total{lane=\"low\",result=\"queued\"}", 25.0).await;
    producer.until_metric("mailfleet_accounts{state=\"connected\"}", 1.0).await;
    eventually("ready", LONG, || async { (producer.get("/readyz").0 == 200).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_waits_is_found_by_its_message_id() {
    let world = World::new().await;
    world.dovecot.deliver("ada", &mail("the lost letter", "")).unwrap();
    world.dovecot.deliver("ada", b"Subject: without any id\r\n\r\nHello.\r\n").unwrap();
    let _producer = world.producer("");
    world.until_waiting(2).await;
    let found = world.queue.find_message("<the.lost.letter@acme.example>", 100).await.unwrap();
    assert!(found.jobs.len() == 1 && found.looked_at == 2 && found.whole, "{found:?}");
    assert_eq!(world.drain().await[&found.jobs[0].0].1, "the lost letter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_to_a_message_of_ours_takes_the_high_lane() {
    let world = World::new().await;
    let key = mailfleet_model::StorageKey::outbound("campaign.1@acme.example", world.tenant);
    world.sql(&format!(
        "INSERT INTO email_content (storage_key, tenant_id) VALUES ('{key}', '{tenant}'); \
         INSERT INTO email_messages (storage_key, tenant_id, email_account_id, direction, message_type, status) \
         SELECT '{key}', '{tenant}', id, 'outbound', 'email', 'sent' FROM mailfleet.email_accounts",
        tenant = world.tenant
    ));
    let ours = "In-Reply-To: <campaign.1@acme.example>\r\n";
    let other = "In-Reply-To: <someone.elses@example.org>\r\n";
    world.dovecot.deliver("ada", &mail("answer", ours)).unwrap();
    world.dovecot.deliver("ada", &mail("chat", other)).unwrap();
    let _producer = world.producer("");
    world.until_waiting(2).await;
    let lanes: Vec<_> = world.drain().await.into_values().collect();
    assert!(lanes.contains(&(Lane::High, "answer".to_owned())), "{lanes:?}");
    assert!(lanes.contains(&(Lane::Low, "chat".to_owned())), "{lanes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_to_a_shared_account_takes_the_high_lane_of_the_tenant_it_was_delivered_to() {
    let world = World::new().await;
    world.shared_account("catchall", "everybody").await;
    let other = world.store.add_tenant(None, "beta", &["beta.example".to_owned()]).await.unwrap();
    // Both tenants may have sent a message of this Message-ID; only beta did.
    let key = mailfleet_model::StorageKey::outbound("campaign.2@beta.example", other);
    world.sql(&format!(
        "INSERT INTO email_content (storage_key, tenant_id) VALUES ('{key}', '{other}'); \
         INSERT INTO email_messages (storage_key, tenant_id, email_account_id, direction, message_type, status) \
         SELECT '{key}', '{other}', id, 'outbound', 'email', 'sent' FROM mailfleet.email_accounts LIMIT 1"
    ));
    let answer = "In-Reply-To: <campaign.2@beta.example>\r\n";
    for (subject, domain) in
        [("ours", "beta.example"), ("not acme's", "acme.example"), ("nobody's", "no.example")]
    {
        let head = format!("Delivered-To: x@{domain}\r\n{answer}");
        world.dovecot.deliver("everybody", &mail(subject, &head)).unwrap();
    }
    let _producer = world.producer("");
    world.until_waiting(3).await;
    let lanes: Vec<_> = world.drain().await.into_values().collect();
    assert!(lanes.contains(&(Lane::High, "ours".to_owned())), "{lanes:?}");
    assert!(lanes.contains(&(Lane::Low, "not acme's".to_owned())), "{lanes:?}");
    assert!(lanes.contains(&(Lane::Low, "nobody's".to_owned())), "{lanes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_mail_wakes_the_idle_connection() {
    let world = World::new().await;
    let producer = world.producer("idle_seconds = 110\n");
    producer.until_logged_in();
    // The first sweep comes after the first look, so what follows is IDLE.
    producer.until_metric("mailfleet_sweep_seconds_count", 1.0).await;
    world.deliver("ada", "INBOX", "new", 1);
    eventually("the mail, long before the end of the IDLE", Duration::from_secs(5), || async {
        (world.waiting().await == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn further_mailboxes_are_polled() {
    let world = World::without_accounts().await;
    world.deliver("ada", "Replies", "reply", 2);
    let account = world.account("box", "ada", &["INBOX", "Replies"], "secret").await;
    let _producer = world.producer("poll_seconds = 1\n");
    world.until_waiting(2).await;
    world.deliver("ada", "Replies", "later", 1);
    world.deliver("ada", "INBOX", "first", 1);
    world.until_waiting(4).await;
    world.until_cursor(account, "Replies", 3).await;
    world.until_cursor(account, "INBOX", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_come_and_go_without_a_restart() {
    let world = World::without_accounts().await;
    world.deliver("ada", "INBOX", "hers", 1);
    let producer = world.producer("");
    producer.until_metric("mailfleet_accounts{state=\"connected\"}", 0.0).await;
    let account = world.account("box", "ada", &["INBOX"], "secret").await;
    world.until_waiting(1).await;
    producer.until_metric("mailfleet_accounts{state=\"connected\"}", 1.0).await;
    let gauge = "mailfleet_mailbox_unaccounted_messages{account=\"box\",mailbox=\"INBOX\"}";
    producer.until_metric(gauge, 0.0).await;
    assert!(world.store.set_account_enabled(account, false).await.unwrap());
    producer.until_metric("mailfleet_accounts{state=\"connected\"}", 0.0).await;
    assert_eq!(producer.metric(gauge), None, "what nobody watches is unknown");
    world.deliver("ada", "INBOX", "meanwhile", 1);
    assert!(world.store.set_account_enabled(account, true).await.unwrap());
    world.until_waiting(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_account_is_watched_as_it_stands_now_without_a_restart() {
    let world = World::without_accounts().await;
    world.deliver("ada", "INBOX", "hers", 1);
    world.deliver("ben", "INBOX", "his", 2);
    let account = world.account("box", "ada", &["INBOX"], "secret").await;
    let producer = world.producer("");
    world.until_waiting(1).await;
    let changed = world.store.change_account(account, |account| account.username = "ben".to_owned()).await;
    let (before, after) = changed.unwrap().unwrap();
    assert_eq!((before.username.as_str(), after.username.as_str()), ("ada", "ben"));
    world.until_waiting(3).await;
    producer.until_metric("mailfleet_accounts{state=\"connected\"}", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_lane_leaves_mail_in_its_mailbox_and_lets_fresh_mail_pass() {
    let world = World::new().await;
    world.deliver("ada", "INBOX", "old", 12);
    let config = world.config("batch_count = 4\n");
    let text =
        std::fs::read_to_string(&config).unwrap().replace("[queue]\n", "[queue]\nlow_max_entries = 5\n");
    std::fs::write(&config, text).unwrap();
    let _producer = Producer::start(&config);
    world.until_waiting(5).await;
    let account = world.id("box").await;
    world.until_cursor(account, "INBOX", 5).await;
    world.deliver("ada", "INBOX", "fresh", 2);
    world.until_waiting(7).await;
    assert_eq!(world.cursor(account, "INBOX").await, 5, "the cursor passes nothing that is not enqueued");

    let mut subjects = Vec::new();
    for room in [7, 5, 2] {
        world.until_waiting(room).await;
        subjects.extend(world.drain().await.into_values().map(|(_, subject)| subject));
    }
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), 14, "{subjects:?}");
    world.until_cursor(account, "INBOX", 14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_above_the_limit_is_dead_lettered_and_the_others_go_on() {
    let world = World::new().await;
    let account = world.id("box").await;
    world.deliver("ada", "INBOX", "small", 1);
    let mut large = mail("large", "");
    large.resize(70_000, b'x');
    world.dovecot.deliver("ada", &large).unwrap();
    world.dovecot.deliver("ada", &mail("last", "")).unwrap();
    let producer = world.producer("[imap]\nmax_message_bytes = 50000\n");
    world.until_waiting(2).await;
    world.until_cursor(account, "INBOX", 3).await;
    assert_eq!(
        world.sql("SELECT reason, class, raw IS NULL FROM mailfleet.dead_letters"),
        "too_large|hostile|t"
    );
    assert_eq!(world.sql("SELECT uid, outcome FROM mailfleet.mailbox_messages"), "2|1");
    // A dead letter is an outcome: nothing is missing, and no sweep asks for the mail again.
    let unaccounted = "mailfleet_mailbox_unaccounted_messages{account=\"box\",mailbox=\"INBOX\"}";
    producer.until_metric(unaccounted, 0.0).await;
    assert_eq!(producer.metric("mailfleet_fetched_total"), Some(2.0));
    assert_eq!(producer.metric("mailfleet_set_aside_total{reason=\"too_large\"}"), Some(1.0));
}
