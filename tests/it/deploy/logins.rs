//! The logins that `deploy/kubernetes/README.md` has people make are enough, and the fleet's is not too much.

use std::time::Duration;

use mailfleet_testkit::Finished;
use mailfleet_tests::{Fleet, numbered};

use super::manifests::root;

/// Mails that go through.
const MAILS: u32 = 10;

/// The login that owns the tables.
pub const OWNER: &str = "mailfleet_owner";

/// The login of producers, consumers and operators.
pub const FLEET: &str = "mailfleet_fleet";

/// The SQL of the README, for the database that the harness has made already.
fn sql() -> String {
    let readme = std::fs::read_to_string(root().join("deploy/kubernetes/README.md")).unwrap();
    let sql = readme.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let create = "CREATE DATABASE mailfleet OWNER mailfleet_owner";
    assert!(sql.contains(create), "{sql}");
    sql.replace(create, "ALTER DATABASE fleet OWNER TO mailfleet_owner")
}

/// The fleet's database as a login sees it.
pub fn url(fleet: &Fleet, login: &str) -> String {
    let url = fleet.postgres.url("fleet");
    let (_, place) = url.split_once('@').unwrap();
    format!("postgres://{login}@{place}")
}

/// Runs `mailfleet` as a login, whatever comes of it.
fn run(fleet: &Fleet, login: &str, args: &[&str]) -> Finished {
    let command = fleet.builder("mailfleet").env("MAILFLEET_POSTGRES__URL", url(fleet, login)).args(args);
    command.finish(Duration::from_secs(60)).unwrap()
}

/// Servers with the two logins, and a configuration with the fleet's: whatever is started from now on has that one.
fn servers() -> Fleet {
    let fleet = Fleet::servers();
    fleet.postgres.psql("fleet", &sql()).unwrap();
    let config = std::fs::read_to_string(fleet.config()).unwrap();
    let superuser = fleet.postgres.url("fleet");
    assert!(config.contains(&superuser), "{config}");
    std::fs::write(fleet.config(), config.replace(&superuser, &url(&fleet, FLEET))).unwrap();
    fleet
}

/// Lets the owner make the tables, and the fleet's login tenant `acme` with its account `inbox`.
fn prepare(fleet: &Fleet) {
    let migrated = run(fleet, OWNER, &["migrate"]);
    assert!(migrated.status.success(), "{}{}", migrated.stdout, migrated.stderr);
    fleet.mailfleet(&["tenant", "add", "acme", "--domain", "acme.example"]);
    fleet.add_account("inbox", &["--tenant", "acme"]);
}

/// [`Fleet::start`] with the logins of the README in the place of a superuser's.
pub fn fleet_of_two_logins() -> Fleet {
    let fleet = servers();
    prepare(&fleet);
    fleet
}

#[test]
fn the_owner_migrates_and_the_fleet_works_without_owning_anything() {
    let fleet = servers();
    let refused = run(&fleet, FLEET, &["migrate"]);
    assert!(!refused.status.success(), "the fleet's login may make tables: {}", refused.stdout);
    prepare(&fleet);
    let processes = [fleet.producer(), fleet.consumer()];
    fleet.deliver((1..=MAILS).map(numbered));
    fleet.wait_accounted(u64::from(MAILS), Duration::from_secs(30));
    assert_eq!(fleet.count("SELECT count(*) FROM email_messages"), u64::from(MAILS));
    let others = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{FLEET}'");
    assert!(fleet.count(&others) > 0, "the processes log in as somebody else");
    for args in [["audit", "--older-than", "0"].as_slice(), &["doctor"], &["dead", "list"]] {
        fleet.mailfleet(args);
    }
    drop(processes);
}
