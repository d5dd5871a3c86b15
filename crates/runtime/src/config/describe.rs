//! The settings as `--check-config` prints them: key, value, origin, without a single secret.

use std::fmt::Write as _;

use figment::value::{Dict, Value};

use super::error::Origin;

/// Endings of names whose values are never shown, listed as secrets or not: the file is shared, and this binary
/// cannot know every secret of the sections that it does not read.
const SECRET_WORDS: [&str; 6] = ["password", "passwd", "secret", "token", "key", "credentials"];

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";

/// One line per setting, sorted by key.
pub(super) fn describe(tree: &Dict, secrets: &[&str], origin: &impl Fn(&str) -> Origin) -> String {
    let mut text = String::new();
    walk(tree, "", &mut |key, value| {
        let shown = if is_secret(key, value, secrets) { REDACTED.to_owned() } else { show(value) };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{key} = {shown}  # {}", origin(key));
    });
    text
}

fn walk(tree: &Dict, prefix: &str, visit: &mut impl FnMut(&str, &Value)) {
    for (name, value) in tree {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Dict(_, inner) => walk(inner, &key, visit),
            other => visit(&key, other),
        }
    }
}

fn is_secret(key: &str, value: &Value, secrets: &[&str]) -> bool {
    let name = key.rsplit('.').next().unwrap_or(key);
    secrets.contains(&key)
        || SECRET_WORDS.iter().any(|word| name == *word || name.ends_with(&format!("_{word}")))
        || holds_user_info(value)
}

/// Whether there is a URL in here with somebody's name and password, as in `redis://user:password@host`.
fn holds_user_info(value: &Value) -> bool {
    match value {
        Value::String(_, text) => text.contains("://") && text.contains('@'),
        Value::Array(_, values) => values.iter().any(holds_user_info),
        Value::Dict(_, values) => values.values().any(holds_user_info),
        Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Empty(..) => false,
    }
}

/// A value as it would stand in a TOML file; JSON's spelling of text, numbers and arrays is TOML's.
fn show(value: &Value) -> String {
    if let Value::Dict(_, inner) = value {
        let pairs: Vec<String> =
            inner.iter().map(|(key, value)| format!("{key} = {}", show(value))).collect();
        return format!("{{ {} }}", pairs.join(", "));
    }
    if let Value::Array(_, values) = value {
        // Tables within an array may hold secrets of a section that this binary does not read.
        if values.iter().any(|value| value.as_dict().is_some()) {
            return format!("[{} tables]", values.len());
        }
        return format!("[{}]", values.iter().map(show).collect::<Vec<_>>().join(", "));
    }
    serde_json::to_string(value).unwrap_or_else(|_| "?".to_owned())
}
