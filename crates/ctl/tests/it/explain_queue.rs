//! Why a job is not in the queue, and why it does not run there.

use std::time::Duration;

use mailfleet_model::{Class, ENVELOPE_VERSION, JobId, Lane};
use mailfleet_queue::{Config, ConsumerName, Enqueued, Failure, Queues};
use serde_json::json;

use crate::fleet::Fleet;
use crate::queue::{job, line, mail};

fn job_id(uid: u32) -> JobId {
    JobId::mail(&mail(uid).mail().expect("a mail"))
}

#[tokio::test]
async fn a_job_that_is_kept_out_of_the_queue_is_told_by_which_door() {
    let fleet = Fleet::new();
    let text = std::fs::read_to_string(&fleet.config).expect("read");
    std::fs::write(&fleet.config, text.replace("[queue]\n", "[queue]\nlow_max_entries = 2\n"))
        .expect("written");
    let config = Config { low_max_entries: 2, ..fleet.queue().config().clone() };
    let queues = Queues::connect(&config).expect("queues");
    let open = fleet.run(&["explain", job_id(9).as_str()]).with_code(1).err;
    assert!(!open.contains("refuses") && !open.contains("closed"), "{open}");

    let low = (1..=3).map(|uid| job(mail(uid), Lane::Low)).collect();
    let answers = queues.mails.enqueue(low).await.expect("asked");
    assert_eq!(answers, [Enqueued::Queued, Enqueued::Queued, Enqueued::LaneFull]);
    for what in [job_id(3).as_str(), "third@acme.example"] {
        let said = fleet.run(&["explain", what]).with_code(1);
        said.error_naming(&[
            "neither stored",
            "mails: the low lane refuses",
            "as many entries as it may",
            "audit",
        ]);
        assert!(!said.err.contains("normal") && !said.err.contains("events"), "{}", said.err);
    }
    let json = fleet.run(&["explain", job_id(3).as_str(), "--json"]).with_code(1).json();
    assert_eq!(json[0]["doors"][0]["refuses"], json!({ "high": [], "normal": [], "low": ["entries"] }));

    // A call that waits for its queue to be opened again; the mails' door is not its own.
    fleet.run(&["queue", "drain", "--queue", "events", "--wait", "0", "--reason", "two parts"]).with_code(0);
    fleet.run(&["explain", "e:4"]).with_code(1).error_naming(&["events: closed since 20", "two parts"]);
    assert!(!fleet.run(&["explain", job_id(9).as_str()]).with_code(1).err.contains("closed"));
}

#[tokio::test]
async fn a_job_in_the_queue_is_told_what_is_before_it_and_what_it_failed_of() {
    let fleet = Fleet::new();
    let queue = fleet.queue();
    queue.enqueue((1..=2).map(|uid| job(mail(uid), Lane::Normal)).collect()).await.expect("enqueued");
    let why = fleet.run(&["explain", job_id(1).as_str()]).with_code(0).out;
    line(&why, &["2 wait in its lane, consumers have 0 entries in hand", "do consumers run"]);

    let consumer = queue.consumer(ConsumerName::for_this_process());
    let held = consumer.claim(1).await.expect("claimed");
    let why = fleet.run(&["explain", job_id(2).as_str()]).with_code(0).out;
    line(&why, &["1 wait in its lane, consumers have 1 entry in hand"]);
    assert!(!why.contains("do consumers run"), "{why}");
    let failure = Failure::new(Class::Transient, "PostgreSQL: deadlock detected");
    for delivery in held {
        consumer.retry(delivery, Duration::from_secs(3_600), &failure).await.expect("put off");
    }
    let why = fleet.run(&["explain", job_id(1).as_str()]).with_code(0).out;
    line(&why, &["waits for its retry at 20", "1 attempt, 0 crashes, 0 drains"]);
    line(&why, &["attempt", " by ", "PostgreSQL: deadlock detected (transient)"]);
}

