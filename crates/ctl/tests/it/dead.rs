//! Dead letters, audit and explain: what an operator sees of a mail that did not make it.

use bytes::Bytes;
use mailfleet_model::{
    Class, Counters, ENVELOPE_VERSION, Encoding, Envelope, JobId, Lane, MailRef, Uid, UidValidity, Work,
};
use mailfleet_queue::{ConsumerName, NewJob};
use mailfleet_store::{DeadOutcome, NewDeadLetter};
use mailfleet_testkit::RedisServer;

use crate::fleet::{Fleet, dovecot};

pub const MAIL: &[u8] = b"From: Ann <ann@elsewhere.example>\r\nTo: box@nobody.example\r\nSubject: hello\r\n\
    Message-ID: <one@elsewhere.example>\r\n\r\nReset: https://elsewhere.example/reset?token=T0KEN99\r\n";

/// A fleet with one shared account whose user has `mails` mails.
pub async fn fleet(user: &str, mails: usize) -> (Fleet, Vec<MailRef>) {
    let fleet = Fleet::new();
    fleet.add_account("catchall", user, &["--shared"]).with_code(0);
    for _ in 0..mails {
        dovecot().imap_append(user, "INBOX", MAIL, None).expect("appended");
    }
    let store = fleet.store();
    let account = store.account_by_name("catchall").await.expect("asked").expect("added").id;
    let mailbox = store.mailbox(account, "INBOX").await.expect("a mailbox").id;
    let epoch = dovecot().uidvalidity(user, "INBOX").expect("a UIDVALIDITY");
    let uidvalidity = UidValidity::new(epoch).expect("not 0");
    let at = |uid| MailRef { account, mailbox, uidvalidity, uid: Uid::new(uid).expect("not 0") };
    let places = dovecot().uids(user, "INBOX").expect("UIDs").into_iter().map(at).collect();
    (fleet, places)
}

pub fn envelope(at: MailRef) -> Envelope {
    Envelope {
        v: ENVELOPE_VERSION,
        work: Work::Mail(at),
        size: MAIL.len() as u64,
        message_id: None,
        direction: mailfleet_model::Direction::Inbound,
        flags: Vec::new(),
        internal_date_ms: None,
        enqueued_at_ms: 1,
        encoding: Encoding::Identity,
        traceparent: None,
    }
}

/// The lane of a mail's letter: all three come in turn.
pub fn lane(at: MailRef) -> Lane {
    Lane::ALL[at.uid.get() as usize % Lane::ALL.len()]
}

pub fn letter(at: MailRef, reason: &str) -> NewDeadLetter {
    NewDeadLetter {
        job: JobId::mail(&at),
        at: Some(at),
        lane: lane(at),
        envelope_json: serde_json::to_value(envelope(at)).expect("JSON"),
        raw: Some(Bytes::from_static(MAIL)),
        reason: reason.to_owned(),
        class: Class::Policy,
        error: "nobody owns the domain nobody.example".to_owned(),
        counters: Counters { attempts: 5, crashes: 1, drains: 2 },
        history: serde_json::json!([]),
        tenant: None,
        account: Some(at.account),
        message_id: Some("one@elsewhere.example".to_owned()),
    }
}

