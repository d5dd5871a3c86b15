//! Content-Type and Content-Disposition: a value and its parameters (RFC 2045, RFC 2231), as mail programs write them.
//!
//! mailparse's reader loses pieces that are numbered otherwise than it expects, reads raw 8-bit names in no charset, and
//! takes quotes that are followed by anything for part of the name. Here is one pass over the field that gives the best
//! value there is.

use std::borrow::Cow;
use std::collections::BTreeMap;

use memchr::memchr;

use crate::address;
use crate::charsets;
use crate::words::{self, Decoder};

mod pieces;

use pieces::{Value, disguised, join};

/// A value with parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parameterised {
    /// The value before the first `;`, in lower case.
    pub(crate) value: String,
    params: BTreeMap<String, Value>,
}

/// Bytes of a field that are read.
const LONGEST: usize = 16 * 1024;

/// The parameters that are asked for; a field may hold thousands of others.
const KNOWN: &[&str] =
    &["boundary", "charset", "delsp", "filename", "format", "method", "name", "report-type"];

impl Parameterised {
    /// Reads a field's raw value.
    pub(crate) fn read(raw: &[u8]) -> Self {
        let mut line = words::unfold(&raw[..raw.len().min(LONGEST)]);
        line.retain(|&byte| byte != 0);
        let (value, rest) = split_value(&line);
        let value = String::from_utf8_lossy(&value).to_lowercase();
        let value = value.trim_matches(|c| matches!(c, '"' | '\'' | ',' | '<' | '>')).to_owned();
        Self { value, params: join(parameters(rest)) }
    }

    /// A parameter that is a token: charset, format, report-type.
    pub(crate) fn token(&self, name: &str) -> Option<&str> {
        let (Value::Plain(bytes) | Value::Extended { bytes, .. }) = self.params.get(name)?;
        let value = std::str::from_utf8(bytes).ok()?;
        // `x (comment)`
        let value = value.split_once(" (").map_or(value, |(value, _)| value).trim_end();
        (!value.is_empty()).then_some(value)
    }

    /// The boundary as it stands, and as it may have been meant: without the quotes that are none in this field, or without
    /// a comment behind it. Which one it is only its first line says.
    pub(crate) fn boundary(&self) -> Option<(&str, Option<&str>)> {
        let (Value::Plain(bytes) | Value::Extended { bytes, .. }) = self.params.get("boundary")?;
        let value = std::str::from_utf8(bytes).ok()?.trim_end();
        let unquoted = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\''));
        let other = unquoted.or_else(|| value.split_once(" (").map(|(value, _)| value.trim_end()));
        (!value.is_empty()).then_some((value, other.filter(|other| !other.is_empty())))
    }

    /// A parameter that people read, such as a file name: with a charset (RFC 2231), encoded words, or raw 8-bit text in
    /// the charset of the mail.
    pub(crate) fn text(&self, name: &str, decoder: &mut Decoder) -> Option<String> {
        let value = match self.params.get(name)? {
            Value::Extended { charset, bytes } => charsets::decode(bytes, charset, &mut decoder.found),
            Value::Plain(bytes) => match disguised(bytes) {
                Some((charset, bytes)) => charsets::decode(&bytes, &charset, &mut decoder.found),
                None => charsets::guess_with(bytes, &decoder.hint).into_owned(),
            },
        };
        let value = if value.contains("=?") { decoder.words(value.as_bytes()) } else { value };
        let value = decoder.clean(value);
        (!value.trim().is_empty()).then(|| value.trim().to_owned())
    }
}

