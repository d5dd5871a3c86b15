//! How much waits: both queues, each by its name.

use std::time::Duration;

use bytes::Bytes;
use mailfleet_model::{
    Direction, ENVELOPE_VERSION, Encoding, Envelope, InboxId, Lane, MailRef, MailboxId, Uid, UidValidity,
    Work,
};
use mailfleet_queue::{Config, ConsumerName, Enqueued, NewJob, Queue, Queues};
use mailfleet_testkit::eventually;
use serde_json::json;

use crate::fleet::Fleet;
use crate::support::{run, run_with};

/// Longest wait for anything that should happen soon.
const SOON: Duration = Duration::from_secs(10);

pub fn job(work: Work, lane: Lane) -> NewJob {
    let envelope = Envelope {
        v: ENVELOPE_VERSION,
        work,
        size: 4,
        message_id: None,
        direction: Direction::default(),
        flags: Vec::new(),
        internal_date_ms: None,
        enqueued_at_ms: 1,
        encoding: Encoding::Identity,
        traceparent: None,
    };
    NewJob { envelope, lane, raw: Bytes::from_static(b"mail") }
}

pub fn mail(uid: u32) -> Work {
    Work::Mail(MailRef {
        account: "6d0b5e4e-52a4-4f0e-9d5f-8f8a6d7d0001".parse().expect("an id"),
        mailbox: MailboxId(1),
        uidvalidity: UidValidity::new(1).expect("not zero"),
        uid: Uid::new(uid).expect("not zero"),
    })
}

#[tokio::test]
async fn the_depth_of_both_queues_is_shown_and_each_says_which_it_is() {
    let fleet = Fleet::new();
    let queues = Queues::connect(fleet.queue().config()).expect("queues");
    let mails = (1..=3).map(|uid| job(mail(uid), Lane::Normal)).collect();
    queues.mails.enqueue(mails).await.expect("enqueued");
    let call = Work::Events { inbox: InboxId(1) };
    queues.events.enqueue(vec![job(call, Lane::High)]).await.expect("enqueued");

    let said = fleet.run(&["queue", "depth", "--json"]).with_code(0).json();
    let names: Vec<_> =
        said.iter().map(|queue| (queue["kind"].as_str().expect("a kind"), &queue["queue"])).collect();
    let name = serde_json::Value::from(fleet.queue.clone());
    let events = serde_json::Value::from(format!("{}-events", fleet.queue));
    assert_eq!(names, [("mails", &name), ("events", &events)], "always both, in this order");
    let waiting = |queue: usize| {
        let lanes = said[queue]["lanes"].as_object().expect("lanes");
        ["high", "normal", "low"].map(|lane| lanes[lane]["waiting"].as_u64().expect("a number"))
    };
    assert_eq!((waiting(0), waiting(1)), ([0, 3, 0], [1, 0, 0]));

    let table = fleet.run(&["queue", "depth"]).with_code(0).out;
    let row = |kind: &str, lane: &str| {
        let row = table.lines().find(|line| line.split_whitespace().take(2).eq([kind, lane]));
        row.and_then(|row| row.split_whitespace().nth(2)).unwrap_or_else(|| panic!("{kind} {lane}: {table}"))
    };
    assert_eq!((row("mails", "normal"), row("mails", "high")), ("3", "0"), "{table}");
    assert_eq!((row("events", "high"), row("events", "normal")), ("1", "0"), "{table}");
}

#[tokio::test]
async fn the_depth_says_how_old_and_how_large_everything_is_and_which_lane_refuses() {
    let fleet = Fleet::new();
    let text = std::fs::read_to_string(&fleet.config).expect("read");
    std::fs::write(&fleet.config, text.replace("[queue]\n", "[queue]\nlow_max_entries = 2\n"))
        .expect("written");
    let config = Config { low_max_entries: 2, ..fleet.queue().config().clone() };
    let queue = Queue::connect(&config).expect("a queue");
    queue.enqueue(vec![job(mail(3), Lane::Normal)]).await.expect("enqueued");
    let consumer = queue.consumer(ConsumerName::for_this_process());
    let held = consumer.claim(1).await.expect("claimed");
    queue.enqueue((1..=2).map(|uid| job(mail(uid), Lane::Low)).collect()).await.expect("enqueued");
    let old = async || {
        let depth = queue.depth().await.ok()?;
        (depth.lane(Lane::Low).oldest.waiting >= Some(5)).then_some(depth)
    };
    let depth = eventually("an age", SOON, old).await;

    let said = fleet.run(&["queue", "depth", "--json"]).with_code(0).json();
    let lanes = &said[0]["lanes"];
    assert_eq!(lanes["low"]["bytes"].as_u64(), depth.lane(Lane::Low).bytes, "one definition: {lanes}");
    assert!(lanes["low"]["bytes"].as_u64() > Some(100), "{lanes}");
    assert!(lanes["low"]["oldest_ms"]["waiting"].as_u64() >= Some(5), "{lanes}");
    assert!(lanes["normal"]["oldest_ms"]["in_flight"].as_u64() >= Some(5), "{lanes}");
    for (lane, state) in
        [("low", "in_flight"), ("normal", "waiting"), ("high", "delayed"), ("high", "released")]
    {
        assert_eq!(lanes[lane]["oldest_ms"][state], 0, "{lane} {state}: {lanes}");
    }
    assert_eq!((&said[0]["oldest_dead_ms"], &said[0]["backlog"]), (&json!(0), &json!(3)));

    let table = fleet.run(&["queue", "depth"]).with_code(0).out;
    line(&table, &["QUEUE", "WAITING", "IN FLIGHT", "RETRY", "HANDED BACK", "DEAD", "BYTES", "REFUSES"]);
    line(&table, &["mails", "low", "2 (", "entries"]);
    assert_eq!((&lanes["low"]["refuses"], &lanes["normal"]["refuses"]), (&json!(["entries"]), &json!([])));
    line(&table, &["mails", "normal", "1 ("]);
    consumer.hand_back(held).await.expect("handed back");
}

