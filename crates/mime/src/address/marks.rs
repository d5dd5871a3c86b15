//! What encloses text in an address field: quotes, comments, and the escapes of seven-bit Japanese.
//!
//! Slices are cut behind a check of the length: in bounds.

use memchr::memmem;

/// The length of seven-bit Japanese (ISO-2022-JP) that begins here with its escape, to the escape that ends it: its bytes
/// may look like quotes, commas and brackets.
pub(crate) fn japanese(here: &[u8]) -> Option<usize> {
    const LONGEST: usize = 1_000;
    let window = &here[..here.len().min(LONGEST)];
    let end = memmem::find(window.strip_prefix(b"\x1b$")?, b"\x1b(")?;
    Some((end + 5).min(here.len()))
}

/// Reads a quoted string behind its opening quote: text without escapes, and what follows. `leads` tells the first bytes
/// of characters of two bytes.
pub(super) fn quoted(tail: &[u8], leads: Option<fn(u8) -> bool>) -> Option<(Vec<u8>, &[u8])> {
    let mut text = Vec::new();
    let mut rest = tail;
    loop {
        if let Some(length) = japanese(rest) {
            let (whole, after) = rest.split_at(length);
            text.extend_from_slice(whole);
            rest = after;
        }
        let (&byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            _ if leads.is_some_and(|leads| leads(byte)) => {
                text.push(byte);
                let (&second, after) = rest.split_first()?;
                text.push(second);
                rest = after;
            }
            b'"' => return Some((text, rest)),
            b'\\' => {
                let (&escaped, after) = rest.split_first()?;
                text.push(escaped);
                rest = after;
            }
            _ => text.push(byte),
        }
    }
}

/// Reads a comment behind its opening parenthesis, nested ones included; `None` of one that is never closed.
pub(super) fn comment(tail: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut text = Vec::new();
    let mut depth = 1usize;
    let mut rest = tail;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'(' => depth += 1,
            b')' if depth == 1 => return Some((text, rest)),
            b')' => depth -= 1,
            b'\\' => {
                if let Some((&escaped, after)) = rest.split_first() {
                    text.push(escaped);
                    rest = after;
                }
                continue;
            }
            _ => {}
        }
        text.push(byte);
    }
    None
}
