//! Address lists (RFC 5322 section 3.4), read as people write them.
//!
//! One pass over the bytes, total: a bare `MAILER-DAEMON`, an unbalanced quote, a missing `>` or a semicolon in
//! place of a comma give the best address there is; mailparse's reader gives an error for the whole field instead.
//!
//! Slices are cut at offsets that a search in the same slice returned, or behind a check of the length: in bounds.

use std::ops::Range;
use std::sync::Arc;

use memchr::{memchr, memmem};

use crate::charsets;
use crate::defect::Defect;
use crate::mail::Address;
use crate::words::{self, Decoder};

mod marks;
mod split;

pub(crate) use marks::japanese;
use marks::{comment, quoted};
use split::{bare, is_alone, split_bare, split_quoted, without_apostrophes, without_brackets};

/// Reads the addresses of a raw field value, groups flattened, each with its group's name; at most `max`.
pub(crate) fn read(raw: &[u8], max: usize, decoder: &mut Decoder) -> Vec<Address> {
    let line = words::unfold(raw);
    let pairs = (std::str::from_utf8(&line).is_err()).then(|| charsets::lead_bytes(&decoder.hint)).flatten();
    let mut reader = Reader {
        list: Vec::new(),
        max,
        decoder,
        current: Current::default(),
        group: None,
        may_decode: true,
        pairs,
    };
    reader.run(&line);
    reader.list
}

/// One address while it is read.
#[derive(Default)]
struct Current {
    /// Text outside `<>`, quotes removed.
    phrase: Vec<u8>,
    /// Text inside `<>`.
    angle: Option<Vec<u8>>,
    /// The last comment.
    comment: Vec<u8>,
    /// Where in the phrase the last quoted text stands: a local part, or a name that may hold any character.
    quoted: Option<Range<usize>>,
    /// The length of the phrase before `<>`.
    angle_at: usize,
    /// `<` has its `>`.
    closed: bool,
}

impl Current {
    /// Whether there is an address in `<>` already, whole and another than this one.
    fn has_other_address(&self, text: &[u8]) -> bool {
        let other = |angle: &Vec<u8>| angle.contains(&b'@') && bare(angle) != bare(text);
        self.closed && self.angle.as_ref().is_some_and(other)
    }
}

struct Reader<'d> {
    list: Vec<Address>,
    max: usize,
    decoder: &'d mut Decoder,
    current: Current,
    /// The name of the group that is open.
    group: Option<Arc<str>>,
    /// An encoded word that holds a whole address is read again once decoded, but only once.
    may_decode: bool,
    /// The bytes that begin a character of two bytes, of which the second may look like a backslash.
    pairs: Option<fn(u8) -> bool>,
}

