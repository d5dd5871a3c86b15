//! Groups of dead letters, discards, and the book of who did what.

use std::io::Write as _;
use std::process::{Command, Stdio};

use mailfleet_model::{Class, JobId, Lane, Unreadable};
use mailfleet_store::NewDeadLetter;

use crate::dead::{bury, letter};
use crate::dead_replay::places;
use crate::fleet::Fleet;

/// Three letters of one cause, and one of another.
async fn fleet() -> (Fleet, Vec<JobId>) {
    let fleet = Fleet::new();
    let mut letters = Vec::new();
    for (number, at) in (1..).zip(places(4)) {
        let error = format!("(23514): the row of <{number}@elsewhere.example> is odd");
        letters.push(NewDeadLetter { error, class: Class::Data, ..letter(at, "refused_by_postgresql") });
    }
    if let Some(last) = letters.last_mut() {
        *last = letter(last.at.expect("a place"), "unknown_tenant");
    }
    bury(&fleet, &letters).await;
    (fleet, letters.into_iter().map(|letter| letter.job).collect())
}

fn open(fleet: &Fleet) -> usize {
    fleet.run(&["dead", "list", "--json"]).with_code(0).json().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_one_cause_are_shown_and_taken_as_one_group() {
    let (fleet, jobs) = fleet().await;
    let groups = fleet.run(&["dead", "groups", "--json"]).with_code(0).json();
    assert_eq!(groups.iter().map(|group| group["letters"].as_u64()).collect::<Vec<_>>(), [Some(3), Some(1)]);
    let group = groups[0]["group"].as_str().expect("a group");
    assert_eq!((&groups[0]["class"], &groups[1]["reason"]), (&"data".into(), &"unknown_tenant".into()));
    let table = fleet.run(&["dead", "groups", "--class", "data"]).with_code(0).out;
    assert!(
        table.contains(group) && table.contains("is odd") && !table.contains("unknown_tenant"),
        "{table}"
    );
    assert_eq!(fleet.run(&["dead", "groups", "--class", "hostile"]).with_code(0).out, "no dead letter\n");

    let listed = fleet.run(&["dead", "list", "--group", group, "--json"]).with_code(0).json();
    assert_eq!(listed.len(), 3);
    assert!(listed.iter().all(|letter| letter["group"] == group), "{listed:?}");
    assert_eq!(fleet.run(&["dead", "list", "--class", "policy", "--json"]).with_code(0).json().len(), 1);
    let example = groups[0]["example"].to_string();
    assert!(fleet.run(&["dead", "show", &example]).with_code(0).out.contains(group));

    let dry = fleet.run(&["dead", "replay", "--group", group, "--dry-run"]).with_code(0).out;
    assert!(dry.contains("3 would be replayed") && dry.contains(group), "{dry}");
    fleet.run(&["dead", "replay", "--group", group]).with_code(0);
    assert_eq!(fleet.queue().live(&jobs).await.expect("asked"), [true, true, true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_discarded_only_by_their_count_and_the_book_says_who_did() {
    let (fleet, jobs) = fleet().await;
    let index: Vec<_> = jobs.iter().map(|job| (job.clone(), Lane::High, "odd".to_owned())).collect();
    assert_eq!(fleet.queue().rebuild_dead_index(&index).await.expect("indexed"), 4);
    let discard = |more: &[&str]| fleet.run(&[&["dead", "discard", "--class", "data"], more].concat());
    // Nobody is there to be asked.
    discard(&[]).with_code(64).error_naming(&["--yes 3", "nothing was discarded"]);
    discard(&["--yes", "4"]).with_code(1).error_naming(&["there are 3 of them, not 4"]);
    assert_eq!(open(&fleet), 4);
    assert_eq!(fleet.run(&["dead", "log"]).with_code(0).out, "nothing was replayed or discarded yet\n");

    let said = discard(&["--yes", "3", "--by", "ticket 7"]).with_code(0).out;
    assert_eq!(said, "3 letters discarded\n");
    assert_eq!((open(&fleet), fleet.queue().depth().await.expect("asked").dead), (1, Some(1)));
    let all = fleet.run(&["dead", "list", "--all"]).with_code(0).out;
    assert_eq!(all.matches("discarded").count(), 3, "{all}");
    assert_eq!(discard(&[]).with_code(0).out, "0 letters discarded\n", "done already");

    let log = fleet.run(&["dead", "log", "--json"]).with_code(0).json();
    let [line] = log.as_slice() else { panic!("{log:?}") };
    assert_eq!(
        (&line["action"], &line["by"], &line["done"]),
        (&"discard".into(), &"ticket 7".into(), &3.into())
    );
    assert_eq!((&line["filter"]["class"], &line["outcome"]), (&"data".into(), &"completed".into()));
    for name in ["user", "host", "login"] {
        assert!(line[name].as_str().is_some_and(|word| !word.is_empty()), "{name}: {line}");
    }
    let table = fleet.run(&["dead", "log"]).with_code(0).out;
    assert!(table.contains("class data") && table.contains("ticket 7"), "{table}");

    // By its number a discard is taken back.
    fleet.run(&["dead", "replay", jobs[0].as_str()]).with_code(0);
    assert_eq!(fleet.queue().live(&jobs[..1]).await.expect("asked"), [true]);
    fleet.run(&["dead", "discard", jobs[0].as_str(), "--yes", "0"]).with_code(0);
    assert_eq!(
        fleet.queue().live(&jobs[..1]).await.expect("asked"),
        [true],
        "what is under way is not discarded"
    );
}

/// Runs a command on a terminal on which somebody types `answer`; its exit code and what is seen.
fn typed(fleet: &Fleet, args: &str, answer: &str) -> (Option<i32>, String) {
    let line = format!("{} --config {} {args}", env!("CARGO_BIN_EXE_mailfleet"), fleet.config.display());
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script (bsdutils) starts");
    child.stdin.take().expect("a pipe").write_all(answer.as_bytes()).expect("typed");
    let output = child.wait_with_output().expect("it ends");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_the_count_is_asked_for_and_nothing_else_is_a_yes() {
    let (fleet, _) = fleet().await;
    let discard = "dead discard --class data";
    for answer in ["y\n", "4\n", "\n"] {
        let (code, seen) = typed(&fleet, discard, answer);
        assert_eq!(code, Some(1), "{seen}");
        assert!(
            seen.contains("Type 3 to discard 3 letters:") && seen.contains("nothing was discarded"),
            "{seen}"
        );
        assert!(seen.contains("is odd"), "what they are is shown: {seen}");
    }
    assert_eq!(open(&fleet), 4);
    let (code, seen) = typed(&fleet, discard, "3\n");
    assert_eq!((code, open(&fleet)), (Some(0), 1), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_read_is_shown_whole_written_to_a_file_never_guessed_at_and_discarded() {
    let fleet = Fleet::new();
    let at = places(1)[0];
    let job = JobId::mail(&at);
    let fields = [
        (b"j".to_vec(), job.as_str().as_bytes().to_vec()),
        (b"e".to_vec(), b"no \x1b[31m envelope".to_vec()),
        (b"more".to_vec(), b"of it".to_vec()),
    ];
    let raw = b"raw \x00\xff bytes".to_vec();
    let odd = NewDeadLetter {
        envelope_json: Unreadable::new(&fields).to_json(),
        raw: Some(raw.clone().into()),
        ..letter(at, "malformed_entry")
    };
    bury(&fleet, &[odd]).await;

    let file = fleet.path("odd.bytes");
    let shown = fleet.run(&["dead", "show", job.as_str(), "--raw", &file]).with_code(0).out;
    assert_eq!(std::fs::read(file).expect("written"), raw);
    assert!(
        shown.contains("more: of it") && shown.contains("e: (base64) ") && !shown.contains('\x1b'),
        "{shown}"
    );
    let json = fleet.run(&["dead", "show", job.as_str(), "--json"]).with_code(0).json().remove(0);
    assert_eq!(json["fields"][2], serde_json::json!(["more", "of it"]), "{json}");

    let replay = fleet.run(&["dead", "replay", job.as_str()]).with_code(1);
    assert!(replay.out.contains("1 cannot be replayed"), "{replay:?}");
    assert_eq!((open(&fleet), fleet.queue().live(&[job]).await.expect("asked")), (1, vec![false]));
    fleet.run(&["dead", "discard", "--reason", "malformed_entry", "--yes", "1"]).with_code(0);
    assert_eq!(open(&fleet), 0);
}
