//! Dashboards and alerts speak of series that a running fleet has, and of nothing else.

mod dashboard;
mod promql;
mod view;

use std::sync::atomic::{AtomicBool, Ordering};

use mailfleet_testkit::{Process, eventually_blocking, promtool};
use mailfleet_tests::{Door, Fleet, bounce_of, door::event, numbered};

use self::dashboard::{Target, Written, dashboards, deploy};
use self::view::{SOON, View, all_right};

/// Gauges that every process reads from the same place.
const SHARED: [&str; 3] = ["mailfleet_queue_", "mailfleet_dead_letters_open", "mailfleet_redis_memory_bytes"];

/// Panels that the dashboard must have, whatever else it has: row, title and type of each, a metric that it speaks of and
/// the labels that it keeps apart.
const REQUIRED: [(&str, &str, &str, &str, &[&str]); 19] = [
    ("Backlog", "Entries by lane and state", "timeseries", "mailfleet_queue_entries", &["lane", "state"]),
    (
        "Backlog",
        "Age of the oldest entry",
        "timeseries",
        "mailfleet_queue_oldest_age_seconds",
        &["lane", "state"],
    ),
    ("Backlog", "Bytes by lane", "timeseries", "mailfleet_queue_bytes", &["lane"]),
    ("Backlog", "Lanes that refuse", "timeseries", "mailfleet_queue_refusing", &["lane", "why"]),
    (
        "Backlog",
        "Dead letters in the index by lane",
        "timeseries",
        "mailfleet_queue_dead_lane_entries",
        &["lane"],
    ),
    ("Flow", "Arrival and completion", "timeseries", "mailfleet_enqueued_total", &[]),
    ("Flow", "Arrival and completion", "timeseries", "mailfleet_webhook_requests_total", &[]),
    ("Flow", "Arrival and completion", "timeseries", "mailfleet_processed_total", &[]),
    ("Outcomes", "Entries by outcome", "timeseries", "mailfleet_processed_total", &["outcome"]),
    ("Latency", "Enqueue to commit", "heatmap", "mailfleet_enqueue_to_commit_seconds_bucket", &["le"]),
    ("Mailboxes", "Accounts by state", "timeseries", "mailfleet_accounts", &["state"]),
    (
        "Mailboxes",
        "Unaccounted messages",
        "timeseries",
        "mailfleet_mailbox_unaccounted_messages",
        &["account", "mailbox"],
    ),
    ("Mailboxes", "Fetched", "timeseries", "mailfleet_fetched_total", &[]),
    (
        "Webhooks and delivery events",
        "Webhook calls",
        "timeseries",
        "mailfleet_webhook_requests_total",
        &["result"],
    ),
    (
        "Webhooks and delivery events",
        "Delivery events",
        "timeseries",
        "mailfleet_webhook_events_total",
        &["kind"],
    ),
    (
        "Webhooks and delivery events",
        "Calls that the sweep found",
        "timeseries",
        "mailfleet_webhook_sweep_failed_total",
        &[],
    ),
    ("Redis and PostgreSQL", "Components", "timeseries", "mailfleet_component_ok", &["component"]),
    (
        "Redis and PostgreSQL",
        "Connections to PostgreSQL",
        "timeseries",
        "mailfleet_postgres_connections",
        &["state"],
    ),
    ("Redis and PostgreSQL", "Memory of Redis", "timeseries", "mailfleet_redis_memory_bytes", &["kind"]),
];

/// What the load of the test must show: panel and series whose number is above zero. A rate that nothing raises is zero,
/// and would pass for a panel that works.
const MOVED: [(&str, &str); 19] = [
    ("Arrival and completion", "arrived"),
    ("Arrival and completion", "finished"),
    ("Answers of the queue", "normal queued"),
    // The mails that come back.
    ("Answers of the queue", "high queued"),
    ("Entries by outcome", "persisted"),
    ("Entries by outcome", "applied"),
    ("Enqueue to commit", "+Inf"),
    ("Fetched", "mails"),
    ("Fetched bytes", "bytes"),
    ("Webhook calls", "generic accepted"),
    ("Webhook calls", "generic unauthorized"),
    ("Answer of the webhook door", "+Inf"),
    ("Delivery events", "delivered"),
    ("Delivery events", "bounced"),
    ("What events found", "matched"),
    ("Registrations of outbound messages", "accepted"),
    ("Connections to PostgreSQL", "mailfleet-consumer limit"),
    ("Memory of Redis", "used"),
    ("Memory of Redis", "max"),
];

