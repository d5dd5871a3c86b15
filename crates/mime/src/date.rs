//! Dates as they are written (RFC 5322 section 3.3 and its relatives), validated.
//!
//! mailparse's reader knows the strict form only and lets an hour of 99 pass; here the words of the value are sorted
//! by what they can be, and the calendar has the last word.

use chrono::{DateTime, Datelike, NaiveDate, Utc};

mod names;

use names::{MONTHS, OTHER_MONTHS, ZONES};

/// Reads a decoded date; `None` where it is none, or lies outside 1970..2100.
pub(crate) fn read(text: &str) -> Option<DateTime<Utc>> {
    const LONGEST: usize = 200;
    let text: String = text.chars().take(LONGEST).collect();
    // A minus that is a character of its own comes out of text programs.
    let text = without_comments(&text).to_lowercase().replace('\u{2212}', "-");
    if let Some(instant) = seconds(text.trim()) {
        return Some(instant);
    }
    let mut seen = Seen::default();
    for word in text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()) {
        seen.word(word.trim_matches('"'));
    }
    seen.instant()
}

/// Seconds since 1970, as careless programs send them.
fn seconds(text: &str) -> Option<DateTime<Utc>> {
    let is_one = matches!(text.len(), 9 | 10) && text.bytes().all(|byte| byte.is_ascii_digit());
    DateTime::from_timestamp(text.parse().ok().filter(|_| is_one)?, 0)
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
        } else if let Some((date, time)) = word.split_once('t').filter(|(date, time)| is_compact(date, time))
        {
            // ISO 8601 without marks: `20161002T070622Z`.
            self.year = date.get(..4).and_then(|year| year.parse().ok());
            self.month = date.get(4..6).and_then(|month| month.parse().ok());
            self.day = date.get(6..).and_then(|day| day.parse().ok());
            let (clock, zone) = time.split_at(6);
            self.clock(&format!("{}:{}:{}{zone}", &clock[..2], &clock[2..4], &clock[4..]));
        } else if is_offset(word) {
            self.zone(word);
        } else if word.contains(':') || self.year.is_some() && is_dotted_clock(word) {
            self.clock(word);
        } else if let Some(month) = month(word) {
            // A day of the week may look like a month (`mar.` is Tuesday in French): of two the latter counts, unless
            // the date is whole.
            if self.month.is_none() || self.year.is_none() {
                self.month = Some(month);
            }
        } else if let Some(day) = ordinal(word) {
            self.number(day, 2);
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
        let clock = if clock.contains(':') { clock.to_owned() } else { clock.replace('.', ":") };
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
        if matches!(word, "am" | "pm" | "a.m." | "p.m.") {
            if let Some((hour, ..)) = &mut self.time {
                *hour = *hour % 12 + if word.starts_with('p') { 12 } else { 0 };
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
            // With slashes the month stands first (US) if it can be one, with dots the day.
            let is_american = word.contains('/') && a.is_some_and(|month| month <= 12);
            (self.month, self.day) = if is_american { (a, b) } else { (b, a) };
            self.year = number(third).and_then(|n| year(n, third.len()));
        }
    }

    fn instant(&self) -> Option<DateTime<Utc>> {
        let (hour, minute, second) = self.time.unwrap_or((0, 0, 0));
        let mut date = NaiveDate::from_ymd_opt(self.year?, self.month?, self.day?)?;
        // The end of a day is the beginning of the next one.
        let hour = if (hour, minute, second) == (24, 0, 0) {
            date = date.succ_opt()?;
            0
        } else {
            hour
        };
        // A leap second is the last ordinary one.
        let local = date.and_hms_opt(hour, minute, second.min(if second == 60 { 59 } else { u32::MAX }))?;
        let zone = chrono::TimeDelta::try_minutes(self.zone_minutes.unwrap_or(0))?;
        let instant = local.checked_sub_signed(zone)?.and_utc();
        (1970..2100).contains(&instant.year()).then_some(instant)
    }
}

fn month(word: &str) -> Option<u32> {
    if !word.chars().all(|c| c.is_alphabetic() || c == '.') {
        return None;
    }
    if let Some((_, number)) = OTHER_MONTHS.iter().find(|(begin, _)| word.starts_with(begin)) {
        return Some(*number);
    }
    let prefix = word.get(..3)?;
    let index = MONTHS.iter().position(|month| *month == prefix)?;
    u32::try_from(index + 1).ok()
}

/// `+0200`, `+02:00`, `GMT+02:00`.
fn is_offset(word: &str) -> bool {
    let name = word.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(word.len());
    // `sun-02-oct` has a name and a dash, too.
    word[name..].starts_with(['+', '-']) && (name == 0 || word[name..].contains(':'))
}

/// `2nd`, `3rd`.
fn ordinal(word: &str) -> Option<u32> {
    let digits = ["st", "nd", "rd", "th"].iter().find_map(|end| word.strip_suffix(end))?;
    digits.parse().ok().filter(|day| *day <= 31)
}

/// `20161002` and `070622z`.
fn is_compact(date: &str, time: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    date.len() == 8 && digits(date) == 8 && digits(time) == 6
}

/// `07.06.22`, a time and no date: its first number is an hour, and no number is longer than two digits.
fn is_dotted_clock(word: &str) -> bool {
    let mut pieces = word.split('.');
    let two = |piece: Option<&str>| {
        piece.filter(|piece| piece.len() == 2).and_then(|piece| piece.parse::<u32>().ok())
    };
    let (hour, minute, second) = (two(pieces.next()), two(pieces.next()), two(pieces.next()));
    hour.is_some_and(|hour| hour < 24) && minute.is_some() && second.is_some() && pieces.next().is_none()
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
mod tests;
