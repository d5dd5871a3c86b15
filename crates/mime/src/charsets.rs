//! Bytes to text: which charset a label means, and what to do when it lies.
//!
//! `encoding_rs` decodes, `charset` knows its labels; here stand the labels found in mail that it does not know,
//! the two IBM code pages, ISO-2022-KR and HZ, and the rule for missing, unknown and wrong labels.

use std::borrow::Cow;

use charset::Charset;
use encoding_rs::{CoderResult, Encoding};

use crate::defect::{Defect, Found};

mod pages;
mod utf7;

use pages::{CP437, CP850};

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
    ("cp-850", "cp850"),
    ("ibm850", "cp850"),
    ("cp-437", "cp437"),
    ("ibm437", "cp437"),
    ("utf-7", "utf-7"),
    ("unicode-1-1-utf-7", "utf-7"),
    ("utf7", "utf-7"),
    ("utf8", "utf-8"),
    ("utf-8n", "utf-8"),
    ("utf8mb4", "utf-8"),
    ("unicode-1-1-utf-8", "utf-8"),
    ("utf-16", "utf-16le"),
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
    /// An IBM code page: the upper half.
    Page(&'static [char; 128]),
    /// ISO-2022-KR: EUC-KR without its high bits, between SO and SI.
    Iso2022Kr,
    /// HZ (RFC 1843): GB 2312 without its high bits, between `~{` and `~}`.
    Hz,
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
        "cp850" => return Meaning::Page(&CP850),
        "cp437" => return Meaning::Page(&CP437),
        "iso-2022-kr" => return Meaning::Iso2022Kr,
        "hz-gb-2312" => return Meaning::Hz,
        _ => {}
    }
    // `iso8859-1`, `iso-88591`, `8859-1`, `cp1252`, `windows1252`, `win-1251`: the digits say it.
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
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
/// No label, or a vague or unknown one: UTF-8 where the bytes are, else windows-1252, which every byte fits. A
/// label is believed, with two exceptions: single-byte Western charsets over bytes that are valid UTF-8 beyond
/// ASCII (no Western text looks like that, mislabelled mail does), and UTF-8 over bytes most of
/// which are none.
pub(crate) fn decode(bytes: &[u8], label: &str, found: &mut Found) -> String {
    let meaning = meaning(label);
    match meaning {
        Meaning::Vague => guess(bytes).into_owned(),
        Meaning::Unknown => {
            found.note(Defect::UnknownCharset(label.to_owned()));
            guess(bytes).into_owned()
        }
        Meaning::Page(page) => from_page(page, bytes),
        Meaning::Iso2022Kr => decode_shifted(bytes, &ISO_2022_KR),
        Meaning::Hz => decode_shifted(bytes, &HZ),
        Meaning::Known(charset) => decode_known(bytes, charset, label, found),
    }
}

/// Text with LF as line ends, where it stands. Lone CRs end lines as well: whoever wrote the text saw them so, whatever the
/// mail's other lines end with.
pub(crate) fn lf(text: String) -> String {
    if !text.contains('\r') {
        return text;
    }
    let mut bytes = text.into_bytes();
    bytes.dedup_by(|next, last| {
        let is_pair = (*last, *next) == (b'\r', b'\n');
        *last = if is_pair { b'\n' } else { *last };
        is_pair
    });
    bytes.iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
    // Only ASCII was touched: it is text still.
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn decode_known(bytes: &[u8], charset: Charset, label: &str, found: &mut Found) -> String {
    let name = charset.name();
    if name == "UTF-16LE" || name == "UTF-16BE" {
        // A text of one-byte characters that says UTF-16 is not.
        if !bytes.is_empty() && !bytes.contains(&0) && bytes.is_ascii() {
            return String::from_utf8_lossy(bytes).into_owned();
        }
        return match Charset::for_bom(bytes) {
            Some((charset, bom)) => decode_as(charset, bytes.get(bom..).unwrap_or_default()).0.into_owned(),
            None => decode_as(charset, bytes).0.into_owned(),
        };
    }
    if bytes.is_ascii() && charset.is_ascii_compatible() && name != "ISO-2022-JP" {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let western = matches!(name, "windows-1252" | "ISO-8859-15" | "macintosh");
    if western && !bytes.is_ascii() && std::str::from_utf8(bytes).is_ok() {
        found.note(Defect::BadCharset(label.to_owned()));
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let bom = Charset::for_bom(bytes).filter(|(of, _)| of.name() == name).map_or(0, |(_, length)| length);
    let (text, malformed) = decode_as(charset, bytes.get(bom..).unwrap_or_default());
    if malformed {
        found.note(Defect::BadCharset(label.to_owned()));
        if name == "UTF-8" && !is_mostly_utf8(bytes) {
            drop(text);
            return windows_1252(bytes).into_owned();
        }
    }
    text.into_owned()
}

/// UTF-8 (or ISO-2022-JP, which shows by its escapes) where the bytes are valid, else windows-1252.
pub(crate) fn guess(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        // Seven-bit Japanese says so itself.
        Ok(_) if memchr::memmem::find(bytes, b"\x1b$B").is_some() => exact(encoding_rs::ISO_2022_JP, bytes).0,
        Ok(text) => Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)),
        // Mostly UTF-8 with a few broken bytes is more often UTF-8 cut in the middle of a character.
        Err(_) if is_mostly_utf8(bytes) => exact(encoding_rs::UTF_8, bytes).0,
        Err(_) => windows_1252(bytes),
    }
}

