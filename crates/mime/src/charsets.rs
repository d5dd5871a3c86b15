//! Bytes to text: which charset a label means, and what to do when it lies.
//!
//! `encoding_rs` decodes, `charset` knows its labels; here stand the labels found in mail that it does not know
//! (`labels.rs`), the code pages of DOS, ISO-2022-KR, ISO-2022-CN and HZ, and the rule for missing, unknown and wrong labels.

use std::borrow::Cow;

use charset::Charset;

use crate::defect::{Defect, Found};

mod detect;
mod exact;
mod labels;
mod lies;
mod pages;
mod shifted;
mod utf7;

pub(crate) use exact::exact;
pub(crate) use labels::{Meaning, meaning};

use exact::decode_as;
use pages::Page;
use shifted::Declared;

/// Decodes bytes under a declared label (empty: none was given).
///
/// No label, or a vague or unknown one: UTF-8 where the bytes are, else the charset that their letters tell, else
/// windows-1252, which every byte fits. A
/// label is believed, except where the bytes leave no doubt that it lies (`lies.rs`), and UTF-8 over bytes most of
/// which are none.
pub(crate) fn decode(bytes: &[u8], label: &str, found: &mut Found) -> String {
    decode_with(bytes, label, "", found)
}

/// As [`decode`], with a charset that something else of the mail declares in place of windows-1252.
pub(crate) fn decode_with(bytes: &[u8], label: &str, hint: &str, found: &mut Found) -> String {
    match meaning(label) {
        Meaning::Vague => unlabelled(bytes, hint).into_owned(),
        Meaning::Unknown => {
            found.note(Defect::UnknownCharset(label.to_owned()));
            unlabelled(bytes, hint).into_owned()
        }
        Meaning::Page(_) if lies::is_utf8(bytes) => {
            found.note(Defect::BadCharset(label.to_owned()));
            guess(bytes).into_owned()
        }
        Meaning::Page(page) => from_page(page, bytes),
        Meaning::Shifted(shifted) => shifted.decode(bytes),
        Meaning::Utf16 => lies::utf_16(bytes),
        Meaning::Known(charset) => decode_known(bytes, charset, label, hint, found),
    }
}

/// How many bytes of UTF-8 these can become: as many where they are ASCII or UTF-8 and count as such, else three times as
/// many, for one byte of any charset makes no more than one character of three.
pub(crate) fn at_most(bytes: &[u8], label: &str) -> usize {
    let is_itself = match meaning(label) {
        Meaning::Vague | Meaning::Unknown => true,
        Meaning::Known(charset) => {
            charset.is_ascii_compatible() && (bytes.is_ascii() || charset.name() == "UTF-8")
        }
        Meaning::Page(_) => bytes.is_ascii(),
        Meaning::Shifted(_) | Meaning::Utf16 => false,
    };
    let is_itself = is_itself && !bytes.contains(&b'\x1b');
    let is_text = || std::str::from_utf8(bytes).is_ok_and(|text| !lies::is_utf8_by_chance(text));
    if is_itself && is_text() { bytes.len() } else { bytes.len().saturating_mul(3) }
}

