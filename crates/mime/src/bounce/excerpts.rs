//! What a notice says of each recipient, where it tells of several.
//!
//! Slices are cut at offsets that a search in the same slice returned, or behind a check of the length: in bounds.

use memchr::memmem;

use crate::bounce::notice::{LONGEST_EXCERPT, prefix};

/// Places where an address is looked for that may stand inside longer ones.
const MOST_MENTIONS: usize = 50;

/// What is said of each of these recipients: the lines from one that names it to one that names another, as many as
/// there are of them; all of it of a single one that is not named.
pub(crate) fn divide(whole: &str, addresses: &[String]) -> Vec<String> {
    let lower: Vec<String> = addresses.iter().map(|address| address.to_ascii_lowercase()).collect();
    let mut said = vec![String::new(); addresses.len()];
    let mut of = None;
    for line in whole.lines() {
        let mut from = 0;
        for (at, index) in mentions(&line.to_ascii_lowercase(), &lower) {
            if of == Some(index) {
                continue;
            }
            if let Some(part) = said.get_mut(of.unwrap_or(usize::MAX)) {
                add(part, line.get(from..at).unwrap_or_default());
            }
            // Behind its first name, which the excerpt begins with, a line counts whole.
            from = if from == 0 && !said[index].is_empty() { 0 } else { at };
            of = Some(index);
        }
        if let Some(part) = said.get_mut(of.unwrap_or(usize::MAX)) {
            add(part, line.get(from..).unwrap_or_default());
        }
    }
    if let [only] = &mut said[..]
        && only.is_empty()
    {
        add(only, whole);
    }
    share(&mut said, &lower, whole);
    said.iter().map(|text| one_line(text)).collect()
}

/// Where a line names which of these addresses, in the line's order.
fn mentions(line: &str, addresses: &[String]) -> Vec<(usize, usize)> {
    if !line.contains('@') {
        return Vec::new();
    }
    let find = |(index, address): (usize, &String)| Some((mention(line, address)?, index));
    let mut found: Vec<(usize, usize)> = addresses.iter().enumerate().filter_map(find).collect();
    found.sort_unstable();
    found
}

/// Where an address first stands in a text by itself, not inside a longer one: `a@b.co` is not named by `a@b.com`.
pub(crate) fn mention(text: &str, address: &str) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '+');
    let is_whole = |&at: &usize| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let behind = text.get(at + address.len()..).unwrap_or_default().trim_start_matches('.');
        !before.is_some_and(|c| is_part(c) || c == '.') && !behind.starts_with(is_part)
    };
    let mut places = memmem::find_iter(text.as_bytes(), address.as_bytes()).take(MOST_MENTIONS);
    places.find(is_whole).filter(|_| !address.is_empty())
}

/// Of recipients that are listed together above what became of them all, each has what is said of the last, unless that
/// names the last again: then it is what a server replied to that one.
fn share(said: &mut [String], addresses: &[String], whole: &str) {
    let is_silent = |text: &str, address: &str| {
        let rest = text.to_ascii_lowercase().replace(address, "");
        !text.is_empty() && !rest.chars().any(char::is_alphanumeric)
    };
    let silent: Vec<bool> =
        said.iter().zip(addresses).map(|(text, address)| is_silent(text, address)).collect();
    if silent.len() > 1 && silent.iter().all(|&silent| silent) {
        for text in &mut *said {
            add(text, whole);
        }
    }
    for index in (1..said.len()).rev() {
        let next = said[index].to_ascii_lowercase();
        let is_replied = next.matches(addresses[index].as_str()).nth(1).is_some();
        if silent[index - 1] && !is_replied {
            let next = said[index].clone();
            add(&mut said[index - 1], &next);
        }
    }
}

fn add(text: &mut String, more: &str) {
    let says_something = more.contains(char::is_alphanumeric) || text.is_empty();
    if says_something && text.len() <= LONGEST_EXCERPT {
        text.push(' ');
        text.push_str(prefix(more, LONGEST_EXCERPT));
    }
}

/// White space as single spaces, at most `LONGEST_EXCERPT` characters.
fn one_line(text: &str) -> String {
    prefix(&text.split_whitespace().collect::<Vec<_>>().join(" "), LONGEST_EXCERPT).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_one_recipient_ends_where_the_next_begins() {
        let said = "Hi.\n<a@b.c>:\nuser unknown\n\n<d@e.f>:\nmailbox full\n\n";
        let divided =
            |addresses: &[&str]| divide(said, &addresses.iter().map(|&a| a.to_owned()).collect::<Vec<_>>());
        assert_eq!(
            divided(&["a@b.c", "D@e.f", "other@x"]),
            ["a@b.c>: user unknown", "d@e.f>: mailbox full", ""]
        );
        assert!(divided(&["other@x"])[0].starts_with("Hi. <a@b.c>"));
    }

    #[test]
    fn an_address_is_not_named_by_a_longer_one() {
        let said = "<a@b.com>: mailbox full\n<a@b.co>: user unknown\n";
        let addresses = ["a@b.com".to_owned(), "a@b.co".to_owned()];
        assert_eq!(divide(said, &addresses), ["a@b.com>: mailbox full", "a@b.co>: user unknown"]);
        let at = |text| mention(text, "a@b.co");
        assert_eq!(
            (at("for a@b.co."), at("a@b.co.uk"), at("x.a@b.co"), at("a@b.co-op")),
            (Some(4), None, None, None)
        );
        assert_eq!(mention("text", ""), None);
    }
}
