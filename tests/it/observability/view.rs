//! What Prometheus says of a fleet.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use mailfleet_testkit::{Process, PrometheusServer, ScrapeJob, eventually_blocking};
use mailfleet_tests::metrics;
use serde_json::Value;

use super::dashboard::{Target, Variable, Written, deploy};
use super::promql;

/// The longest that scrapes, sweeps and rates need until every panel has something to show.
pub const SOON: Duration = Duration::from_secs(20);

/// Prometheus' view of the fleet.
pub struct View {
    server: PrometheusServer,
}

impl View {
    pub fn over(producer: &Process, consumers: &[Process]) -> Self {
        let job = |name: &str, processes: &[&Process]| ScrapeJob {
            name: name.to_owned(),
            targets: processes.iter().map(|process| metrics::admin_address(process)).collect(),
            labels: vec![("namespace".to_owned(), "test".to_owned())],
        };
        let consumers: Vec<&Process> = consumers.iter().collect();
        let jobs = [job("mailfleet-producer", &[producer]), job("mailfleet-consumer", &consumers)];
        Self { server: PrometheusServer::start(&jobs, &[deploy("prometheus/alerts.yaml")]).unwrap() }
    }

    /// What an answer of the API holds, or what Prometheus has against the question.
    fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let answer = self.server.api(path, parameters).map_err(|error| format!("{error:#}"))?;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        if answer["status"] != "success" {
            return Err(answer["error"].to_string());
        }
        Ok(answer["data"].clone())
    }

    /// Labels and value of each series of the answer, or what Prometheus has against the expression.
    pub fn query(&self, expression: &str) -> Result<Vec<(Value, f64)>, String> {
        let data = self.ask("query", &[("query", expression)])?;
        let series = data["result"].as_array().ok_or("no vector")?;
        let value =
            |one: &Value| one["value"][1].as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
        Ok(series.iter().map(|one| (one["metric"].clone(), value(one))).collect())
    }

    /// The alerts as Prometheus has read them.
    pub fn alerts(&self) -> Vec<Written> {
        let data = self.ask("rules", &[]).unwrap();
        let groups = data["groups"].as_array().unwrap();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        rules
            .map(|rule| Written {
                place: format!("alert {}", text(&rule["name"])),
                expression: text(&rule["query"]),
            })
            .collect()
    }

    /// What is wrong with an expression's series and labels: each selector must give series, and they must have the
    /// labels that the expression speaks of.
    pub fn series_of(&self, written: &Written) -> Result<(), String> {
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
    pub fn has_labels(&self, written: &Written) -> Result<(), String> {
        for selector in promql::read(&written.expression).selectors {
            let series = self.query(&selector.metric)?;
            let first = series.first().ok_or_else(|| format!("no process exports {}", selector.metric))?;
            if let Some(label) = selector.matched.iter().find(|label| first.0.get(label).is_none()) {
                return Err(format!("{} has no label {label}", selector.metric));
            }
        }
        Ok(())
    }

    /// What is wrong with what must show a number.
    pub fn number(&self, written: &Written) -> Result<(), String> {
        self.series_of(written)?;
        let answer = self.query(&written.expression)?;
        answer
            .iter()
            .any(|(_, value)| value.is_finite())
            .then_some(())
            .ok_or_else(|| "it shows nothing".to_owned())
    }

    /// The names of the series that a panel shows, with their numbers.
    pub fn legends(&self, target: &Target) -> Result<Vec<(String, f64)>, String> {
        let answer = self.query(&target.written.expression)?;
        answer.into_iter().map(|(labels, value)| Ok((rendered(&target.legend, &labels)?, value))).collect()
    }

    /// What is wrong with a panel: it must show a number, and its legend must name labels of the answer.
    pub fn panel(&self, target: &Target) -> Result<(), String> {
        self.number(&target.written)?;
        self.legends(target).map(drop)
    }

    /// What is wrong with a variable: there must be values to choose from.
    pub fn choice(&self, variable: &Variable) -> Result<(), String> {
        let inner = variable.query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let (series, label) =
            inner.and_then(|inner| inner.rsplit_once(", ")).ok_or("not label_values(series, label)")?;
        let values = self.ask(&format!("label/{label}/values"), &[("match[]", series)])?;
        let some = values.as_array().is_some_and(|values| !values.is_empty());
        some.then_some(()).ok_or_else(|| "it has no values".to_owned())
    }

    /// Waits until the alert's condition holds.
    pub fn raised(&self, alerts: &[Written], name: &str) {
        let alert = alerts.iter().find(|alert| alert.place == format!("alert {name}")).unwrap();
        eventually_blocking(&format!("the condition of {name}"), SOON, || {
            self.query(&alert.expression).is_ok_and(|series| !series.is_empty()).then_some(())
        });
    }
}

/// A legend with the labels of a series put in.
fn rendered(legend: &str, labels: &Value) -> Result<String, String> {
    let mut parts = legend.split("{{");
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (label, rest) = part.split_once("}}").ok_or("its legend has a bracket that is not closed")?;
        let value = labels[label.trim()].as_str();
        name.push_str(
            value.ok_or_else(|| format!("its legend names the label {label}, which its answer lacks"))?,
        );
        name.push_str(rest);
    }
    Ok(name)
}

/// Waits until nothing is wrong with any of them. What is right once stays so.
pub fn all_right<T>(all: &[T], named: impl Fn(&T) -> String, wrong: impl Fn(&T) -> Result<(), String>) {
    let mut left: Vec<&T> = all.iter().collect();
    let until = Instant::now() + SOON;
    eventually_blocking("all expressions as they should be", SOON + SOON, || {
        let mut told = String::new();
        left.retain(|one| match wrong(one) {
            Ok(()) => false,
            Err(error) => {
                write!(told, "\n{}: {error}", named(one)).unwrap();
                true
            }
        });
        assert!(left.is_empty() || Instant::now() < until, "not within {SOON:?}:{told}");
        left.is_empty().then_some(())
    });
}