/// What the autoscaler asks; an answer without a number would be taken for a failure there.
fn autoscaler() -> Vec<Written> {
    let object =
        std::fs::read_to_string(deploy("kubernetes/components/autoscale-keda/scaled-object.yaml")).unwrap();
    let queries = object.lines().filter_map(|line| line.trim().strip_prefix("query: "));
    let all: Vec<_> = queries
        .map(|query| Written {
            place: "scaled-object.yaml".to_owned(),
            expression: query.replace("namespace=\"mailfleet\"", "namespace=\"test\""),
        })
        .collect();
    assert!(!all.is_empty(), "the autoscaler asks nothing");
    all
}

/// Every series that the alerts' unit tests make up.
fn unit_test_series() -> Vec<Written> {
    let tests = std::fs::read_to_string(deploy("prometheus/alerts_test.yaml")).unwrap();
    let series = tests.lines().filter_map(|line| line.trim().strip_prefix("- series: '")?.strip_suffix('\''));
    let place = || "alerts_test.yaml".to_owned();
    let all: Vec<_> =
        series.map(|series| Written { place: place(), expression: series.to_owned() }).collect();
    assert!(all.len() > 40, "only {} series found", all.len());
    all
}

/// A steady load of all kinds, so that rates and quantiles have something to show whenever they are asked for: mails,
/// registrations, events of what was registered, and now and then a call that is refused and a message that comes back.
fn load(fleet: &Fleet, door: &Door, over: &AtomicBool) {
    for number in 51..=5_000 {
        if over.load(Ordering::Relaxed) {
            break;
        }
        fleet.deliver([numbered(number)]);
        assert_eq!(door.register(number).status, 201);
        // Few enough are refused for the alert about it to be silent.
        match number % 20 {
            5 => assert_eq!(door.tell_badly_signed(&event("delivered", number)).status, 401),
            10 => drop(fleet.dovecot.deliver("inbox", &bounce_of(number)).unwrap()),
            15 => assert_eq!(door.tell(&event("bounced", number)).status, 200),
            _ => assert_eq!(door.tell(&event("delivered", number)).status, 200),
        }
    }
}

#[test]
fn every_panel_and_every_alert_has_the_series_of_a_fleet_under_load() {
    let fleet = Fleet::start();
    fleet.deliver((1..=50).map(numbered));
    let (door, producer) = Door::open(&fleet);
    let consumers = [fleet.consumer(), fleet.consumer()];
    let view = View::over(&producer, &consumers);
    let (dashboards, alerts) = (dashboards(), view.alerts());
    assert!(alerts.len() >= 20, "only {} alerts are read", alerts.len());
    let name = |written: &Written| format!("{}\n    {}", written.place, written.expression);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| load(&fleet, &door, &over));
        let _end = Ended(&over);
        all_right(&dashboards.targets, |target| name(&target.written), |target| view.panel(target));
        all_right(&MOVED, |moved| format!("{moved:?}"), |moved| moves(&view, &dashboards.targets, moved));
        all_right(&dashboards.annotations, name, |annotation| view.series_of(annotation));
        all_right(&dashboards.variables, |variable| variable.name.clone(), |variable| view.choice(variable));
        all_right(&autoscaler(), name, |query| view.number(query));
        all_right(&alerts, name, |alert| view.series_of(alert));
        all_right(&alerts, name, |alert| view.query(&alert.expression).map(drop));
        all_right(&unit_test_series(), name, |series| view.has_labels(series));
    });
    // What came back by mail and what the provider told are known of the messages.
    for (source, by) in [("m:", "mail"), ("w:", "webhook")] {
        let bounced = format!(
            "SELECT count(*) FROM mailfleet.delivery_events WHERE kind = 'bounced' AND source LIKE '{source}%' \
             AND storage_key IS NOT NULL"
        );
        eventually_blocking(&format!("the bounce by {by}"), SOON, || {
            (fleet.count(&bounced) > 0).then_some(())
        });
    }
    // With all of it worked off nothing is wrong, and no alert says so.
    all_right(&alerts, name, |alert| match view.query(&alert.expression)?.first() {
        Some(series) => Err(format!("raised in a healthy fleet: {series:?}")),
        None => Ok(()),
    });
}

