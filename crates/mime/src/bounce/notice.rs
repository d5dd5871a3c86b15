//! The text of a bounce: where the returned mail begins.
//!
//! Slices are cut at offsets that a search in the same slice returned, or behind a check of the length: in bounds.

use memchr::memmem;

use crate::bounce::marks::{FIELDS, LISTED_BELOW, RETURNED_BELOW, UNDELIVERED};
use crate::table::rows;

/// Text of a bounce that is searched.
const LONGEST_TEXT: usize = 16 * 1024;

/// Text that is taken for what is said of one recipient.
pub(crate) const LONGEST_EXCERPT: usize = 1_000;

/// As much of a text as shows whether it begins with a header.
const LONGEST_FIELD: usize = 2_000;

/// Fields and lines above the first known one.
const MOST_FIELDS: usize = 100;

/// The text of a bounce, divided.
#[derive(Debug)]
pub(crate) struct Notice {
    /// What the machine says.
    pub(crate) said: String,
    /// The mail it returns, as far as it stands in the text.
    pub(crate) returned: String,
}

impl Notice {
    pub(crate) fn new(text: &str) -> Self {
        let text = prefix(text, LONGEST_TEXT);
        let lower = text.to_ascii_lowercase();
        // A field at the very top belongs to nothing that could be returned.
        let marked = rows(RETURNED_BELOW).filter_map(|mark| memmem::find(lower.as_bytes(), mark.as_bytes()));
        let header = header_in(&lower);
        let marked = marked.min();
        if let Some(at) = header.filter(|&at| marked.is_none_or(|mark| at < mark))
            && let Some(end) = told_below(&lower, at)
        {
            let (above, rest) = text.split_at(at);
            let (returned, below) = rest.split_at(end - at);
            return Self { said: format!("{above}{below}"), returned: returned.trim_start().to_owned() };
        }
        let at = marked.into_iter().chain(header).min().unwrap_or(text.len());
        let (said, returned) = text.split_at(at + report_below(&lower[at..]));
        // The mark's own line is no header field of the returned mail.
        let returned = returned.trim_start_matches('\n');
        let begin = prefix(returned, LONGEST_FIELD).to_ascii_lowercase();
        let returned = if header_in(&format!("\n{begin}")) == Some(0) {
            returned
        } else {
            let below = returned.split_once('\n').map_or("", |(_, rest)| rest);
            below_remarks(below.trim_start())
        };
        let returned = if returned.trim().is_empty() { told_header(said) } else { Some(returned.to_owned()) };
        Self { said: said.to_owned(), returned: returned.unwrap_or_default() }
    }

    /// The fields of a report (RFC 3464) that was flattened into the text: from the paragraph on that names the first
    /// recipient.
    pub(crate) fn flattened_report(&self) -> Option<&str> {
        let lower = self.said.to_ascii_lowercase();
        let at = memmem::find(lower.as_bytes(), b"\nfinal-recipient:")?;
        let begin = lower.get(..at)?.rfind("\n\n").map_or(0, |at| at + 2);
        self.said.get(begin..)
    }
}

/// The returned mail without what the machine remarks between its mark and the header.
fn below_remarks(returned: &str) -> &str {
    if returned.split_once(':').is_some_and(|(name, _)| is_name(name)) {
        return returned;
    }
    let header = header_in(&returned.to_ascii_lowercase());
    header.and_then(|at| returned.get(at + 1..)).unwrap_or(returned)
}

/// Where a header begins in a text in lower case: the line break before its first field.
fn header_in(lower: &str) -> Option<usize> {
    let known = rows(FIELDS).filter_map(|field| header_at(lower, field)).min()?;
    // Fields of other names may stand above the first that is known.
    let (mut begin, mut at) = (known, known);
    for line in lower.get(..known)?.rsplit('\n').take(MOST_FIELDS) {
        let Some(above) = at.checked_sub(line.len() + 1) else { break };
        at = above;
        if line.split_once(':').is_some_and(|(name, _)| is_name(name)) {
            begin = at;
        } else if !line.starts_with([' ', '\t']) {
            break;
        }
    }
    Some(begin)
}

/// Where a header at `at` ends, if the notice names nobody above it and speaks of what happened below.
fn told_below(lower: &str, at: usize) -> Option<usize> {
    let says = |text: &str| {
        let text = one_spaced(text);
        rows(LISTED_BELOW).chain(rows(UNDELIVERED)).any(|words| text.contains(words))
    };
    let end = lower.get(at + 1..)?.find("\n\n").map(|end| at + 1 + end)?;
    let above = lower.get(..at)?;
    (!above.contains('@') && !says(above) && says(prefix(lower.get(end..)?, LONGEST_EXCERPT))).then_some(end)
}

