//! Bytes to text: which charset a label means, and what to do when it lies.
//!
//! The `charset` crate (encoding_rs plus UTF-7) decodes; here stand the labels found in mail that it does not know,
//! the code pages of DOS, ISO-2022-KR, ISO-2022-CN and HZ, and the rule for missing, unknown and wrong labels.

use std::borrow::Cow;

use charset::Charset;

use crate::defect::{Defect, Found};

mod detect;
mod lies;
mod pages;
mod shifted;

use pages::Page;
use shifted::{Declared, Shifted};

/// Labels that mean another one. Compared in lower case, without quotes, `_` and spaces as `-`.
const ALIASES: &[(&str, &str)] = &[
    ("cp932", "shift_jis"),
    ("windows-932", "shift_jis"),
    ("cp936", "gb18030"),
    ("windows-936", "gb18030"),
    ("ms936", "gb18030"),
    ("gb2312", "gb18030"),
    ("gb-2312", "gb18030"),
    ("gb2312-80", "gb18030"),
    ("gb-2312-80", "gb18030"),
    ("csgb2312", "gb18030"),
    ("gbk", "gb18030"),
    ("x-gbk", "gb18030"),
    ("gb18030-2000", "gb18030"),
    ("euc-cn", "gb18030"),
    ("cp949", "euc-kr"),
    ("ms949", "euc-kr"),
    ("uhc", "euc-kr"),
    ("x-windows-949", "euc-kr"),
    ("ks-c-5601", "euc-kr"),
    ("ks-c-5601-1987", "euc-kr"),
    ("ks-x-1001", "euc-kr"),
    ("cp950", "big5"),
    ("windows-950", "big5"),
    ("x-euc-tw", "big5"),
    ("cp874", "windows-874"),
    ("tis620", "windows-874"),
    ("latin1", "windows-1252"),
    ("latin-1", "windows-1252"),
    ("latin2", "iso-8859-2"),
    ("latin-2", "iso-8859-2"),
    ("latin-9", "iso-8859-15"),
    ("latin9", "iso-8859-15"),
    ("ansi", "windows-1252"),
    ("western", "windows-1252"),
    ("x-mac-roman", "macintosh"),
    ("mac-roman", "macintosh"),
    ("macroman", "macintosh"),
    ("mac-cyrillic", "x-mac-cyrillic"),
    ("koi8", "koi8-r"),
    ("cp866", "ibm866"),
    ("cp-866", "ibm866"),
    ("utf-7", "utf-7"),
    ("unicode-1-1-utf-7", "utf-7"),
    ("utf7", "utf-7"),
    ("utf8", "utf-8"),
    ("utf-8n", "utf-8"),
    ("utf8mb4", "utf-8"),
    ("unicode-1-1-utf-8", "utf-8"),
    ("hz", "hz-gb-2312"),
];

/// Labels that say no more than a missing one.
const VAGUE: &[&str] = &[
    "",
    "us-ascii",
    "ascii",
    "ansi-x3.4-1968",
    "ansi-x3.110-1983",
    "unknown",
    "unknown-8bit",
    "x-unknown",
    "8bit",
    "7bit",
    "default",
    "x-user-defined",
    "binary",
    "iso-646-us",
    "none",
    "utf-8-or-unknown",
];

