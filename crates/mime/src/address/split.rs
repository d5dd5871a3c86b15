//! What of a piece between commas is the address, and what the name.
//!
//! Slices are cut at offsets that a search in the same slice returned, or behind a check of the length: in bounds.

use std::ops::Range;

use memchr::memchr;

/// An address without white space, source route (`@a,@b:`) or `mailto:`.
pub(super) fn bare(address: &[u8]) -> Vec<u8> {
    const MAILTO: &[u8] = b"mailto:";
    let mut address = address.trim_ascii();
    if address.starts_with(b"@")
        && let Some(colon) = memchr(b':', address)
    {
        address = &address[colon + 1..];
    }
    if address.get(..MAILTO.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(MAILTO)) {
        address = &address[MAILTO.len()..];
    }
    while let Some(inner) = address.strip_prefix(b"<") {
        address = inner;
    }
    address = without_apostrophes(address);
    if address.starts_with(b"\"") || !address.contains(&b'@') {
        return address.to_vec();
    }
    address.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect()
}

/// `'a@b.org'`, as it is copied out of a sentence, without its marks.
pub(super) fn without_apostrophes(address: &[u8]) -> &[u8] {
    address.strip_prefix(b"'").and_then(|inner| inner.strip_suffix(b"'")).unwrap_or(address)
}

/// `[SMTP:a@b.org]`, as Exchange wrote what stands in a text, and `[mailto:a@b.org]` without what stands around the address.
pub(super) fn without_brackets(address: &[u8]) -> &[u8] {
    let inner = address.strip_prefix(b"[").and_then(|inner| inner.strip_suffix(b"]"));
    let Some(inner) = inner.filter(|inner| inner.contains(&b'@')) else { return address };
    let kind = memchr(b':', inner).map_or(0, |colon| colon + 1);
    &inner[kind..]
}

/// Whether a comment is an address and nothing else.
pub(super) fn is_alone(comment: &[u8]) -> bool {
    let mut halves = comment.split(|&byte| byte == b'@');
    let is_half = |half: Option<&[u8]>| half.is_some_and(|half| !half.is_empty());
    is_half(halves.next())
        && is_half(halves.next())
        && halves.next().is_none()
        && !comment.iter().any(u8::is_ascii_whitespace)
}

/// An address without angle brackets of which something was quoted: its local part, which keeps its quotes, its name, or
/// all of it.
pub(super) fn split_quoted(phrase: &[u8], quoted: Range<usize>) -> (Vec<u8>, Vec<u8>) {
    let (before, behind) = phrase.split_at(quoted.end.min(phrase.len()));
    let (first, local) = before.split_at(quoted.start.min(before.len()));
    if behind.starts_with(b"@") {
        let end = behind.iter().position(u8::is_ascii_whitespace).unwrap_or(behind.len());
        let local: Vec<u8> = local
            .iter()
            .flat_map(|&byte| matches!(byte, b'"' | b'\\').then_some(b'\\').into_iter().chain([byte]))
            .collect();
        let address = [b"\"", local.as_slice(), b"\"", &behind[..end]].concat();
        return (first.trim_ascii().to_vec(), address);
    }
    if behind.contains(&b'@') {
        let (more, address) = split_bare(behind.trim_ascii());
        return ([before.trim_ascii(), more.as_slice()].join(&b' ').trim_ascii().to_vec(), address);
    }
    let phrase = phrase.trim_ascii().to_vec();
    if phrase.contains(&b'@') { (Vec::new(), phrase) } else { (phrase, Vec::new()) }
}

/// Whether this is an address of Notes, whose names have spaces of their own: `CN=Ann Bee/OU=X@Org`, or `Ann Bee/X@Org` at a
/// domain that is none of the Internet.
fn is_notes(phrase: &[u8]) -> bool {
    let Some(at) = memchr::memrchr(b'@', phrase) else { return false };
    let (local, domain) = phrase.split_at(at);
    memchr(b'/', local).is_some()
        && memchr(b'@', local).is_none()
        && (local.get(..3).is_some_and(|begin| begin.eq_ignore_ascii_case(b"cn="))
            || memchr(b'.', domain).is_none())
}

/// An address without angle brackets or quotes: the word with an `@` is the address, the rest the name.
pub(super) fn split_bare(phrase: &[u8]) -> (Vec<u8>, Vec<u8>) {
    if !phrase.contains(&b'@') {
        // One word is an address of this host (`MAILER-DAEMON`), several are a name.
        let one_word = !phrase.iter().any(u8::is_ascii_whitespace) && !phrase.starts_with(b"=?");
        return if one_word { (Vec::new(), phrase.to_vec()) } else { (phrase.to_vec(), Vec::new()) };
    }
    if is_notes(phrase) {
        return (Vec::new(), phrase.to_vec());
    }
    // `joe @ example . org` is one address in the obsolete syntax: glue white space around `@`, and behind that around a `.`
    // that has some before it. One that has it behind alone ends a sentence.
    let mut glued: Vec<u8> = Vec::with_capacity(phrase.len());
    let (mut gap, mut in_domain, mut is_apart) = (false, false, false);
    for &byte in phrase {
        if byte.is_ascii_whitespace() {
            gap = true;
            continue;
        }
        let joins = byte == b'@' || glued.last() == Some(&b'@') || in_domain && (byte == b'.' || is_apart);
        if gap && !glued.is_empty() && !joins {
            glued.push(b' ');
            in_domain = false;
        }
        in_domain |= byte == b'@';
        is_apart = byte == b'.' && gap;
        gap = false;
        glued.push(byte);
    }
    let mut name = Vec::new();
    let mut address = Vec::new();
    for word in glued.split(|&byte| byte == b' ') {
        if address.is_empty() && word.contains(&b'@') {
            address = without_apostrophes(word).to_vec();
        } else {
            if !name.is_empty() {
                name.push(b' ');
            }
            name.extend_from_slice(word);
        }
    }
    (name, address)
}