/// Text with LF as line ends, where it stands. Lone CRs end lines as well: whoever wrote the text saw them so, whatever the
/// mail's other lines end with.
pub(crate) fn lf(text: String) -> String {
    let Some(mut from) = memchr::memchr(b'\r', text.as_bytes()) else { return text };
    let mut bytes = text.into_bytes();
    // What is read is never before what is written: a line end only gets shorter.
    let mut to = from;
    while from < bytes.len() {
        let rest = bytes.get(from..).unwrap_or_default();
        let returns = rest.iter().take_while(|byte| **byte == b'\r').count();
        let ends_with_lf = rest.get(returns) == Some(&b'\n');
        // What wrote CRLF for the LF of a CRLF left CR CR LF: one line end as well.
        let ends = if ends_with_lf { returns.saturating_sub(1).max(1) } else { returns };
        bytes.get_mut(to..to + ends).unwrap_or_default().fill(b'\n');
        (to, from) = (to + ends, from + returns + usize::from(ends_with_lf));
        let rest = bytes.get(from..).unwrap_or_default();
        let length = memchr::memchr(b'\r', rest).unwrap_or(rest.len());
        bytes.copy_within(from..from + length, to);
        (to, from) = (to + length, from + length);
    }
    bytes.truncate(to);
    // Only ASCII was touched: it is text still.
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Whether this label names a charset by which 8-bit text can be told from UTF-8.
pub(crate) fn is_telling(label: &str) -> bool {
    match meaning(label) {
        Meaning::Known(charset) => charset.is_ascii_compatible() && charset.name() != "UTF-8",
        Meaning::Page(_) => true,
        _ => false,
    }
}

fn decode_known(bytes: &[u8], charset: Charset, label: &str, hint: &str, found: &mut Found) -> String {
    let name = charset.name();
    if name == "UTF-16LE" || name == "UTF-16BE" {
        // A text of one-byte characters that says UTF-16 is not.
        return if lies::is_one_byte(bytes) {
            String::from_utf8_lossy(bytes).into_owned()
        } else {
            let (charset, bom) = Charset::for_bom(bytes).unwrap_or((charset, 0));
            decode_as(charset, bytes.get(bom..).unwrap_or_default()).0.into_owned()
        };
    }
    if bytes.is_ascii() && charset.is_ascii_compatible() && name != "ISO-2022-JP" {
        // Seven-bit Japanese, Korean and Chinese say so themselves, whatever the label says.
        if memchr::memchr(b'\x1b', bytes).is_some() && shifted::declared(bytes).is_some() {
            found.note(Defect::BadCharset(label.to_owned()));
            return guess(bytes).into_owned();
        }
        return String::from_utf8_lossy(bytes).into_owned();
    }
    if name != "UTF-8" && lies::is_surely_utf8(bytes, charset) {
        found.note(Defect::BadCharset(label.to_owned()));
        return guess(bytes).into_owned();
    }
    let (text, malformed) = if name == "ISO-2022-JP" {
        lies::japanese(bytes)
    } else {
        let bom = Charset::for_bom(bytes).filter(|(of, _)| of.name() == name).map_or(0, |(_, length)| length);
        decode_as(lies::meant(charset, bytes), bytes.get(bom..).unwrap_or_default())
    };
    if malformed {
        found.note(Defect::BadCharset(label.to_owned()));
        if name == "UTF-8" && !is_mostly_utf8(bytes) {
            drop(text);
            return unlabelled(bytes, hint).into_owned();
        }
    }
    text.into_owned()
}

/// UTF-8 (or ISO-2022-JP, which shows by its escapes) where the bytes are valid, else windows-1252.
pub(crate) fn guess(bytes: &[u8]) -> Cow<'_, str> {
    guess_or(bytes, windows_1252)
}

/// As [`guess`], with another way to read what is no UTF-8.
fn guess_or(bytes: &[u8], other: fn(&[u8]) -> Cow<'_, str>) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        // Seven-bit Japanese, Korean and Chinese say so themselves.
        Ok(text) if text.contains('\x1b') && text.is_ascii() => match shifted::declared(bytes) {
            Some(Declared::Iso2022Jp) => shifted::iso_2022_jp(bytes).0,
            Some(Declared::Shifted(shifted)) => Cow::Owned(shifted.decode(bytes)),
            None => Cow::Borrowed(text),
        },
        Ok(text) if lies::is_utf8_by_chance(text) => windows_1252(bytes),
        Ok(text) => Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)),
        // Mostly UTF-8 with a few broken bytes is more often UTF-8 cut in the middle of a character.
        Err(_) if is_mostly_utf8(bytes) => exact(encoding_rs::UTF_8, bytes).0,
        Err(_) if lies::has_utf16_mark(bytes) => Cow::Owned(lies::utf_16(bytes)),
        Err(_) => other(bytes),
    }
}

