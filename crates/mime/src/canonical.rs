//! The bytes a mail's identity is made of.

use crate::header::Lines;

/// Fields that a delivery store adds to or changes in a mail it holds (mbox and its relatives).
const OF_THE_STORE: &[&[u8]] = &[b"x-uid", b"status", b"x-status", b"x-keywords"];

/// The same mail always gives the same bytes, whichever store it was fetched from: line ends as CRLF, without the
/// store's own `X-UID`, `Status`, `X-Status` and `X-Keywords` fields in the top header.
#[must_use]
pub fn canonical(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() + raw.len() / 32);
    let mut in_header = true;
    let mut skipping = false;
    for line in Lines::new(raw, 0) {
        if in_header {
            if line.text.is_empty() {
                in_header = false;
            } else if line.text.first().is_some_and(|b| matches!(b, b' ' | b'\t')) {
                if skipping {
                    continue;
                }
            } else {
                skipping = is_of_the_store(line.text);
                if skipping {
                    continue;
                }
            }
        }
        // Only the CR that belongs to the line end is left out; other CRs are content.
        let ended = raw.get(line.next.wrapping_sub(1)) == Some(&b'\n');
        let text = raw.get(line.start..line.next).unwrap_or_default();
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = if ended { text.strip_suffix(b"\r").unwrap_or(text) } else { text };
        out.extend_from_slice(text);
        if ended {
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

fn is_of_the_store(line: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', line) else { return false };
    let name = line[..colon].trim_ascii_end();
    OF_THE_STORE.iter().any(|field| name.eq_ignore_ascii_case(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_and_the_stores_own_fields_make_no_difference() {
        let mail = b"Subject: x\r\n folded\r\n\r\nbody\r\nStatus: kept\r\n";
        assert_eq!(canonical(mail), mail);
        assert_eq!(canonical(b"Subject: x\n folded\n\nbody\nStatus: kept\n"), mail);
        assert_eq!(
            canonical(
                b"X-UID: 7\nStatus: RO\nX-Keywords: a\n b\nSubject: x\n folded\n\nbody\nStatus: kept\n"
            ),
            mail
        );
    }

    #[test]
    fn other_bytes_are_kept() {
        for raw in [&b""[..], b"a\rb", b"Subject: x\r\n\r\n\0\xff\r\r\n.", b"Status-Line: 1\r\n\r\n"] {
            assert_eq!(canonical(raw), raw);
        }
    }
}
