//! Content-Transfer-Encoding: mailparse where the encoding is clean, lenient decoders where it is not.
//!
//! Slices are cut at offsets that a search in the same slice returned, or behind a check of the length: in bounds.

use data_encoding::BASE64;
use mailparse::ParsedContentType;
use mailparse::body::Body;
use memchr::memchr;

use crate::defect::{Defect, Found};
use crate::uuencode;

/// How a part's bytes were wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As they are, in lines.
    Lines,
    /// As they are.
    Binary,
    Base64,
    QuotedPrintable,
    Uuencode,
}

impl Encoding {
    /// Reads the field's value: the first token counts, so that a comment or parameter beside it does no harm.
    pub(crate) fn from_header(value: &str, found: &mut Found) -> Self {
        let value = value.trim();
        let token = value
            .strip_prefix('(')
            .and_then(|comment| comment.split_once(')'))
            .map_or(value, |(_, rest)| rest)
            .trim()
            .trim_matches('"')
            .split(|c: char| c.is_whitespace() || matches!(c, ';' | '(' | ','))
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        match token.as_str() {
            "base64" | "b64" | "base-64" => Self::Base64,
            "quoted-printable" | "quotedprintable" | "qp" | "quoted/printable" | "quoted_printable" => {
                Self::QuotedPrintable
            }
            "x-uuencode" | "x-uue" | "uuencode" | "uue" => Self::Uuencode,
            "binary" => Self::Binary,
            "" | "7bit" | "8bit" | "7-bit" | "8-bit" => Self::Lines,
            _ => {
                found.note(Defect::UnknownEncoding(token));
                Self::Lines
            }
        }
    }

    /// Unwraps a part's bytes, line ends as they were sent. Never fails: what cannot be decoded is passed through or skipped,
    /// and noted. What is decoded is no longer than what it comes from, uuencoded lines aside: `None` where these hold more than `most` bytes.
    pub(crate) fn decode(self, raw: &[u8], most: usize, found: &mut Found) -> Option<Vec<u8>> {
        Some(match self {
            Self::Binary | Self::Lines => raw.to_vec(),
            Self::Base64 => base64(raw, found),
            Self::QuotedPrintable => quoted_printable(raw, found),
            Self::Uuencode => {
                if let Ok(content) = uuencode::unpack(raw, most) {
                    return content;
                }
                found.note(Defect::UnknownEncoding("uuencode without begin line".to_owned()));
                raw.to_vec()
            }
        })
    }
}

