//! Mailbox names: modified UTF-7 on the wire (RFC 3501 §5.1.3), plain text everywhere else.

/// The name as it travels: modified UTF-7 inside a quoted string. `None` for a name that no command can carry
/// (control characters).
pub(crate) fn quoted(name: &str) -> Option<String> {
    // The encoding would hide them, and no mailbox has such a name.
    if name.contains(char::is_control) {
        return None;
    }
    quote(&utf7_imap::encode_utf7_imap(name.to_owned()))
}

/// A name as it is, inside a quoted string: for servers that keep raw UTF-8 names.
pub(crate) fn quote(name: &str) -> Option<String> {
    if name.contains(char::is_control) {
        return None;
    }
    Some(format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// Undoes the escapes of a quoted string.
pub(crate) fn unescape(quoted: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(quoted.len());
    let mut escaped = false;
    for &byte in quoted {
        escaped = byte == b'\\' && !escaped;
        if !escaped {
            bytes.push(byte);
        }
    }
    bytes
}

/// The name as people read it. A name that is no modified UTF-7 (raw UTF-8, a lone `&`) stays as it is.
pub(crate) fn decode(name: String) -> String {
    if name.contains('&') && is_utf7(&name) { utf7_imap::decode_utf7_imap(name) } else { name }
}

/// Whether the decoder can take it: it panics on what is not Base64.
fn is_utf7(name: &str) -> bool {
    let mut rest = name;
    while let Some((_, shifted)) = rest.split_once('&') {
        let Some((part, after)) = shifted.split_once('-') else { return false };
        rest = after;
        if !part.is_empty() && !is_utf16_base64(part) {
            return false;
        }
    }
    true
}

fn is_utf16_base64(part: &str) -> bool {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b',' => Some(63),
        _ => None,
    };
    let Some(last) = part.bytes().map(value).try_fold(0, |_, value| value) else { return false };
    // Whole UTF-16 units only, and the bits that fill up the last character must be zero.
    match part.len() % 8 {
        0 => true,
        3 => last.trailing_zeros() >= 2,
        6 => last.trailing_zeros() >= 4,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_travel_as_modified_utf_7() {
        assert_eq!(quoted("Entwürfe").unwrap(), "\"Entw&APw-rfe\"");
        assert_eq!(quoted("A & B \"x\" \\").unwrap(), r#""A &- B \"x\" \\""#);
        assert_eq!(quoted("a\r\nb"), None);
        assert_eq!(decode("~peter/mail/&U,BTFw-/&ZeVnLIqe-".into()), "~peter/mail/台北/日本語");
    }

    #[test]
    fn what_is_no_utf_7_stays_as_it_is() {
        for name in ["Entwürfe", "A & B", "&!-", "&A-", "&AA-", "&APx-", "&----&x"] {
            assert_eq!(decode(name.into()), name);
        }
    }

    proptest! {
        #[test]
        fn a_name_comes_back_as_it_went(name in "[ -~äöü台😀&\"\\\\-]{0,12}") {
            let wire = quoted(&name).unwrap();
            prop_assert!(wire.is_ascii());
            let inner = unescape(&wire.as_bytes()[1..wire.len() - 1]);
            prop_assert_eq!(decode(String::from_utf8(inner).unwrap()), name);
        }

        #[test]
        fn no_name_panics(name in "[&A-Za-z0-9+,/=é-]{0,16}") {
            decode(name);
        }
    }
}
