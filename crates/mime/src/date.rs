//! Dates as they are written (RFC 5322 section 3.3 and its relatives), validated.
//!
//! mailparse's reader knows the strict form only and lets an hour of 99 pass; here the words of the value are sorted
//! by what they can be, and the calendar has the last word.

use chrono::{DateTime, Datelike, NaiveDate, Utc};

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Zone names of RFC 5322 and of everyday use, in minutes east of Greenwich. Ambiguous ones have the meaning of the
/// RFC; an unknown one counts as UTC, as the RFC says.
const ZONES: &[(&str, i64)] = &[
    ("edt", -240),
    ("est", -300),
    ("cdt", -300),
    ("cst", -360),
    ("mdt", -360),
    ("mst", -420),
    ("pdt", -420),
    ("pst", -480),
    ("cet", 60),
    ("cest", 120),
    ("met", 60),
    ("mest", 120),
    ("bst", 60),
    ("jst", 540),
    ("msk", 180),
];

/// Reads a decoded date; `None` where it is none, or lies outside 1970..2100.
pub(crate) fn read(text: &str) -> Option<DateTime<Utc>> {
    const LONGEST: usize = 200;
    let text: String = text.chars().take(LONGEST).collect();
    let text = without_comments(&text).to_ascii_lowercase();
    let mut seen = Seen::default();
    for word in text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()) {
        seen.word(word);
    }
    seen.instant()
}

fn without_comments(text: &str) -> String {
    let mut depth = 0u32;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}

/// What was recognised so far.
#[derive(Default)]
struct Seen {
    day: Option<u32>,
    month: Option<u32>,
    year: Option<i32>,
    time: Option<(u32, u32, u32)>,
    zone_minutes: Option<i64>,
}

impl Seen {
    fn word(&mut self, word: &str) {
        if let Some((date, time)) = word.split_once('t')
            && date.len() == 10
            && date.starts_with(|c: char| c.is_ascii_digit())
        {
            self.word(date);
            self.clock(time);
        } else if word.contains(':') {
            self.clock(word);
        } else if word.starts_with(['+', '-']) {
            self.zone(word);
        } else if let Some(month) = month(word) {
            self.month = self.month.or(Some(month));
        } else if let Ok(number) = word.parse::<u32>() {
            self.number(number, word.len());
        } else if word.contains(['-', '/', '.']) && word.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            self.joined_date(word);
        } else if self.time.is_some() {
            self.zone(word);
        }
    }

    /// `12:30`, `12:30:05`, `12:30:05.123`, `12:30:05+02:00`, `12:30:05z`, `12:30:05pm`.
    fn clock(&mut self, word: &str) {
        let end = word.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(word.len());
        let (clock, zone) = word.split_at(end);
        let mut pieces = clock.split(':');
        let mut next = || pieces.next().and_then(|piece| piece.split('.').next()?.parse::<u32>().ok());
        let (Some(hour), Some(minute)) = (next(), next()) else { return };
        if self.time.is_none() {
            self.time = Some((hour, minute, next().unwrap_or(0)));
        }
        if !zone.is_empty() {
            self.zone(zone);
        }
    }

    fn zone(&mut self, word: &str) {
        if matches!(word, "am" | "pm") {
            if let Some((hour, ..)) = &mut self.time {
                *hour = *hour % 12 + if word == "pm" { 12 } else { 0 };
            }
            return;
        }
        if self.zone_minutes.is_some() {
            return;
        }
        // `GMT-0800`, `UTC+02:00`: the offset counts.
        if let Some(at) = word.find(['+', '-']) {
            let digits: String = word[at + 1..].chars().filter(char::is_ascii_digit).collect();
            let Ok(number) = digits.parse::<i64>() else { return };
            let minutes = match digits.len() {
                1 | 2 => number * 60,
                3 | 4 => number / 100 * 60 + number % 100,
                _ => return,
            };
            // An offset beyond a day is none: better the time as UTC than no date at all.
            if minutes <= 24 * 60 {
                self.zone_minutes =
                    Some(if word.as_bytes().get(at) == Some(&b'-') { -minutes } else { minutes });
            }
        } else if let Some((_, minutes)) = ZONES.iter().find(|(name, _)| *name == word) {
            self.zone_minutes = Some(*minutes);
        }
    }

    fn number(&mut self, number: u32, digits: usize) {
        if self.day.is_none() && digits <= 2 && (1..=31).contains(&number) {
            self.day = Some(number);
        } else if self.year.is_none() {
            self.year = year(number, digits);
        } else if digits == 4 && self.time.is_some() {
            // `18:26:59 0000`: an offset without its sign.
            self.zone(&format!("+{number:04}"));
        }
    }

    /// `2024-05-01`, `01-May-2024`, `5/1/2024`, `01.05.2024`.
    fn joined_date(&mut self, word: &str) {
        let pieces: Vec<&str> = word.split(['-', '/', '.']).filter(|piece| !piece.is_empty()).collect();
        let &[first, second, third] = pieces.as_slice() else {
            if self.time.is_some() {
                self.zone(word);
            }
            return;
        };
        let number = |piece: &str| piece.parse::<u32>().ok();
        if self.day.is_some() || self.year.is_some() {
            return;
        }
        if first.len() == 4 {
            (self.year, self.month, self.day) = (
                number(first).and_then(|n| year(n, 4)),
                number(second).or_else(|| month(second)),
                number(third),
            );
        } else if let Some(named) = month(second) {
            (self.day, self.month) = (number(first), Some(named));
            self.year = number(third).and_then(|n| year(n, third.len()));
        } else {
            let (a, b) = (number(first), number(second));
            // With slashes the month stands first (US), with dots the day.
            (self.month, self.day) = if word.contains('/') { (a, b) } else { (b, a) };
            self.year = number(third).and_then(|n| year(n, third.len()));
        }
    }

    fn instant(&self) -> Option<DateTime<Utc>> {
        let (hour, minute, second) = self.time.unwrap_or((0, 0, 0));
        let date = NaiveDate::from_ymd_opt(self.year?, self.month?, self.day?)?;
        // A leap second is the last ordinary one.
        let local = date.and_hms_opt(hour, minute, second.min(if second == 60 { 59 } else { u32::MAX }))?;
        let zone = chrono::TimeDelta::try_minutes(self.zone_minutes.unwrap_or(0))?;
        let instant = local.checked_sub_signed(zone)?.and_utc();
        (1970..2100).contains(&instant.year()).then_some(instant)
    }
}

