//! Status lines: `OK`, `NO`, `BAD`, `BYE` with a response code, read by hand.
//!
//! The parsers at hand drop codes they do not know into the text, and one of them panics on a code that is followed
//! by anything but ASCII. A status line is a word, an optional `[CODE argument]` and text: that is all this reads.

use std::time::Duration;

use crate::error::excerpt;

/// How a command ended, or what a server announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Ok,
    No,
    Bad,
    Bye,
    PreAuth,
}

/// One status line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) condition: Condition,
    /// The code in upper case, such as `UIDVALIDITY`; empty where there is none.
    pub(crate) code: String,
    /// What stands behind the code, such as the number.
    pub(crate) argument: String,
    /// Code and text, short and printable.
    pub(crate) text: String,
}

impl Status {
    /// Reads what stands after the tag or the `* `.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let line = line.trim_ascii();
        let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        let (word, rest) = line.split_at(end);
        let condition = match word.to_ascii_uppercase().as_slice() {
            b"OK" => Condition::Ok,
            b"NO" => Condition::No,
            b"BAD" => Condition::Bad,
            b"BYE" => Condition::Bye,
            b"PREAUTH" => Condition::PreAuth,
            _ => return None,
        };
        let rest = rest.trim_ascii_start();
        let (code, argument) = rest
            .strip_prefix(b"[")
            .and_then(|inner| Some(inner.split_at(memchr::memchr(b']', inner)?).0))
            .map(|inner| {
                let end = inner.iter().position(u8::is_ascii_whitespace).unwrap_or(inner.len());
                let (code, argument) = inner.split_at(end);
                (excerpt(code).to_ascii_uppercase(), excerpt(argument))
            })
            .unwrap_or_default();
        Some(Self { condition, code, argument, text: excerpt(rest) })
    }

    /// The code's argument as a number.
    pub(crate) fn number(&self) -> Option<u64> {
        self.argument.parse().ok()
    }

    /// Whether the server asks to come back later rather than refuses for good.
    pub(crate) fn is_temporary(&self) -> bool {
        let codes = ["UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG", "THROTTLED", "OVERQUOTA"];
        // Providers that predate the codes of RFC 5530 say it in words.
        let words = ["throttle", "too many", "try again", "temporar", "backoff time", "rate limit"];
        let text = self.text.to_ascii_lowercase();
        codes.contains(&self.code.as_str()) || words.iter().any(|word| text.contains(word))
    }

    /// The waiting time in `Request is throttled. Suggested Backoff Time: 299961 milliseconds` (Exchange Online).
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        /// No server keeps us away longer than this by a number in a text.
        const LONGEST: Duration = Duration::from_secs(3600);
        let text = self.text.to_ascii_lowercase();
        let (_, tail) = text.split_once("backoff time:")?;
        let digits: String = tail.trim_start().chars().take_while(char::is_ascii_digit).collect();
        Some(Duration::from_millis(digits.parse().ok()?).min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_known_and_unknown_are_told_apart_from_text() {
        let status = Status::parse(b"NO [authenticationfailed] Authentication failed.\r\n").unwrap();
        assert_eq!((status.condition, status.code.as_str()), (Condition::No, "AUTHENTICATIONFAILED"));
        let status = Status::parse(b"OK [UIDVALIDITY 17] \xc3\xa9").unwrap();
        assert_eq!((status.code.as_str(), status.number()), ("UIDVALIDITY", Some(17)));
        let status = Status::parse(b"OK").unwrap();
        assert_eq!((status.code.as_str(), status.text.as_str()), ("", ""));
        assert_eq!(Status::parse(b"SSH-2.0-OpenSSH_9.2"), None);
        assert_eq!(Status::parse(b"OK [broken").unwrap().code, "");
    }

    #[test]
    fn a_throttled_server_names_its_waiting_time() {
        let status =
            Status::parse(b"BAD Request is throttled. Suggested Backoff Time: 299961 milliseconds").unwrap();
        assert!(status.is_temporary());
        assert_eq!(status.retry_after(), Some(Duration::from_millis(299_961)));
        let status = Status::parse(b"BAD Backoff Time: 99999999999999 ms").unwrap();
        assert_eq!(status.retry_after(), Some(Duration::from_secs(3600)));
        let status = Status::parse(b"NO [ALERT] Too many simultaneous connections. (Failure)").unwrap();
        assert!(status.is_temporary() && status.retry_after().is_none());
    }
}