#[tokio::test]
async fn the_dead_are_told_by_lane_as_long_as_they_are_not_too_many() {
    let fleet = Fleet::new();
    let queue = fleet.queue();
    let lane_of = |uid: u32| if uid > 3 { Lane::Low } else { Lane::ALL[uid as usize % 2] };
    let dead = |uids: std::ops::RangeInclusive<u32>| -> Vec<_> {
        let id = |uid| mailfleet_model::JobId::mail(&mail(uid).mail().expect("a mail"));
        uids.map(|uid| (id(uid), lane_of(uid), "refused".to_owned())).collect()
    };
    let told = || {
        let said = fleet.run(&["queue", "depth", "--json"]).with_code(0).json();
        let lanes = ["high", "normal", "low"].map(|lane| said[0]["lanes"][lane]["dead"].as_u64());
        (lanes, said[0]["dead"].as_u64())
    };
    assert_eq!(told(), ([Some(0), Some(0), Some(0)], Some(0)));
    queue.rebuild_dead_index(&dead(1..=7)).await.expect("indexed");
    assert_eq!(told(), ([Some(1), Some(2), Some(4)], Some(7)));
    let table = fleet.run(&["queue", "depth"]).with_code(0).out;
    let row = line(&table, &["mails", "low"]).split_whitespace().nth(6);
    assert_eq!(row, Some("4"), "{table}");
    queue.forget_dead(&[dead(7..=7)[0].0.clone()]).await.expect("forgotten");
    assert_eq!(told(), ([Some(1), Some(2), Some(3)], Some(6)));
    // What is not looked at one by one is not guessed, and the number of all is still told.
    queue.rebuild_dead_index(&dead(8..=1_001)).await.expect("indexed");
    assert_eq!(told(), ([Some(1), Some(2), Some(997)], Some(1_000)));
    queue.rebuild_dead_index(&dead(1_002..=1_002)).await.expect("indexed");
    assert_eq!(told(), ([None, None, None], Some(1_001)));
}

#[test]
fn the_help_of_the_depth_says_what_a_script_can_rely_on() {
    let help = run(&["queue", "depth", "--help"]).with_code(0).out;
    for word in
        ["`kind`", "mails", "events", "`queue`", "first the mails", "`bytes`", "`oldest_ms`", "`refuses`"]
    {
        assert!(help.contains(word), "{word} is missing in:\n{help}");
    }
    assert!(!help.contains("--events"), "{help}");
}

/// The first line of a table or text that has all these words.
pub fn line<'a>(text: &'a str, words: &[&str]) -> &'a str {
    let found = text.lines().find(|line| words.iter().all(|word| line.contains(word)));
    found.unwrap_or_else(|| panic!("{words:?} is missing in:\n{text}"))
}

