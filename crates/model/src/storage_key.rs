//! `storage_key`: the deterministic primary key of the email hierarchy.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::{AccountId, TenantId};

/// A Message-ID longer than this is cut in the key; the hash still tells two apart.
pub const MESSAGE_ID_MAX_CHARS: usize = 200;

/// A Message-ID as envelopes and dead letters keep it, so that a mail can be found by it: without angle brackets and
/// control characters, cut like the one in a key. Idempotent; `None` where nothing is left.
#[must_use]
pub fn lookup_message_id(id: &str) -> Option<String> {
    let id: String = id.chars().filter(|c| !c.is_control()).collect();
    // Cut before the ends are trimmed: a cut may bring a bracket or a blank to the end.
    let id: String = id.trim_start_matches(outside_an_id).chars().take(MESSAGE_ID_MAX_CHARS).collect();
    let id = id.trim_end_matches(outside_an_id);
    (!id.is_empty()).then(|| id.to_owned())
}

fn outside_an_id(c: char) -> bool {
    c.is_whitespace() || matches!(c, '<' | '>')
}

/// `email_<message-id, or "none">_<32 hex of SHA-256>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StorageKey(String);

impl StorageKey {
    /// The key of a mail that came in: the hash is over the account and the mail's own bytes (`content`, canonical:
    /// line ends as CRLF, without what the delivery store added), never over the tenant. So the same mail seen
    /// again has the same key, a different mail that reuses a Message-ID has another, and two accounts that both
    /// got a mail have a row each.
    #[must_use]
    pub fn inbound(message_id: Option<&str>, account: AccountId, content: &[u8]) -> Self {
        Self::build(message_id, &[b"inbound\0", account.0.as_bytes(), content])
    }

    /// The key of a mail that we sent: the hash is over tenant and Message-ID, so that a registration, a webhook
    /// and the copy in the Sent folder all name one row.
    #[must_use]
    pub fn outbound(message_id: &str, tenant: TenantId) -> Self {
        Self::build(Some(message_id), &[b"outbound\0", tenant.0.as_bytes(), message_id.as_bytes()])
    }

    /// A key read back from PostgreSQL.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    fn build(message_id: Option<&str>, parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        let digest = hasher.finalize();
        let hash = HEXLOWER.encode(digest.get(..16).unwrap_or(&digest));
        let id: String = message_id
            .unwrap_or_default()
            .trim()
            .chars()
            .filter(|c| !c.is_control())
            .take(MESSAGE_ID_MAX_CHARS)
            .collect();
        Self(format!("email_{}_{hash}", if id.is_empty() { "none" } else { &id }))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(n: u128) -> AccountId {
        AccountId(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn the_same_mail_has_the_same_key_and_another_mail_another() {
        let key = StorageKey::inbound(Some("a@b"), account(1), b"mail");
        assert_eq!(key, StorageKey::inbound(Some("a@b"), account(1), b"mail"));
        assert_ne!(key, StorageKey::inbound(Some("a@b"), account(1), b"other"));
        assert_ne!(key, StorageKey::inbound(Some("a@b"), account(2), b"mail"));
    }

    #[test]
    fn a_key_keeps_its_shape_whatever_the_message_id() {
        let long = "x".repeat(15_000);
        for id in [None, Some(""), Some("  "), Some("\0\r\n"), Some(long.as_str()), Some("a@b")] {
            let key = StorageKey::inbound(id, account(1), b"mail");
            let (head, hash) = key.as_str().rsplit_once('_').unwrap();
            assert_eq!(hash.len(), 32);
            assert!(head.starts_with("email_") && head.chars().count() <= 6 + MESSAGE_ID_MAX_CHARS);
        }
        assert!(StorageKey::inbound(None, account(1), b"mail").as_str().starts_with("email_none_"));
    }

    #[test]
    fn a_message_id_is_kept_for_lookup_without_brackets_and_controls_and_cut() {
        assert_eq!(lookup_message_id(" <a@b>\r\n").as_deref(), Some("a@b"));
        assert_eq!(lookup_message_id("a\0@\u{7f}b").as_deref(), Some("a@b"));
        for nothing in ["", "  ", "<>", "<\0>"] {
            assert_eq!(lookup_message_id(nothing), None, "{nothing:?}");
        }
        for long in ["ä".repeat(10_000), format!("<{}>", "x".repeat(199)), format!("{} >y", "x".repeat(198))]
        {
            let kept = lookup_message_id(&long).unwrap();
            assert!(kept.chars().count() <= MESSAGE_ID_MAX_CHARS);
            assert_eq!(lookup_message_id(&kept), Some(kept.clone()), "the same again");
        }
    }

    #[test]
    fn an_outbound_mail_is_one_row_per_tenant_and_message_id() {
        let tenant = |n| TenantId(uuid::Uuid::from_u128(n));
        assert_eq!(StorageKey::outbound("a@b", tenant(1)), StorageKey::outbound("a@b", tenant(1)));
        assert_ne!(StorageKey::outbound("a@b", tenant(1)), StorageKey::outbound("a@b", tenant(2)));
    }
}
