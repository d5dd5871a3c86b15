//! Decoding into as much memory as the text needs.

use std::borrow::Cow;

use charset::Charset;
use encoding_rs::{CoderResult, Encoding};

use super::utf7;

/// Decodes under a charset, which may be UTF-7; says whether there were bytes that it does not have.
pub(super) fn decode_as(charset: Charset, bytes: &[u8]) -> (Cow<'_, str>, bool) {
    if let Some(encoding) = Encoding::for_label(charset.name().as_bytes()) {
        return exact(encoding, bytes);
    }
    let (text, malformed) = utf7::decode(bytes);
    (text.into(), malformed)
}

/// Bytes of a text that is decoded twice, the first time to learn how long it becomes.
pub(super) const LONG: usize = 1024 * 1024;

/// Room beyond what a long text needs, for the short ones that are put beside it.
const SPARE: usize = 16 * 1024;

/// Decodes; a long text into as much memory as it needs. `encoding_rs` would take as much as it could need.
pub(crate) fn exact<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> (Cow<'a, str>, bool) {
    if bytes.len() <= LONG || std::str::from_utf8(bytes).is_ok() && encoding == encoding_rs::UTF_8 {
        return encoding.decode_without_bom_handling(bytes);
    }
    let (text, malformed) = exact_pieces(encoding, |take| take(bytes));
    (Cow::Owned(text), malformed)
}

/// As [`exact`], for bytes that `hand_out` gives in pieces, each time anew: a copy of them all would weigh as much again.
pub(super) fn exact_pieces(
    encoding: &'static Encoding,
    hand_out: impl Fn(&mut dyn FnMut(&[u8])),
) -> (String, bool) {
    let mut size = 0;
    decoded(encoding, &hand_out, |text| size += text.len());
    let mut all = String::with_capacity(size + SPARE);
    let malformed = decoded(encoding, &hand_out, |text| {
        all.push_str(std::str::from_utf8(text).unwrap_or_default());
    });
    (all, malformed)
}

/// Gives the text in pieces of whole characters; whether there were bytes that the charset does not have.
///
/// Not into one `String` of the decoder's: it would touch all the memory that is left with each piece.
fn decoded(
    encoding: &'static Encoding,
    hand_out: impl Fn(&mut dyn FnMut(&[u8])),
    mut take: impl FnMut(&[u8]),
) -> bool {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut buffer = [0; 16 * 1024];
    let mut malformed = false;
    let mut decode = |mut piece: &[u8], last: bool| loop {
        let (result, read, written, had_errors) = decoder.decode_to_utf8(piece, &mut buffer, last);
        malformed |= had_errors;
        take(buffer.get(..written).unwrap_or_default());
        if result == CoderResult::InputEmpty {
            break;
        }
        piece = piece.get(read..).unwrap_or_default();
    };
    hand_out(&mut |piece| decode(piece, false));
    decode(b"", true);
    malformed
}
