//! The structure of ordinary mail, by `mailparse::parse_mail`.
//!
//! Ordinary is what leaves nothing to decide: every header block is sound, every multipart is closed by
//! its exact boundary, nothing stands behind that, no limit is touched. Of such mail mailparse and the cutter in
//! [`structure`](crate::structure) give the same parts; of all other mail [`read`] gives none and the cutter decides.

use std::ops::Range;

use mailparse::ParsedMail;
use memchr::memchr_iter;

use crate::defect::Found;
use crate::header::{self, Lines};
use crate::limits::Limits;
use crate::structure::{self, Delimiter, Part, Role, without_line_end};

// The bounds, at which mailparse took less than a tenth of a second in all (measured, 0.18.0, optimised build).

/// Multiparts in a mail. mailparse searches the body once for each level of nesting; people's mail has two or three.
const MOST_MULTIPARTS: usize = 16;
/// Dashes in a mail, times its multiparts: at each of them mailparse tries the boundary. This many took 13 ms.
const MOST_TRIALS: usize = 1_000_000;
/// Bytes of one Content-Type. mailparse's time for encoded words is cubic in the length of a line: 1 KiB took 1.6 ms
/// at worst, 8 KiB 425 ms.
const LONGEST_TYPE: usize = 1024;
/// Bytes of all Content-Types of the mail's own parts: eight of the worst kind, or those of a hundred attachments.
const MOST_TYPES: usize = 8 * 1024;

/// The parts of an ordinary mail, the same as the cutter's; `None` of any other.
pub(crate) fn read<'a>(raw: &'a [u8], limits: &Limits) -> Option<Vec<Part<'a>>> {
    if !is_tame(raw, limits) {
        return None;
    }
    let tree = mailparse::parse_mail(raw).ok()?;
    let mut walk = Walk { raw, limits, parts: Vec::new() };
    walk.node(&tree, 0, None, 0)?;
    Some(walk.parts)
}

/// Whether mailparse's time and memory for this mail are small. One pass over the lines.
///
/// mailparse begins a header block at the mail's start or behind a line that begins with `--`, and ends it at a blank
/// line. So what is counted here, between these, is at least what it finds; a block of too many lines, which it would
/// turn into as many fields, or too many `--`, each of which may begin a part, are not ordinary either.
fn is_tame(raw: &[u8], limits: &Limits) -> bool {
    const NAME: &[u8] = b"content-type";
    let (mut multiparts, mut types, mut delimiters, mut fields, mut all_fields) = (0, 0, 0, 0, 0);
    let mut in_header = true;
    let mut lines = Lines::new(raw, 0).peekable();
    while let Some(line) = lines.next() {
        if line.text.is_empty() {
            (in_header, fields) = (false, 0);
        } else if line.text.starts_with(b"--") {
            in_header = true;
            delimiters += 1;
        }
        if !in_header {
            continue;
        }
        fields += 1;
        all_fields += 1;
        if fields > limits.max_headers {
            return false;
        }
        if !line.text.get(..NAME.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(NAME)) {
            continue;
        }
        let mut end = line.next;
        while let Some(more) = lines.next_if(|more| header::is_continuation(more.text)) {
            end = more.next;
        }
        let field = raw.get(line.start..end).unwrap_or_default();
        types += field.len();
        if field.len() > LONGEST_TYPE || types > MOST_TYPES {
            return false;
        }
        multiparts += usize::from(may_be_multipart(field));
    }
    multiparts == 0
        || multiparts <= MOST_MULTIPARTS
            && delimiters <= limits.max_parts
            && all_fields <= limits.max_headers.saturating_mul(structure::HEADERS_IN_ALL)
            && memchr_iter(b'-', raw).count().saturating_mul(multiparts) <= MOST_TRIALS
}