fn month(word: &str) -> Option<u32> {
    let prefix = word.get(..3)?;
    if !word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'.') {
        return None;
    }
    let index = MONTHS.iter().position(|month| *month == prefix)?;
    u32::try_from(index + 1).ok()
}

/// Two and three digits are years of RFC 5322 section 4.3.
fn year(number: u32, digits: usize) -> Option<i32> {
    let year = match (digits, number) {
        (4, _) => number,
        (2, 0..=49) => number + 2000,
        (2 | 3, 50..) => number + 1900,
        _ => return None,
    };
    i32::try_from(year).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(read(text).map(|d| d.to_rfc3339()).as_deref(), Some(expected), "{text}");
    }

    #[test]
    fn dates_are_read_as_they_are_written() {
        check("Sun, 02 Oct 2016 07:06:22 -0700 (PDT)", "2016-10-02T14:06:22+00:00");
        check("2 Oct 16 07:06 GMT", "2016-10-02T07:06:00+00:00");
        check("Fri, 1 May 98 10:00:00 EST", "1998-05-01T15:00:00+00:00");
        check("2016-10-02T07:06:22Z", "2016-10-02T07:06:22+00:00");
        check("2016-10-02 07:06:22 +0200", "2016-10-02T05:06:22+00:00");
        check("2016-10-02T07:06:22.123-07:00", "2016-10-02T14:06:22+00:00");
        check("Sun, 02-Oct-2016 07:06:22 GMT-0800", "2016-10-02T15:06:22+00:00");
        check("Sun Oct  2 07:06:22 2016", "2016-10-02T07:06:22+00:00");
        check("Sun Oct  2 07:06:22 PDT 2016", "2016-10-02T14:06:22+00:00");
        check("10/2/2016 3:06:22 PM", "2016-10-02T15:06:22+00:00");
        check("Sun, 02 Oct 2016 07:06:22 +0000 (UTC)", "2016-10-02T07:06:22+00:00");
        check("Thu, 31 Dec 1998 23:59:60 +0000", "1998-12-31T23:59:59+00:00");
        check("Sun, 02 Oct 2016 18:26:59 0000", "2016-10-02T18:26:59+00:00");
    }

    #[test]
    fn impossible_and_far_dates_are_none() {
        for text in [
            "",
            "yesterday",
            "Mon, 32 Jan 2000 10:00:00 +0000",
            "Mon, 32 Jan 0000 25:61:61 +9999",
            "30 Feb 2020 10:00:00 +0000",
            "1 Jan 2100 00:00:00 +0000",
            "1 Jan 1969 00:00:00 +0000",
            "1 Jan 2020 99:00:00 +0000",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
