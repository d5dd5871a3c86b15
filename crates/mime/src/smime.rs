//! Opaque signatures (S/MIME, RFC 8551 section 3.5.2): the content inside is taken out, and not trusted.
//!
//! Whether the signature holds, and whose it is, is not asked: a mail that claims to be signed says no more than one that
//! claims nothing. A reader without the certificate still has to see what was written. Signers write BER, with lengths
//! that are only known at the end, so that a strict DER reader would leave half of such mail closed. What is read here
//! is the way to the content alone: four headers deep, one pass over the bytes.

use std::borrow::Cow;

/// 1.2.840.113549.1.7.2, signed data.
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// Nesting within one element. Content is cut into pieces one level deep.
const MAX_DEPTH: usize = 8;

const OBJECT_ID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xa0;
const CONSTRUCTED: u8 = 0x20;

/// The content of signed data; `None` where there is none (a detached signature, a list of certificates, an envelope
/// that is encrypted, or no CMS at all). What is cut off gives what came.
pub(crate) fn signed_content(cms: &[u8]) -> Option<Cow<'_, [u8]>> {
    // ContentInfo { type, [0] SignedData { version, digests, EncapsulatedContentInfo { type, [0] OCTET STRING } } }.
    let (kind, rest) = element(within(cms, SEQUENCE)?)?;
    if (kind.tag, kind.content) != (OBJECT_ID, Some(SIGNED_DATA)) {
        return None;
    }
    let signed = within(within(rest, CONTEXT_0)?, SEQUENCE)?;
    let (_version, rest) = element(signed)?;
    let (_digests, rest) = element(rest)?;
    let (kind, rest) = element(within(rest, SEQUENCE)?)?;
    if kind.tag != OBJECT_ID {
        return None;
    }
    let octets = within(rest, CONTEXT_0)?;
    let (tag, length, rest) = header(octets)?;
    if tag == OCTETS {
        return Some(Cow::Borrowed(within_length(length, rest)));
    }
    let mut content = Vec::with_capacity(rest.len());
    self::octets(octets, &mut content, 0).then_some(Cow::Owned(content))
}

/// One element: its tag and, where its length was given, its content.
#[derive(Clone, Copy)]
struct Element<'a> {
    tag: u8,
    content: Option<&'a [u8]>,
}

/// A tag and what follows it: the content where its length is given, cut off with the bytes.
fn header(bytes: &[u8]) -> Option<(u8, Option<usize>, &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    // Tags of several bytes do not lie on the way.
    if tag & 0x1f == 0x1f {
        return None;
    }
    let (&first, rest) = rest.split_first()?;
    match first {
        0x80 => Some((tag, None, rest)),
        0..0x80 => Some((tag, Some(usize::from(first)), rest)),
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits
                .iter()
                .try_fold(0usize, |length, &digit| Some(length.checked_mul(256)? | usize::from(digit)))?;
            Some((tag, Some(length), rest))
        }
    }
}

/// What lies in the element of this tag with which `bytes` begin, to its end or, where that is only marked, beyond.
fn within(bytes: &[u8], wanted: u8) -> Option<&[u8]> {
    let (tag, length, rest) = header(bytes)?;
    (tag == wanted).then(|| within_length(length, rest))
}

/// As much as the length says; all of it where that is not given, or more than there is.
fn within_length(length: Option<usize>, rest: &[u8]) -> &[u8] {
    length.and_then(|length| rest.get(..length)).unwrap_or(rest)
}

/// The first element, and what follows it.
fn element(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    skip(bytes, 0)
}

fn skip(bytes: &[u8], depth: usize) -> Option<(Element<'_>, &[u8])> {
    let (tag, length, rest) = header(bytes)?;
    if let Some(length) = length {
        let (content, rest) = rest.split_at_checked(length)?;
        return Some((Element { tag, content: Some(content) }, rest));
    }
    if tag & CONSTRUCTED == 0 || depth >= MAX_DEPTH {
        return None;
    }
    let mut rest = rest;
    loop {
        if let Some(behind) = rest.strip_prefix(&[0, 0]) {
            return Some((Element { tag, content: None }, behind));
        }
        // Shorter by two bytes at least, each of which is looked at once a level.
        (_, rest) = skip(rest, depth + 1)?;
    }
}