/// Whether mailparse can find a multipart in this field, which may spell it in an encoded word.
fn may_be_multipart(field: &[u8]) -> bool {
    const TYPE: &[u8] = b"multipart";
    field.windows(TYPE.len()).any(|word| word.eq_ignore_ascii_case(TYPE))
        || field.windows(2).any(|pair| pair == b"=?")
}

/// Follows mailparse's tree along the bytes of the mail.
///
/// mailparse takes every line that begins like a boundary for one. Each is held here against the exact boundary, so that
/// in what passes there is no line left that the cutter could take otherwise.
struct Walk<'a, 'l> {
    raw: &'a [u8],
    limits: &'l Limits,
    parts: Vec<Part<'a>>,
}

impl<'a> Walk<'a, '_> {
    /// Reads the part that begins at `at`, within `depth` multiparts, with all in it. `None` if anything is odd.
    fn node(&mut self, node: &ParsedMail<'_>, at: usize, parent: Option<usize>, depth: usize) -> Option<()> {
        if parent.is_some() && self.parts.len() >= self.limits.max_parts {
            return None;
        }
        let end = at + node.raw_bytes.len();
        // A block without a body ends with the line end that mailparse gives to the boundary behind it.
        let mine = self.raw.get(..self.behind_line_end(end))?;
        let mut found = Found::default();
        let block = header::read(mine, at, self.limits, &mut found, |_| false);
        if !found.is_empty() || block.body_at.min(end) != at + node.get_headers().get_raw_bytes().len() {
            return None;
        }
        let index = self.parts.len();
        let mut part = Part::of(block.fields, parent, &self.parts);
        if !part.is_multipart() {
            part.body = self.raw.get(block.body_at..end).unwrap_or_default();
            self.parts.push(part);
            return node.subparts.is_empty().then_some(());
        }
        let boundary = part.ctype.token("boundary")?.as_bytes().to_vec();
        let same = node.ctype.params.get("boundary").is_some_and(|theirs| theirs.as_bytes() == boundary);
        if !same || node.subparts.is_empty() || depth >= self.limits.max_depth {
            return None;
        }
        let preamble = self.preamble(block.body_at, &boundary)?;
        let mut here = block.body_at + preamble.len();
        part.body = preamble;
        part.role = Role::Container;
        self.parts.push(part);
        for sub in &node.subparts {
            here = self.delimiter(here..end, &boundary, Delimiter::Next)?;
            self.node(sub, here, Some(index), depth + 1)?;
            here += sub.raw_bytes.len();
        }
        here = self.delimiter(here..end, &boundary, Delimiter::Close)?;
        let behind = self.raw.get(here..end)?;
        behind.iter().all(u8::is_ascii_whitespace).then_some(())
    }

    /// What lies before the first line that mailparse takes for a boundary, from `at` on.
    fn preamble(&self, at: usize, boundary: &[u8]) -> Option<&'a [u8]> {
        let first = Lines::new(self.raw, at)
            .find(|line| line.text.strip_prefix(b"--").is_some_and(|rest| rest.starts_with(boundary)))?;
        self.raw.get(at..first.start).map(without_line_end)
    }

    /// The offset behind the delimiter that follows what ends at `at.start`, if it is the one that must come and lies
    /// in its own multipart, which ends at `at.end`.
    fn delimiter(&self, at: Range<usize>, boundary: &[u8], wanted: Delimiter) -> Option<usize> {
        let line = Lines::new(self.raw.get(..at.end)?, self.behind_line_end(at.start)).next()?;
        let rest = line.text.strip_prefix(b"--")?;
        (Delimiter::read(rest, boundary)? == wanted).then_some(line.next)
    }

    /// The offset behind the line end at `at`, if there is one.
    fn behind_line_end(&self, at: usize) -> usize {
        match self.raw.get(at..).unwrap_or_default() {
            [b'\r', b'\n', ..] => at + 2,
            [b'\n', ..] => at + 1,
            _ => at,
        }
    }
}

#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;
