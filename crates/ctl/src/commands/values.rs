//! Values of the command line that PostgreSQL or the producer would refuse later, and less clearly.

use std::net::IpAddr;

/// Longest name of a tenant or an account, in characters.
const NAME_MAX_CHARS: usize = 200;
/// Longest host name or domain, in characters (RFC 1035 §2.3.4).
const HOST_MAX_CHARS: usize = 253;
/// Longest name of a mailbox, in bytes.
const MAILBOX_MAX_BYTES: usize = 1_000;

/// A name of a tenant or an account: something to see, on one line.
pub fn name(text: &str) -> Result<String, String> {
    visible("name", text)?;
    if text.chars().count() > NAME_MAX_CHARS {
        return Err(format!("a name has at most {NAME_MAX_CHARS} characters"));
    }
    Ok(text.to_owned())
}

/// A login: something to see, on one line.
pub fn login(text: &str) -> Result<String, String> {
    visible("login", text).map(|()| text.to_owned())
}

/// The name of a mailbox. Blanks may be part of it, also at its ends.
pub fn mailbox(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.contains(char::is_control) || text.len() > MAILBOX_MAX_BYTES {
        return Err(format!(
            "a mailbox has a name of 1 to {MAILBOX_MAX_BYTES} bytes without control characters"
        ));
    }
    Ok(text.to_owned())
}

/// The name of an environment variable.
pub fn variable(text: &str) -> Result<String, String> {
    let bad = |c: char| c == '=' || c.is_whitespace() || c.is_control();
    if text.is_empty() || text.contains(bad) {
        return Err("an environment variable has a name without blanks and `=`; the password itself is never given here"
            .to_owned());
    }
    Ok(text.to_owned())
}

/// A host: a name or an address, without a port.
pub fn host(text: &str) -> Result<String, String> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if bare != text && bare.parse::<IpAddr>().is_ok() {
        return Ok(bare.to_owned());
    }
    if text.contains("://") {
        return Err(
            "give the host name alone, such as imap.acme.example; --tls and --port say the rest".to_owned()
        );
    }
    if text.contains(':') {
        return Err("give the host without a port; the port is --port".to_owned());
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.chars().count() <= HOST_MAX_CHARS && name.split('.').all(is_label) {
        return Ok(text.to_owned());
    }
    Err("a host is a name such as imap.acme.example, or an address".to_owned())
}

/// A domain as it is compared: lower case, without a trailing dot. Labels of RFC 1035 §2.3.1, and UTF-8 (RFC 6531).
pub fn domain(text: &str) -> Result<String, String> {
    let domain = text.trim_end_matches('.').to_lowercase();
    if domain.len() <= HOST_MAX_CHARS && domain.split('.').all(is_label) {
        return Ok(domain);
    }
    Err(format!("`{text}` is not a domain: give the part after the @, such as acme.example"))
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
}

fn visible(what: &str, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("the {what} is empty"));
    }
    if text.trim() != text || text.contains(char::is_control) {
        return Err(format!("a {what} has no line breaks or control characters, and no blanks at its ends"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_taken_as_it_is_compared() {
        assert_eq!(domain("ACME.Example."), Ok("acme.example".into()));
        assert_eq!(domain("bücher.example"), Ok("bücher.example".into()));
        for bad in
            ["", ".", "sales@acme.example", "@acme.example", "acme example", "-a.example", "a..b", "*.a"]
        {
            assert!(domain(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_nothing_more() {
        for good in ["imap.acme.example", "localhost", "10.0.0.5", "::1", "mail_1.example.", "bücher.example"]
        {
            assert_eq!(host(good).as_deref(), Ok(good));
        }
        assert_eq!(host("[::1]").as_deref(), Ok("::1"));
        for (bad, word) in [
            ("imap.acme.example:993", "--port"),
            ("10.0.0.5:993", "--port"),
            ("imaps://imap.acme.example", "alone"),
            ("imap acme.example", "host is a name"),
            ("imap.acme.example\n", "host is a name"),
            ("user@imap.acme.example", "host is a name"),
            ("", "host is a name"),
        ] {
            assert!(host(bad).is_err_and(|error| error.contains(word)), "{bad:?}");
        }
    }

    #[test]
    fn a_name_can_be_seen_and_typed() {
        for good in ["sales", "Büro Nord", "a"] {
            assert!(name(good).is_ok() && login(good).is_ok() && mailbox(good).is_ok(), "{good}");
        }
        for bad in ["", " ", "a\nb", " a", "a ", "\u{1b}[2J"] {
            assert!(name(bad).is_err() && login(bad).is_err(), "{bad:?}");
        }
        assert!(name(&"n".repeat(201)).is_err());
        assert!(
            mailbox("").is_err()
                && mailbox("a\nb").is_err()
                && variable("A B").is_err()
                && variable("").is_err()
        );
    }
}
