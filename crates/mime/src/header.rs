//! Header blocks: where they end, and their fields; mailparse splits each field.
//!
//! Slices are cut at offsets that a search in the same slice returned, or behind a check of the length: in bounds.

use memchr::memchr;

use crate::defect::{Defect, Found};
use crate::limits::Limits;

/// One field as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// Lower-case name.
    pub(crate) name: String,
    /// The value, still folded and encoded.
    pub(crate) raw: &'a [u8],
}

/// A header block.
#[derive(Debug, Default)]
pub(crate) struct Block<'a> {
    pub(crate) fields: Vec<Field<'a>>,
    /// Offset of the body: behind the blank line, or where something begins that is no header.
    pub(crate) body_at: usize,
}

impl<'a> Block<'a> {
    /// The first field of this name (lower case).
    pub(crate) fn first(&self, name: &str) -> Option<&'a [u8]> {
        first(&self.fields, name)
    }
}

/// The value of the first field of this name (lower case).
pub(crate) fn first<'a>(fields: &[Field<'a>], name: &str) -> Option<&'a [u8]> {
    fields.iter().find(|field| field.name == name).map(|field| field.raw)
}

/// Keeps the first field of each of these names (lower case), and no other.
pub(crate) fn keep_first(fields: &mut Vec<Field<'_>>, names: &[&str]) {
    let mut seen = Vec::new();
    fields.retain(|field| {
        let is_first = names.contains(&field.name.as_str()) && !seen.contains(&field.name);
        if is_first {
            seen.push(field.name.clone());
        }
        is_first
    });
    fields.shrink_to_fit();
}

/// The lines of `raw` from `at` on, with their offsets; a line has no line end. A bound on lines is the input's length.
#[derive(Debug, Clone)]
pub(crate) struct Lines<'a> {
    raw: &'a [u8],
    at: usize,
}

/// One line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    /// Without its line end.
    pub(crate) text: &'a [u8],
    /// Offset of its first byte.
    pub(crate) start: usize,
    /// Offset of the next line.
    pub(crate) next: usize,
}

impl<'a> Lines<'a> {
    pub(crate) const fn new(raw: &'a [u8], at: usize) -> Self {
        Self { raw, at }
    }

    /// Goes on at this offset.
    pub(crate) const fn seek(&mut self, at: usize) {
        self.at = at;
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = self.raw.get(self.at..).filter(|rest| !rest.is_empty())?;
        let (end, next) = match memchr(b'\n', rest) {
            Some(end) => (end, end + 1),
            None => (rest.len(), rest.len()),
        };
        let mut text = &rest[..end];
        while let Some(shorter) = text.strip_suffix(b"\r") {
            text = shorter;
        }
        let line = Line { text, start: self.at, next: self.at + next };
        self.at += next;
        Some(line)
    }
}

/// Reads the header block that begins at `at`. `ends` says which lines end it besides a blank one (boundaries).
pub(crate) fn read<'a>(
    raw: &'a [u8],
    at: usize,
    limits: &Limits,
    found: &mut Found,
    ends: impl Fn(&[u8]) -> bool,
) -> Block<'a> {
    let mut block = Block { fields: Vec::new(), body_at: raw.len() };
    let mut lines = Lines::new(raw, at).peekable();
    while let Some(line) = lines.next() {
        if line.text.is_empty() {
            block.body_at = line.next;
            return block;
        }
        if ends(line.text) {
            block.body_at = line.start;
            return block;
        }
        let text = line.text.trim_ascii_start();
        if !looks_like_field(text) {
            let goes_on = match lines.peek() {
                None => false,
                Some(next) if next.text.is_empty() => !block.fields.is_empty(),
                Some(next) => {
                    looks_like_field(next.text.trim_ascii_start()) || well_known_ahead(lines.clone())
                }
            };
            // Something between fields is skipped; anything else is a body that lacks its blank line, and a body
            // is never dropped.
            if goes_on || is_mbox_from(text) {
                found.note(Defect::BadHeaderLine);
                continue;
            }
            found.note(Defect::MissingBlankLine);
            block.body_at = line.start;
            return block;
        }
        let mut end = line.next;
        while let Some(more) = lines.next_if(|more| is_continuation(more.text)) {
            end = more.next;
        }
        let start = line.start + (line.text.len() - text.len());
        if block.fields.len() >= limits.max_headers || end - at > limits.max_header_bytes {
            found.note(Defect::HeadersTruncated);
            continue;
        }
        let mut field = &raw[start..end];
        while let Some(at) = lone_cr_before_field(field).filter(|_| block.fields.len() < limits.max_headers) {
            push(&mut block, &field[..at]);
            field = &field[at + 1..];
        }
        if block.fields.len() < limits.max_headers {
            push(&mut block, field);
        } else {
            found.note(Defect::HeadersTruncated);
        }
    }
    block
}

/// Where a CR without LF ends this field, in a mail whose other lines end with LF: another field begins behind it.
fn lone_cr_before_field(text: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\r', text).find(|&at| {
        let rest = &text[at + 1..];
        rest.first().is_some_and(u8::is_ascii_alphabetic) && {
            let window = &rest[..rest.len().min(LONGEST_NAME)];
            let line = window.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
            looks_like_field(line)
        }
    })
}

/// Splits one field by mailparse.
fn push<'a>(block: &mut Block<'a>, text: &'a [u8]) {
    // mailparse gives headers that borrow from a `MailHeader`, not from the input, so the value is found again by
    // its length: it ends where the field's text does, up to white space.
    let Ok((header, _)) = mailparse::parse_header(text) else { return };
    let mut name = header.get_key_ref().trim().to_lowercase();
    name.retain(|c| c != '\0');
    let colon = header.get_key_raw().len();
    let raw = text.get(colon + 1..).unwrap_or_default().trim_ascii();
    block.fields.push(Field { name, raw });
}

/// Fields that prose does not imitate.
const WELL_KNOWN: &[&[u8]] = &[
    b"received:",
    b"from:",
    b"to:",
    b"subject:",
    b"date:",
    b"message-id:",
    b"mime-version:",
    b"content-type:",
];

/// Whether a well-known field stands among the next few lines of this block: then what is before it, however
/// broken, is still the header.
fn well_known_ahead<'a>(lines: impl Iterator<Item = Line<'a>>) -> bool {
    const FAR: usize = 20;
    lines.take(FAR).take_while(|line| !line.text.is_empty()).any(|line| {
        WELL_KNOWN
            .iter()
            .any(|name| line.text.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name)))
    })
}

/// White space before text; a line of nothing but white space inside a header block continues a field as well.
pub(crate) fn is_continuation(line: &[u8]) -> bool {
    line.first().is_some_and(|b| matches!(b, b' ' | b'\t'))
}

/// Bytes of a line in which the colon behind a field's name is looked for.
const LONGEST_NAME: usize = 200;

/// A name of printable ASCII and a colon.
fn looks_like_field(line: &[u8]) -> bool {
    let window = &line[..line.len().min(LONGEST_NAME)];
    let Some(colon) = memchr(b':', window) else { return false };
    let name = window[..colon].trim_ascii_end();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

/// The line an mbox puts before each mail, quoted or not.
pub(crate) fn is_mbox_from(line: &[u8]) -> bool {
    line.strip_prefix(b">").unwrap_or(line).starts_with(b"From ")
}

#[cfg(test)]
mod tests;
