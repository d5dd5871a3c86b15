//! Every mail arrives, once and whole, and within a second.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use mailfleet_testkit::eventually_blocking;
use mailfleet_tests::{Fleet, as_served, metrics, numbered};
use sha2::{Digest, Sha256};

#[test]
fn every_mail_of_the_corpus_arrives_once_and_whole_through_two_consumers() {
    let fleet = Fleet::start();
    let corpus = mailfleet_testkit::corpus();
    assert!(corpus.len() >= 60, "the corpus has only {} mails", corpus.len());
    // Some stand there before first contact, the rest comes while the fleet runs.
    let (before, after) = corpus.split_at(corpus.len() / 3);
    for (_, raw) in before {
        fleet.dovecot.deliver("inbox", raw).unwrap();
    }
    let _producer = fleet.producer();
    let consumers = [fleet.consumer(), fleet.consumer()];
    for (_, raw) in after {
        fleet.dovecot.deliver("inbox", raw).unwrap();
    }
    fleet.wait_accounted(corpus.len() as u64, Duration::from_secs(90));

    // What the ledger, the hierarchy and the attachments must hold, by hash of what was delivered. Two corpus files
    // that differ in line ends alone are one mail.
    let limits = mailfleet_mime::Limits::default();
    let mut keys = BTreeSet::new();
    let mut attachments: BTreeMap<String, usize> = BTreeMap::new();
    for (name, raw) in &corpus {
        let served = as_served(raw);
        if keys.insert(HEXLOWER.encode(&Sha256::digest(mailfleet_mime::canonical(&served)))) {
            let mail = mailfleet_mime::parse(&served, &limits).mail;
            let stray = mail.stray.into_iter().map(mailfleet_mime::Stray::into_attachment);
            for attachment in mail.attachments.into_iter().chain(stray) {
                *attachments.entry(HEXLOWER.encode(&Sha256::digest(&attachment.content))).or_default() += 1;
            }
        } else {
            println!("{name} is another corpus mail with other line ends");
        }
    }
    let dead = fleet
        .sql("SELECT coalesce(string_agg(reason || ' ' || error, '; '), '') FROM mailfleet.dead_letters");
    assert_eq!(dead, "");
    assert_eq!(fleet.accounted(), corpus.len() as u64);
    assert_eq!(fleet.count("SELECT count(*) FROM email_messages"), keys.len() as u64);
    assert_eq!(fleet.count("SELECT count(*) FROM email_content"), keys.len() as u64);
    let stored = fleet.sql(
        "SELECT encode(sha256(content), 'hex') || ' ' || count(*) FROM attachments GROUP BY sha256(content)",
    );
    let stored: BTreeMap<String, usize> = stored
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(hash, count)| (hash.to_owned(), count.parse().unwrap()))
        .collect();
    let (stored, attachments): (BTreeSet<_>, BTreeSet<_>) =
        (stored.into_iter().collect(), attachments.into_iter().collect());
    let differ: Vec<_> = stored.symmetric_difference(&attachments).collect();
    assert!(differ.is_empty(), "the bytes of each attachment: {differ:?}");
    assert!(fleet.try_mailfleet(&["audit", "--older-than", "0"]).status.success());

    // What the two consumers say they persisted adds up.
    let persisted: f64 = consumers
        .iter()
        .map(|c| metrics::sum(c, &["mailfleet_processed_total{", "outcome=\"persisted\""]).unwrap())
        .sum();
    assert_eq!(persisted.to_string(), keys.len().to_string(), "persisted, as the consumers counted");
}

#[test]
fn attachments_arrive_byte_for_byte() {
    let fleet = Fleet::start();
    let mails: Vec<_> = (1..=40).map(numbered).collect();
    fleet.deliver(mails.clone());
    let _fleet = (fleet.producer(), fleet.consumer());
    fleet.wait_accounted(40, Duration::from_secs(30));
    fleet.assert_all_once(40);
    for mail in mails {
        let Some(bytes) = mail.attachment else { continue };
        let stored = fleet.sql(&format!(
            "SELECT encode(sha256(content), 'hex') || ' ' || size_bytes FROM attachments WHERE filename = 'data-{}.bin'",
            mail.number
        ));
        assert_eq!(stored, format!("{} {}", HEXLOWER.encode(&Sha256::digest(&bytes)), bytes.len()));
    }
}

#[test]
fn a_mail_lands_within_a_second_of_its_delivery_and_is_never_marked_as_read() {
    let fleet = Fleet::start();
    let _fleet = (fleet.producer(), fleet.consumer());
    fleet.deliver([numbered(1)]);
    fleet.wait_accounted(1, Duration::from_secs(20));
    // The fleet idles now. The best of five tells what the system can do, whatever else the machine is at.
    let best = (2..=6)
        .map(|number| {
            let delivered = Instant::now();
            fleet.deliver([numbered(number)]);
            fleet.wait_accounted(u64::from(number), Duration::from_secs(20));
            delivered.elapsed()
        })
        .min()
        .unwrap();
    assert!(best < Duration::from_secs(1), "{best:?}");
    assert_eq!(fleet.dovecot.search("inbox", "INBOX", "SEEN").unwrap(), Vec::<u32>::new());
}

#[test]
fn a_new_uidvalidity_fetches_everything_again_and_doubles_nothing() {
    let fleet = Fleet::start();
    let _fleet = (fleet.producer(), fleet.consumer());
    fleet.deliver((1..=20).map(numbered));
    fleet.wait_accounted(20, Duration::from_secs(30));
    fleet.dovecot.reset_uidvalidity("inbox", "INBOX").unwrap();
    fleet.deliver((21..=25).map(numbered));
    let new = "SELECT count(*) FROM email_messages";
    eventually_blocking("the five new mails", Duration::from_secs(60), || {
        (fleet.count(new) == 25).then_some(())
    });
    assert_eq!(fleet.count("SELECT count(DISTINCT headers->>'message-id') FROM email_content"), 25);
    assert_eq!(fleet.count("SELECT count(*) FROM mailfleet.dead_letters"), 0);
    eventually_blocking("an outcome for each message of the new epoch", Duration::from_secs(30), || {
        fleet.try_mailfleet(&["audit", "--older-than", "0"]).status.success().then_some(())
    });
}

#[test]
fn a_mail_can_be_explained_by_its_message_id() {
    let fleet = Fleet::start();
    let _fleet = (fleet.producer(), fleet.consumer());
    fleet.deliver([numbered(5)]);
    fleet.wait_accounted(1, Duration::from_secs(20));
    let text = fleet.mailfleet(&["explain", "5@run.example"]).stdout;
    assert!(text.contains("email_5@run.example_") && text.contains("persisted"), "{text}");
    let json = fleet.mailfleet_json(&["explain", "<5@run.example>"]).to_string();
    assert!(json.contains("storage_key") && json.contains("\"attachments\":1"), "{json}");
}