impl Reader<'_> {
    fn run(&mut self, line: &[u8]) {
        const LONGEST_LITERAL: usize = 256;
        let mut rest = line;
        // What is not closed is no quote and no comment, and so is every later one: not looking again keeps the work
        // linear.
        let (mut may_quote, mut may_comment) = (true, true);
        while let Some((&byte, tail)) = rest.split_first() {
            let here = rest;
            rest = tail;
            match byte {
                b'"' if may_quote => {
                    if let Some((text, after)) = quoted(tail, self.pairs) {
                        let from = self.current.phrase.len();
                        self.current.phrase.extend_from_slice(&text);
                        self.current.quoted = Some(from..self.current.phrase.len());
                        rest = after;
                    } else {
                        may_quote = false;
                    }
                }
                b'"' | b'>' => {}
                b'(' if may_comment => {
                    if let Some((text, after)) = comment(tail) {
                        self.current.comment = text;
                        // One space of the two around it.
                        let is_gap = self.current.phrase.last().is_some_and(u8::is_ascii_whitespace);
                        rest = if is_gap { after.trim_ascii_start() } else { after };
                    } else {
                        may_comment = false;
                        self.current.phrase.push(byte);
                    }
                }
                b'\x1b' => {
                    let (text, after) = here.split_at(japanese(here).unwrap_or(1));
                    self.current.phrase.extend_from_slice(text);
                    rest = after;
                }
                b'<' => rest = self.angle(tail),
                b'[' => {
                    let window = &tail[..tail.len().min(LONGEST_LITERAL)];
                    let end = memchr(b']', window).map_or(0, |end| end + 1);
                    self.current.phrase.push(b'[');
                    self.current.phrase.extend_from_slice(&tail[..end]);
                    rest = &tail[end..];
                }
                b',' => self.flush(),
                b';' => {
                    self.flush();
                    self.group = None;
                }
                b':' if self.ends_group_name() => self.begin_group(),
                _ => self.current.phrase.push(byte),
            }
            if self.list.len() >= self.max {
                self.decoder.found.note(Defect::TooManyAddresses);
                return;
            }
        }
        self.flush();
    }

    /// Reads what stands in `<…>`; a missing `>` ends it at a comma or the end.
    fn angle<'a>(&mut self, tail: &'a [u8]) -> &'a [u8] {
        let mut in_quotes = false;
        // A source route (`<@a,@b:user@host>`) has commas of its own.
        let routed = tail.first() == Some(&b'@');
        let end = tail.iter().position(|&byte| {
            in_quotes ^= byte == b'"';
            !in_quotes && (matches!(byte, b'>' | b'<') || byte == b',' && !routed)
        });
        let end = end.or_else(|| tail.iter().position(|&byte| matches!(byte, b'>' | b',')));
        let end = end.unwrap_or(tail.len());
        let text = &tail[..end];
        if text.contains(&b'@') && self.current.has_other_address(text) {
            // `Ann <a@b.org> Bob <c@d.org>`: the comma is missing, and what stands between is the second one's name.
            let name = self.current.phrase.split_off(self.current.angle_at.min(self.current.phrase.len()));
            self.flush();
            self.current.phrase = name;
        }
        if self.current.angle.as_ref().is_none_or(|angle| !angle.contains(&b'@')) {
            self.current.angle = Some(text.to_vec());
            self.current.angle_at = self.current.phrase.len();
            self.current.closed = tail.get(end) == Some(&b'>');
        }
        match tail.get(end) {
            Some(b'>') => &tail[end + 1..],
            _ => &tail[end..],
        }
    }

    /// A colon after a name and not within an address begins a group.
    fn ends_group_name(&self) -> bool {
        self.current.angle.is_none() && !self.current.phrase.contains(&b'@')
    }

    fn begin_group(&mut self) {
        let name = std::mem::take(&mut self.current).phrase;
        let name = self.decoder.text(name.trim_ascii());
        // `mailto:` and a colon behind nothing are no names.
        self.group = (!name.is_empty() && !name.eq_ignore_ascii_case("mailto")).then(|| name.into());
    }

    /// Adds the addresses of a list without commas (`a@b.org c@d.org`); whether it is one.
    fn add_addresses(&mut self, phrase: &[u8]) -> bool {
        let is_address = |word: &[u8]| memchr::memchr_iter(b'@', word).count() == 1 && word.len() > 2;
        let words = || phrase.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let is_list = words().take(2).count() == 2
            && words().all(|word| is_address(word) && !word.starts_with(b"@") && !word.ends_with(b"@"));
        if is_list {
            for word in words().take(self.max.saturating_sub(self.list.len())) {
                let address = self.decoder.text(without_apostrophes(word));
                self.list.push(Address { name: None, address, group: self.group.clone() });
            }
        }
        is_list
    }

    fn flush(&mut self) {
        let Current { phrase, angle, comment, quoted, .. } = std::mem::take(&mut self.current);
        if phrase.iter().all(u8::is_ascii_whitespace) && angle.is_none() {
            return;
        }
        let (name, address) = match angle {
            // `<undisclosed-recipients:;>` is a group without anybody.
            Some(angle) if angle.ends_with(b":;") && !angle.contains(&b'@') => return,
            Some(angle) => (phrase.trim_ascii().to_vec(), bare(&angle)),
            None => match quoted {
                Some(quoted) => split_quoted(&phrase, quoted),
                None if self.add_addresses(&phrase) => return,
                None => split_bare(phrase.trim_ascii()),
            },
        };
        let mut address = self.decoder.text(without_brackets(&address));
        if !address.contains('@') && is_alone(&comment) {
            // `Ann (a@b.org)`: what stands before is no address, so it is the name.
            let bare_name = [name.trim_ascii(), address.as_bytes()].into_iter().find(|text| !text.is_empty());
            let name = bare_name.map(|name| self.decoder.text(name));
            let address = self.decoder.text(&comment);
            self.list.push(Address { name, address, group: self.group.clone() });
            return;
        }
        if address.is_empty() && self.may_decode && memmem::find(&name, b"=?").is_some() {
            let decoded = self.decoder.words(&name);
            if decoded.contains('@') {
                self.may_decode = false;
                self.run(decoded.as_bytes());
                self.may_decode = true;
                return;
            }
        }
        let name = if name.is_empty() { comment } else { name };
        let mut name = self.decoder.text(&name);
        if address.is_empty() && name.contains('@') && !name.contains(char::is_whitespace) {
            address = std::mem::take(&mut name);
        }
        if !address.is_empty() || !name.is_empty() {
            let name = (!name.is_empty()).then_some(name);
            self.list.push(Address { name, address, group: self.group.clone() });
        }
    }
}

#[cfg(test)]
mod tests;
