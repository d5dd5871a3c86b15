//! Takes a mail apart: `ordinary` by mailparse where it can, everything else by the cutter here, in one pass over
//! the lines.
//!
//! Of the cutter: every line that begins with `--` is held against the boundaries that are open, innermost first, and must be
//! that boundary exactly (a trailing `--` and white space aside). A boundary that may have been meant without its single
//! quotes, or without what looks like a comment behind it, is the one that its first line shows. The work is bounded by lines × `max_depth` whatever the
//! mail declares: unclosed, nested, repeated or prefix boundaries only decide which part a line falls into.

use crate::content_type::{Parameterised, media_type};
use crate::defect::{Defect, Found};
use crate::header::{self, Field, Lines};
use crate::limits::Limits;
use crate::ordinary;

/// One part, leaf or multipart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) fields: Vec<Field<'a>>,
    /// Media type in lower case.
    pub(crate) mime_type: String,
    pub(crate) ctype: Parameterised,
    /// Still encoded; of a multipart the preamble.
    pub(crate) body: &'a [u8],
    /// Index of the multipart it lies in.
    pub(crate) parent: Option<usize>,
    pub(crate) role: Role,
}

impl<'a> Part<'a> {
    /// A leaf of this header, still without its body. `before` are the parts read so far, `parent` is one of them.
    pub(crate) fn of(fields: Vec<Field<'a>>, parent: Option<usize>, before: &[Part<'a>]) -> Self {
        let in_digest = parent.and_then(|p| before.get(p)).is_some_and(|p| p.mime_type == "multipart/digest");
        let ctype = header::first(&fields, "content-type").map(Parameterised::read).unwrap_or_default();
        let fallback = match (in_digest, ctype.token("name")) {
            // What has a name was meant to be a file, whatever its type was meant to be.
            (_, Some(_)) => "application/octet-stream",
            (true, None) => "message/rfc822",
            (false, None) => "text/plain",
        };
        let mime_type = media_type(&ctype.value, fallback);
        Part { fields, mime_type, ctype, body: &[], parent, role: Role::Leaf }
    }

    pub(crate) fn is_multipart(&self) -> bool {
        self.mime_type.starts_with("multipart/")
    }
}

/// Fields of all parts together that are kept, as a multiple of those that one may have: each weighs many times as much as its
/// few bytes in the mail.
pub(crate) const HEADERS_IN_ALL: usize = 10;

/// Beyond, those that say what a part is.
const OF_A_PART: &[&str] =
    &["content-type", "content-disposition", "content-transfer-encoding", "content-id"];

/// What a part is to the mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Leaf,
    /// A multipart that is taken apart: its parts, if there are any, follow.
    Container,
    /// Text behind the last part of a multipart.
    Epilogue,
    /// What lies beyond a limit, undivided.
    Opaque,
}

/// A multipart whose boundary is looked for.
struct Open {
    boundary: Vec<u8>,
    /// Another reading of the boundary, until a line shows which one is right.
    meant: Option<Vec<u8>>,
    part: usize,
    has_parts: bool,
    /// Its closing boundary was seen: what follows is epilogue.
    closed: bool,
}

struct Cutter<'a, 'l> {
    raw: &'a [u8],
    limits: &'l Limits,
    /// Fields that the parts still to come may have together.
    fields_left: usize,
    parts: Vec<Part<'a>>,
    open: Vec<Open>,
}

/// What a line is to the open multiparts, by their level.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Next(usize),
    Close(usize),
}

/// What a line is to one boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delimiter {
    Next,
    Close,
}

impl Delimiter {
    /// Reads `rest`, a line without its leading `--`: the boundary exactly, white space at the end aside.
    pub(crate) fn read(rest: &[u8], boundary: &[u8]) -> Option<Self> {
        match rest.strip_prefix(boundary)?.trim_ascii_end() {
            b"" => Some(Self::Next),
            b"--" => Some(Self::Close),
            _ => None,
        }
    }
}

/// The parts of `raw`, in the mail's order; the first is the mail itself.
pub(crate) fn read<'a>(raw: &'a [u8], limits: &Limits, found: &mut Found) -> Vec<Part<'a>> {
    ordinary::read(raw, limits).unwrap_or_else(|| cut(raw, limits, found))
}

/// Cuts `raw` into parts, whatever it is.
pub(crate) fn cut<'a>(raw: &'a [u8], limits: &Limits, found: &mut Found) -> Vec<Part<'a>> {
    let fields_left = limits.max_headers.saturating_mul(HEADERS_IN_ALL);
    let mut cutter = Cutter { raw, limits, fields_left, parts: Vec::new(), open: Vec::new() };
    cutter.run(found);
    cutter.parts
}

