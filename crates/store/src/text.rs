//! The last gate before PostgreSQL: whatever text comes, what is bound can be stored.
//!
//! A Rust string is valid UTF-8, so lone surrogates and raw Latin-1 bytes cannot get here. What remains is NUL, which
//! PostgreSQL stores neither in TEXT (22021) nor as `\u0000` in JSONB (22P05), and one of which spoils a whole batch.

use std::borrow::Cow;

use chrono::{DateTime, TimeZone, Utc};
use serde_json::Value;

/// Longest message kept of an error, in characters.
const LINE_MAX_CHARS: usize = 500;

/// Text without NUL: each becomes U+FFFD, so that it stays visible that something stood there.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// Clean text of at most `max` characters.
pub(crate) fn cut(text: &str, max: usize) -> Cow<'_, str> {
    let text = match text.char_indices().nth(max) {
        Some((end, _)) => text.get(..end).unwrap_or(text),
        None => text,
    };
    clean(text)
}

/// One line for an error or a log: no control characters, cut.
pub(crate) fn line(text: &str) -> String {
    text.split(char::is_control)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(LINE_MAX_CHARS)
        .collect()
}

/// JSON as PostgreSQL can hold it, in strings and in keys, as the text that is cast to JSONB.
pub(crate) fn json(value: &Value) -> String {
    let text = value.to_string();
    // The writer escapes NUL as \u0000; without that sequence there is nothing to replace. (A literal backslash
    // before `u0000` also matches: then the slow way finds nothing, which is right as well.)
    if text.contains("\\u0000") { clean_json(value).to_string() } else { text }
}

fn clean_json(value: &Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        Value::String(text) => Value::String(clean(text).into_owned()),
        Value::Array(items) => Value::Array(items.iter().map(clean_json).collect()),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, item)| (clean(key).into_owned(), clean_json(item))).collect())
        }
    }
}

/// A time within the years 1 to 9999: the driver wraps dates far outside PostgreSQL's range silently.
pub(crate) fn clamp(time: DateTime<Utc>) -> DateTime<Utc> {
    let bound = |year| Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).single();
    match (bound(1), bound(9999)) {
        (Some(first), Some(last)) => time.clamp(first, last),
        _ => time,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_nul_gets_through_in_text_keys_or_values() {
        assert_eq!(clean("a\0b"), "a\u{fffd}b");
        assert!(matches!(clean("plain"), Cow::Borrowed("plain")));
        let cleaned = json(&json!({"k\0": ["v\0", {"n": "\\u0000"}], "plain": 1}));
        let back: Value = serde_json::from_str(&cleaned).unwrap();
        assert_eq!(back, json!({"k\u{fffd}": ["v\u{fffd}", {"n": "\\u0000"}], "plain": 1}));
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("äöü", 2), "äö");
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(line("one\r\ntwo\0three"), "one two three");
        assert_eq!(line(&"x".repeat(9_999)).len(), LINE_MAX_CHARS);
    }

    #[test]
    fn times_outside_the_calendar_are_clamped() {
        assert_eq!(clamp(DateTime::<Utc>::MAX_UTC).to_rfc3339(), "9999-01-01T00:00:00+00:00");
        assert_eq!(clamp(DateTime::<Utc>::MIN_UTC).to_rfc3339(), "0001-01-01T00:00:00+00:00");
    }
}
