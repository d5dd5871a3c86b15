//! Dead letters of several tenants, with all their attempts; and letters that only a newer version can read.

use mailfleet_model::{JobId, TenantId};
use mailfleet_queue::Queues;
use mailfleet_store::NewDeadLetter;
use serde_json::{Value, json};

use crate::dead::{MAIL, bury, letter};
use crate::dead_replay::places;
use crate::fleet::Fleet;
use crate::queue::line;

fn tenant(fleet: &Fleet, name: &str) -> TenantId {
    fleet.run(&["tenant", "add", name]).with_code(0);
    let id = fleet.sql(&format!("SELECT id FROM mailfleet.tenants WHERE name = '{name}'"));
    id.parse().expect("a tenant's id")
}

/// The numbers of the places of the letters of a list.
fn uids(listed: &[Value]) -> Vec<u64> {
    let mut uids: Vec<u64> = listed.iter().map(|letter| letter["uid"].as_u64().expect("a UID")).collect();
    uids.sort_unstable();
    uids
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_of_a_letter_is_shown_with_its_time_its_worker_and_its_chain_of_errors_and_the_size() {
    let fleet = Fleet::new();
    let at = places(1)[0];
    let history = json!([
        { "at_ms": 1_700_000_000_000_u64, "worker": "host-a-17", "class": "transient",
          "error": "cannot write: PostgreSQL: deadlock detected (40P01)" },
        { "at_ms": 1_700_000_060_500_u64, "worker": "host-b-4", "class": "data",
          "error": "cannot write: PostgreSQL: value too long (22001)" },
    ]);
    bury(&fleet, &[NewDeadLetter { history, ..letter(at, "attempts_exhausted") }]).await;
    let job = JobId::mail(&at);
    let shown = fleet.run(&["dead", "show", job.as_str()]).with_code(0).out;
    let attempts: Vec<&str> = shown.lines().filter(|line| line.starts_with("attempt ")).collect();
    assert_eq!(
        attempts,
        [
            "attempt    2023-11-14T22:13:20Z by host-a-17: cannot write: PostgreSQL: deadlock detected (40P01) (transient)",
            "attempt    2023-11-14T22:14:20Z by host-b-4: cannot write: PostgreSQL: value too long (22001) (data)",
        ]
    );
    line(&shown, &["mail", &format!("{} B", MAIL.len())]);
    let listed = fleet.run(&["dead", "list"]).with_code(0).out;
    line(&listed, &["ID", "ATTEMPTS", "SIZE"]);
    line(&listed, &["attempts_exhausted", &format!("{} B", MAIL.len())]);

    let from_list = fleet.run(&["dead", "list", "--json"]).with_code(0).json();
    let from_show = fleet.run(&["dead", "show", job.as_str(), "--json"]).with_code(0).json();
    for json in [&from_list[0], &from_show[0]] {
        assert_eq!(json["raw_size_bytes"], MAIL.len(), "{json}");
        let first = json!({ "at": "2023-11-14T22:13:20.000Z", "worker": "host-a-17", "class": "transient",
            "error": "cannot write: PostgreSQL: deadlock detected (40P01)" });
        assert_eq!(
            (&json["history"][0], json["history"].as_array().map(Vec::len)),
            (&first, Some(2)),
            "{json}"
        );
        assert_eq!(json["history"][1]["at"], "2023-11-14T22:14:20.500Z", "{json}");
        assert_eq!(json["history"][1]["worker"], "host-b-4", "{json}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_letters_of_one_tenant_are_listed_replayed_and_discarded_without_those_of_another() {
    let fleet = Fleet::new();
    let (acme, brand) = (tenant(&fleet, "acme"), tenant(&fleet, "brand"));
    let letters: Vec<NewDeadLetter> = places(5)
        .into_iter()
        .zip([Some(acme), Some(acme), Some(brand), Some(brand), None])
        .map(|(at, tenant)| NewDeadLetter { tenant, ..letter(at, "refused") })
        .collect();
    bury(&fleet, &letters).await;
    fleet.sql("UPDATE mailfleet.dead_letters SET died = now() - interval '3 h' WHERE uid = 2");
    let list = |more: &[&str]| {
        let args = [&["dead", "list", "--json"], more].concat();
        uids(&fleet.run(&args).with_code(0).json())
    };
    let id = acme.to_string();
    assert_eq!((list(&["--tenant", "acme"]), list(&["--tenant", &id])), (vec![1, 2], vec![1, 2]));
    assert_eq!((list(&["--tenant", "brand"]), list(&[])), (vec![3, 4], vec![1, 2, 3, 4, 5]));
    assert_eq!(list(&["--tenant", "acme", "--since", "2h"]), [1], "the other died before that");
    assert_eq!(list(&["--since", "4h"]), [1, 2, 3, 4, 5]);
    fleet.run(&["dead", "list", "--tenant", "nobody"]).with_code(1).error_naming(&["nobody"]);

    let dry = fleet.run(&["dead", "replay", "--tenant", "brand", "--dry-run"]).with_code(0).out;
    assert!(dry.contains("2 would be replayed"), "{dry}");
    fleet.run(&["dead", "replay", "--tenant", "brand"]).with_code(0);
    let jobs: Vec<JobId> = letters.iter().map(|letter| letter.job.clone()).collect();
    assert_eq!(fleet.queue().live(&jobs).await.expect("asked"), [false, false, true, true, false]);
    fleet.run(&["dead", "discard", "--tenant", "acme", "--yes", "2"]).with_code(0);
    assert_eq!(list(&[]), [5]);
    let log = fleet.run(&["dead", "log", "--json"]).with_code(0).json();
    assert!(log.iter().any(|line| line["filter"]["tenant"] == "acme"), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_a_newer_version_are_told_and_keep_no_other_from_being_listed_replayed_or_discarded() {
    let fleet = Fleet::new();
    let letters: Vec<NewDeadLetter> = places(4).into_iter().map(|at| letter(at, "refused")).collect();
    bury(&fleet, &letters).await;
    let jobs: Vec<JobId> = letters.iter().map(|letter| letter.job.clone()).collect();
    // A kind of job and a class that this version does not know; one of them is the last, one stands in the middle.
    fleet.sql("UPDATE mailfleet.dead_letters SET job_id = 'x:of-a-later-version:1' WHERE uid = 2");
    fleet.sql("UPDATE mailfleet.dead_letters SET job_id = 'x:of-a-later-version:2' WHERE uid = 4");

    let listed = fleet.run(&["dead", "list", "--json"]).with_code(0);
    assert_eq!(uids(&listed.json()), [1, 3]);
    line(&listed.err, &["note: 2 letters are left out", "x:of-a-later-version:", "newer version"]);
    let table = fleet.run(&["dead", "list"]).with_code(0);
    assert!(table.out.lines().count() >= 3 && table.err.contains("2 letters are left out"), "{}", table.err);
    // Asked for by itself it is an error that says why.
    let id = fleet.sql("SELECT id FROM mailfleet.dead_letters WHERE uid = 2");
    fleet.run(&["dead", "show", &id]).with_code(1).error_naming(&["x:of-a-later-version:1", "newer version"]);

    let said = fleet.run(&["dead", "replay", "--all"]).with_code(1);
    assert!(
        said.out.contains("2 replayed, 0 were in the queue already, 2 cannot be replayed, 0 left"),
        "{}",
        said.out
    );
    assert!(
        said.err.contains("x:of-a-later-version:1") && said.err.contains("use a newer one"),
        "{}",
        said.err
    );
    let queues = Queues::connect(fleet.queue().config()).expect("queues");
    assert_eq!(queues.live(&jobs).await.expect("asked"), [true, false, true, false]);

    let said = fleet.run(&["dead", "discard", "--all", "--yes", "2"]).with_code(0);
    assert!(!said.err.contains("index"), "{}", said.err);
    let states = "SELECT state, count(*) FROM mailfleet.dead_letters GROUP BY 1 ORDER BY 1";
    assert_eq!(fleet.sql(states), "discarded|2\nreplayed|2");
    fleet.run(&["dead", "discard", "--all", "--yes", "0"]).with_code(0);
}
