//! Labels that the bytes prove wrong, and what was meant.

use std::borrow::Cow;

use charset::Charset;
use encoding_rs::{EUC_JP, Encoding, SHIFT_JIS, UTF_16BE, UTF_16LE};

use super::{exact, shifted};

/// Whether bytes under the label of another charset are UTF-8 beyond doubt.
///
/// In charsets of one byte a character, text would have to be made of pairs of a letter and a sign. In those of two
/// bytes, a few characters can look like UTF-8 by chance: there it takes bytes of the range that their plain
/// characters do not use, or more of them than chance gives.
pub(super) fn is_surely_utf8(bytes: &[u8], charset: Charset) -> bool {
    const NO_CHANCE: usize = 12;
    if !is_utf8(bytes) {
        return false;
    }
    !has_pairs(charset)
        || bytes.iter().any(|byte| (0x80..=0xa0).contains(byte))
        || bytes.iter().filter(|byte| !byte.is_ascii()).count() >= NO_CHANCE
}

/// Whether most characters of this charset have two bytes.
pub(super) fn has_pairs(charset: Charset) -> bool {
    matches!(charset.name(), "gb18030" | "GBK" | "EUC-KR" | "Big5" | "EUC-JP" | "Shift_JIS")
}

/// Whether what lies beyond ASCII looks like the accented letters of a Western language, and not like characters of two
/// bytes: all of it is letters, and mostly one or three of them stand together.
pub(super) fn is_accents(bytes: &[u8]) -> bool {
    let runs = bytes.split(u8::is_ascii).filter(|run| !run.is_empty());
    let (mut odd, mut even) = (0usize, 0usize);
    for run in runs {
        if run.iter().any(|byte| *byte < 0xc0) {
            return false;
        }
        *if run.len() % 2 == 1 { &mut odd } else { &mut even } += 1;
    }
    odd > 0 && odd >= even
}

/// Whether bytes, some of which lie beyond ASCII, are UTF-8 and no other text of one byte a character that people write.
pub(super) fn is_utf8(bytes: &[u8]) -> bool {
    !bytes.is_ascii() && std::str::from_utf8(bytes).is_ok_and(|text| !is_utf8_by_chance(text))
}

/// Whether nothing beyond ASCII in this text is more than a Western letter and a sign behind it, which happen to be UTF-8:
/// `Spaß…`, `CAFÉ’s`.
pub(super) fn is_utf8_by_chance(text: &str) -> bool {
    !text.is_ascii() && chances(text).all(|is_chance| is_chance)
}

/// How many bytes of this text are UTF-8 by no such chance.
pub(super) fn utf8_beyond_chance(text: &str) -> usize {
    let by_chance = chances(text).filter(|is_chance| *is_chance).count() * 2;
    text.bytes().filter(|byte| !byte.is_ascii()).count() - by_chance
}

/// Of each character beyond ASCII whether it stands alone and is a letter and a sign in windows-1252.
fn chances(text: &str) -> impl Iterator<Item = bool> {
    let is_alone = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii);
    text.char_indices().filter(|(_, c)| !c.is_ascii()).map(move |(at, c)| {
        let bytes = text.as_bytes();
        let end = at + c.len_utf8();
        is_alone(at.checked_sub(1).and_then(|before| bytes.get(before)))
            && is_alone(bytes.get(end))
            && matches!(bytes.get(at..end), Some(&[letter, sign]) if is_letter(letter) && is_sign(sign))
    })
}

/// Capital letters with which words end, and sharp s; not those that begin a character people write alone (`Δ`, `ș`, `ʻ`).
const fn is_letter(byte: u8) -> bool {
    matches!(byte, 0xc8 | 0xc9 | 0xcd | 0xd2 | 0xd3 | 0xd6 | 0xd9 | 0xda | 0xdc | 0xdf)
}

/// Three dots, quotes, dashes, the mark of a trade name.
const fn is_sign(byte: u8) -> bool {
    matches!(byte, 0x85 | 0x91..=0x94 | 0x96 | 0x97 | 0xae | 0xbb)
}

/// The charset of Windows in place of its relative of ISO 8859 where the bytes hold characters (quotes, dashes, and
/// letters of the Central European one) that only the former has: the latter has control characters there, and mail
/// has none.
pub(super) fn meant(charset: Charset, bytes: &[u8]) -> Charset {
    let windows: &'static Encoding = match charset.name() {
        "ISO-8859-2" => encoding_rs::WINDOWS_1250,
        "ISO-8859-7" => encoding_rs::WINDOWS_1253,
        "ISO-8859-8" | "ISO-8859-8-I" => encoding_rs::WINDOWS_1255,
        "ISO-8859-13" => encoding_rs::WINDOWS_1257,
        "ISO-8859-15" => encoding_rs::WINDOWS_1252,
        _ => return charset,
    };
    // 0x85 is a line end of mainframes in the one and three dots in the other: it proves nothing.
    let is_sign = |byte: &u8| (0x80..=0x9f).contains(byte) && *byte != 0x85;
    if bytes.iter().any(is_sign) { Charset::for_encoding(windows) } else { charset }
}

/// Text labelled ISO-2022-JP; and whether something in it could not be read. That charset has seven bits: where there
/// are eight, the text is in one of its relatives.
pub(super) fn japanese(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    if !bytes.is_ascii() {
        for encoding in [SHIFT_JIS, EUC_JP] {
            let (text, malformed) = exact(encoding, bytes);
            if !malformed {
                return (text, false);
            }
        }
    }
    shifted::iso_2022_jp(bytes)
}

/// Text labelled UTF-16, without a word on the order of its bytes: the mark at its beginning says it, else the side
/// on which the zeros of its ASCII characters stand.
pub(super) fn utf_16(bytes: &[u8]) -> String {
    if is_one_byte(bytes) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let zeros = |side: usize| bytes.iter().skip(side).step_by(2).filter(|byte| **byte == 0).count();
    let encoding = if zeros(0) > zeros(1) { UTF_16BE } else { UTF_16LE };
    let (encoding, bom) = Encoding::for_bom(bytes).unwrap_or((encoding, 0));
    exact(encoding, bytes.get(bom..).unwrap_or_default()).0.into_owned()
}

/// Whether text that says UTF-16 has one byte a character, or is UTF-8: it has no zeros.
pub(super) fn is_one_byte(bytes: &[u8]) -> bool {
    !bytes.is_empty() && !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok()
}

/// Whether text without a label begins with the mark of UTF-16, and has the zeros of its ASCII characters.
pub(super) fn has_utf16_mark(bytes: &[u8]) -> bool {
    (bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff")) && bytes.contains(&0)
}
