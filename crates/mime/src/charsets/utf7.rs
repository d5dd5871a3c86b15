//! UTF-7 (RFC 2152): ASCII, and between `+` and a byte that is no base64 UTF-16 in base64.
//!
//! The `charset` crate sets up a decoder for each run, so that text of many short ones takes it 300 ns a byte.

use std::char::{REPLACEMENT_CHARACTER, decode_utf16};

use super::exact::LONG;

/// The text, and whether there was something in it that is no UTF-7. A long one is read twice, the first time to learn how
/// long it becomes.
pub(super) fn decode(bytes: &[u8]) -> (String, bool) {
    let mut size = bytes.len();
    if size > LONG {
        size = 0;
        read(bytes, |character| size += character.len_utf8());
    }
    let mut text = String::with_capacity(size);
    let malformed = read(bytes, |character| text.push(character));
    (text, malformed)
}

/// Hands out the characters; whether some bytes are none.
fn read(bytes: &[u8], mut take: impl FnMut(char)) -> bool {
    let mut malformed = false;
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'+' {
            malformed |= !byte.is_ascii();
            take(if byte.is_ascii() { char::from(byte) } else { REPLACEMENT_CHARACTER });
            continue;
        }
        let length = tail.iter().take_while(|&&byte| value(byte).is_some()).count();
        let (run, after) = tail.split_at(length);
        let end = after.strip_prefix(b"-");
        rest = end.unwrap_or(after);
        if run.is_empty() {
            malformed |= end.is_none();
            take(if end.is_some() { '+' } else { REPLACEMENT_CHARACTER });
        }
        for character in decode_utf16(Units { run: run.iter(), bits: 0, held: 0 }) {
            malformed |= character.is_err();
            take(character.unwrap_or(REPLACEMENT_CHARACTER));
        }
    }
    malformed
}

/// What a byte of base64 stands for.
const fn value(byte: u8) -> Option<u32> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    } as u32)
}

/// The units of UTF-16 in one run; bits that fill up the last byte are none.
struct Units<'a> {
    run: std::slice::Iter<'a, u8>,
    bits: u32,
    held: u32,
}

impl Iterator for Units<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        while self.held < 16 {
            self.bits = self.bits << 6 | value(*self.run.next()?)?;
            self.held += 6;
        }
        self.held -= 16;
        let unit = self.bits >> self.held & 0xffff;
        self.bits &= (1 << self.held) - 1;
        u16::try_from(unit).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn runs_are_read_as_utf_16() {
        for (bytes, text) in [
            (&b"caf+AOk- +- x"[..], "caf\u{e9} + x"),
            (b"Hi Mom +Jjo--+Jjo!", "Hi Mom \u{263a}-\u{263a}!"),
            (b"+2D3cpA-", "\u{1f4a4}"),
            (b"+AOkA6QDp", "\u{e9}\u{e9}\u{e9}"),
        ] {
            assert_eq!(decode(bytes), (text.to_owned(), false));
        }
    }

    #[test]
    fn what_is_no_utf_7_is_named() {
        for (bytes, text) in [
            (&b"a+"[..], "a\u{fffd}"),
            (b"+ x", "\u{fffd} x"),
            (b"\xe9", "\u{fffd}"),
            (b"+2D0-x", "\u{fffd}x"),
        ] {
            assert_eq!(decode(bytes), (text.to_owned(), true));
        }
    }
}
