//! The dashboards as data.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// An expression and where it stands.
#[derive(Debug, Clone)]
pub struct Written {
    pub place: String,
    pub expression: String,
}

/// One question of a panel.
#[derive(Debug, Clone)]
pub struct Target {
    /// The row that the panel stands in.
    pub row: String,
    /// The panel's title.
    pub panel: String,
    /// The panel's type.
    pub kind: String,
    /// What is asked, with Grafana's variables put in.
    pub written: Written,
    /// What the series of the answer are called.
    pub legend: String,
}

/// A variable whose values Grafana asks Prometheus for.
#[derive(Debug, Clone)]
pub struct Variable {
    pub name: String,
    /// What its values are: `label_values(series, label)`.
    pub query: String,
    /// What stands in for it when all are chosen.
    all: String,
}

/// What is in all dashboards.
#[derive(Debug, Default)]
pub struct Dashboards {
    pub targets: Vec<Target>,
    pub annotations: Vec<Written>,
    pub variables: Vec<Variable>,
}

/// A file or directory of `deploy/`.
pub fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path).canonicalize().unwrap()
}

/// Reads every dashboard. Panics where one is not built as they all are.
pub fn dashboards() -> Dashboards {
    let mut all = Dashboards::default();
    for entry in std::fs::read_dir(deploy("grafana")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let dashboard: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            read(&path.file_name().unwrap().to_string_lossy(), &dashboard, &mut all);
        }
    }
    assert!(all.targets.len() > 30, "only {} questions found", all.targets.len());
    all
}

fn read(file: &str, dashboard: &Value, all: &mut Dashboards) {
    let variables: Vec<Variable> =
        list(&dashboard["templating"]["list"]).iter().filter_map(|one| variable(file, one)).collect();
    let mut row = String::new();
    for panel in list(&dashboard["panels"]) {
        let (kind, title) = (text(&panel["type"]), text(&panel["title"]));
        if kind == "row" {
            row = title;
            continue;
        }
        let place = format!("{file}: {row}: {title}");
        assert!(!list(&panel["targets"]).is_empty(), "{place} asks nothing");
        for target in list(&panel["targets"]) {
            let legend = text(&target["legendFormat"]);
            // Without one Grafana shows the whole set of labels, which nobody can read.
            assert!(!legend.is_empty() && legend != "__auto", "{place}: a target has no legendFormat");
            all.targets.push(Target {
                row: row.clone(),
                panel: title.clone(),
                kind: kind.clone(),
                written: written(place.clone(), &text(&target["expr"]), &variables),
                legend,
            });
        }
    }
    for annotation in list(&dashboard["annotations"]["list"]) {
        let place = format!("{file}: {}", text(&annotation["name"]));
        all.annotations.push(written(place, &text(&annotation["expr"]), &variables));
    }
    all.variables.extend(variables);
}

fn variable(file: &str, variable: &Value) -> Option<Variable> {
    let (name, kind) = (text(&variable["name"]), text(&variable["type"]));
    match kind.as_str() {
        // Which Prometheus: it is part of no expression.
        "datasource" => None,
        "query" => {
            let query = text(&variable["query"]["query"]);
            assert_eq!(query, text(&variable["definition"]), "{file}: two definitions of ${name}");
            Some(Variable { name, query, all: text(&variable["allValue"]) })
        }
        _ => panic!("{file}: the test knows no variables of type {kind:?} (${name})"),
    }
}

fn written(place: String, expression: &str, variables: &[Variable]) -> Written {
    assert!(!expression.is_empty(), "{place} has no expression");
    let mut put_in = expression.replace("$__rate_interval", "30s");
    for variable in variables {
        put_in = put_in.replace(&format!("${}", variable.name), &variable.all);
    }
    assert!(!put_in.contains('$'), "{place}: a variable that is not there: {put_in}");
    Written { place, expression: put_in }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
