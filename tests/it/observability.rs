//! Dashboards and alerts speak of series that a running fleet has, and of nothing else.

mod promql;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mailfleet_testkit::{Process, PrometheusServer, ScrapeJob, eventually_blocking, promtool};
use mailfleet_tests::{Fleet, metrics, numbered};
use serde_json::Value;

/// The longest that scrapes, sweeps and rates need until every panel has something to show.
const SOON: Duration = Duration::from_secs(20);

/// Gauges that every process reads from the same place.
const SHARED: [&str; 2] = ["mailfleet_queue_", "mailfleet_dead_letters_open"];

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path).canonicalize().unwrap()
}

/// An expression and where it stands.
#[derive(Debug, Clone)]
struct Written {
    place: String,
    expression: String,
    /// The legend of a panel; what has none need not show anything.
    legend: Option<String>,
}

/// Every expression of every dashboard, with Grafana's variables put in.
fn dashboards() -> Vec<Written> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(deploy("grafana")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let dashboard: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        for panel in list(&dashboard["panels"]) {
            for target in list(&panel["targets"]) {
                all.push(written(
                    format!("{file}: {}", panel["title"]),
                    &target["expr"],
                    &target["legendFormat"],
                ));
            }
        }
        for annotation in list(&dashboard["annotations"]["list"]) {
            all.push(written(format!("{file}: {}", annotation["name"]), &annotation["expr"], &Value::Null));
        }
    }
    assert!(all.len() > 30, "only {} expressions found", all.len());
    all
}

fn written(place: String, expression: &Value, legend: &Value) -> Written {
    let expression = expression.as_str().unwrap_or_else(|| panic!("{place} has no expression"));
    let expression =
        expression.replace("$__rate_interval", "30s").replace("$namespace", ".*").replace("$queue", ".*");
    assert!(!expression.contains('$'), "{place}: a variable that is not put in: {expression}");
    Written { place, expression, legend: legend.as_str().map(str::to_owned) }
}

