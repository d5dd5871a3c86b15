//! Section `[webhooks]`.

use std::net::SocketAddr;
use std::time::Duration;

use mailfleet_runtime::Invalid;
use serde::Deserialize;

/// Section `[webhooks]`: the doors for webhooks and registrations.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhooksConfig {
    /// Address and port; without one there is no door. Port 0 takes a free one, and the log says which.
    pub listen: Option<SocketAddr>,
    /// Largest body of a call in bytes, 1 KiB to 16 MiB, default 1 MiB.
    pub body_max_bytes: usize,
    /// Seconds within which a whole body comes, 1 to 25, default 20: less than the silence after which a connection is
    /// closed, so that a sender that fell silent gets its answer.
    pub body_timeout_seconds: u64,
    /// How far a signed time may be from ours in seconds, 1 to 3,600, default 300.
    pub clock_skew_seconds: u64,
    /// Calls a second of one endpoint or token that are taken for long, 1 to 100,000, default 200.
    pub rate_per_second: u32,
    /// Calls of one endpoint or token that are taken at once, 1 to 1,000,000, default 400.
    pub rate_burst: u32,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        Self {
            listen: None,
            body_max_bytes: 1 << 20,
            body_timeout_seconds: 20,
            clock_skew_seconds: 300,
            rate_per_second: 200,
            rate_burst: 400,
        }
    }
}

impl WebhooksConfig {
    /// Checks every range; the error names the key, what stands there and what may.
    pub fn validate(&self) -> Result<(), Invalid> {
        let body = u64::try_from(self.body_max_bytes).unwrap_or(u64::MAX);
        for (key, value, least, most) in [
            ("body_max_bytes", body, 1 << 10, 16 << 20),
            ("body_timeout_seconds", self.body_timeout_seconds, 1, 25),
            ("clock_skew_seconds", self.clock_skew_seconds, 1, 3_600),
            ("rate_per_second", self.rate_per_second.into(), 1, 100_000),
            ("rate_burst", self.rate_burst.into(), 1, 1_000_000),
        ] {
            if !(least..=most).contains(&value) {
                return Err(Invalid::within(
                    "webhooks",
                    key,
                    format!("is {value}, must be {least} to {most}"),
                ));
            }
        }
        Ok(())
    }

    /// The time within which a whole body comes.
    pub const fn body_timeout(&self) -> Duration {
        Duration::from_secs(self.body_timeout_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_range_is_refused_by_name_with_its_range() {
        WebhooksConfig::default().validate().unwrap();
        let config = WebhooksConfig { rate_burst: 0, ..WebhooksConfig::default() };
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "`webhooks.rate_burst`: is 0, must be 1 to 1000000"
        );
    }
}
