//! No log level makes a process write down the mails that pass through it, and no outage makes it write without end.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mailfleet_testkit::{Process, eventually_blocking, more_than_one_a_second};
use mailfleet_tests::{Fleet, numbered};

/// Parts of a process that say by themselves what is wrong, each at once when it begins: who works, who keeps leases and
/// listens, who watches, and that it is over.
const PARTS: usize = 4;

/// Less than a line a second since `mark`, beside the first one of each part.
pub fn assert_quiet(process: &Process, mark: usize) {
    let lines: Vec<_> = process.lines().split_off(mark);
    let time = |text: &str| -> DateTime<Utc> {
        let line: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"));
        line["timestamp"].as_str().and_then(|time| time.parse().ok()).unwrap_or_else(|| panic!("{text}"))
    };
    let times: Vec<_> = lines.iter().map(|line| time(&line.text)).collect();
    let since: Vec<_> = times.iter().map(|time| (*time - times[0]).to_std().unwrap_or_default()).collect();
    println!("{}: {} lines in {:?}", process.name(), lines.len(), since.last().unwrap_or(&Duration::ZERO));
    assert_eq!(more_than_one_a_second(&since, PARTS), None, "{}", process.name());
}

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

#[test]
fn a_redis_without_memory_and_one_that_stands_still_cost_producer_and_consumer_less_than_a_line_a_second() {
    const LONG: Duration = Duration::from_secs(8);
    let fleet = Fleet::start();
    let (producer, consumer) = (fleet.producer(), fleet.consumer());
    fleet.deliver((1..=5).map(numbered));
    fleet.wait_accounted(5, Duration::from_secs(30));
    let (mut number, marks) = (5, [producer.mark(), consumer.mark()]);
    for trouble in ["CONFIG SET maxmemory 1", "stand still"] {
        let (begun, before) = (std::time::Instant::now(), number);
        if trouble == "stand still" {
            fleet.redis.pause().unwrap();
        } else {
            fleet.redis.ask::<()>(trouble).unwrap();
        }
        // There is always something new to enqueue; the outage itself is what is tested: its length is the condition.
        eventually_blocking("the end of the outage", LONG * 2, || {
            if begun.elapsed().as_millis() > u128::from(number - before) * 250 {
                number += 1;
                fleet.deliver([numbered(number)]);
            }
            (begun.elapsed() > LONG).then_some(())
        });
    }
    assert_eq!(fleet.accounted(), 5, "it was an outage");
    for (process, mark) in [&producer, &consumer].into_iter().zip(marks) {
        assert_quiet(process, mark);
    }
    assert!(producer.mark() > marks[0], "it is said all the same: {}", producer.stderr());
    fleet.redis.resume().unwrap();
    fleet.redis.ask::<()>("CONFIG SET maxmemory 0").unwrap();
    fleet.wait_accounted(number.into(), Duration::from_secs(60));
    fleet.assert_all_once(number);
}
