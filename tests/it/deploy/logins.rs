//! The logins that `deploy/kubernetes/README.md` has people make are enough, and the fleet's is not too much.

use std::time::Duration;

use mailfleet_tests::{Fleet, numbered};

use super::manifests::root;

/// Mails that go through.
const MAILS: u32 = 10;

/// The SQL of the README, for the database that the harness has made already.
fn sql() -> String {
    let readme = std::fs::read_to_string(root().join("deploy/kubernetes/README.md")).unwrap();
    let sql = readme.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let create = "CREATE DATABASE mailfleet OWNER mailfleet_owner";
    assert!(sql.contains(create), "{sql}");
    sql.replace(create, "ALTER DATABASE fleet OWNER TO mailfleet_owner")
}

#[test]
fn the_owner_migrates_and_the_fleet_works_without_owning_anything() {
    let fleet = Fleet::servers();
    fleet.postgres.psql("fleet", &sql()).unwrap();
    let url = |login: &str| {
        let url = fleet.postgres.url("fleet");
        let (_, place) = url.split_once('@').unwrap();
        format!("postgres://{login}@{place}")
    };
    let run = |login: &str, args: &[&str]| {
        let command = fleet.builder("mailfleet").env("MAILFLEET_POSTGRES__URL", url(login)).args(args);
        command.finish(Duration::from_secs(60)).unwrap()
    };
    let refused = run("mailfleet_fleet", &["migrate"]);
    assert!(!refused.status.success(), "the fleet's login may make tables: {}", refused.stdout);
    let port = fleet.dovecot.port().to_string();
    let password = fleet.path("password");
    let account = ["account", "add", "inbox", "--tenant", "acme", "--host", "127.0.0.1", "--port", &port];
    let access = ["--tls", "plain", "--user", "inbox", "--password-file", password.to_str().unwrap()];
    for (login, args) in [
        ("mailfleet_owner", vec!["migrate"]),
        ("mailfleet_fleet", vec!["tenant", "add", "acme", "--domain", "acme.example"]),
        ("mailfleet_fleet", [account.as_slice(), access.as_slice()].concat()),
    ] {
        let finished = run(login, &args);
        assert!(finished.status.success(), "{args:?}: {}{}", finished.stdout, finished.stderr);
    }
    let start = |program: &str| {
        fleet.started(fleet.builder(program).env("MAILFLEET_POSTGRES__URL", url("mailfleet_fleet")))
    };
    let processes = [start("mailfleet-producer"), start("mailfleet-consumer")];
    fleet.deliver((1..=MAILS).map(numbered));
    fleet.wait_accounted(u64::from(MAILS), Duration::from_secs(30));
    assert_eq!(fleet.count("SELECT count(*) FROM email_messages"), u64::from(MAILS));
    for args in [["audit", "--older-than", "0"].as_slice(), &["doctor"], &["dead", "list"]] {
        let finished = run("mailfleet_fleet", args);
        assert!(finished.status.success(), "{args:?}: {}{}", finished.stdout, finished.stderr);
    }
    drop(processes);
}
