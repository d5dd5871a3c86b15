//! Content-Type and Content-Disposition: a value and its parameters (RFC 2045, RFC 2231), as mail programs write them.
//!
//! mailparse's reader loses pieces that are numbered otherwise than it expects, reads raw 8-bit names in no charset, and
//! takes quotes that are followed by anything for part of the name. Here is one pass over the field that gives the best
//! value there is.

use std::collections::BTreeMap;

use memchr::{memchr, memmem};

use crate::charsets::{self, Meaning};
use crate::transfer;
use crate::words::{self, Decoder};

/// A value with parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parameterised {
    /// The value before the first `;`, in lower case.
    pub(crate) value: String,
    params: BTreeMap<String, Value>,
}

/// What a parameter holds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    /// Bytes as they stand.
    Plain(Vec<u8>),
    /// Bytes that were percent-encoded, and their charset, which may be empty (RFC 2231).
    Extended { charset: String, bytes: Vec<u8> },
}

/// Bytes of a field that are read.
const LONGEST: usize = 16 * 1024;

impl Parameterised {
    /// Reads a field's raw value.
    pub(crate) fn read(raw: &[u8]) -> Self {
        let mut line = words::unfold(&raw[..raw.len().min(LONGEST)]);
        line.retain(|&byte| byte != 0);
        let (value, rest) = split_value(&line);
        let value = String::from_utf8_lossy(value).to_lowercase();
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
fn split_value(line: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr(b';', line).unwrap_or(line.len());
    let (first, rest) = line.split_at(end);
    let first = first.trim_ascii();
    let word_end = first.iter().position(u8::is_ascii_whitespace).unwrap_or(first.len());
    let (word, more) = first.split_at(word_end);
    if memchr(b'=', word).is_some() {
        // A parameter where the value should be.
        return (b"", line);
    }
    if memchr(b'=', more).is_some() {
        // `text/plain charset=utf-8`: the semicolon is missing.
        let at = line.len() - line.trim_ascii_start().len() + word.len();
        return (word, line.get(at..).unwrap_or_default());
    }
    (word, rest)
}

/// The parameters by name in lower case, as they stand, in their order.
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
        all.push((String::from_utf8_lossy(name).to_lowercase(), value));
    }
}

/// Reads a quoted value behind its opening quote. A backslash escapes a quote or another one; before anything else it is
/// part of a Windows path, or the second half of a character. A value that is never closed ends at a semicolon.
fn quoted(inner: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut value = Vec::new();
    let mut rest = inner;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail.first()) {
            (b'"', _) => return (value, rest),
            (b'\\', Some(&escaped @ (b'"' | b'\\'))) => {
                value.push(escaped);
                rest = tail.get(1..).unwrap_or_default();
            }
            _ => value.push(byte),
        }
    }
    plain(inner)
}

fn plain(tail: &[u8]) -> (Vec<u8>, &[u8]) {
    let (value, after) = tail.split_at(memchr(b';', tail).unwrap_or(tail.len()));
    (value.trim_ascii().to_vec(), after)
}

/// What RFC 2231 calls one parameter and sends as several: `name*`, `name*0`, `name*1*`.
#[derive(Default)]
struct Pieces {
    plain: Option<Vec<u8>>,
    extended: Option<Vec<u8>>,
    /// By number; whether it is percent-encoded.
    numbered: BTreeMap<u32, (bool, Vec<u8>)>,
}

/// Puts the pieces together. What holds a charset is preferred, and of what is repeated the first.
fn join(parameters: Vec<(String, Vec<u8>)>) -> BTreeMap<String, Value> {
    let mut all: BTreeMap<String, Pieces> = BTreeMap::new();
    for (name, value) in parameters {
        let (base, suffix) =
            name.split_once('*').map_or((name.as_str(), None), |(base, rest)| (base, Some(rest)));
        let pieces = all.entry(base.to_owned()).or_default();
        match suffix {
            None => _ = pieces.plain.get_or_insert(value),
            Some("") => _ = pieces.extended.get_or_insert(value),
            Some(suffix) => {
                let number = suffix.strip_suffix('*').unwrap_or(suffix);
                if let Ok(number) = number.parse() {
                    pieces.numbered.entry(number).or_insert((suffix.ends_with('*'), value));
                }
            }
        }
    }
    all.into_iter().filter_map(|(name, pieces)| Some((name, pieces.value()?))).collect()
}