/// How long the mark of the returned mail is with a report that was flattened between it and that mail; none where there is
/// no such report.
fn report_below(lower: &str) -> usize {
    let is_report = |lines: &str| {
        let names = ["reporting-mta:", "final-recipient:", "original-recipient:"];
        lines.lines().any(|line| names.iter().any(|name| line.starts_with(name)))
    };
    let (mut at, mut end) = (0, 0);
    for (index, lines) in lower.split("\n\n").enumerate() {
        at += if index == 0 { 0 } else { 2 } + lines.len();
        if index > 0 && is_report(lines) {
            end = at;
        } else if index > 0 && !lines.trim().is_empty() {
            break;
        }
    }
    end
}

/// A header that the notice tells in its own words, indented: "This report relates to a message with …".
fn told_header(said: &str) -> Option<String> {
    let is_id =
        |line: &str| line.trim_start().get(..11).is_some_and(|f| f.eq_ignore_ascii_case("message-id:"));
    let told = said.split("\n\n").find(|lines| lines.lines().any(is_id))?;
    let fields = told.lines().filter(|line| line.split_once(':').is_some_and(|(n, _)| is_name(n.trim())));
    Some(fields.map(str::trim).collect::<Vec<_>>().join("\n"))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic())
}

/// Where a line begins with this field and a header follows: the next line is a field, or belongs to this one.
fn header_at(lower: &str, field: &str) -> Option<usize> {
    let mark = format!("\n{field}");
    memmem::find_iter(lower.as_bytes(), mark.as_bytes()).take(20).find(|&at| {
        let rest = lower.get(at + 1..).unwrap_or_default();
        let next = rest.split_once('\n').map_or("", |(_, next)| next);
        let name = next.split_once(':').map_or("", |(name, _)| name);
        next.trim().is_empty() || next.starts_with([' ', '\t']) || is_name(name)
    })
}

/// A text in lower case, of the same length, so that the places in it are the same: the few letters whose small ones are
/// longer or shorter stay.
pub(crate) fn lower_case(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let small = |c: char| {
        let mut small = c.to_lowercase();
        small.next().filter(|s| s.len_utf8() == c.len_utf8() && small.next().is_none()).unwrap_or(c)
    };
    text.chars().map(small).collect()
}

/// A text in lower case with single spaces, in which words are found however they are wrapped.
pub(crate) fn one_spaced(text: &str) -> String {
    lower_case(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) fn prefix(text: &str, length: usize) -> &str {
    let end = (0..=length.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_returned_mail_begins_below_its_mark() {
        let notice = Notice::new("Hi.\n<a@b.c>:\nuser unknown\n\n--- Below this line is a copy\n\nFrom: x\n");
        assert_eq!(notice.said, "Hi.\n<a@b.c>:\nuser unknown\n\n--- ");
        assert_eq!(notice.returned, "From: x\n");
    }

    #[test]
    fn a_returned_header_without_a_mark_above_it_keeps_its_first_field() {
        for header in [
            "Message-ID: <x@y>\nFrom: a@b.c\n",
            "From: a@b.c\nTo: d@e.f\n",
            "X-Job: 7\nFrom: a@b.c\nTo: d@e.f\n",
        ] {
            let notice = Notice::new(&format!("<d@e.f>:\nuser unknown\n\n{header}\nHello\n"));
            assert_eq!(notice.returned, format!("{header}\nHello\n"));
        }
    }

    #[test]
    fn letters_are_made_small_in_their_places() {
        assert_eq!(lower_case("ABC"), "abc");
        assert_eq!(lower_case("НЕ ДОСТАВЛЕНО À ÖÄ"), "не доставлено à öä");
        for odd in ["İx", "ẞX", "\u{212a}X", "ȺX", "信X"] {
            assert_eq!(lower_case(odd).len(), odd.len(), "{odd}");
        }
        assert_eq!(one_spaced(" Не\n ДОСТАВЛЕНО "), "не доставлено");
    }

    #[test]
    fn a_report_that_was_flattened_stands_above_the_returned_mail_not_in_it() {
        let report = "Reporting-MTA: dns; mx\n\nFinal-Recipient: rfc822; a@b.c\nAction: failed\n";
        let notice =
            Notice::new(&format!("Hi.\n\nBelow is a copy of the original message:\n\n{report}\nFrom: x\n"));
        assert_eq!(notice.returned, "From: x\n");
        assert_eq!(notice.flattened_report().map(str::trim_end), Some(report.trim_end()));
    }
}