/// The value, and where its parameters begin.
fn split_value(line: &[u8]) -> (Cow<'_, [u8]>, &[u8]) {
    let end = memchr(b';', line).unwrap_or(line.len());
    let (first, rest) = line.split_at(end);
    let first = first.trim_ascii();
    let mut word_end = first.iter().position(u8::is_ascii_whitespace).unwrap_or(first.len());
    let slash = memchr(b'/', first).filter(|&slash| first[..slash].trim_ascii_end().len() <= word_end);
    if let Some(slash) = slash {
        // `text / plain` is one.
        let sub = first[slash + 1..].iter().take_while(|byte| byte.is_ascii_whitespace()).count() + slash + 1;
        word_end = first[sub..].iter().position(u8::is_ascii_whitespace).map_or(first.len(), |end| sub + end);
    }
    let (word, more) = first.split_at(word_end);
    if memchr(b'=', word).is_some() {
        // A parameter where the value should be.
        return (Cow::Borrowed(b""), line);
    }
    let value = if word.iter().any(u8::is_ascii_whitespace) {
        word.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect()
    } else {
        Cow::Borrowed(word)
    };
    if memchr(b'=', more).is_some() {
        // `text/plain charset=utf-8`: the semicolon is missing.
        let at = line.len() - line.trim_ascii_start().len() + word.len();
        return (value, line.get(at..).unwrap_or_default());
    }
    (value, rest)
}

/// The known parameters by name in lower case, as they stand, in their order.
fn parameters(mut rest: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    loop {
        let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == b';').count();
        rest = rest.get(blank..).unwrap_or_default();
        if rest.is_empty() {
            return all;
        }
        let end = memchr::memchr2(b'=', b';', rest).unwrap_or(rest.len());
        let (name, tail) = rest.split_at(end);
        let Some(tail) = tail.strip_prefix(b"=") else {
            // No value: noise, or a comment.
            rest = tail;
            continue;
        };
        let tail = tail.trim_ascii_start();
        let (value, after) = match tail.strip_prefix(b"\"") {
            Some(inner) => quoted(inner),
            None => plain(tail),
        };
        rest = after;
        // A comment before the name, or what is left of the value before it.
        let name = name.trim_ascii().rsplit(u8::is_ascii_whitespace).next().unwrap_or_default();
        let name = String::from_utf8_lossy(name).to_lowercase();
        if KNOWN.contains(&name.split('*').next().unwrap_or_default()) {
            all.push((name, value));
        }
    }
}

/// Reads a quoted value behind its opening quote. A backslash escapes a quote or another one; before anything else it is
/// part of a Windows path, or the second half of a character. A value that is never closed ends at a semicolon.
fn quoted(inner: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut value = Vec::new();
    let mut rest = inner;
    while let Some((&byte, tail)) = rest.split_first() {
        let length = address::japanese(rest).unwrap_or(1);
        let (whole, behind) = rest.split_at(length);
        rest = tail;
        match (byte, tail.first()) {
            _ if length > 1 => {
                value.extend_from_slice(whole);
                rest = behind;
            }
            (b'"', _) => return (value, rest),
            (b'\\', Some(b'"')) if ends_character(&value, &tail[1..]) => value.push(byte),
            (b'\\', Some(&escaped @ (b'"' | b'\\'))) => {
                value.push(escaped);
                rest = tail.get(1..).unwrap_or_default();
            }
            _ => value.push(byte),
        }
    }
    plain(inner)
}

/// Whether a backslash before a quote is the second half of a character: it stands behind a byte that may be the first, and
/// behind the quote the value is over.
fn ends_character(before: &[u8], behind_quote: &[u8]) -> bool {
    before.last().is_some_and(|byte| !byte.is_ascii())
        && behind_quote.iter().find(|byte| !byte.is_ascii_whitespace()).is_none_or(|&byte| byte == b';')
}

/// Reads a value without quotes, or with escaped ones around it.
fn plain(tail: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut end = 0;
    while let Some(rest) = tail.get(end..).filter(|rest| !rest.is_empty() && rest[0] != b';') {
        end += address::japanese(rest).unwrap_or(1);
    }
    let (value, after) = tail.split_at(end.min(tail.len()));
    let value = value.trim_ascii();
    let inner = value.strip_prefix(b"\\\"").and_then(|value| value.strip_suffix(b"\\\""));
    (inner.unwrap_or(value).to_vec(), after)
}

/// A media type as `type/subtype`; what is none becomes `fallback`.
pub(crate) fn media_type(value: &str, fallback: &str) -> String {
    match value {
        "text" => return "text/plain".to_owned(),
        "html" => return "text/html".to_owned(),
        _ => {}
    }
    match value.split_once('/') {
        Some((kind, sub)) if !kind.is_empty() && !sub.is_empty() && value.len() <= 255 => value.to_owned(),
        _ => fallback.to_owned(),
    }
}

#[cfg(test)]
mod tests;
