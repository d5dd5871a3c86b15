//! `--check-config` and `--help`.

use std::time::Duration;

use mailfleet_testkit::Process;

const SHORT: Duration = Duration::from_secs(10);

fn check(text: &str) -> mailfleet_testkit::Finished {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mailfleet.toml");
    std::fs::write(&file, text).unwrap();
    Process::binary("mailfleet-producer")
        .unwrap()
        .arg("--config")
        .arg(&file)
        .arg("--check-config")
        .finish(SHORT)
        .unwrap()
}

const GOOD: &str = "[postgres]\nurl = \"postgres://mailfleet:hunter2@db/mailfleet\"\n[producer]\nbatch_count = 50\n\
                    [consumer]\nwhatever = \"is the consumer's\"\n";

#[test]
fn a_good_configuration_is_printed_without_its_secrets() {
    let checked = check(GOOD);
    assert_eq!(checked.status.code(), Some(0), "{}", checked.stderr);
    assert!(checked.stdout.contains("producer.batch_count = 50"), "{}", checked.stdout);
    assert!(!checked.stdout.contains("hunter2"), "{}", checked.stdout);
}

#[test]
fn an_unknown_key_is_refused_by_name_and_file() {
    let checked = check(&GOOD.replace("batch_count", "batch_cuont"));
    assert_eq!(checked.status.code(), Some(64));
    assert!(
        checked.stderr.contains("batch_cuont") && checked.stderr.contains("mailfleet.toml"),
        "{}",
        checked.stderr
    );
}

#[test]
fn a_value_that_cannot_work_is_refused_by_name() {
    let checked = check(&format!("{GOOD}[[producer.priority]]\nwhen = \"report\"\nlane = \"high\"\n"));
    assert_eq!(checked.status.code(), Some(64));
    assert!(checked.stderr.contains("producer.priority"), "{}", checked.stderr);
    let checked = check(&GOOD.replace("batch_count = 50", "idle_seconds = 1000"));
    assert_eq!(checked.status.code(), Some(64));
    assert!(checked.stderr.contains("producer.idle_seconds"), "{}", checked.stderr);
}

#[test]
fn the_help_says_what_it_does_and_how_it_ends() {
    let help = Process::binary("mailfleet-producer").unwrap().arg("--help").finish(SHORT).unwrap();
    assert!(help.status.success());
    for word in ["--config", "--check-config", "SIGTERM", "Exit codes"] {
        assert!(help.stdout.contains(word), "{word} is missing:\n{}", help.stdout);
    }
}