#[tokio::test]
async fn a_job_in_hand_handed_back_or_dead_is_told_so() {
    let fleet = Fleet::new();
    let queue = fleet.queue();
    queue.enqueue((1..=2).map(|uid| job(mail(uid), Lane::Normal)).collect()).await.expect("enqueued");
    let consumer = queue.consumer(ConsumerName::for_this_process());
    let mut held = consumer.claim(2).await.expect("claimed");
    let (why, json) = explain(&fleet, 1);
    let hands = format!("is in the hands of {} (normal lane, last sign of life ", consumer.name().as_str());
    line(&why, &["queue", job_id(1).as_str(), &hands, "0 attempts, 0 crashes, 0 drains"]);
    assert_eq!((&json["state"], &json["consumer"]), (&json!("in_flight"), &json!(consumer.name().as_str())));

    let second = held.pop().expect("two");
    consumer.hand_back(held).await.expect("handed back");
    let (why, json) = explain(&fleet, 1);
    line(&why, &["waits in the normal lane, before what is new (handed back", "0 crashes, 1 drain"]);
    line(&why, &["1 wait in its lane, consumers have 1 entry in hand"]);
    assert_eq!(
        (&json["state"], &json["turn"], &json["counters"]["drains"]),
        (&json!("waiting"), &json!("next"), &json!(1))
    );

    consumer.dead_letter(vec![(second, "refused".to_owned())]).await.expect("moved");
    let (why, json) = explain(&fleet, 2);
    line(&why, &["is in the index of dead letters (normal lane)"]);
    assert_eq!(json["state"], "dead");
}

#[tokio::test]
async fn a_job_that_only_a_newer_consumer_can_read_is_told_to_wait_for_it_with_the_version() {
    let fleet = Fleet::new();
    let queue = fleet.queue();
    let mut newer = job(mail(1), Lane::Normal);
    newer.envelope.v = 9;
    queue.enqueue(vec![newer]).await.expect("enqueued");
    let version = format!(
        "its envelope is of version 9, which only a newer consumer can read (this version knows {ENVELOPE_VERSION})"
    );
    let (why, json) = explain(&fleet, 1);
    line(&why, &["waits in the normal lane"]);
    line(&why, &[&version]);
    assert_eq!((&json["state"], &json["unknown_version"]), (&json!("waiting"), &json!(9)));

    let consumer = queue.consumer(ConsumerName::for_this_process());
    assert!(consumer.claim(1).await.expect("claimed").is_empty());
    let (why, json) = explain(&fleet, 1);
    line(&why, &["waits for a newer consumer (normal lane), offered again at 20", "0 attempts"]);
    line(&why, &[&version]);
    assert!(!why.contains("retry"), "{why}");
    assert_eq!((&json["state"], &json["unknown_version"]), (&json!("delayed"), &json!(9)));
}

/// What is said of the job of this number to people, and as JSON of its place.
fn explain(fleet: &Fleet, uid: u32) -> (String, serde_json::Value) {
    let id = job_id(uid);
    let said = fleet.run(&["explain", id.as_str()]).with_code(0).out;
    let json = fleet.run(&["explain", id.as_str(), "--json"]).with_code(0).json();
    (said, json[0]["queue"][0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_done_is_told_with_its_outcome() {
    let (fleet, places) = crate::dead::fleet("explain-c", 1).await;
    let at = places[0];
    fleet.sql(&format!(
        "INSERT INTO mailfleet.mailbox_messages (mailbox_id, uidvalidity, uid, outcome) VALUES ({}, {}, {}, 3)",
        at.mailbox, at.uidvalidity, at.uid
    ));
    let id = JobId::mail(&at);
    let said = fleet.run(&["explain", id.as_str()]).with_code(0).out;
    line(&said, &["ledger", "persisted 20", &format!("UID {} of INBOX", at.uid), id.as_str()]);
    line(&said, &["queue", "no job of it is there"]);
}

#[tokio::test]
async fn while_postgresql_is_away_a_job_is_still_found_in_the_queue() {
    let fleet = Fleet::new();
    fleet.queue().enqueue(vec![job(mail(1), Lane::Normal)]).await.expect("enqueued");
    let text = std::fs::read_to_string(&fleet.config).expect("read");
    let (before, _) = text.split_once("[postgres]").expect("a section");
    let nobody = "[postgres]\nurl = \"postgres://postgres@127.0.0.1:1/mailfleet\"\n";
    std::fs::write(&fleet.config, format!("{before}{nobody}")).expect("written");
    let said = fleet.run(&["explain", job_id(1).as_str()]).with_code(0).out;
    line(&said, &["queue", "waits in the normal lane"]);
    line(&said, &["stored", "not known", "cannot reach PostgreSQL at 127.0.0.1:1"]);
    let json = fleet.run(&["explain", job_id(1).as_str(), "--json"]).with_code(0).json();
    assert!(json[0]["mails"].is_null() && json[0]["stored_error"].is_string(), "{}", json[0]);
    assert_eq!(json[0]["queue"][0]["state"], "waiting", "{}", json[0]);
    // What the queue does not know either is not said to be nowhere.
    fleet
        .run(&["explain", job_id(2).as_str()])
        .with_code(1)
        .error_naming(&["may be stored or not", "cannot reach"]);
}