impl Pieces {
    fn value(self) -> Option<Value> {
        if let Some(value) = self.extended {
            let (charset, bytes) = extended(&value);
            return Some(Value::Extended { charset, bytes });
        }
        // They count from 0; some programs from 1.
        let first = self.numbered.keys().next().copied().filter(|number| *number <= 1);
        let Some(first) = first else { return self.plain.map(Value::Plain) };
        let mut charset = None;
        let mut bytes = Vec::new();
        for (expected, (number, (encoded, piece))) in (first..).zip(self.numbered) {
            if number != expected {
                break;
            }
            if encoded && number == first {
                let (label, decoded) = extended(&piece);
                charset = Some(label);
                bytes = decoded;
            } else if encoded {
                charset.get_or_insert_default();
                bytes.extend_from_slice(&percent_decode(&piece));
            } else {
                bytes.extend_from_slice(&piece);
            }
        }
        Some(match charset {
            Some(charset) => Value::Extended { charset, bytes },
            None => Value::Plain(bytes),
        })
    }
}

/// `charset'language'percent-encoded`, tolerating that the first two or one of the marks are missing, or encoded too.
fn extended(value: &[u8]) -> (String, Vec<u8>) {
    let split = |mark: &[u8]| memmem::find(value, mark).map(|at| (&value[..at], &value[at + mark.len()..]));
    let label = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if let Some((charset, rest)) = split(b"'") {
        if let Some(at) = memchr(b'\'', rest) {
            return (label(charset), percent_decode(&rest[at + 1..]));
        }
        if is_charset(charset) {
            return (label(charset), percent_decode(rest));
        }
    } else if let Some((charset, rest)) = split(b"%27%27").filter(|(charset, _)| is_charset(charset)) {
        return (label(charset), percent_decode(rest));
    }
    (String::new(), percent_decode(value))
}

/// An extended value under the name of a plain one, `filename="utf-8''%C3%A9"`.
fn disguised(value: &[u8]) -> Option<(String, Vec<u8>)> {
    let at = memmem::find(value, b"''")?;
    is_charset(&value[..at]).then(|| extended(value))
}

fn is_charset(label: &[u8]) -> bool {
    const LONGEST_LABEL: usize = 40;
    label.len() <= LONGEST_LABEL
        && std::str::from_utf8(label)
            .is_ok_and(|label| !matches!(charsets::meaning(label), Meaning::Vague | Meaning::Unknown))
}

