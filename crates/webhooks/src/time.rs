//! Times as providers write them: seconds since 1970 as string, integer or float, or RFC 3339 with any number of digits.

use chrono::DateTime;
use serde_json::Value;

/// 2000-01-01 and 2100-01-01: what is outside is no time of an event.
const PLAUSIBLE_MS: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;
/// Numbers from here on are milliseconds, those below seconds.
const MILLISECONDS_FROM: f64 = 1e11;

/// The time in milliseconds since 1970; `None` for what is none.
#[must_use]
pub fn ms(value: &Value) -> Option<i64> {
    let ms = match value {
        Value::Number(number) => number_ms(number.as_f64()?)?,
        Value::String(text) => text_ms(text.trim())?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    PLAUSIBLE_MS.contains(&ms).then_some(ms)
}

fn text_ms(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    let number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    number.then(|| text.parse().ok().and_then(number_ms)).flatten()
}

fn number_ms(number: f64) -> Option<i64> {
    let ms = if number >= MILLISECONDS_FROM { number } else { number * 1_000.0 };
    // A double holds milliseconds exactly far beyond the years that are plausible.
    #[expect(clippy::cast_possible_truncation, reason = "checked: within 0 and 10^14")]
    (0.0..1e14).contains(&ms).then(|| ms.round() as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_is_read_in_every_form_that_providers_use() {
        for (value, want) in [
            (json!("1772359205"), 1_772_359_205_000),
            (json!(1_772_359_205), 1_772_359_205_000),
            (json!(1_772_359_205.123_456), 1_772_359_205_123),
            (json!("1772359205.25"), 1_772_359_205_250),
            (json!(1_772_359_205_250_i64), 1_772_359_205_250),
            (json!("2026-03-01T10:00:05Z"), 1_772_359_205_000),
            (json!("2026-03-01T10:00:05.1234567Z"), 1_772_359_205_123),
            (json!("2026-03-01T11:00:05.000+01:00"), 1_772_359_205_000),
        ] {
            assert_eq!(ms(&value), Some(want), "{value}");
        }
    }

    #[test]
    fn what_is_no_plausible_time_is_unknown() {
        for value in [
            json!(null),
            json!(0),
            json!(-5),
            json!("inf"),
            json!("NaN"),
            json!(1e300),
            json!("today"),
            json!([1]),
        ] {
            assert_eq!(ms(&value), None, "{value}");
        }
    }
}
