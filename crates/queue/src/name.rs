//! Names of consumers: one for each incarnation of a process, never used again.

use std::fmt;

/// The name of one consumer in the group. Two processes must never share one: each would take the other's entries for
/// its own lost replies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConsumerName(String);

/// A text that cannot name a consumer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot name a consumer: 3 to 200 of A-Z a-z 0-9 . _ - with at least one `-`")]
pub struct InvalidConsumerName(String);

impl ConsumerName {
    /// Takes a name as it is. The `-` keeps names apart from the group's pseudo consumers.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidConsumerName> {
        let name = name.into();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if (3..=200).contains(&name.len()) && name.contains('-') && name.chars().all(allowed) {
            return Ok(Self(name));
        }
        Err(InvalidConsumerName(name.chars().take(200).collect()))
    }

    /// `<host>-<pid>-<random>`; characters that are not allowed in the host's name become `_`.
    #[must_use]
    pub fn unique(host: &str, pid: u32, random: u64) -> Self {
        let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c } else { '_' };
        let host: String = host.trim().chars().map(allowed).take(100).collect();
        Self(format!("{}-{pid}-{random:016x}", if host.is_empty() { "host" } else { &host }))
    }

    /// A name for this incarnation of this process, with the machine's host name in it.
    #[must_use]
    pub fn for_this_process() -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .or_else(|_| std::fs::read_to_string("/etc/hostname"))
            .unwrap_or_default();
        Self::unique(&host, std::process::id(), fastrand::u64(..))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConsumerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_incarnations_never_share_a_name() {
        assert_ne!(ConsumerName::for_this_process(), ConsumerName::for_this_process());
    }

    #[test]
    fn a_made_name_is_a_valid_name() {
        let name = ConsumerName::unique("böse host\n", 7, 1);
        assert_eq!(name.as_str(), "b_se_host-7-0000000000000001");
        assert_eq!(ConsumerName::new(name.as_str()).unwrap(), name);
        assert!(ConsumerName::new(ConsumerName::unique("", 7, 1).as_str()).is_ok());
    }

    #[test]
    fn the_pseudo_consumers_cannot_be_named() {
        for name in ["released", "alone", "delayed", "", "a b-c"] {
            assert!(ConsumerName::new(name).is_err(), "{name}");
        }
    }
}
