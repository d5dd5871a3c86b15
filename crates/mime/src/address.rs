//! Address lists (RFC 5322 section 3.4), read as people write them.
//!
//! One pass over the bytes, total: a bare `MAILER-DAEMON`, an unbalanced quote, a missing `>` or a semicolon in
//! place of a comma give the best address there is; mailparse's reader gives an error for the whole field instead.
//!
//! Slices are cut at offsets that a search in the same slice returned, or behind a check of the length: in bounds.

use std::sync::Arc;

use memchr::memchr;

use crate::defect::Defect;
use crate::mail::Address;
use crate::words::{self, Decoder};

/// Reads the addresses of a raw field value, groups flattened, each with its group's name; at most `max`.
pub(crate) fn read(raw: &[u8], max: usize, decoder: &mut Decoder) -> Vec<Address> {
    let line = words::unfold(raw);
    let mut reader =
        Reader { list: Vec::new(), max, decoder, current: Current::default(), group: None, may_decode: true };
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
    /// Something was quoted: a local part, or a name that may hold any character.
    quoted: bool,
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
}

impl Reader<'_> {
    fn run(&mut self, line: &[u8]) {
        const LONGEST_LITERAL: usize = 256;
        let mut rest = line;
        let mut may_quote = true;
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            match byte {
                b'"' if may_quote => {
                    // Without a closing quote the character is noise, and so is every later one: not looking
                    // again keeps the work linear.
                    match quoted(tail) {
                        Some((text, after)) => {
                            self.current.phrase.extend_from_slice(&text);
                            self.current.quoted = true;
                            rest = after;
                        }
                        None => may_quote = false,
                    }
                }
                b'"' => {}
                b'(' => {
                    let (text, after) = comment(tail);
                    self.current.comment = text;
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
        if self.current.angle.as_ref().is_none_or(|angle| !angle.contains(&b'@')) {
            self.current.angle = Some(tail[..end].to_vec());
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

    fn flush(&mut self) {
        let Current { phrase, angle, comment, quoted } = std::mem::take(&mut self.current);
        let phrase = phrase.trim_ascii();
        if phrase.is_empty() && angle.is_none() {
            return;
        }
        let (name, address) = match angle {
            Some(angle) => (phrase.to_vec(), bare(&angle)),
            None => split_bare(phrase, quoted),
        };
        let mut address = self.decoder.text(&address);
        if address.is_empty() && self.may_decode && memchr::memmem::find(&name, b"=?").is_some() {
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

/// Reads a quoted string behind its opening quote: text without escapes, and what follows.
fn quoted(tail: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut text = Vec::new();
    let mut rest = tail;
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some((text, rest)),
            b'\\' => {
                let (&escaped, after) = rest.split_first()?;
                text.push(escaped);
                rest = after;
            }
            _ => text.push(byte),
        }
    }
}

/// Reads a comment behind its opening parenthesis, nested ones included; an open one ends with the field.
fn comment(tail: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut text = Vec::new();
    let mut depth = 1usize;
    let mut rest = tail;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'(' => depth += 1,
            b')' if depth == 1 => break,
            b')' => depth -= 1,
            b'\\' => {
                if let Some((&escaped, after)) = rest.split_first() {
                    text.push(escaped);
                    rest = after;
                }
                continue;
            }
            _ => {}
        }
        text.push(byte);
    }
    (text, rest)
}

/// An address without white space, source route (`@a,@b:`) or `mailto:`.
fn bare(address: &[u8]) -> Vec<u8> {
    let mut address = address.trim_ascii();
    if address.starts_with(b"@")
        && let Some(colon) = memchr(b':', address)
    {
        address = &address[colon + 1..];
    }
    let mut address = address.strip_prefix(b"mailto:").unwrap_or(address);
    while let Some(inner) = address.strip_prefix(b"<") {
        address = inner;
    }
    if address.starts_with(b"\"") || !address.contains(&b'@') {
        return address.to_vec();
    }
    address.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect()
}

/// An address without angle brackets: the word with an `@` is the address, the rest the name.
fn split_bare(phrase: &[u8], quoted: bool) -> (Vec<u8>, Vec<u8>) {
    if !phrase.contains(&b'@') {
        // One word is an address of this host (`MAILER-DAEMON`), several are a name.
        let one_word = !quoted && !phrase.iter().any(u8::is_ascii_whitespace) && !phrase.starts_with(b"=?");
        return if one_word { (Vec::new(), phrase.to_vec()) } else { (phrase.to_vec(), Vec::new()) };
    }
    // `joe @ example . org` is one address in the obsolete syntax: glue white space around `@` and `.`.
    let mut glued: Vec<u8> = Vec::with_capacity(phrase.len());
    let mut gap = false;
    for &byte in phrase {
        if byte.is_ascii_whitespace() {
            gap = true;
            continue;
        }
        if gap && !glued.is_empty() && byte != b'@' && !matches!(glued.last(), Some(b'@')) {
            glued.push(b' ');
        }
        gap = false;
        glued.push(byte);
    }
    if quoted {
        return (Vec::new(), glued);
    }
    let mut name = Vec::new();
    let mut address = Vec::new();
    for word in glued.split(|&byte| byte == b' ') {
        if address.is_empty() && word.contains(&b'@') {
            address = word.to_vec();
        } else {
            if !name.is_empty() {
                name.push(b' ');
            }
            name.extend_from_slice(word);
        }
    }
    (name, address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(raw: &str) -> Vec<(String, String)> {
        read(raw.as_bytes(), 100, &mut Decoder::new(100))
            .into_iter()
            .map(|a| (a.name.unwrap_or_default(), a.address))
            .collect()
    }

    #[track_caller]
    fn one(raw: &str, name: &str, address: &str) {
        assert_eq!(list(raw), [(name.to_owned(), address.to_owned())], "{raw}");
    }

    #[test]
    fn an_address_is_read_as_people_write_it() {
        one("a@b.org", "", "a@b.org");
        one("<a@b.org>", "", "a@b.org");
        one("Ann B <a@b.org>", "Ann B", "a@b.org");
        one("\"B, Ann\" <a@b.org>", "B, Ann", "a@b.org");
        one("a@b.org (Ann B)", "Ann B", "a@b.org");
        one("=?utf-8?Q?B=2C_Ann?= <a@b.org>", "B, Ann", "a@b.org");
        one("\"=?utf-8?Q?B=2C_Ann?=\" <a@b.org>", "B, Ann", "a@b.org");
        one("Ann <@relay,@other:a@b.org>", "Ann", "a@b.org");
        one("=?utf-8?Q?Ann_=3Ca=40b=2Eorg=3E?=", "Ann", "a@b.org");
    }

    #[test]
    fn bounces_and_broken_fields_have_an_address() {
        one("MAILER-DAEMON", "", "MAILER-DAEMON");
        one("Fabian <x@y.co", "Fabian", "x@y.co");
        one("\"Ann <a@b.org>", "Ann", "a@b.org");
        one("Ann Bee", "Ann Bee", "");
        one("Ann a@b.org", "Ann", "a@b.org");
    }

    #[test]
    fn lists_and_groups_are_flattened() {
        let addresses = |raw| list(raw).into_iter().map(|(_, a)| a).collect::<Vec<_>>();
        assert_eq!(addresses("a@b, c@d;e@f"), ["a@b", "c@d", "e@f"]);
        assert_eq!(addresses("Friends: a@b, Cee <c@d>;, e@f"), ["a@b", "c@d", "e@f"]);
        assert_eq!(addresses("undisclosed-recipients:;"), Vec::<String>::new());
        assert_eq!(addresses(" , ,"), Vec::<String>::new());
    }
}