#[tokio::test]
async fn a_pause_is_shown_wherever_somebody_asks_why_nothing_moves_and_ends_with_resume() {
    let fleet = Fleet::new();
    let queues = Queues::connect(fleet.queue().config()).expect("queues");
    queues.mails.enqueue(vec![job(mail(1), Lane::Low)]).await.expect("enqueued");
    let pause =
        ["queue", "pause", "--queue", "mails", "--lane", "low", "--reason", "the night", "--by", "alice"];
    let said = fleet.run(&pause).with_code(0).out;
    line(&said, &["mails: the low lane is paused since 20", " by alice (", "@", "): the night"]);
    assert!(!said.contains("events") && !said.contains("normal"), "{said}");

    let table = fleet.run(&["queue", "depth"]).with_code(0).out;
    line(&table, &["mails: the low lane is paused", "the night"]);
    let depth = fleet.run(&["queue", "depth", "--json"]).with_code(0).json();
    let paused = &depth[0]["lanes"]["low"]["paused"];
    assert_eq!(paused["reason"], "the night", "{paused}");
    assert!(paused["by"].as_str().is_some_and(|by| by.starts_with("alice (")), "{paused}");
    assert!(paused["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{paused}");
    assert!(depth[0]["lanes"]["high"]["paused"].is_null() && depth[1]["lanes"]["low"]["paused"].is_null());

    let id = mailfleet_model::JobId::mail(&mail(1).mail().expect("a mail"));
    let why = fleet.run(&["explain", id.as_str()]).with_code(0).out;
    line(
        &why,
        &[id.as_str(), "waits in the low lane", "its lane is paused since 20", "by alice", "the night"],
    );
    let why = fleet.run(&["explain", id.as_str(), "--json"]).with_code(0).json();
    assert_eq!(why[0]["queue"][0]["paused"]["reason"], "the night", "{}", why[0]);

    // Without a word which, both queues and all lanes.
    let all = fleet.run(&["queue", "pause", "--json"]).with_code(0).json();
    assert_eq!(all.len(), 2);
    for queue in &all {
        for lane in ["high", "normal", "low"] {
            assert!(queue["lanes"][lane]["paused"]["by"].is_string(), "{queue}");
        }
        assert!(queue["closed"].is_null(), "{queue}");
    }
    let said = fleet.run(&["queue", "resume", "--queue", "events", "--lane", "high"]).with_code(0).out;
    assert_eq!(said.lines().count(), 2, "two lanes of events are left: {said}");
    let said = fleet.run(&["queue", "resume"]).with_code(0).out;
    assert_eq!(said, "mails: all lanes go on\nevents: all lanes go on\n");
    assert!(queues.mails.paused().await.expect("read").is_nothing());
    fleet.run(&["queue", "pause", "--lane", "urgent"]).with_code(64);
}

#[tokio::test]
async fn a_drain_closes_the_queue_and_ends_well_only_when_it_is_empty() {
    let fleet = Fleet::new();
    let queues = Queues::connect(fleet.queue().config()).expect("queues");
    queues.mails.enqueue((1..=30).map(|uid| job(mail(uid), Lane::Normal)).collect()).await.expect("enqueued");
    let said = fleet.run(&["queue", "drain", "--wait", "0", "--reason", "three partitions"]).with_code(1);
    line(&said.out, &["mails: 30 left, 0 of them in hand, 0 wait for a retry"]);
    line(&said.out, &["events: empty"]);
    line(&said.err, &["stays closed"]);
    let answers = queues.mails.enqueue(vec![job(mail(31), Lane::High)]).await.expect("asked");
    assert_eq!(answers, [Enqueued::Closed]);
    line(
        &fleet.run(&["queue", "depth"]).with_code(0).out,
        &["mails: closed since 20", "three partitions", "nothing new"],
    );

    // A paused lane would be waited for in vain.
    fleet.run(&["queue", "pause", "--queue", "mails", "--lane", "normal"]).with_code(0);
    fleet
        .run(&["queue", "drain", "--queue", "mails"])
        .with_code(1)
        .error_naming(&["normal lane", "queue resume"]);
    fleet.run(&["queue", "resume", "--queue", "mails", "--lane", "normal"]).with_code(0);
    assert!(queues.mails.paused().await.expect("read").closed.is_some(), "only the lane goes on");

    let consumer = queues.mails.consumer(ConsumerName::for_this_process());
    // Done a few at a time, while the command looks on.
    let emptied = eventually("an empty lane", SOON, || async {
        let some = consumer.claim(5).await.expect("claimed");
        consumer.done(some).await.expect("done");
        let left = consumer.queue().depth().await.expect("depth").lane(Lane::Normal).total();
        (left == Some(0)).then_some(())
    });
    let drain = async {
        let config = fleet.config.clone();
        let drain =
            move || run_with(&config, &["queue", "drain", "--queue", "mails", "--wait", "20", "--json"]);
        tokio::task::spawn_blocking(drain).await.expect("ended")
    };
    let (said, ()) = tokio::join!(drain, emptied);
    let said = said.with_code(0).json();
    assert_eq!((&said[0]["kind"], &said[0]["left"]), (&"mails".into(), &0.into()), "{}", said[0]);
    assert!(said[0]["closed"]["by"].is_string(), "{}", said[0]);
    fleet.run(&["queue", "resume", "--queue", "mails"]).with_code(0);
    let answers = queues.mails.enqueue(vec![job(mail(31), Lane::High)]).await.expect("asked");
    assert_eq!(answers, [Enqueued::Queued]);
}
