//! What is added often is said in one place: nothing else in the code has to know of it.

use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Every file of these endings under a directory of the project.
fn files(under: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![Path::new(ROOT).join(under)];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted)) {
                found.push(path);
            }
        }
    }
    found
}

/// The places under a directory whose code, without comments and unit tests, holds one of the words.
fn naming(under: &str, words: &[String]) -> Vec<String> {
    let mut places = Vec::new();
    for path in files(under, &["rs", "lua"]) {
        if path.strip_prefix(ROOT).unwrap().components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            if words.iter().any(|word| line.contains(word.as_str())) {
                let place = path.strip_prefix(ROOT).unwrap().display();
                places.push(format!("{place}: {}", line.trim()));
            }
        }
    }
    places
}

#[test]
fn a_provider_is_named_in_its_own_file_alone() {
    for provider in mailfleet_webhooks::all() {
        let places = naming("crates", &[format!("\"{}\"", provider.name())]);
        let of_its_own = |place: &&String| place.starts_with("crates/webhooks/src/providers/");
        assert!(places.iter().any(|place| of_its_own(&place)), "{} is nowhere", provider.name());
        let others: Vec<_> = places.iter().filter(|place| !of_its_own(place)).collect();
        assert!(others.is_empty(), "{others:#?}");
        let files = places
            .iter()
            .filter_map(|place| place.split(':').next())
            .collect::<std::collections::BTreeSet<_>>();
        assert_eq!(files.len(), 1, "{files:?}");
    }
}

#[test]
fn a_roll_up_is_named_in_its_migration_alone() {
    let migrations: String =
        files("migrations", &["sql"]).iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let names: Vec<&str> = migrations
        .split("SELECT analytics.roll_up('")
        .skip(1)
        .map(|call| call.split('\'').next().unwrap())
        .collect();
    assert!(names.len() >= 3, "{names:?}");
    for name in names {
        let tables = [format!("{name}_day"), format!("analytics.{name}")];
        assert_eq!(naming("crates", &tables), Vec::<String>::new());
    }
}

#[test]
fn an_alert_is_said_once_and_nothing_but_its_test_its_runbook_and_its_generated_form_names_it() {
    let rules = std::fs::read_to_string(Path::new(ROOT).join("deploy/prometheus/alerts.yaml")).unwrap();
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 20, "{alerts:?}");
    let expected = ["alerts.yaml", "alerts_test.yaml", "prometheus-rule.yaml"];
    for path in files("deploy", &["yaml", "yml", "toml", "sh"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let named = alerts.iter().find(|alert| text.contains(*alert));
        assert_eq!(named.is_some(), expected.contains(&name), "{}: {named:?}", path.display());
    }
    for alert in alerts {
        assert_eq!(naming("crates", &[alert.to_owned()]), Vec::<String>::new());
    }
}

#[test]
fn a_panel_is_said_in_the_dashboard_alone() {
    let dashboard = std::fs::read_to_string(Path::new(ROOT).join("deploy/grafana/fleet.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    let titles: Vec<String> = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| std::iter::once(row).chain(row["panels"].as_array().into_iter().flatten()))
        .filter(|panel| panel["type"] != "row")
        .map(|panel| format!("\"{}\"", panel["title"].as_str().unwrap()))
        .collect();
    assert!(titles.len() > 15, "{titles:?}");
    assert_eq!(naming("crates", &titles), Vec::<String>::new());
}
