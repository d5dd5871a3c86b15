//! Servers that leave out, break off, or tell too little: no mail is skipped in silence, and none holds up the rest.

use std::collections::BTreeSet;

use mailfleet_model::{AccountId, TlsMode};
use mailfleet_store::NewAccount;

use crate::odd_server::{OddServer, Oddity};
use crate::world::{LONG, World, mail};

fn six_mails() -> Oddity {
    let mails = (1..=6).map(|uid| (uid, mail(&format!("mail {uid}"), ""))).collect();
    Oddity { mails, uidvalidity: Some(77), ..Oddity::default() }
}

async fn world_of(server: &OddServer) -> (World<'static>, AccountId) {
    let world = World::without_accounts().await;
    let id = account_at(&world, server, "odd", &["INBOX"]).await;
    (world, id)
}

async fn account_at(world: &World<'_>, server: &OddServer, name: &str, mailboxes: &[&str]) -> AccountId {
    let file = world.config("").with_file_name("odd.password");
    std::fs::write(&file, "secret").unwrap();
    let account = NewAccount {
        tenant: Some(world.tenant),
        name: name.to_owned(),
        host: "127.0.0.1".to_owned(),
        port: server.port,
        tls: TlsMode::Plain,
        username: "ada".to_owned(),
        password: mailfleet_model::SecretSource::File(file),
        ca_file: None,
        mailboxes: mailboxes.iter().map(|name| (*name).to_owned()).collect(),
        sent_mailboxes: Vec::new(),
        recipient_from_to_cc: false,
    };
    world.store.add_account(account).await.unwrap()
}

async fn subjects(world: &World<'_>) -> BTreeSet<String> {
    world.drain().await.into_values().map(|(_, subject)| subject).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cursor_waits_below_a_mail_that_the_server_leaves_out() {
    let server = OddServer::start(Oddity { left_out: BTreeSet::from([3]), ..six_mails() });
    let (world, account) = world_of(&server).await;
    let producer = world.producer("");
    world.until_waiting(5).await;
    world.until_cursor(account, "INBOX", 2).await;
    server.state.lock().unwrap().left_out.clear();
    world.until_waiting(6).await;
    world.until_cursor(account, "INBOX", 6).await;
    assert_eq!(subjects(&world).await.len(), 6);
    producer.until_metric("mailfleet_fetched_total", 6.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_is_never_handed_out_is_passed_and_counted_and_swept_in_the_end() {
    let server = OddServer::start(Oddity { left_out: BTreeSet::from([3]), ..six_mails() });
    let (world, account) = world_of(&server).await;
    let producer = world.producer("sweep_seconds = 2\n");
    world.until_cursor(account, "INBOX", 6).await;
    producer.process.wait_for_line("passing it, the sweep asks again", LONG).unwrap();
    producer
        .until_metric("mailfleet_mailbox_unaccounted_messages{account=\"odd\",mailbox=\"INBOX\"}", 1.0)
        .await;
    server.state.lock().unwrap().left_out.clear();
    world.until_waiting(6).await;
    producer
        .until_metric("mailfleet_mailbox_unaccounted_messages{account=\"odd\",mailbox=\"INBOX\"}", 0.0)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_vanishes_before_it_is_fetched_is_accounted_for() {
    let server = OddServer::start(Oddity { gone_at_fetch: BTreeSet::from([2, 6]), ..six_mails() });
    let (world, account) = world_of(&server).await;
    let _producer = world.producer("");
    world.until_waiting(4).await;
    world.until_cursor(account, "INBOX", 6).await;
    let ledger = world.sql("SELECT uid, outcome, policy FROM mailfleet.mailbox_messages ORDER BY uid");
    assert_eq!(ledger, "2|2|1\n6|2|1", "skipped by the policy `vanished`");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_breaks_the_connection_holds_up_no_other() {
    let server = OddServer::start(Oddity { breaks_at: BTreeSet::from([4]), ..six_mails() });
    let (world, account) = world_of(&server).await;
    let producer = world.producer("");
    world.until_waiting(5).await;
    world.until_cursor(account, "INBOX", 6).await;
    producer.process.wait_for_line("fetching this message breaks the connection", LONG).unwrap();
    let subjects = subjects(&world).await;
    assert!(subjects.len() == 5 && !subjects.contains("mail 4"), "{subjects:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_uidvalidity_and_uid_in_two_accounts_and_two_mailboxes_are_four_mails() {
    let mails = |what: &str| (1..=3).map(|uid| (uid, mail(&format!("{what} {uid}"), ""))).collect();
    let server =
        |what| OddServer::start(Oddity { mails: mails(what), uidvalidity: Some(77), ..Oddity::default() });
    let (one, two) = (server("one"), server("two"));
    let world = World::without_accounts().await;
    // This server shows the same mails, under the same numbers, in whatever mailbox is opened.
    let first = account_at(&world, &one, "first", &["INBOX", "Replies"]).await;
    let second = account_at(&world, &two, "second", &["INBOX", "Replies"]).await;
    let _producer = world.producer("");
    world.until_waiting(12).await;
    for account in [first, second] {
        world.until_cursor(account, "INBOX", 3).await;
        world.until_cursor(account, "Replies", 3).await;
    }
    let taken = world.drain().await;
    for (account, what) in [(first, "one"), (second, "two")] {
        let of: Vec<&String> = taken
            .iter()
            .filter(|(job, _)| job.mail_ref().unwrap().account == account)
            .map(|(_, (_, subject))| subject)
            .collect();
        assert_eq!(of.len(), 6, "{taken:?}");
        assert!(of.iter().all(|subject| subject.starts_with(what)), "{taken:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_without_uidvalidity_is_named_and_tried_again() {
    let server = OddServer::start(Oddity { uidvalidity: None, ..six_mails() });
    let (world, account) = world_of(&server).await;
    let producer = world.producer("");
    producer.process.wait_for_line("has no UIDVALIDITY", LONG).unwrap();
    assert_eq!(world.waiting().await, 0);
    server.state.lock().unwrap().uidvalidity = Some(5);
    world.until_waiting(6).await;
    world.until_cursor(account, "INBOX", 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_tells_no_uidnext_is_read_all_the_same() {
    let server = OddServer::start(Oddity { without_uidnext: true, ..six_mails() });
    let (world, account) = world_of(&server).await;
    // Without IDLE this server is asked; often, for this test.
    let _producer = world.producer("poll_seconds = 1\n");
    world.until_waiting(6).await;
    world.until_cursor(account, "INBOX", 6).await;
    let low = world.queue.depth().await.unwrap().lane(mailfleet_model::Lane::Low).waiting;
    assert_eq!(low, Some(6), "all of it is history");
}
