//! What the autoscaler asks of Prometheus: all that there is to do, and nothing at all where a part of it is not known.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use mailfleet_testkit::promtool;

const MAILS: &str = "email:processing";
const EVENTS: &str = "delivery:events";

/// The one query of the ScaledObject.
fn query() -> String {
    let file = "../deploy/kubernetes/components/autoscale-keda/scaled-object.yaml";
    let object = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let queries: Vec<&str> = object.lines().filter_map(|line| line.trim().strip_prefix("query: ")).collect();
    let [query] = queries[..] else { panic!("{queries:?}") };
    query.to_owned()
}

/// A case for promtool: backlogs that processes show, by queue and process, and the answer, if there is one.
fn case(shown: &[(&str, u32, u32)], answer: Option<u32>) -> String {
    let mut text = String::from("  - interval: 15s\n    input_series:\n");
    for (queue, process, backlog) in shown {
        let labels = format!("namespace=\"mailfleet\",queue=\"{queue}\",instance=\"{process}\"");
        writeln!(
            text,
            "      - series: 'mailfleet_queue_backlog_entries{{{labels}}}'\n        values: '{backlog}x4'"
        )
        .unwrap();
    }
    // Always there, so that a case without a backlog has a series too.
    text.push_str("      - series: 'up{namespace=\"mailfleet\"}'\n        values: '1x4'\n");
    writeln!(text, "    promql_expr_test:\n      - expr: '{}'\n        eval_time: 1m", query()).unwrap();
    match answer {
        Some(value) => {
            writeln!(text, "        exp_samples:\n          - labels: '{{}}'\n            value: {value}")
                .unwrap();
        }
        None => text.push_str("        exp_samples: []\n"),
    }
    text
}

#[test]
fn the_autoscaler_is_told_the_sum_of_both_queues_and_nothing_where_one_of_them_is_unknown() {
    let cases = [
        // Every process shows the same of a queue; one of them is a look behind.
        case(&[(MAILS, 1, 1_000), (MAILS, 2, 990), (EVENTS, 1, 5)], Some(1_005)),
        case(&[(MAILS, 1, 0), (EVENTS, 1, 0)], Some(0)),
        // One is not known, however little there is in the other: that is no reason to go home.
        case(&[(EVENTS, 1, 0), (EVENTS, 2, 0)], None),
        case(&[(MAILS, 1, 7)], None),
        case(&[], None),
    ];
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("query_test.yaml"), format!("tests:\n{}", cases.concat())).unwrap();
    let tested = promtool().unwrap().args(["test", "rules", "query_test.yaml"]).current_dir(dir.path());
    let tested = tested.finish(Duration::from_secs(60)).unwrap();
    assert!(tested.status.success(), "{}\n{}", tested.stdout, tested.stderr);
}
