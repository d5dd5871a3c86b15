//! How much waits: both queues, each by its name.

use bytes::Bytes;
use mailfleet_model::{
    Direction, ENVELOPE_VERSION, Encoding, Envelope, InboxId, Lane, MailRef, MailboxId, Uid, UidValidity,
    Work,
};
use mailfleet_queue::{NewJob, Queues};

use crate::fleet::Fleet;
use crate::support::run;

fn job(work: Work, lane: Lane) -> NewJob {
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

fn mail(uid: u32) -> Work {
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

#[test]
fn the_help_of_the_depth_says_what_a_script_can_rely_on() {
    let help = run(&["queue", "depth", "--help"]).with_code(0).out;
    for word in ["`kind`", "mails", "events", "`queue`", "first the mails"] {
        assert!(help.contains(word), "{word} is missing in:\n{help}");
    }
    assert!(!help.contains("--events"), "{help}");
}