fn percent_decode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match bytes.get(at + 1..).and_then(transfer::hex_pair) {
            Some(value) if byte == b'%' => {
                out.push(value);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
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
mod tests {
    use super::*;

    fn name(raw: &str) -> Option<String> {
        Parameterised::read(raw.as_bytes()).text("name", &mut Decoder::new(100))
    }

    #[test]
    fn file_names_are_read_in_every_way_they_are_written() {
        assert_eq!(name("a/b; name=\"x y.pdf\"").as_deref(), Some("x y.pdf"));
        assert_eq!(name("a/b; name*=UTF-8''na%C3%AFve.txt").as_deref(), Some("naïve.txt"));
        assert_eq!(name("a/b; name*=ks_c_5601-1987''%B0%A1").as_deref(), Some("가"));
        assert_eq!(name("a/b; name*=na%C3%AFve.txt").as_deref(), Some("naïve.txt"));
        assert_eq!(
            name("a/b; name*0*=UTF-8''na%C3; name*1*=%AFve; name*2=.txt").as_deref(),
            Some("naïve.txt")
        );
        assert_eq!(name("a/b;\r\n name*0=\"long \";\r\n\tname*1=\"name\"").as_deref(), Some("long name"));
        assert_eq!(name("a/b; name=\"=?utf-8?Q?na=C3=AFve?=\"").as_deref(), Some("naïve"));
        assert_eq!(name("a/b; name=plain; name*=UTF-8''ext").as_deref(), Some("ext"));
        assert_eq!(name("a/b; name=\"\"").as_deref(), None);
    }

    #[test]
    fn names_in_pieces_are_whole_however_they_are_numbered() {
        assert_eq!(name("a/b; name*1=\"ab\"; name*2=\"c\"").as_deref(), Some("abc"));
        assert_eq!(name("a/b; name*00*=UTF-8''a; name*01*=b").as_deref(), Some("ab"));
        assert_eq!(name("a/b; name*1*=b; name*0*=UTF-8''a; name=x").as_deref(), Some("ab"));
        assert_eq!(name("a/b; name*0=a; name*2=c").as_deref(), Some("a"));
        assert_eq!(name("a/b; name*0=\"100%20\"; name*1=x").as_deref(), Some("100%20x"));
        assert_eq!(
            name("a/b; name=x; name*0*=UTF-8''%E6; name*1*=%97%A5").as_deref(),
            Some("日"),
            "a character in two pieces"
        );
        assert_eq!(name("a/b; name*0=\"=?utf-8?B?5pel\"; name*1=\"5pys?=\"").as_deref(), Some("日本"));
    }

    #[test]
    fn an_extended_name_is_read_with_broken_marks_and_wrong_charsets() {
        for raw in [
            "a/b; name*=utf-8'%E6%97%A5",
            "a/b; name*=utf-8%27%27%E6%97%A5",
            "a/b; name=\"UTF-8''%E6%97%A5\"",
            "a/b; name*=iso-8859-1''%E6%97%A5",
            "a/b; name*=''%e6%97%a5",
        ] {
            assert_eq!(name(raw).as_deref(), Some("日"), "{raw}");
        }
        assert_eq!(name("a/b; name*=utf-8''caf%E9").as_deref(), Some("café"));
        assert_eq!(name("a/b; name*=utf-8''Ann's%20list").as_deref(), Some("Ann's list"));
    }

    #[test]
    fn quotes_and_semicolons_are_forgiven() {
        for raw in [
            "a/b; name=\"x.pdf\" size=3",
            "a/b; name=\"x.pdf\" (a file)",
            "a/b; name=\"x.pdf",
            "a/b; name=\"x.pdf; size=3",
            "name=\"x.pdf\"",
            "; name = x.pdf ;",
            "a/b;; (c) name=\"x.pdf\"; name=\"y.pdf\"",
        ] {
            assert_eq!(name(raw).as_deref(), Some("x.pdf"), "{raw}");
        }
        assert_eq!(name("a/b; name=\"C:\\dir\\x.pdf\"").as_deref(), Some("C:\\dir\\x.pdf"));
        assert_eq!(name("a/b; name=\"a\\\"b.pdf\"").as_deref(), Some("a\"b.pdf"));
        assert_eq!(name("a/b; name=my file (1).pdf; x=y").as_deref(), Some("my file (1).pdf"));
    }

    #[test]
    fn a_raw_name_is_in_the_charset_of_the_mail() {
        let read = Parameterised::read(b"a/b; name=\"\x95\x5c\x93\xfa.pdf\"");
        let mut decoder = Decoder::new(1);
        decoder.hint = "shift_jis".to_owned();
        assert_eq!(read.text("name", &mut decoder).as_deref(), Some("表日.pdf"));
    }

    #[test]
    fn a_token_ends_before_its_comment() {
        let read = Parameterised::read(b"text/plain; charset=utf-8 (as always)");
        assert_eq!(read.token("charset"), Some("utf-8"));
    }

    #[test]
    fn a_missing_semicolon_does_not_lose_the_parameters() {
        let read = Parameterised::read(b"text/plain charset=utf-8; format=flowed");
        assert_eq!((read.value.as_str(), read.token("charset")), ("text/plain", Some("utf-8")));
    }

    #[test]
    fn what_is_no_media_type_becomes_the_fallback() {
        assert_eq!(media_type("text", "a/b"), "text/plain");
        assert_eq!(media_type("rubbish", "a/b"), "a/b");
        assert_eq!(media_type("", "a/b"), "a/b");
    }
}
