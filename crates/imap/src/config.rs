//! Where a server is and how patient we are with it.

use std::path::PathBuf;
use std::time::Duration;

use mailfleet_model::TlsMode;
use serde::{Deserialize, Serialize};

/// One IMAP server, as one account reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or IP address; the certificate must be valid for it.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: TlsMode,
    /// PEM file with certificates that are trusted besides the machine's own roots.
    pub ca_file: Option<PathBuf>,
    /// Timeouts and limits.
    pub config: Config,
    /// How a wait for new mail is cut up.
    pub waits: Waits,
}

impl Endpoint {
    /// A server with the default timeouts and no certificates of its own.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16, tls: TlsMode) -> Self {
        Self {
            host: host.into(),
            port,
            tls,
            ca_file: None,
            config: Config::default(),
            waits: Waits::default(),
        }
    }
}

/// How [`MailSource::wait`](crate::MailSource::wait) is cut up. No section of the configuration of its own: whoever
/// watches mailboxes decides it, by the same keys as its own rhythm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// How long one IDLE lasts before it is renewed, which proves that the connection still lives. Well below the
    /// 29 minutes of RFC 2177, because NAT boxes forget connections sooner. Default 100 s.
    pub idle: Duration,
    /// How often a server without IDLE is asked. Default 30 s.
    pub poll: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { idle: Duration::from_secs(100), poll: Duration::from_secs(30) }
    }
}

/// Timeouts and limits of every IMAP connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Longest time for the TCP connection, over all addresses of the host, and again for the TLS handshake.
    /// Milliseconds, default 10,000.
    pub connect_timeout_ms: u64,
    /// Longest silence of the server in the middle of an answer. Milliseconds, default 60,000.
    pub read_timeout_ms: u64,
    /// Longest time for sending one command. Milliseconds, default 30,000.
    pub write_timeout_ms: u64,
    /// A server that sends slower than this is dropped once it has used up `read_timeout_ms`, so that a trickle of
    /// single bytes cannot hold a connection for ever while a slow link may take as long as it needs. Bytes per
    /// second, default 1,024.
    pub min_bytes_per_second: u32,
    /// A longer mail is not kept: it is reported as oversize. Bytes, default 50 MiB.
    pub max_message_bytes: u64,
    /// How many UIDs one page of a listing spans. Default 2,000.
    pub list_window: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 10_000,
            read_timeout_ms: 60_000,
            write_timeout_ms: 30_000,
            min_bytes_per_second: 1024,
            max_message_bytes: 50 * 1024 * 1024,
            list_window: 2_000,
        }
    }
}

/// A setting that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("imap.{field} is {value}: {expected}")]
pub struct ConfigError {
    /// The key.
    pub field: &'static str,
    /// What it is set to.
    pub value: u64,
    /// What would work.
    pub expected: &'static str,
}

impl Config {
    /// Checks every setting against what can work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let timeout = "between 100 ms and 1 hour";
        let checks = [
            ("connect_timeout_ms", self.connect_timeout_ms, 100..=3_600_000, timeout),
            ("read_timeout_ms", self.read_timeout_ms, 100..=3_600_000, timeout),
            ("write_timeout_ms", self.write_timeout_ms, 100..=3_600_000, timeout),
            (
                "min_bytes_per_second",
                u64::from(self.min_bytes_per_second),
                1..=u64::from(u32::MAX),
                "at least 1",
            ),
            ("max_message_bytes", self.max_message_bytes, 1..=1 << 30, "between 1 byte and 1 GiB"),
            ("list_window", u64::from(self.list_window), 1..=100_000, "between 1 and 100,000 UIDs"),
        ];
        for (field, value, range, expected) in checks {
            if !range.contains(&value) {
                return Err(ConfigError { field, value, expected });
            }
        }
        Ok(())
    }

    pub(crate) const fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(crate) const fn read_timeout(&self) -> Duration {
        Duration::from_millis(self.read_timeout_ms)
    }

    pub(crate) const fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn a_setting_that_cannot_work_is_named() {
        let config = Config { read_timeout_ms: 3_600_001, ..Config::default() };
        let text = config.validate().unwrap_err().to_string();
        assert!(text.contains("imap.read_timeout_ms") && text.contains("1 hour"), "{text}");
    }

    #[test]
    fn an_idle_ends_before_a_server_may_log_us_off() {
        assert!(Waits::default().idle < Duration::from_secs(29 * 60), "RFC 2177");
    }

    #[test]
    fn a_tls_mode_is_read_as_it_is_written() {
        for mode in [TlsMode::Tls, TlsMode::StartTls, TlsMode::Plain] {
            assert_eq!(mode.as_str().parse(), Ok(mode));
        }
        assert!("ssl".parse::<TlsMode>().unwrap_err().to_string().contains("starttls"));
    }
}
