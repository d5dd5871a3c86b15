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
    for word in ["14 of 14 mails", "inbound", "UNACCOUNTED", "high", "http://127.0.0.1:"] {
        assert!(said.stdout.contains(word), "{word} is missing in\n{}", said.stdout);
    }
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
