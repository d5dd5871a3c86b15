//! `mailfleet demo` from its start to the last removed file.

use std::path::Path;
use std::time::Duration;

use mailfleet_testkit::{Process, eventually_blocking};

/// Command lines of all processes that name this directory.
fn processes_in(dir: &Path) -> Vec<String> {
    let dir = dir.to_str().expect("UTF-8");
    let entries = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(dir))
        .collect()
}

fn nothing_is_left(dir: &Path) {
    eventually_blocking("the demo's processes are gone", Duration::from_secs(10), || {
        processes_in(dir).is_empty().then_some(())
    });
    let left: Vec<_> = std::fs::read_dir(dir).expect("the directory").filter_map(Result::ok).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn every_mail_of_the_demo_is_accounted_for_and_nothing_is_left() {
    let dir = tempfile::tempdir().expect("a directory");
    let demo =
        Process::binary("mailfleet").expect("built").args(["demo", "--mails", "14"]).current_dir(dir.path());
    let said = demo.finish(Duration::from_secs(120)).expect("it ends");
    assert!(said.status.success(), "{}\n{}", said.stdout, said.stderr);
    // Two come back to the campaign.
    for word in ["16 of 16 mails", "inbound", "UNACCOUNTED", "high", "http://127.0.0.1:"] {
        assert!(said.stdout.contains(word), "{word} is missing in\n{}", said.stdout);
    }
    let line = |begin: &str| {
        let line = said.stdout.lines().find(|line| line.starts_with(begin));
        line.unwrap_or_else(|| panic!("{begin} is missing in\n{}", said.stdout))
            .split_whitespace()
            .collect::<Vec<_>>()
    };
    assert!(line("ann@lead.example").ends_with(&["delivered", "1", "delivered"]), "a reply");
    assert!(line("bob@lead.example").ends_with(&["bounced", "0", "bounced"]), "a bounce");
    assert!(
        line("cyd@lead.example").ends_with(&["delivered,", "clicked", "0", "delivered"]),
        "webhook events"
    );
    // NAME (two words), TENANT, DAYS, SENT, DELIVERED with its share.
    assert_eq!(line("Spring offer")[4..7], ["3", "2", "(66.7%)"], "the roll-up");
    nothing_is_left(dir.path());
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("a directory");
    let demo = Process::binary("mailfleet").expect("built").args(["demo"]).current_dir(dir.path());
    let demo = demo.spawn().expect("it starts");
    demo.wait_for_line("starting one producer", Duration::from_secs(90)).expect("it gets there");
    demo.sigint();
    let status = demo.wait_exit(Duration::from_secs(60)).expect("it ends");
    assert_eq!(status.code(), Some(1));
    assert!(demo.stderr().contains("interrupted"), "{}", demo.stderr());
    nothing_is_left(dir.path());
}
