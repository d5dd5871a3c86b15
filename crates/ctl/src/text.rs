//! Text from mails and servers made fit for a terminal, and small formats.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use mailfleet_model::Counters;
use serde_json::Value;

/// Replaces what could move the cursor, colour the screen or reverse the line: a mail's subject is written by a
/// stranger. C0 and C1 controls, bidirectional overrides and line separators become `·`.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' | '\n' | '\r' => ' ',
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{feff}' => '·',
            c if c.is_control() => '·',
            c => c,
        })
        .collect()
}

/// `printable`, cut to `max` characters with an ellipsis.
pub fn cut(text: &str, max: usize) -> String {
    let text = printable(text);
    if text.chars().count() <= max {
        return text;
    }
    let mut short: String = text.chars().take(max.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// A time as UTC to the second, for tables.
pub fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A time in JSON: RFC 3339, UTC as `Z`, milliseconds. Every command's JSON has this format and no other.
pub fn json_time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The times within JSON that was stored or travelled, in the format of [`json_time`]: numbers under `at_ms` become
/// `at`, and the texts under the names of the letters' own times are written anew. Bounded by the depth of the value.
pub fn with_json_times(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(with_json_times).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| json_field(name, value)).collect(),
        other => other,
    }
}

fn json_field(name: String, value: Value) -> (String, Value) {
    let text = value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    match (name.as_str(), value.as_i64().and_then(DateTime::from_timestamp_millis), text) {
        ("at_ms", Some(at), _) => ("at".to_owned(), json_time(at).into()),
        ("died" | "closed" | "created", _, Some(at)) => (name, json_time(at.with_timezone(&Utc)).into()),
        _ => (name, with_json_times(value)),
    }
}

/// A duration as one number and its unit, for people.
pub fn age(age: Duration) -> String {
    match age.as_secs() {
        0 => format!("{} ms", age.as_millis()),
        s @ 1..=119 => format!("{s} s"),
        s @ 120..=7_199 => format!("{} min", s / 60),
        s @ 7_200..=172_799 => format!("{} h", s / 3_600),
        s => format!("{} d", s / 86_400),
    }
}

/// A number with its noun: `1 mailbox`, `2 mailboxes`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// What was counted against a job, in words.
pub fn counters(Counters { attempts, crashes, drains }: Counters) -> String {
    let [attempts, crashes, drains] = [
        count(attempts.into(), "attempt", "attempts"),
        count(crashes.into(), "crash", "crashes"),
        count(drains.into(), "drain", "drains"),
    ];
    format!("{attempts}, {crashes}, {drains}")
}

/// A size in bytes with a unit, for people.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} B"),
        10_000..=9_999_999 => format!("{} KiB", bytes / 1_024),
        _ => format!("{} MiB", bytes / 1_048_576),
    }
}

/// Reads `90`, `90s`, `5m`, `2h` or `7d`; a bare number is seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len());
    let factor = match unit {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(format!("`{text}` has an unknown unit: use s, m, h or d (90s, 5m, 2h, 7d)")),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(factor))
        // A century: everything above is a slip, and the arithmetic of times would overflow.
        .filter(|seconds| *seconds <= 36_525 * 86_400)
        .map(Duration::from_secs)
        .ok_or_else(|| format!("`{text}` is not a duration: use 90s, 5m, 2h or 7d"))
}

/// Reads a point in time that has been: an RFC 3339 time, a date, or an age (`2h` is two hours before `now`).
pub fn parse_since(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let at = point_in_time(text, now)?;
    // Nothing can have happened since then: a slip, or the day of somebody who is ahead of UTC.
    if at > now {
        return Err(format!("`{text}` is still to come: it is {} (UTC)", time(now)));
    }
    Ok(at)
}

fn point_in_time(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.with_timezone(&Utc));
    }
    if let Ok(date) = text.parse::<chrono::NaiveDate>() {
        return Ok(date.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    parse_duration(text)
        .ok()
        .and_then(|age| now.checked_sub_signed(chrono::TimeDelta::from_std(age).ok()?))
        .ok_or_else(|| format!("`{text}` is no time: use 2h, 7d, 2026-08-01 or 2026-08-01T12:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_subject_cannot_drive_the_terminal() {
        let subject = "\u{1b}[2Jgone\u{7}\u{9b}31m\u{202e}txt\nnext\u{2028}";
        assert!(printable(subject).chars().all(|c| !c.is_control() && c != '\u{202e}' && c != '\u{2028}'));
        assert_eq!(cut("äöü€", 3), "äö…");
        assert_eq!(cut("äöü", 3), "äöü");
    }

    #[test]
    fn durations_have_units_and_bounds() {
        assert_eq!(parse_duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(604_800)));
        for bad in ["", "s", "-1", "5w", "1.5h", "99999999999999999999", "999999999999d", "ü"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn since_takes_an_age_a_date_or_a_time() {
        let now: DateTime<Utc> = "2026-08-02T12:00:00Z".parse().unwrap();
        for (text, want) in [
            ("2h", "2026-08-02T10:00:00Z"),
            ("2026-08-01", "2026-08-01T00:00:00Z"),
            ("2026-08-01T14:00:00+02:00", "2026-08-01T12:00:00Z"),
        ] {
            assert_eq!(parse_since(text, now), Ok(want.parse().unwrap()), "{text}");
        }
        assert!(parse_since("yesterday", now).is_err());
        assert_eq!(parse_since("0", now), Ok(now));
        for later in ["2026-08-03", "2026-08-02T12:00:01Z", "2206-08-01"] {
            assert!(
                parse_since(later, now).unwrap_err().contains("still to come: it is 2026-08-02"),
                "{later}"
            );
        }
    }

    #[test]
    fn every_time_in_json_has_one_format() {
        let stored = serde_json::json!([{ "at_ms": 1_000, "error": "e" },
            { "died": "2026-08-01T12:00:00.123456+02:00", "closed": null, "history": [{ "at_ms": 2 }], "reason": "died" }]);
        let want = serde_json::json!([{ "at": "1970-01-01T00:00:01.000Z", "error": "e" },
            { "died": "2026-08-01T10:00:00.123Z", "closed": null, "history": [{ "at": "1970-01-01T00:00:00.002Z" }],
              "reason": "died" }]);
        assert_eq!(with_json_times(stored), want);
    }

    #[test]
    fn sizes_and_ages_read_well() {
        assert_eq!(size(512), "512 B");
        assert_eq!(size(60 * 1_048_576), "60 MiB");
        assert_eq!(age(Duration::from_millis(250)), "250 ms");
        assert_eq!(age(Duration::from_secs(7_200)), "2 h");
        let counted = Counters { attempts: 1, crashes: 2, drains: 0 };
        assert_eq!(counters(counted), "1 attempt, 2 crashes, 0 drains");
        assert_eq!([0, 1, 2].map(|n| count(n, "mail", "mails")), ["0 mails", "1 mail", "2 mails"]);
    }
}
