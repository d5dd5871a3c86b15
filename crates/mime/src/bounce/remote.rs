//! Which host refused, in the words of a notice.

use std::net::IpAddr;

use crate::bounce::notice::prefix;
use crate::bounce::status;
use crate::table::rows;

/// What stands before the name of the host, in lower case, by who writes it.
pub(crate) static BEFORE: &[&str] = &[
    // Sendmail.
    "while talking to ",
    // Postfix and Exim: `host mx.example.org[192.0.2.1] said`.
    "host ",
    "lost connection with ",
    // Sendmail, of a host that it could not talk to.
    "connection refused by ",
    "connection reset by ",
    "connection timed out with ",
    "connect to ",
    // qmail.
    "connected to ",
    "giving up on ",
    // Exchange: `Remote Server at mx.example.org (192.0.2.1) returned`.
    "remote server at ",
    // iPlanet.
    "remote system: dns;",
    "remote system: dns; ",
    // Others.
    "smtp server <",
    "remote-mta: dns; ",
    "remote-mta: dns;",
    "by the server for the recipient domain ",
];

/// Text that is searched.
const LONGEST: usize = 1_000;

/// The host that answered: the name that stands nearest to the top behind such words.
pub(crate) fn host(said: &str) -> Option<String> {
    let lower = prefix(said, LONGEST).to_ascii_lowercase();
    let found = rows(BEFORE).flat_map(|words| {
        lower.match_indices(words).filter_map(|(at, words)| {
            let begins = !lower.get(..at)?.ends_with(|c: char| c.is_ascii_alphanumeric());
            Some((at, name(lower.get(at + words.len()..)?)?)).filter(|_| begins)
        })
    });
    found.min_by_key(|(at, _)| *at).map(|(_, name)| name.to_owned())
}

/// The first host that is named with its number, as Courier, DragonFly and Exim do: `mx.example.org [192.0.2.1]`. In brackets it
/// is one that the mail came from.
pub(crate) fn with_number(said: &str) -> Option<String> {
    let said = prefix(said, LONGEST);
    said.match_indices(" [").find_map(|(at, mark)| {
        let (number, _) = said.get(at + mark.len()..)?.split_once(']')?;
        number.parse::<IpAddr>().ok()?;
        let word = said.get(..at)?.rsplit(|c: char| c.is_whitespace() || c == '=').next()?;
        // Behind a code a server speaks, of whoever connects: `550-mx.example.org [192.0.2.1] may not`.
        let is_told = status::reply_line(word).is_some();
        (!is_told && name(word)?.len() == word.len()).then(|| word.to_ascii_lowercase())
    })
}

/// A name with dots, or an address of IPv4, that a text begins with.
fn name(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_'));
    let name = text.get(..end.unwrap_or(text.len()))?.trim_end_matches(['.', '-']);
    (name.contains('.') && name.len() <= 253 && !name.starts_with('.')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::{host, with_number};

    #[test]
    fn a_host_that_is_named_with_its_number_refused() {
        for said in [
            "a@b.c>: MX.example.org [192.0.2.1]: <<< 550 no",
            "mx.example.org [2001:db8::1] did not like our RCPT",
            "a@b.c Delay reason: H=mx.example.org [192.0.2.1]: 450 no",
        ] {
            assert_eq!(with_number(said).as_deref(), Some("mx.example.org"), "{said}");
        }
        for said in [
            "received from pc (pc7.example.org [192.0.2.7])",
            "mx.example.org [sic]",
            "[192.0.2.1]",
            "no [192.0.2.1]",
            "550-mx.example.org [192.0.2.1] is not permitted",
        ] {
            assert_eq!(with_number(said), None, "{said}");
        }
    }

    #[test]
    fn the_host_that_refused_is_read_from_what_is_said() {
        for said in [
            "a@b.c>: host MX.example.org[192.0.2.1] said: 550 no (in reply to RCPT TO command)",
            "SMTP error from remote mail server after RCPT TO:<a@b.c>: host mx.example.org [192.0.2.1]: 550 no",
            "... while talking to mx.example.org.: >>> DATA <<< 550 no",
            "Connected to mx.example.org but sender was rejected.",
            "Giving up on mx.example.org.",
            "Remote Server at mx.example.org (192.0.2.1) returned '550 no'",
            "Remote system: dns;mx.example.org (TCP|192.0.2.7|4|192.0.2.1|25)",
            "connect to mx.example.org[192.0.2.1]:25: Connection refused",
            "SMTP Server <mx.example.org> rejected recipient <a@b.c>",
        ] {
            assert_eq!(host(said).as_deref(), Some("mx.example.org"), "{said}");
        }
        for said in ["Remote host said: 550 no", "550 ghost mx.example.org", "the host is down", ""] {
            assert_eq!(host(said), None, "{said}");
        }
    }
}
