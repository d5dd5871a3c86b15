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
    if bytes.is_ascii() || std::str::from_utf8(bytes).is_err() {
        return false;
    }
    let by_chance = matches!(charset.name(), "gb18030" | "GBK" | "EUC-KR" | "Big5" | "EUC-JP" | "Shift_JIS");
    !by_chance
        || bytes.iter().any(|byte| (0x80..=0xa0).contains(byte))
        || bytes.iter().filter(|byte| !byte.is_ascii()).count() >= NO_CHANCE
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
