//! What counts as a mail address, wherever somebody hands one in.

use crate::delivery_event::recipient_key;

/// Longest address, in characters (RFC 5321 §4.5.3.1: 64 and 255 octets around the at sign).
pub const ADDRESS_MAX_CHARS: usize = 320;

/// A bare address, as [`recipient_key`] keeps it; `None` where the text is none: it lacks one of its halves, is longer than
/// [`ADDRESS_MAX_CHARS`], is more than one address, or has a display name with it, which has no place in a key.
///
/// Whether a server would take it is not asked; the rules of RFC 5321 §4.1.2 that matter are those by which two addresses,
/// or an address and a name, are told from one. A quoted local part may hold an at sign.
#[must_use]
pub fn address_key(text: &str) -> Option<String> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ',' | ';');
    let address = recipient_key(text);
    let (local, domain) = address.rsplit_once('@')?;
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let whole = !local.is_empty() && !domain.is_empty() && (quoted || !local.contains(['@', '"']));
    let good = whole
        && !domain.contains('"')
        && !address.contains(odd)
        && address.chars().count() <= ADDRESS_MAX_CHARS;
    good.then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_address_is_taken_and_several_or_half_of_one_are_not() {
        for (text, key) in [
            (" <Ann@Example.COM> ", "ann@example.com"),
            ("ann+x@example.com", "ann+x@example.com"),
            ("\"a@b\"@example.com", "\"a@b\"@example.com"),
            ("jörg@bücher.example", "jörg@bücher.example"),
        ] {
            assert_eq!(address_key(text).as_deref(), Some(key), "{text}");
        }
        for text in [
            "",
            "ann",
            "@example.com",
            "ann@",
            "a@@example.com",
            "a@b@example.com",
            "\"a@b@example.com",
            // What a CSV field with a space before its quote comes to.
            "\"ann@example.com\"",
            "\"ann@example.com",
            "an\"n@example.com",
            "a@x.example;b@x.example",
            "a@x.example,b@x.example",
            "a@x.example b@x.example",
            "Ann <ann@example.com>",
            "<a@x.example><b@x.example>",
            "a\u{0}@example.com",
        ] {
            assert_eq!(address_key(text), None, "{text}");
        }
        let long = |count: usize| format!("{}@example.com", "ä".repeat(count));
        assert!(address_key(&long(ADDRESS_MAX_CHARS - 12)).is_some());
        assert_eq!(address_key(&long(ADDRESS_MAX_CHARS - 11)), None);
    }
}
