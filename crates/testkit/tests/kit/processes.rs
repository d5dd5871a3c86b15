use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use mailfleet_testkit::{Origin, Process, ProcessBuilder, eventually_blocking};

use crate::{PATIENCE, is_running};

fn shell(script: &str) -> ProcessBuilder {
    Process::program(Path::new("/bin/sh")).args(["-c", script]).named("shell")
}

#[test]
fn both_streams_are_kept_in_memory_and_in_the_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("logs/shell.log");
    let process = shell("echo out; echo err >&2; exit 3").log_to(&file).spawn().expect("a process");
    assert_eq!(process.wait_exit(PATIENCE).expect("an end").code(), Some(3));
    assert_eq!((process.stdout().as_str(), process.stderr().as_str()), ("out", "err"));
    assert_eq!(process.lines().iter().filter(|line| line.origin == Origin::Stderr).count(), 1);
    let written = fs::read_to_string(file).expect("the file");
    assert!(written.contains("out\n") && written.contains("err\n"), "{written}");
}

#[test]
fn a_line_is_waited_for_and_one_that_never_comes_is_an_error_with_the_output() {
    let process =
        shell("echo first; read never </dev/null; echo ready; exec sleep 60").spawn().expect("a process");
    assert_eq!(process.wait_for_line("ready", PATIENCE).expect("the line"), "ready");
    let error =
        process.wait_for_line_after(process.mark(), "ready", Duration::from_millis(50)).expect_err("no line");
    assert!(
        error.to_string().contains("did not write `ready`") && error.to_string().contains("first"),
        "{error}"
    );
}

#[test]
fn signals_reach_the_process_and_its_status_tells_them() {
    let script = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let polite = shell(script).spawn().expect("a process");
    polite.wait_for_line("ready", PATIENCE).expect("ready");
    polite.sigstop();
    polite.sigterm();
    assert!(polite.is_running(), "a stopped process does not handle signals");
    polite.sigcont();
    assert_eq!(polite.wait_exit(PATIENCE).expect("an end").code(), Some(5));
    assert_eq!(polite.stdout(), "ready\ncaught");

    let sudden = shell(script).spawn().expect("a process");
    sudden.wait_for_line("ready", PATIENCE).expect("ready");
    sudden.sigkill();
    assert_eq!(sudden.wait_exit(PATIENCE).expect("an end").signal(), Some(9));
}

#[test]
fn dropping_a_process_kills_it_and_what_it_has_started() {
    let process = shell("sleep 300 & echo child $!; wait").spawn().expect("a process");
    let line = process.wait_for_line("child", PATIENCE).expect("the child");
    let child: u32 = line.trim_start_matches("child ").parse().expect("a number");
    let pid = process.pid();
    assert!(is_running(child));
    drop(process);
    assert!(!is_running(pid));
    eventually_blocking("the child is gone", PATIENCE, || (!is_running(child)).then_some(()));
}

#[test]
fn a_missing_binary_says_how_to_get_it() {
    let error = Process::binary("no-such-binary").expect_err("must be missing").to_string();
    assert!(error.contains("no-such-binary") && error.contains("cargo build"), "{error}");
}

#[test]
fn a_process_that_does_not_end_in_time_is_an_error_and_ends() {
    let error = shell("echo busy; exec sleep 300").finish(Duration::from_millis(300)).expect_err("too long");
    assert!(error.to_string().contains("did not end"), "{error}");
}