/// What a label means.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Meaning {
    /// Nothing: the bytes decide.
    Vague,
    /// A charset of the `charset` crate.
    Known(Charset),
    /// A code page of DOS: the upper half.
    Page(&'static Page),
    /// Pairs of bytes without their high bits.
    Shifted(&'static Shifted),
    /// UTF-16 of either order of bytes.
    Utf16,
    /// A label nobody knows.
    Unknown,
}

/// Finds what a label means.
pub(crate) fn meaning(label: &str) -> Meaning {
    // RFC 2231 allows a language after the charset: `utf-8*en`.
    let label = label.split('*').next().unwrap_or_default();
    let mut name: String = label
        .trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | ';' | ','))
        .chars()
        .take(64)
        .map(|c| if c == '_' || c == ' ' { '-' } else { c.to_ascii_lowercase() })
        .collect();
    if let Some((_, alias)) = ALIASES.iter().find(|(from, _)| *from == name) {
        name = (*alias).to_owned();
    }
    if VAGUE.contains(&name.as_str()) {
        return Meaning::Vague;
    }
    match name.as_str() {
        "iso-2022-kr" => return Meaning::Shifted(&shifted::ISO_2022_KR),
        "iso-2022-cn" | "iso-2022-cn-ext" => return Meaning::Shifted(&shifted::ISO_2022_CN),
        "hz-gb-2312" => return Meaning::Shifted(&shifted::HZ),
        "utf-16" => return Meaning::Utf16,
        _ => {}
    }
    // `iso8859-1`, `iso-88591`, `8859-1`, `cp1252`, `windows1252`, `win-1251`, `ibm852`: the digits say it.
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    if let Some(page) = pages::page(digits.trim_start_matches('0'))
        && ["cp", "ibm", "dos", "pc", "8"].iter().any(|begin| name.starts_with(begin))
    {
        return Meaning::Page(page);
    }
    let guesses = [
        Some(name.clone()),
        Some(name.replace('-', "_")),
        digits.strip_prefix("8859").map(|part| format!("iso-8859-{part}")),
        (digits.len() == 4 && digits.starts_with("125")).then(|| format!("windows-{digits}")),
        name.starts_with("utf-8").then(|| "utf-8".to_owned()),
        name.starts_with("iso-2022-jp").then(|| "iso-2022-jp".to_owned()),
    ];
    guesses
        .into_iter()
        .flatten()
        .find_map(|guess| Charset::for_label_no_replacement(guess.as_bytes()))
        .map_or(Meaning::Unknown, Meaning::Known)
}

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
        Meaning::Page(page) => bytes.iter().map(|&byte| page_char(page, byte)).collect(),
        Meaning::Shifted(shifted) => shifted.decode(bytes),
        Meaning::Utf16 => lies::utf_16(bytes),
        Meaning::Known(charset) => decode_known(bytes, charset, label, hint, found),
    }
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
            charset.decode(bytes).0.into_owned()
        };
    }
    if bytes.is_ascii() && charset.is_ascii_compatible() && name != "ISO-2022-JP" {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    if name != "UTF-8" && lies::is_surely_utf8(bytes, charset) {
        found.note(Defect::BadCharset(label.to_owned()));
        return guess(bytes).into_owned();
    }
    let (text, malformed) = match name {
        "ISO-2022-JP" => lies::japanese(bytes),
        _ => lies::meant(charset, bytes).decode_with_bom_removal(bytes),
    };
    if malformed {
        found.note(Defect::BadCharset(label.to_owned()));
        if name == "UTF-8" && !is_mostly_utf8(bytes) {
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
        Ok(text) => Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)),
        // Mostly UTF-8 with a few broken bytes is more often UTF-8 cut in the middle of a character.
        Err(_) if is_mostly_utf8(bytes) => String::from_utf8_lossy(bytes),
        Err(_) if lies::has_utf16_mark(bytes) => Cow::Owned(lies::utf_16(bytes)),
        Err(_) => other(bytes),
    }
}

/// As [`guess`], with the charset that another part of the mail declares in place of windows-1252.
pub(crate) fn guess_with<'a>(bytes: &'a [u8], hint: &str) -> Cow<'a, str> {
    if hint.is_empty() || std::str::from_utf8(bytes).is_ok() || is_mostly_utf8(bytes) {
        return guess(bytes);
    }
    match meaning(hint) {
        Meaning::Known(charset) if charset.is_ascii_compatible() => {
            let (text, malformed) = charset.decode_without_bom_handling(bytes);
            if malformed { guess(bytes) } else { text }
        }
        Meaning::Page(page) => bytes.iter().map(|&byte| page_char(page, byte)).collect(),
        _ => guess(bytes),
    }
}

/// A whole text without a label: as [`guess_with`]; without a hint its letters tell the charset.
fn unlabelled<'a>(bytes: &'a [u8], hint: &str) -> Cow<'a, str> {
    if !hint.is_empty() {
        return guess_with(bytes, hint);
    }
    guess_or(bytes, |bytes| {
        let detected = detect::detect(bytes).map(|encoding| encoding.decode_without_bom_handling(bytes));
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
    encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0
}

/// Whether most of the bytes beyond ASCII form valid UTF-8 sequences.
fn is_mostly_utf8(bytes: &[u8]) -> bool {
    let (mut good, mut bad) = (0usize, 0usize);
    for chunk in bytes.utf8_chunks() {
        good += chunk.valid().bytes().filter(|byte| !byte.is_ascii()).count();
        bad += chunk.invalid().len();
    }
    good > bad
}

fn page_char(page: &Page, byte: u8) -> char {
    match byte.checked_sub(128) {
        None => char::from(byte),
        Some(upper) => page.get(usize::from(upper)).copied().unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

#[cfg(test)]
mod tests;