/// As [`guess`], with the charset that another part of the mail declares in place of windows-1252.
pub(crate) fn guess_with<'a>(bytes: &'a [u8], hint: &str) -> Cow<'a, str> {
    if hint.is_empty() {
        return guess(bytes);
    }
    let is_clear = match std::str::from_utf8(bytes) {
        Ok(text) => !lies::is_utf8_by_chance(text),
        Err(_) => is_mostly_utf8(bytes) || lies::has_utf16_mark(bytes),
    };
    if is_clear {
        return guess(bytes);
    }
    match meaning(hint) {
        Meaning::Known(charset) if charset.is_ascii_compatible() => {
            let (text, malformed) = decode_as(charset, bytes);
            if malformed || lies::has_pairs(charset) && lies::is_accents(bytes) { guess(bytes) } else { text }
        }
        Meaning::Page(page) => from_page(page, bytes).into(),
        _ => guess(bytes),
    }
}

/// A whole text without a label: as [`guess_with`]; without a hint its letters tell the charset.
fn unlabelled<'a>(bytes: &'a [u8], hint: &str) -> Cow<'a, str> {
    if !hint.is_empty() {
        return guess_with(bytes, hint);
    }
    guess_or(bytes, |bytes| {
        let detected = detect::detect(bytes).map(|encoding| exact(encoding, bytes));
        detected.filter(|(_, malformed)| !malformed).map_or_else(|| windows_1252(bytes), |(text, _)| text)
    })
}

/// The label of the charset that the letters of this text tell, if it is neither UTF-8 nor windows-1252.
pub(crate) fn detected(bytes: &[u8]) -> Option<&'static str> {
    if std::str::from_utf8(bytes).is_ok() || is_mostly_utf8(bytes) {
        return None;
    }
    detect::detect(bytes).map(encoding_rs::Encoding::name)
}

/// The bytes that begin a character of two bytes in this charset, if the second one may be a backslash.
pub(crate) fn lead_bytes(label: &str) -> Option<fn(u8) -> bool> {
    match meaning(label) {
        Meaning::Known(charset) => match charset.name() {
            "Shift_JIS" => Some(|byte| matches!(byte, 0x81..=0x9f | 0xe0..=0xfc)),
            "Big5" | "GBK" | "gb18030" => Some(|byte| matches!(byte, 0x81..=0xfe)),
            _ => None,
        },
        _ => None,
    }
}

/// Whether bytes that are labelled as UTF-8 are neither that nor the Western text that is often labelled so: most of them
/// lie beyond ASCII, and they form no characters.
pub(crate) fn is_noise(bytes: &[u8], label: &str) -> bool {
    std::str::from_utf8(bytes).is_err()
        && bytes.iter().filter(|byte| !byte.is_ascii()).count() * 2 > bytes.len()
        && matches!(meaning(label), Meaning::Known(charset) if charset.name() == "UTF-8")
        && !is_mostly_utf8(bytes)
}

fn windows_1252(bytes: &[u8]) -> Cow<'_, str> {
    exact(encoding_rs::WINDOWS_1252, bytes).0
}

/// Whether most of the bytes beyond ASCII, of so many as are enough to tell, form valid UTF-8 sequences.
fn is_mostly_utf8(bytes: &[u8]) -> bool {
    const ENOUGH: usize = 64 * 1024;
    let (mut good, mut bad) = (0usize, 0usize);
    for chunk in bytes.utf8_chunks() {
        good += lies::utf8_beyond_chance(chunk.valid());
        bad += chunk.invalid().len();
        if good + bad >= ENOUGH {
            break;
        }
    }
    good > bad
}

fn from_page(page: &Page, bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.iter().map(|&byte| page_char(page, byte).len_utf8()).sum());
    text.extend(bytes.iter().map(|&byte| page_char(page, byte)));
    text
}

fn page_char(page: &Page, byte: u8) -> char {
    match byte.checked_sub(128) {
        None => char::from(byte),
        Some(upper) => page.get(usize::from(upper)).copied().unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

#[cfg(test)]
mod tests;
