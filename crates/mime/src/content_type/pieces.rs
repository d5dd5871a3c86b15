//! Parameters that were encoded, or sent in pieces (RFC 2231).
//!
//! Slices are cut at offsets that a search in the same slice returned, or behind a check of the length: in bounds.

use std::collections::BTreeMap;

use memchr::{memchr, memmem};

use crate::charsets::{self, Meaning};
use crate::transfer;

/// What a parameter holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Bytes as they stand.
    Plain(Vec<u8>),
    /// Bytes that were percent-encoded, and their charset, which may be empty (RFC 2231).
    Extended { charset: String, bytes: Vec<u8> },
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
pub(super) fn join(parameters: Vec<(String, Vec<u8>)>) -> BTreeMap<String, Value> {
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
pub(super) fn disguised(value: &[u8]) -> Option<(String, Vec<u8>)> {
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
