//! One call as it came in, and what it is measured against.

use serde_json::Value;

use crate::refusal::Refusal;

/// How old the signed time of a call may be, in seconds, where the sender repeats a call without signing it anew. SNS
/// repeats to HTTP for an hour at most (its developer guide, "Amazon SNS message delivery retries": the total policy retry
/// time is at most 3,600 s), Postal for 36 minutes (`WebhookDeliveryService::RETRIES`: 2, 3, 6, 10 and 15 minutes), Mailgun for eight hours. A whole
/// day leaves room for a backlog on their side, and makes nothing of a call that somebody kept for longer.
const OLDEST_REPEAT_SECONDS: u64 = 24 * 60 * 60;

/// Shortest shared secret, in bytes: a shorter one can be found by trying.
const SECRET_MIN_BYTES: usize = 16;

/// One call, byte for byte.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    headers: &'a [(&'a str, &'a str)],
    body: &'a [u8],
}

impl<'a> Call<'a> {
    /// `headers` by lower-case name, `body` as it was sent.
    #[must_use]
    pub const fn new(headers: &'a [(&'a str, &'a str)], body: &'a [u8]) -> Self {
        Self { headers, body }
    }

    /// The body.
    #[must_use]
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The first header of this name; give it in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(given, _)| *given == name).map(|(_, value)| value.trim())
    }

    /// A header that the provider always sends.
    pub(crate) fn required(&self, name: &str) -> Result<&'a str, Refusal> {
        self.header(name).ok_or_else(|| Refusal::unverified(format!("the header `{name}` is missing")))
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value, Refusal> {
        serde_json::from_slice(self.body)
            .map_err(|error| Refusal::malformed(format!("the body is not JSON: {error}")))
    }
}

/// What an endpoint trusts, and when it is asked.
#[derive(Clone, Copy)]
pub struct Trust<'a> {
    /// The endpoint's secret, as it stands in its file or variable: a shared secret (several lines are several secrets,
    /// each of them good, for a change of secrets without a gap), or public keys or certificates in PEM.
    pub secret: &'a [u8],
    /// The only Amazon SNS topic whose messages are taken.
    pub topic: Option<&'a str>,
    /// The time, in milliseconds since 1970.
    pub now_ms: i64,
    /// How far a signed time may be from it, in seconds.
    pub skew_seconds: u64,
}

impl std::fmt::Debug for Trust<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl<'a> Trust<'a> {
    /// The shared secrets, at least one. A line that opens a PEM block or a comment is none: everybody knows what stands
    /// there, and could sign with it.
    pub(crate) fn secrets(&self) -> Result<Vec<&'a [u8]>, Refusal> {
        let secrets: Vec<&[u8]> = self
            .secret
            .split(|byte| matches!(byte, b'\n' | b'\r'))
            .map(<[u8]>::trim_ascii)
            .filter(|line| !line.is_empty())
            .collect();
        if secrets.is_empty() {
            return Err(Refusal::unconfigured("the secret is empty"));
        }
        if secrets.iter().any(|line| line.starts_with(b"-----")) {
            return Err(Refusal::unconfigured(
                "the secret is a PEM file, not a shared secret: give the secret that both sides know, by itself",
            ));
        }
        if secrets.iter().any(|line| line.starts_with(b"#")) {
            return Err(Refusal::unconfigured(
                "a line of the secret begins with `#`: each line is a secret, so take comments out, and choose a secret \
                 that begins otherwise",
            ));
        }
        Ok(secrets)
    }

    /// The shared secrets, none of them so short that a signature made with it would show it.
    pub(crate) fn long_secrets(&self) -> Result<Vec<&'a [u8]>, Refusal> {
        let secrets = self.secrets()?;
        if secrets.iter().any(|secret| secret.len() < SECRET_MIN_BYTES) {
            let problem = format!("the secret is shorter than {SECRET_MIN_BYTES} characters");
            return Err(Refusal::unconfigured(problem));
        }
        Ok(secrets)
    }

    /// Whether a signed time, in seconds since 1970, is near enough to be that of a new call.
    pub(crate) fn fresh(&self, seconds: &str) -> Result<(), Refusal> {
        let signed: i64 = seconds
            .parse()
            .map_err(|_| Refusal::unverified("the signed time is not a number of seconds since 1970"))?;
        let apart = self.now_ms.div_euclid(1_000).abs_diff(signed);
        if apart > self.skew_seconds {
            return Err(Refusal::unverified(format!(
                "the signed time is {apart} s from ours, more than {} s: check the clock, and sign each attempt anew",
                self.skew_seconds
            )));
        }
        Ok(())
    }

    /// Whether a signed time, in milliseconds since 1970, can be that of a call that its sender may still be repeating.
    pub(crate) fn recent(&self, signed_ms: i64) -> Result<(), Refusal> {
        // In whole seconds that have begun: a millisecond above a limit is above it.
        let apart = self.now_ms.abs_diff(signed_ms).div_ceil(1_000);
        if signed_ms > self.now_ms && apart > self.skew_seconds {
            return Err(Refusal::unverified(format!(
                "the signed time is {apart} s ahead of ours, more than {} s: check the clock",
                self.skew_seconds
            )));
        }
        if signed_ms < self.now_ms && apart > OLDEST_REPEAT_SECONDS {
            return Err(Refusal::unverified(format!(
                "the signed time is {apart} s old, more than {OLDEST_REPEAT_SECONDS} s: the call is no longer taken"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(secret: &[u8]) -> Trust<'_> {
        Trust { secret, topic: None, now_ms: 1_000_000, skew_seconds: 300 }
    }

    #[test]
    fn a_time_within_the_skew_is_fresh_on_both_sides() {
        for good in ["700", "1000", "1300"] {
            assert!(trust(b"x").fresh(good).is_ok(), "{good}");
        }
        for bad in ["699", "1301", "-1000", "", "soon", "99999999999999999999", "-9223372036854775808"] {
            assert!(matches!(trust(b"x").fresh(bad), Err(Refusal::Unverified(_))), "{bad}");
        }
    }

    #[test]
    fn a_time_is_recent_for_a_day_and_as_far_ahead_as_clocks_may_differ() {
        for good in [-85_400_000, 1_000_000, 1_300_000] {
            assert!(trust(b"x").recent(good).is_ok(), "{good}");
        }
        for bad in [-85_400_001, 1_300_001, i64::MIN, i64::MAX] {
            assert!(matches!(trust(b"x").recent(bad), Err(Refusal::Unverified(_))), "{bad}");
        }
    }

    #[test]
    fn each_line_is_a_secret_and_none_at_all_is_our_mistake() {
        assert_eq!(trust(b"old\r\n  new \n\n").secrets().unwrap(), [&b"old"[..], b"new"]);
        assert!(matches!(trust(b" \n").secrets(), Err(Refusal::Unconfigured(_))));
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert!(!format!("{:?}", trust(b"hunter2")).contains("hunter2"));
    }
}