#[test]
fn whoever_is_away_raises_the_alert_of_it() {
    let fleet = Fleet::start();
    let (producer, consumers) = (fleet.producer(), [fleet.consumer()]);
    let view = View::over(&producer, &consumers);
    let alerts = view.alerts();
    let all = ["mailfleet_redis_memory_bytes", "mailfleet_fetched_total", "mailfleet_processed_total"];
    for metric in all {
        eventually_blocking(metric, SOON, || (!view.query(metric).ok()?.is_empty()).then_some(()));
    }
    fleet.redis.kill();
    for alert in ["MailfleetRedisAway", "MailfleetDepthUnknown"] {
        view.raised(&alerts, alert);
    }
    eventually_blocking("memory that is not known", SOON, || {
        view.query("mailfleet_redis_memory_bytes").is_ok_and(|series| series.is_empty()).then_some(())
    });
    producer.sigkill();
    view.raised(&alerts, "MailfleetNoProducer");
    consumers.iter().for_each(Process::sigkill);
    view.raised(&alerts, "MailfleetNoConsumer");
}

/// What is wrong with a panel that the load should have moved.
fn moves(view: &View, targets: &[Target], (panel, series): &(&str, &str)) -> Result<(), String> {
    let mut seen = Vec::new();
    for target in targets.iter().filter(|target| target.panel == *panel) {
        seen.extend(view.legends(target)?);
    }
    let moved = seen.iter().any(|(name, value)| name == series && *value > 0.0);
    moved.then_some(()).ok_or_else(|| format!("not above zero among {seen:?}"))
}

/// Ends the load also when the test fails.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn the_dashboard_has_the_panels_that_a_fleet_is_run_by() {
    let targets = dashboards().targets;
    for (row, title, kind, metric, labels) in REQUIRED {
        let shows = |target: &&Target| {
            let found = promql::read(&target.written.expression);
            let speaks = found.selectors.iter().any(|selector| selector.metric == metric);
            speaks && labels.iter().all(|label| found.grouped.iter().any(|grouped| grouped == label))
        };
        let of_panel = |target: &&Target| target.row == row && target.panel == title && target.kind == kind;
        assert!(
            targets.iter().filter(of_panel).any(|target| shows(&target)),
            "row {row:?} has no {kind} {title:?} that shows {metric} by {labels:?}"
        );
    }
}

#[test]
fn gauges_that_all_replicas_share_are_never_summed_over_them() {
    let rules = std::fs::read_to_string(deploy("prometheus/alerts.yaml")).unwrap();
    let prose = |line: &&str| line.starts_with('#') || line.starts_with("summary:");
    let rules: Vec<&str> = rules.lines().map(str::trim).filter(|line| !prose(line)).collect();
    let rules = rules.join("\n");
    let mut all: Vec<Written> = dashboards().targets.into_iter().map(|target| target.written).collect();
    all.push(Written { place: "alerts.yaml".to_owned(), expression: rules });
    let mut seen = 0;
    for Written { place, expression } in &all {
        for selector in promql::read(expression).selectors {
            if !SHARED.iter().any(|shared| selector.metric.starts_with(shared)) {
                continue;
            }
            seen += 1;
            let before =
                expression[..selector.at].trim_end().strip_suffix('(').unwrap_or_default().trim_end();
            let aggregation = match before.strip_suffix(')').and_then(|list| list.rsplit_once(" by (")) {
                Some((aggregation, _)) => aggregation,
                None => before,
            };
            let good = aggregation.ends_with("max") || aggregation.ends_with("group");
            assert!(good, "{place}: {} is not inside `max by (…)`", selector.text);
        }
    }
    assert!(seen > 15, "only {seen} uses found");
}

#[test]
fn the_rules_and_their_unit_tests_pass_and_no_alert_is_without_both_cases() {
    let dir = deploy("prometheus");
    for (verb, file) in [("rules", "alerts.yaml"), ("config", "prometheus.yaml")] {
        let checked = promtool().unwrap().args(["check", verb, file]).current_dir(&dir).finish(SOON).unwrap();
        assert!(checked.status.success(), "{}\n{}", checked.stdout, checked.stderr);
    }
    let tested = promtool().unwrap().args(["test", "rules", "alerts_test.yaml"]).current_dir(&dir);
    let tested = tested.finish(SOON).unwrap();
    assert!(tested.status.success(), "{}\n{}", tested.stdout, tested.stderr);

    let rules = std::fs::read_to_string(dir.join("alerts.yaml")).unwrap();
    let tests = std::fs::read_to_string(dir.join("alerts_test.yaml")).unwrap();
    let tests: Vec<&str> = tests.lines().map(str::trim).collect();
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 20, "only {} alerts found", alerts.len());
    for alert in alerts {
        let cases = tests.windows(2).filter(|pair| pair[0].strip_prefix("alertname: ") == Some(alert));
        let (silent, fires): (Vec<_>, Vec<_>) = cases.partition(|pair| pair[1] == "exp_alerts: []");
        assert!(
            !fires.is_empty() && !silent.is_empty(),
            "{alert} lacks a case: fires {fires:?}, silent {silent:?}"
        );
    }
}