/// As [`guess`], with the charset that another part of the mail declares in place of windows-1252.
pub(crate) fn guess_with<'a>(bytes: &'a [u8], hint: &str) -> Cow<'a, str> {
    if hint.is_empty() || std::str::from_utf8(bytes).is_ok() || is_mostly_utf8(bytes) {
        return guess(bytes);
    }
    match meaning(hint) {
        Meaning::Known(charset) if charset.is_ascii_compatible() => {
            let (text, malformed) = decode_as(charset, bytes);
            if malformed { guess(bytes) } else { text }
        }
        Meaning::Page(page) => from_page(page, bytes).into(),
        _ => guess(bytes),
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

/// Decodes under a charset, which may be UTF-7; says whether there were bytes that it does not have.
fn decode_as(charset: Charset, bytes: &[u8]) -> (Cow<'_, str>, bool) {
    if let Some(encoding) = Encoding::for_label(charset.name().as_bytes()) {
        return exact(encoding, bytes);
    }
    let (text, malformed) = utf7::decode(bytes);
    (text.into(), malformed)
}

/// Bytes of a text that is decoded twice, the first time to learn how long it becomes.
const LONG: usize = 1024 * 1024;

/// Decodes; a long text into as much memory as it needs. `encoding_rs` would take as much as it could need.
pub(crate) fn exact<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> (Cow<'a, str>, bool) {
    if bytes.len() <= LONG || std::str::from_utf8(bytes).is_ok() && encoding == encoding_rs::UTF_8 {
        return encoding.decode_without_bom_handling(bytes);
    }
    let mut piece = [0; 16 * 1024];
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let (mut rest, mut size, mut malformed) = (bytes, 0, false);
    loop {
        let (result, read, written, had_errors) = decoder.decode_to_utf8(rest, &mut piece, true);
        rest = rest.get(read..).unwrap_or_default();
        size += written;
        malformed |= had_errors;
        if result == CoderResult::InputEmpty {
            break;
        }
    }
    // A little more, because the decoder wants room for the longest character.
    let mut text = String::with_capacity(size + 64);
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut rest = bytes;
    loop {
        let (result, read, _) = decoder.decode_to_string(rest, &mut text, true);
        if result == CoderResult::InputEmpty {
            return (Cow::Owned(text), malformed);
        }
        rest = rest.get(read..).unwrap_or_default();
        text.reserve(64);
    }
}

fn windows_1252(bytes: &[u8]) -> Cow<'_, str> {
    exact(encoding_rs::WINDOWS_1252, bytes).0
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

fn from_page(page: &[char; 128], bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.iter().map(|&byte| page_char(page, byte).len_utf8()).sum());
    text.extend(bytes.iter().map(|&byte| page_char(page, byte)));
    text
}

fn page_char(page: &[char; 128], byte: u8) -> char {
    match byte.checked_sub(128) {
        None => char::from(byte),
        Some(upper) => page.get(usize::from(upper)).copied().unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

/// A 7-bit charset that switches between ASCII and pairs of bytes: set the high bits of the pairs, decode the rest.
struct Shifted {
    on: &'static [u8],
    off: &'static [u8],
    skip: &'static [u8],
    encoding: &'static encoding_rs::Encoding,
}

static ISO_2022_KR: Shifted =
    Shifted { on: b"\x0e", off: b"\x0f", skip: b"\x1b$)C", encoding: encoding_rs::EUC_KR };
static HZ: Shifted = Shifted { on: b"~{", off: b"~}", skip: b"~\n", encoding: encoding_rs::GBK };

fn decode_shifted(bytes: &[u8], shifted: &Shifted) -> String {
    let mut eight_bit = Vec::with_capacity(bytes.len());
    let mut on = false;
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(shifted.on) {
            (on, rest) = (true, after);
        } else if let Some(after) = rest.strip_prefix(shifted.off) {
            (on, rest) = (false, after);
        } else if let Some(after) = rest.strip_prefix(shifted.skip) {
            rest = after;
        } else {
            // A line end always ends the shift: a lost byte costs one line, not the rest of the text.
            on &= first != b'\n';
            eight_bit.push(if on && first > b' ' { first | 0x80 } else { first });
            rest = tail;
        }
    }
    exact(shifted.encoding, &eight_bit).0.into_owned()
}

#[cfg(test)]
mod tests;