/// CRLF to LF.
pub(crate) fn lf(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr(b'\r', rest) {
        let keep = at + usize::from(rest.get(at + 1) != Some(&b'\n'));
        out.extend_from_slice(&rest[..keep]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out
}

fn base64(raw: &[u8], found: &mut Found) -> Vec<u8> {
    let ctype = ParsedContentType::default();
    if let Body::Base64(body) = Body::new(raw, &ctype, &Some("base64".to_owned()))
        && let Ok(bytes) = body.get_decoded()
    {
        return bytes;
    }
    found.note(Defect::BadBase64);
    if is_prose(raw) {
        return raw.to_vec();
    }
    if is_url_alphabet(raw) {
        return base64_word(raw);
    }
    unquoted(raw).map_or_else(|| base64_lenient(raw), |raw| base64_lenient(&raw))
}

/// Whether all of this is base64 in the alphabet for addresses of the web (RFC 4648 section 5), and no line of it a footer's.
fn is_url_alphabet(raw: &[u8]) -> bool {
    let own = |byte: &u8| matches!(byte, b'-' | b'_');
    let is_data = |byte: &u8| byte.is_ascii_alphanumeric() || own(byte);
    let end =
        raw.iter().rposition(|byte| !byte.is_ascii_whitespace() && *byte != b'=').map_or(0, |last| last + 1);
    let mut lines =
        raw[..end].split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    raw.iter().any(own)
        && lines.all(|line| line.iter().all(is_data) && !line.starts_with(b"--") && !line.iter().all(own))
}

/// The lines without the marks that a reply put before each of them.
fn unquoted(raw: &[u8]) -> Option<Vec<u8>> {
    let lines = || raw.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let is_quoted = lines().next().is_some() && lines().all(|line| line.starts_with(b">"));
    is_quoted.then(|| lines().flat_map(|line| line.iter().skip(1).copied().chain([b'\n'])).collect())
}

/// Whether what is declared as base64 is a text that never was encoded: its first line has spaces between words that are
/// no whole groups of four. Decoded it would be rubbish, from which nobody gets the text back.
fn is_prose(raw: &[u8]) -> bool {
    let lines = raw.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let Some(first) = lines.take(100).find(|line| !line.is_empty()) else { return false };
    let words = || first.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let broken = words().filter(|word| word.len() % 4 != 0).count();
    broken >= 2 && broken * 2 > words().count()
}

/// Decodes what there is: bytes outside the alphabet are dropped, padding may stand between segments, a line of prose after
/// the data (the footer of a mailing list) ends it, and so does a blank one that no more data follows; a cut-off rest gives
/// its whole bytes.
pub(crate) fn base64_lenient(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() / 4 * 3);
    let mut quantum = Vec::with_capacity(4);
    let (mut begun, mut blank, mut padded) = (false, false, false);
    for line in raw.split(|&b| b == b'\n') {
        let line = line.trim_ascii();
        if line.is_empty() {
            blank = begun;
            continue;
        }
        // Prose has spaces or a leading dash where data has none.
        let foreign = line.iter().filter(|&&b| !is_base64(b) && b != b'=').count();
        if begun && (line.first() == Some(&b'-') || foreign * 8 > line.len()) {
            break;
        }
        // Behind a blank line goes on what is whole groups of four, and not padded before.
        if blank && (padded || foreign == 0 && line.len() % 4 != 0 || line.contains(&b' ')) {
            break;
        }
        (blank, padded) = (false, line.ends_with(b"="));
        for &byte in line {
            if is_base64(byte) {
                begun = true;
                quantum.push(byte);
                if quantum.len() == 4 {
                    flush_quantum(&mut quantum, &mut out);
                }
            } else if byte == b'=' {
                flush_quantum(&mut quantum, &mut out);
            }
        }
    }
    flush_quantum(&mut quantum, &mut out);
    out
}

const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

/// Decodes 2 to 4 characters to 1 to 3 bytes; a single one holds no whole byte.
fn flush_quantum(quantum: &mut Vec<u8>, out: &mut Vec<u8>) {
    let bytes = match quantum.len() {
        2 => 1,
        3 => 2,
        4 => 3,
        _ => 0,
    };
    quantum.resize(4, b'A');
    if let Ok(decoded) = BASE64.decode(quantum)
        && let Some(whole) = decoded.get(..bytes)
    {
        out.extend_from_slice(whole);
    }
    quantum.clear();
}

/// The text of a `B` encoded word, in the alphabet for addresses of the web as well (RFC 4648 section 5).
pub(crate) fn base64_word(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut quantum = Vec::with_capacity(4);
    for &byte in text {
        let byte = match byte {
            b'-' => b'+',
            b'_' => b'/',
            _ => byte,
        };
        if is_base64(byte) {
            quantum.push(byte);
            if quantum.len() == 4 {
                flush_quantum(&mut quantum, &mut out);
            }
        } else if byte == b'=' {
            flush_quantum(&mut quantum, &mut out);
        }
    }
    flush_quantum(&mut quantum, &mut out);
    out
}

/// The text of a `Q` encoded word: as quoted-printable, with `_` for a space.
pub(crate) fn quoted_printable_word(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        match (byte, hex_pair(tail)) {
            (b'=', Some(value)) => {
                out.push(value);
                rest = &tail[2..];
                continue;
            }
            (b'_', _) => out.push(b' '),
            _ => out.push(byte),
        }
        rest = tail;
    }
    out
}

/// The byte that two hexadecimal digits stand for.
pub(crate) fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|&b| char::from(b).to_digit(16));
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// Quoted-printable that passes raw 8-bit bytes and broken escapes through; mailparse drops the former silently.
fn quoted_printable(raw: &[u8], found: &mut Found) -> Vec<u8> {
    if !raw.is_ascii() {
        found.note(Defect::BadQuotedPrintable);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut lines = raw.split_inclusive(|&b| b == b'\n');
    for line in &mut lines {
        let ended = line.ends_with(b"\n");
        // White space at the end of a line was added on the way (RFC 2045 section 6.7, rule 3). A form feed was not.
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let text = &line[..line.iter().rposition(|byte| !is_blank(byte)).map_or(0, |last| last + 1)];
        let (text, soft) = match text.strip_suffix(b"=") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let mut rest = text;
        while let Some(at) = memchr(b'=', rest) {
            out.extend_from_slice(&rest[..at]);
            let tail = &rest[at + 1..];
            if let Some(value) = hex_pair(tail) {
                out.push(value);
                rest = &tail[2..];
            } else {
                found.note(Defect::BadQuotedPrintable);
                out.push(b'=');
                rest = tail;
            }
        }
        out.extend_from_slice(rest);
        if ended && !soft {
            out.extend_from_slice(if line.ends_with(b"\r\n") { b"\r\n" } else { b"\n" });
        }
    }
    out
}

#[cfg(test)]
mod tests;
