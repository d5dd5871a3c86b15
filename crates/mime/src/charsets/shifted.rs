//! 7-bit charsets that switch between ASCII and pairs of bytes.

use std::borrow::Cow;

use encoding_rs::{EUC_KR, Encoding, GBK, ISO_2022_JP};

use super::exact::{exact, exact_pieces};

/// A charset whose pairs are those of an 8-bit charset without their high bits.
#[derive(Debug)]
pub(crate) struct Shifted {
    on: &'static [u8],
    off: &'static [u8],
    /// What says which pairs follow, and is no text.
    skip: &'static [u8],
    /// What stands for the first byte of `on` itself, where that is a character of text.
    literal: Option<&'static [u8]>,
    encoding: &'static Encoding,
}

/// ISO-2022-KR (RFC 1557): EUC-KR between SO and SI.
pub(super) static ISO_2022_KR: Shifted =
    Shifted { on: b"\x0e", off: b"\x0f", skip: b"\x1b$)C", literal: None, encoding: EUC_KR };

/// ISO-2022-CN (RFC 1922), of which mail uses GB 2312 between SO and SI.
pub(super) static ISO_2022_CN: Shifted =
    Shifted { on: b"\x0e", off: b"\x0f", skip: b"\x1b$)A", literal: None, encoding: GBK };

/// HZ (RFC 1843): GB 2312 between `~{` and `~}`; `~~` is one of these.
pub(super) static HZ: Shifted =
    Shifted { on: b"~{", off: b"~}", skip: b"~\n", literal: Some(b"~~"), encoding: GBK };

impl Shifted {
    pub(super) fn decode(&self, bytes: &[u8]) -> String {
        exact_pieces(self.encoding, |take| self.eight_bit(bytes, take)).0
    }

    /// Hands out the text in pieces, with the high bits of its pairs set.
    fn eight_bit(&self, bytes: &[u8], take: &mut dyn FnMut(&[u8])) {
        const PIECE: usize = 4 * 1024;
        let mut piece = Vec::with_capacity(PIECE.min(bytes.len()));
        let mut on = false;
        let mut rest = bytes;
        while let Some((&first, tail)) = rest.split_first() {
            if let Some(after) = rest.strip_prefix(self.on) {
                (on, rest) = (true, after);
            } else if let Some(after) = rest.strip_prefix(self.off) {
                (on, rest) = (false, after);
            } else if let Some(after) = rest.strip_prefix(self.skip) {
                rest = after;
            } else if let Some(after) =
                self.literal.filter(|_| !on).and_then(|literal| rest.strip_prefix(literal))
            {
                piece.push(first);
                rest = after;
            } else {
                // A line end always ends the shift: a lost byte costs one line, not the rest of the text.
                on &= first != b'\n';
                piece.push(if on && first > b' ' { first | 0x80 } else { first });
                rest = tail;
            }
            if piece.len() == PIECE {
                take(&piece);
                piece.clear();
            }
        }
        take(&piece);
    }
}

/// The charset that seven-bit text without a label declares by its escapes.
pub(super) fn declared(bytes: &[u8]) -> Option<&'static Declared> {
    let mut escapes = memchr::memchr_iter(b'\x1b', bytes).filter_map(|at| bytes.get(at + 1..));
    escapes.find_map(|rest| {
        DECLARED.iter().find(|(sign, _)| rest.starts_with(sign)).map(|(_, declared)| declared)
    })
}

/// A charset that shows itself.
#[derive(Debug)]
pub(super) enum Declared {
    Iso2022Jp,
    Shifted(&'static Shifted),
}

const DECLARED: &[(&[u8], Declared)] = &[
    (b"$B", Declared::Iso2022Jp),
    (b"$@", Declared::Iso2022Jp),
    (b"(I", Declared::Iso2022Jp),
    (b"(J", Declared::Iso2022Jp),
    (b"$)C", Declared::Shifted(&ISO_2022_KR)),
    (b"$)A", Declared::Shifted(&ISO_2022_CN)),
];

/// ISO-2022-JP; and whether something in it could not be read.
///
/// encoding_rs takes an escape that another one follows at once for an attack on web pages and shows U+FFFD. Mail is full
/// of them, wherever a program put pieces together that each end in ASCII. The first of two says nothing: it is left out.
pub(super) fn iso_2022_jp(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    const LENGTH: usize = 3;
    let is_escape = |at: usize| {
        matches!(
            bytes.get(at..at + LENGTH),
            Some([b'\x1b', b'$', b'B' | b'@'] | [b'\x1b', b'(', b'B' | b'J' | b'I'])
        )
    };
    let idle = || memchr::memchr_iter(b'\x1b', bytes).filter(|&at| is_escape(at) && is_escape(at + LENGTH));
    if idle().next().is_none() {
        return exact(ISO_2022_JP, bytes);
    }
    let (text, malformed) = exact_pieces(ISO_2022_JP, |take| {
        let mut from = 0;
        for at in idle() {
            if from < at {
                take(bytes.get(from..at).unwrap_or_default());
            }
            from = at + LENGTH;
        }
        take(bytes.get(from..).unwrap_or_default());
    });
    (Cow::Owned(text), malformed)
}