/// Joins an octet string, whole or in pieces; `false` where it is none.
fn octets(bytes: &[u8], out: &mut Vec<u8>, depth: usize) -> bool {
    let Some((tag, length, rest)) = header(bytes) else { return false };
    let body = within_length(length, rest);
    match tag {
        OCTETS => out.extend_from_slice(body),
        tag if tag == OCTETS | CONSTRUCTED && depth < MAX_DEPTH => pieces(body, out, depth),
        _ => return false,
    }
    true
}

fn pieces(mut rest: &[u8], out: &mut Vec<u8>, depth: usize) {
    while !rest.is_empty() && !rest.starts_with(&[0, 0]) {
        if !octets(rest, out, depth + 1) {
            return;
        }
        match skip(rest, depth) {
            Some((_, behind)) => rest = behind,
            None => return,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// DER of a tag and its content.
    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x84][..], &length, content].concat()
    }

    /// The same with its end only marked.
    fn ber(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, 0x80][..], content, &[0, 0]].concat()
    }

    fn wrapped(of: fn(u8, &[u8]) -> Vec<u8>, content: &[u8]) -> Vec<u8> {
        let data = der(OBJECT_ID, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01]);
        let inner = of(SEQUENCE, &[data, of(CONTEXT_0, content)].concat());
        let digests = of(0x31, &of(SEQUENCE, &der(OBJECT_ID, &[0x55, 0x04])));
        let signers = der(0x31, b"");
        let signed = of(SEQUENCE, &[der(0x02, &[1]), digests, inner, signers].concat());
        of(SEQUENCE, &[der(OBJECT_ID, SIGNED_DATA), of(CONTEXT_0, &signed)].concat())
    }

    /// Signed data around `content`, as a strict signer writes it.
    pub(crate) fn signed(content: &[u8]) -> Vec<u8> {
        wrapped(der, &der(OCTETS, content))
    }

    #[test]
    fn content_is_taken_out_of_either_encoding() {
        assert_eq!(signed_content(&signed(b"Hello")).as_deref(), Some(&b"Hello"[..]));
        let pieces = [der(OCTETS, b"Hel"), der(OCTETS, b"l"), der(OCTETS, b"o")].concat();
        for streamed in [ber(0x24, &pieces), der(0x24, &pieces)] {
            assert_eq!(signed_content(&wrapped(ber, &streamed)).as_deref(), Some(&b"Hello"[..]));
        }
    }

    #[test]
    fn what_holds_no_signed_content_stays_closed() {
        let mut enveloped = signed(b"Hello");
        let at = enveloped.windows(9).position(|w| w == SIGNED_DATA).unwrap();
        enveloped[at + 8] = 3;
        for none in [&b""[..], b"Hello", &enveloped, &wrapped(der, b""), &[0x30, 0x80]] {
            assert_eq!(signed_content(none), None);
        }
    }

    #[test]
    fn content_that_is_cut_off_gives_what_came() {
        let whole = wrapped(ber, &ber(0x24, &[der(OCTETS, b"Hello"), der(OCTETS, b"world")].concat()));
        let cut = &whole[..whole.windows(5).position(|w| w == b"world").unwrap() + 3];
        assert_eq!(signed_content(cut).as_deref(), Some(&b"Hellowor"[..]));
    }

    #[test]
    fn endless_nesting_is_given_up_soon() {
        for tag in [0x24, SEQUENCE] {
            let deep = [tag, 0x80].repeat(1_000_000);
            assert_eq!(signed_content(&wrapped(ber, &deep)).as_deref(), (tag == 0x24).then_some(&b""[..]));
            assert_eq!(signed_content(&deep), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(noise in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..60) {
            let mut cms = signed(b"Hello, this is signed");
            let at = at.min(cms.len());
            cms.splice(at.., noise);
            prop_assert!(signed_content(&cms).is_none_or(|content| content.len() <= cms.len()));
        }
    }
}
