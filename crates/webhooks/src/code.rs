//! The codes in what a remote server said.

use mailfleet_model::DIAGNOSTIC_MAX_CHARS;

/// Longest text that is looked at for codes, in bytes: they stand at its beginning.
const HEAD: usize = 200;

/// What a remote server said, with its codes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub smtp: Option<u16>,
    pub enhanced: Option<String>,
    pub text: Option<String>,
}

/// Reads a reply such as `smtp; 550 5.1.1 user unknown`.
pub(crate) fn said(text: &str) -> Said {
    let text = text.trim();
    let bare = match text.split_once(';') {
        Some((kind, rest)) if kind.trim().eq_ignore_ascii_case("smtp") => rest.trim(),
        _ => text,
    };
    let head: String = bare.chars().take(HEAD).collect();
    let mut words = head.split(|c: char| c.is_whitespace() || c == '-').filter(|word| !word.is_empty());
    let mut next = words.next();
    let smtp = next.and_then(smtp_code);
    if smtp.is_some() {
        next = words.next();
    }
    let enhanced = next.and_then(enhanced_code);
    let text: String = text.chars().take(DIAGNOSTIC_MAX_CHARS).collect();
    Said { smtp, enhanced, text: (!text.is_empty()).then_some(text) }
}

/// An SMTP reply code (RFC 5321 §4.2), 200 to 599.
pub(crate) fn smtp_code(word: &str) -> Option<u16> {
    word.parse().ok().filter(|code| word.len() == 3 && (200..600).contains(code))
}

/// An enhanced status code (RFC 3463 §2): class 2, 4 or 5, and two numbers of at most three digits.
pub(crate) fn enhanced_code(word: &str) -> Option<String> {
    let word = word.trim_start_matches('#');
    let parts: Vec<&str> = word.split('.').collect();
    let [class, subject, detail] = parts.as_slice() else { return None };
    let number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    (matches!(*class, "2" | "4" | "5") && number(subject) && number(detail)).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_at_the_beginning_of_a_reply_are_read() {
        for (text, smtp, enhanced) in [
            ("550 5.1.1 user unknown", Some(550), Some("5.1.1")),
            ("smtp; 550 5.1.1 user unknown", Some(550), Some("5.1.1")),
            ("SMTP;421 4.4.1 unable to connect", Some(421), Some("4.4.1")),
            ("550-5.7.26 This mail", Some(550), Some("5.7.26")),
            ("5.1.1 user unknown", None, Some("5.1.1")),
            ("250 OK", Some(250), None),
            ("550 192.0.2.1 is listed", Some(550), None),
            ("mailbox 550 is full", None, None),
            ("", None, None),
        ] {
            let read = said(text);
            assert_eq!((read.smtp, read.enhanced.as_deref()), (smtp, enhanced), "{text}");
        }
        assert_eq!(said(" ").text, None);
        assert_eq!(said(&"ü".repeat(9_999)).text.unwrap().chars().count(), DIAGNOSTIC_MAX_CHARS);
    }
}
