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
