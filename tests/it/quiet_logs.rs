//! No log level makes a process write down the mails that pass through it.

use std::time::Duration;

use mailfleet_tests::{Fleet, numbered};

#[test]
fn at_trace_level_no_process_logs_a_mail_or_a_secret() {
    let fleet = Fleet::start();
    let loud = "trace,tokio_postgres=trace,redis=trace,rustls=trace";
    let start = |binary: &str| fleet.started(fleet.builder(binary).env("MAILFLEET_LOG", loud));
    let processes = [start("mailfleet-producer"), start("mailfleet-consumer")];
    let mails: Vec<_> = (1..=5).map(numbered).collect();
    let bodies: Vec<String> = mails
        .iter()
        .map(|mail| {
            let raw = String::from_utf8_lossy(&mail.raw).into_owned();
            let (_, body) = raw.split_once("\r\n\r\n").or_else(|| raw.split_once("\n\n")).unwrap();
            body.lines().map(str::trim).max_by_key(|line| line.len()).unwrap().to_owned()
        })
        .collect();
    fleet.deliver(mails);
    fleet.wait_accounted(5, Duration::from_secs(30));
    for process in &processes {
        let log = process.stderr();
        for body in &bodies {
            assert!(body.len() > 10 && !log.contains(body), "{}: `{body}` is in the log", process.name());
        }
        for word in ["log.file", "executing statement", ".cargo/registry"] {
            assert!(!log.contains(word), "{}: `{word}` is in the log", process.name());
        }
        assert!(log.contains("\"DEBUG\"") || log.contains("\"INFO\""), "the filter was in force:\n{log}");
    }
}