/// What the autoscaler asks; an answer without a number would be taken for a failure there.
fn autoscaler() -> Vec<Written> {
    let object =
        std::fs::read_to_string(deploy("kubernetes/components/autoscale-keda/scaled-object.yaml")).unwrap();
    let queries = object.lines().filter_map(|line| line.trim().strip_prefix("query: "));
    let all: Vec<_> = queries
        .map(|query| Written {
            place: "scaled-object.yaml".to_owned(),
            expression: query.replace("namespace=\"mailfleet\"", "namespace=\"test\""),
            legend: Some(String::new()),
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
    let all: Vec<_> = series
        .map(|series| Written { place: place(), expression: series.to_owned(), legend: None })
        .collect();
    assert!(all.len() > 40, "only {} series found", all.len());
    all
}

/// Prometheus' view of the fleet.
struct View {
    server: PrometheusServer,
}

impl View {
    fn over(producer: &Process, consumers: &[Process]) -> Self {
        let job = |name: &str, processes: &[&Process]| ScrapeJob {
            name: name.to_owned(),
            targets: processes.iter().map(|process| metrics::admin_address(process)).collect(),
            labels: vec![("namespace".to_owned(), "test".to_owned())],
        };
        let consumers: Vec<&Process> = consumers.iter().collect();
        let jobs = [job("mailfleet-producer", &[producer]), job("mailfleet-consumer", &consumers)];
        Self { server: PrometheusServer::start(&jobs, &[deploy("prometheus/alerts.yaml")]).unwrap() }
    }

    /// Labels and value of each series of the answer, or what Prometheus has against the expression.
    fn query(&self, expression: &str) -> Result<Vec<(Value, f64)>, String> {
        let answer =
            self.server.api("query", &[("query", expression)]).map_err(|error| format!("{error:#}"))?;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        if answer["status"] != "success" {
            return Err(answer["error"].to_string());
        }
        let series = answer["data"]["result"].as_array().ok_or("no vector")?;
        let value =
            |one: &Value| one["value"][1].as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
        Ok(series.iter().map(|one| (one["metric"].clone(), value(one))).collect())
    }

    /// The alerts as Prometheus has read them.
    fn alerts(&self) -> Vec<Written> {
        let answer: Value = serde_json::from_str(&self.server.api("rules", &[]).unwrap()).unwrap();
        let groups = answer["data"]["groups"].as_array().unwrap();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        rules.map(|rule| written(format!("alert {}", rule["name"]), &rule["query"], &Value::Null)).collect()
    }

    /// What is wrong with an expression's series and labels: each selector must give series, and they must have the
    /// labels that the expression speaks of.
    fn series_of(&self, written: &Written) -> Result<(), String> {
        let found = promql::read(&written.expression);
        if found.selectors.is_empty() {
            return Err("it speaks of no series".to_owned());
        }
        let mut labels = Vec::new();
        for selector in &found.selectors {
            let series = self.query(&selector.text)?;
            let first = series.first().ok_or_else(|| format!("no process exports {}", selector.text))?;
            let has = |label: &String| first.0.get(label).is_some();
            if let Some(label) = selector.matched.iter().find(|label| !has(label)) {
                return Err(format!("{} has no label {label}", selector.metric));
            }
            labels.extend(first.0.as_object().into_iter().flat_map(|all| all.keys().cloned()));
        }
        match found.grouped.iter().find(|label| !labels.contains(label)) {
            Some(label) => Err(format!("none of its series has the label {label}")),
            None => Ok(()),
        }
    }

    /// What is wrong with a made-up series: one of that name with such labels must be exported, whatever their values.
    fn has_labels(&self, written: &Written) -> Result<(), String> {
        for selector in promql::read(&written.expression).selectors {
            let series = self.query(&selector.metric)?;
            let first = series.first().ok_or_else(|| format!("no process exports {}", selector.metric))?;
            if let Some(label) = selector.matched.iter().find(|label| first.0.get(label).is_none()) {
                return Err(format!("{} has no label {label}", selector.metric));
            }
        }
        Ok(())
    }

    /// What is wrong with a panel: it must show a number, and its legend must name labels of the answer. What has no
    /// legend, an annotation, marks what seldom happens.
    fn panel(&self, written: &Written) -> Result<(), String> {
        self.series_of(written)?;
        let answer = self.query(&written.expression)?;
        let Some(legend) = &written.legend else { return Ok(()) };
        let known = answer.iter().find(|(_, value)| value.is_finite()).ok_or("it shows nothing")?;
        for part in legend.split("{{").skip(1) {
            let label = part.split("}}").next().unwrap_or_default().trim();
            if known.0.get(label).is_none() {
                return Err(format!("its legend names the label {label}, which its answer lacks"));
            }
        }
        Ok(())
    }

    /// Waits until the alert's condition holds.
    fn raised(&self, alerts: &[Written], name: &str) {
        let alert = alerts.iter().find(|alert| alert.place.contains(&format!("\"{name}\""))).unwrap();
        eventually_blocking(&format!("the condition of {name}"), SOON, || {
            self.query(&alert.expression).is_ok_and(|series| !series.is_empty()).then_some(())
        });
    }
}

/// Waits until nothing is wrong with any of them. What is right once stays so.
fn all_right(all: &[Written], wrong: impl Fn(&Written) -> Result<(), String>) {
    let mut left: Vec<&Written> = all.iter().collect();
    let until = Instant::now() + SOON;
    eventually_blocking("all expressions as they should be", SOON + SOON, || {
        let mut told = String::new();
        left.retain(|one| match wrong(one) {
            Ok(()) => false,
            Err(error) => {
                write!(told, "\n{}: {error}\n    {}", one.place, one.expression).unwrap();
                true
            }
        });
        assert!(left.is_empty() || Instant::now() < until, "not within {SOON:?}:{told}");
        left.is_empty().then_some(())
    });
}

#[test]
fn every_panel_and_every_alert_has_the_series_of_a_fleet_under_load() {
    let fleet = Fleet::start();
    fleet.deliver((1..=50).map(numbered));
    let (producer, consumers) = (fleet.producer(), [fleet.consumer(), fleet.consumer()]);
    let view = View::over(&producer, &consumers);
    let alerts = view.alerts();
    assert!(alerts.len() >= 20, "only {} alerts are read", alerts.len());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // A steady load, so that rates and quantiles have something to show whenever they are asked for.
        scope.spawn(|| {
            for number in 51..=5_000 {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                fleet.deliver([numbered(number)]);
            }
        });
        let _end = Ended(&over);
        all_right(&dashboards(), |panel| view.panel(panel));
        all_right(&autoscaler(), |query| view.panel(query));
        all_right(&alerts, |alert| view.series_of(alert));
        all_right(&alerts, |alert| view.query(&alert.expression).map(drop));
        all_right(&unit_test_series(), |series| view.has_labels(series));
    });
    // With all of it worked off nothing is wrong, and no alert says so.
    all_right(&alerts, |alert| match view.query(&alert.expression)?.first() {
        Some(series) => Err(format!("raised in a healthy fleet: {series:?}")),
        None => Ok(()),
    });
    fleet.redis.kill();
    for alert in ["MailfleetRedisAway", "MailfleetDepthUnknown"] {
        view.raised(&alerts, alert);
    }
    producer.sigkill();
    view.raised(&alerts, "MailfleetNoProducer");
    consumers.iter().for_each(Process::sigkill);
    view.raised(&alerts, "MailfleetNoConsumer");
}

/// Ends the load also when the test fails.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn gauges_that_all_replicas_share_are_never_summed_over_them() {
    let rules = std::fs::read_to_string(deploy("prometheus/alerts.yaml")).unwrap();
    let prose = |line: &&str| line.starts_with('#') || line.starts_with("summary:");
    let rules: Vec<&str> = rules.lines().map(str::trim).filter(|line| !prose(line)).collect();
    let rules = rules.join("\n");
    let mut all = dashboards();
    all.push(Written { place: "alerts.yaml".to_owned(), expression: rules, legend: None });
    let mut seen = 0;
    for Written { place, expression, .. } in &all {
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