pub async fn bury(fleet: &Fleet, letters: &[NewDeadLetter]) {
    let outcomes = fleet.store().dead_letter(letters).await.expect("written");
    assert!(outcomes.iter().all(|outcome| *outcome == DeadOutcome::Recorded));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_listed_shown_without_secrets_and_replayed_once() {
    let (fleet, places) = fleet("dead-a", 2).await;
    bury(&fleet, &[letter(places[0], "unknown_tenant"), letter(places[1], "refused")]).await;

    let listed = fleet
        .run(&["dead", "list", "--reason", "unknown_tenant", "--since", "1h", "--json"])
        .with_code(0)
        .json();
    assert_eq!(listed.len(), 1);
    let (id, job) = (listed[0]["id"].to_string(), listed[0]["job"].as_str().expect("a job").to_owned());
    assert!(fleet.run(&["dead", "list"]).with_code(0).out.contains("refused"));

    for name in [&id, &job] {
        let shown = fleet.run(&["dead", "show", name]).with_code(0).out;
        for wanted in ["unknown_tenant", "nobody.example", "ann@elsewhere.example", "hello", "5 attempts"] {
            assert!(shown.contains(wanted), "{wanted} is missing in\n{shown}");
        }
        assert!(!shown.contains("T0KEN99"), "{shown}");
    }
    let raw = fleet.path("raw.eml");
    fleet.run(&["dead", "show", &id, "--raw", &raw]).with_code(0);
    assert_eq!(std::fs::read(&raw).expect("written"), MAIL);
    fleet.run(&["dead", "show", &id, "--raw", &raw]).with_code(1).error_naming(&["raw.eml"]);
    fleet.run(&["dead", "show", &id, "--raw", "-"]).with_code(64).error_naming(&["--raw", "name of a file"]);

    let dry = fleet.run(&["dead", "replay", "--reason", "unknown_tenant", "--dry-run"]).with_code(0).out;
    assert!(dry.contains("1 would be replayed"), "{dry}");
    assert_eq!(fleet.queue().live(&[JobId::mail(&places[0])]).await.expect("asked"), [false]);

    fleet.run(&["dead", "replay", &id]).with_code(0);
    let location =
        fleet.queue().locate(&JobId::mail(&places[0])).await.expect("asked").expect("in the queue");
    assert_eq!((location.lane, location.counters), (lane(places[0]), Counters::default()));
    let again = fleet.run(&["dead", "replay", &id]).with_code(0);
    assert!(again.err.contains("in the queue already"), "{}", again.err);
    let depth = &fleet.run(&["queue", "depth", "--json"]).with_code(0).json()[0];
    assert_eq!(depth["lanes"][lane(places[0]).as_str()]["waiting"], 1, "{depth}");

    let consumer = fleet.queue().consumer(ConsumerName::for_this_process());
    let claimed = consumer.claim(10).await.expect("claimed");
    assert_eq!(claimed.iter().map(|delivery| delivery.raw().as_ref()).collect::<Vec<_>>(), [MAIL]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_was_killed_or_forgotten_by_redis_is_made_good_by_the_next() {
    let (fleet, places) = fleet("dead-b", 3).await;
    let letters: Vec<_> = places.iter().map(|at| letter(*at, "unknown_tenant")).collect();
    bury(&fleet, &letters).await;
    let jobs: Vec<JobId> = places.iter().map(JobId::mail).collect();
    let store = fleet.store();
    let id = |index: usize| {
        let (store, job) = (store.clone(), jobs[index].clone());
        async move { store.dead_letter_by_job(&job).await.expect("asked").expect("there").id }
    };
    // Killed after the mark and before the queue had it: marked, not live.
    store.mark_replayed(&[id(0).await], None).await.expect("marked");
    // The queue has it already (a consumer died before the entry left its lane): open, live.
    let live = NewJob { envelope: envelope(places[1]), lane: lane(places[1]), raw: Bytes::from_static(MAIL) };
    fleet.queue().enqueue(vec![live]).await.expect("enqueued");

    let said = fleet.run(&["dead", "replay", "--all"]).with_code(0).out;
    assert!(said.contains("2 replayed, 1 were in the queue already"), "{said}");
    for at in &places {
        let location = fleet.queue().locate(&JobId::mail(at)).await.expect("asked").expect("in the queue");
        assert_eq!(location.lane, lane(*at), "the lane that it died on");
    }
    let said = fleet.run(&["dead", "replay", "--all"]).with_code(0).out;
    assert!(said.contains("0 replayed, 0 were"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_without_its_mail_is_refused_and_stops_none_of_the_others() {
    let (fleet, places) = fleet("dead-c", 2).await;
    let bare = NewDeadLetter { raw: None, ..letter(places[0], "refused") };
    bury(&fleet, &[bare, letter(places[1], "refused")]).await;
    let said = fleet.run(&["dead", "replay", "--reason", "refused"]).with_code(1);
    assert!(
        said.out.contains("1 replayed, 0 were in the queue already, 1 cannot be replayed"),
        "{}",
        said.out
    );
    said.error_naming(&["cannot be replayed", "raw mail"]);
}

#[test]
fn what_is_no_letter_is_said_so() {
    let fleet = Fleet::new();
    fleet.run(&["dead", "list"]).with_code(0);
    fleet.run(&["dead", "show", "77"]).with_code(1).error_naming(&["77", "dead list"]);
    fleet.run(&["dead", "show", "not-an-id"]).with_code(64).error_naming(&["not-an-id"]);
    fleet.run(&["dead", "list", "--since", "yesterday"]).with_code(64).error_naming(&["yesterday", "2h"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_lists_what_has_neither_an_outcome_nor_a_live_job() {
    let (fleet, places) = fleet("audit-a", 4).await;
    let audit = |older: &str, code: i32| {
        let lines = fleet.run(&["audit", "--json", "--older-than", older]).with_code(code).json();
        assert_eq!(lines.len(), 1);
        lines[0].clone()
    };
    let uids = |value: &serde_json::Value| -> Vec<u64> {
        value["unaccounted"].as_array().expect("a list").iter().filter_map(|m| m["uid"].as_u64()).collect()
    };
    let nothing_done = audit("0s", 1);
    assert_eq!((uids(&nothing_done).len(), nothing_done["on_server"].as_u64()), (4, Some(4)));
    let young = audit("1h", 0);
    assert_eq!((young["young"].as_u64(), uids(&young)), (Some(4), vec![]), "{young}");

    bury(&fleet, &[letter(places[0], "unknown_tenant")]).await;
    let store = fleet.store();
    store
        .record_vanished(places[1].mailbox, places[1].uidvalidity, &[places[1].uid])
        .await
        .expect("recorded");
    let live = NewJob { envelope: envelope(places[2]), lane: Lane::Low, raw: Bytes::from_static(MAIL) };
    fleet.queue().enqueue(vec![live]).await.expect("enqueued");
    let one_left = audit("0s", 1);
    assert_eq!((uids(&one_left), one_left["live"].as_u64()), (vec![u64::from(places[3].uid.get())], Some(1)));
    let table = fleet.run(&["audit", "--older-than", "0s"]).with_code(1).out;
    assert!(table.contains(JobId::mail(&places[3]).as_str()), "{table}");

    store
        .record_vanished(places[3].mailbox, places[3].uidvalidity, &[places[3].uid])
        .await
        .expect("recorded");
    audit("0s", 0);
}

#[test]
fn a_mailbox_that_cannot_be_looked_at_is_unknown_and_never_clean() {
    let fleet = Fleet::new();
    fleet.add_account("good", "audit-b", &["--shared"]).with_code(0);
    fleet.add_account("nobox", "audit-c", &["--shared", "--mailbox", "Nowhere"]).with_code(0);
    let lines = fleet.run(&["audit", "--json"]).with_code(1).json();
    let state =
        |name: &str| lines.iter().find(|line| line["account"] == name).expect("a line")["state"].clone();
    assert_eq!((state("good"), state("nobox")), ("known".into(), "unknown".into()));
    assert!(fleet.run(&["audit"]).with_code(1).out.contains("unknown"));
    fleet.run(&["audit", "--account", "good"]).with_code(0);
    fleet.run(&["account", "disable", "nobox"]).with_code(0);
    fleet.run(&["audit"]).with_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_finds_a_mail_by_message_id_and_job() {
    let (fleet, places) = fleet("explain-a", 2).await;
    bury(&fleet, &[letter(places[0], "unknown_tenant")]).await;
    let waiting = NewJob { envelope: envelope(places[1]), lane: Lane::Normal, raw: Bytes::from_static(MAIL) };
    fleet.queue().enqueue(vec![waiting]).await.expect("enqueued");

    let dead = JobId::mail(&places[0]);
    for what in ["<one@elsewhere.example>", "one@elsewhere.example", dead.as_str()] {
        let said = fleet.run(&["explain", what]).with_code(0).out;
        assert!(
            said.contains("unknown_tenant") && said.contains("dead ") && said.contains("catchall"),
            "{said}"
        );
        let json = &fleet.run(&["explain", what, "--json"]).with_code(0).json()[0];
        assert_eq!(json["mails"][0]["dead_letter"]["reason"], "unknown_tenant", "{json}");
        assert_eq!(json["mails"][0]["ledger"][0]["outcome"], "dead", "{json}");
    }
    let said = fleet.run(&["explain", JobId::mail(&places[1]).as_str()]).with_code(0).out;
    assert!(said.contains("waits in the normal lane"), "{said}");
    fleet
        .run(&["explain", "<never@seen.example>"])
        .with_code(1)
        .error_naming(&["never@seen.example", "audit"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_only_waits_in_the_queue_is_found_by_its_message_id() {
    let (fleet, places) = fleet("explain-b", 2).await;
    let new = |at: MailRef, id: &str| NewJob {
        envelope: Envelope { message_id: Some(id.to_owned()), ..envelope(at) },
        lane: Lane::Normal,
        raw: Bytes::from_static(MAIL),
    };
    let jobs = vec![new(places[0], "first@elsewhere.example"), new(places[1], "second@elsewhere.example")];
    fleet.queue().enqueue(jobs).await.expect("enqueued");

    // No consumer runs: PostgreSQL knows nothing of either.
    for what in ["<second@elsewhere.example>", "second@elsewhere.example"] {
        let said = fleet.run(&["explain", what]).with_code(0).out;
        let job = JobId::mail(&places[1]);
        assert!(said.contains("waits in the normal lane") && said.contains(job.as_str()), "{said}");
        let json = &fleet.run(&["explain", what, "--json"]).with_code(0).json()[0];
        assert_eq!(
            (&json["queue"][0]["state"], &json["queue"][0]["job"]),
            (&"waiting".into(), &job.as_str().into())
        );
    }
    fleet.run(&["explain", "third@elsewhere.example"]).with_code(1).error_naming(&[
        "third@elsewhere.example",
        "not in it, all 2 entries",
        "audit",
    ]);
    fleet
        .run(&["explain", "second@elsewhere.example", "--search", "1"])
        .with_code(1)
        .error_naming(&["not among the 1 entries looked at", "--search"]);
    for empty in ["", " ", "<>"] {
        fleet.run(&["explain", empty]).with_code(64).error_naming(&["empty"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_cannot_be_asked_is_never_said_to_lack_the_mail() {
    let redis = RedisServer::start().expect("redis");
    let fleet = Fleet::with_redis(&redis.url());
    fleet.run(&["migrate"]).with_code(0);
    redis.pause().expect("paused");
    let said = fleet.run(&["explain", "<one@elsewhere.example>", "--json"]).with_code(1);
    assert!(said.json()[0]["queue"].is_null(), "{}", said.out);
    assert!(!said.err.contains("not in it"), "{}", said.err);
    said.error_naming(&["one@elsewhere.example", "not known", "Redis cannot be asked"]);
    redis.resume().expect("resumed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_says_whose_mail_it_is_and_where_it_lies() {
    let (fleet, places) = fleet("dead-d", 1).await;
    fleet.run(&["tenant", "add", "acme"]).with_code(0);
    let id = fleet.sql("SELECT id FROM mailfleet.tenants WHERE name = 'acme'");
    let tenant = Some(id.parse().expect("a tenant's id"));
    bury(&fleet, &[NewDeadLetter { tenant, ..letter(places[0], "refused") }]).await;

    let listed = fleet.run(&["dead", "list"]).with_code(0).out;
    let shown = fleet.run(&["dead", "show", JobId::mail(&places[0]).as_str()]).with_code(0).out;
    for word in ["catchall", "acme", "one@elsewhere.example"] {
        assert!(listed.contains(word) && shown.contains(word), "{word} is missing in\n{listed}\n{shown}");
    }
    let uid = places[0].uid.get();
    assert!(shown.contains(&format!("INBOX, UID {uid} ")), "{shown}");

    let json = &fleet.run(&["dead", "list", "--json"]).with_code(0).json()[0];
    assert_eq!(
        (&json["account"], &json["tenant"], &json["uid"]),
        (&"catchall".into(), &"acme".into(), &uid.into())
    );
    let died = json["died"].as_str().expect("a time");
    assert!(died.ends_with('Z') && died.len() == "2026-08-01T12:00:00.000Z".len(), "{died}");
    let json = &fleet.run(&["dead", "show", &json["id"].to_string(), "--json"]).with_code(0).json()[0];
    assert_eq!((&json["mailbox"], &json["message_id"]), (&"INBOX".into(), &"one@elsewhere.example".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_speaks_json_and_names_the_reasons_there_are() {
    let (fleet, places) = fleet("dead-e", 2).await;
    let bare = NewDeadLetter { raw: None, ..letter(places[0], "refused") };
    bury(&fleet, &[bare, letter(places[1], "unknown_tenant")]).await;

    fleet.run(&["dead", "replay", "--reason", "nope"]).with_code(1).error_naming(&[
        "nope",
        "refused (1)",
        "unknown_tenant (1)",
    ]);
    let dry = &fleet.run(&["dead", "replay", "--all", "--dry-run", "--json"]).with_code(0).json()[0];
    assert_eq!((&dry["would_replay"], &dry["replayed"]), (&2.into(), &0.into()), "{dry}");
    let said = fleet.run(&["dead", "replay", "--all", "--json"]).with_code(1);
    let lines = said.json();
    let fate = |line: &serde_json::Value| line["fate"].as_str().map(str::to_owned);
    assert_eq!([fate(&lines[0]), fate(&lines[1])], [Some("failed".into()), Some("replayed".into())]);
    assert!(lines[0]["why"].as_str().is_some_and(|why| why.contains("raw mail")), "{}", lines[0]);
    let done = &lines[2];
    assert_eq!(
        (&done["replayed"], &done["failed"], &done["left"], &done["outcome"]),
        (&1.into(), &1.into(), &0.into(), &"completed".into()),
        "{done}"
    );
    // Done already is no slip.
    fleet.run(&["dead", "replay", "--reason", "unknown_tenant"]).with_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_by_a_word_that_is_no_reason_names_the_reasons_there_are() {
    let (fleet, places) = fleet("dead-f", 1).await;
    let list =
        |reason: &str, more: &[&str]| fleet.run(&[&["dead", "list", "--reason", reason], more].concat());
    list("crashes", &[]).with_code(1).error_naming(&["`crashes`", "crashes_exhausted", "no letter is open"]);
    bury(&fleet, &[letter(places[0], "of_a_later_version")]).await;
    for more in [&[][..], &["--json"], &["--all"], &["--since", "1h"]] {
        let said = list("of_a_later", more).with_code(1);
        assert!(said.out.is_empty(), "{}", said.out);
        said.error_naming(&["`of_a_later`", "of_a_later_version (1)"]);
    }
    fleet.run(&["dead", "replay", "--reason", "of_a_later", "--dry-run"]).with_code(1).error_naming(&["(1)"]);
    // A reason that the fleet gives, and one that a letter had, are answered: there is none (any more).
    let none = |reason: &str| list(reason, &[]).with_code(0).out;
    assert_eq!(none("crashes_exhausted"), "no dead letter\n");
    assert!(none("of_a_later_version").contains("nobody.example"));
    fleet.run(&["dead", "replay", "--all"]).with_code(0);
    assert_eq!(none("of_a_later_version"), "no dead letter\n");
}