impl Cutter<'_, '_> {
    fn run(&mut self, found: &mut Found) {
        let mut content_at = self.enter(0, found);
        let mut lines = Lines::new(self.raw, content_at);
        while let Some(line) = lines.next() {
            let Some(mark) = self.mark(line.text) else { continue };
            self.leave(content_at, line.start);
            let (Mark::Next(level) | Mark::Close(level)) = mark;
            for unclosed in self.open.drain(level + 1..) {
                if !unclosed.closed {
                    found.note(Defect::UnclosedMultipart);
                }
            }
            content_at = line.next;
            if matches!(mark, Mark::Close(_)) {
                if let Some(open) = self.open.get_mut(level) {
                    open.closed = true;
                }
                continue;
            }
            if let Some(open) = self.open.get_mut(level) {
                open.has_parts = true;
                let rest = line.text.strip_prefix(b"--").unwrap_or_default();
                if let Some(meant) = open.meant.take().filter(|meant| Delimiter::read(rest, meant).is_some())
                {
                    open.boundary = meant;
                }
            }
            if self.parts.len() >= self.limits.max_parts {
                found.note(Defect::TooManyParts);
                self.beside(line.next, self.raw.len(), Role::Opaque);
                return;
            }
            content_at = self.enter(line.next, found);
            lines.seek(content_at);
        }
        self.leave(content_at, self.raw.len());
        if self.open.iter().any(|open| !open.closed && open.has_parts) {
            found.note(Defect::UnclosedMultipart);
        }
    }

    /// Reads the header block of a part that begins at `at`; gives the offset of its body.
    fn enter(&mut self, at: usize, found: &mut Found) -> usize {
        let mut block = header::read(self.raw, at, self.limits, found, |line| self.mark(line).is_some());
        if block.fields.len() > self.fields_left {
            found.note(Defect::HeadersTruncated);
            header::keep_first(&mut block.fields, OF_A_PART);
        }
        self.fields_left = self.fields_left.saturating_sub(block.fields.len());
        let parent = self.open.last().map(|open| open.part);
        let mut part = Part::of(block.fields, parent, &self.parts);
        if part.is_multipart() {
            match part.ctype.boundary() {
                None => found.note(Defect::NoBoundary),
                Some(_) if self.open.len() >= self.limits.max_depth => {
                    found.note(Defect::TooDeep);
                    part.role = Role::Opaque;
                }
                Some((boundary, meant)) => {
                    let boundary = boundary.as_bytes().to_vec();
                    let meant = meant.map(|meant| meant.as_bytes().to_vec());
                    let index = self.parts.len();
                    self.open.push(Open { boundary, meant, part: index, has_parts: false, closed: false });
                    part.role = Role::Container;
                }
            }
        }
        self.parts.push(part);
        block.body_at
    }

    /// Ends what began at `from`: the body of a leaf, a preamble or an epilogue. The line end before a boundary
    /// belongs to the boundary.
    fn leave(&mut self, from: usize, to: usize) {
        let body = self.raw.get(from..to).unwrap_or_default();
        let body = if to == self.raw.len() { body } else { without_line_end(body) };
        if self.open.last().is_some_and(|open| open.closed) {
            if body.iter().any(|byte| !byte.is_ascii_whitespace()) {
                self.beside(from, from + body.len(), Role::Epilogue);
            }
        } else if let Some(part) = self.parts.last_mut() {
            part.body = body;
        }
    }

    /// Keeps bytes that belong to no part.
    fn beside(&mut self, from: usize, to: usize, role: Role) {
        self.parts.push(Part {
            fields: Vec::new(),
            mime_type: "application/octet-stream".to_owned(),
            ctype: Parameterised::default(),
            body: self.raw.get(from..to).unwrap_or_default(),
            parent: self.open.last().map(|open| open.part),
            role,
        });
    }

    /// Which boundary this line is. Of closed multiparts only outer ones count.
    fn mark(&self, line: &[u8]) -> Option<Mark> {
        let rest = line.strip_prefix(b"--")?;
        self.open.iter().enumerate().rev().find_map(|(level, open)| {
            if open.closed {
                return None;
            }
            let read = |boundary: &Vec<u8>| Delimiter::read(rest, boundary);
            let delimiter = read(&open.boundary).or_else(|| open.meant.as_ref().and_then(read));
            delimiter.map(|delimiter| match delimiter {
                Delimiter::Next => Mark::Next(level),
                Delimiter::Close => Mark::Close(level),
            })
        })
    }
}

/// `body` without the line end that belongs to the boundary behind it.
pub(crate) fn without_line_end(body: &[u8]) -> &[u8] {
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    body.strip_suffix(b"\r").unwrap_or(body)
}
