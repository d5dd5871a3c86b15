//! Tokens that open a door: random, shown once, kept as a hash.

use mailfleet_model::Secret;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// What the token of a webhook's path begins with.
pub const WEBHOOK_TOKEN: &str = "mfw";
/// What a token for registering messages begins with.
pub const API_TOKEN: &str = "mft";
/// Hexadecimal digits behind the prefix and its underscore.
const RANDOM_DIGITS: usize = 64;

/// SHA-256 of a token. A token has 244 random bits, so that a plain hash is enough: nobody can try them. And who compares
/// hashes tells nothing by the time it takes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of what was shown as a token, whatever it is.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// The hash of what has the form of a token with this prefix; `None` of anything else, which nobody has to look up.
    #[must_use]
    pub fn of_token(prefix: &str, token: &str) -> Option<Self> {
        let random = token.strip_prefix(prefix)?.strip_prefix('_')?;
        let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (random.len() == RANDOM_DIGITS && random.bytes().all(lower_hex)).then(|| Self::of(token))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenHash")
    }
}

/// A new token with its hash. `prefix` lets scanners for leaked secrets, and people, recognise it.
pub(crate) fn new_token(prefix: &str) -> (Secret, TokenHash) {
    let token = format!("{prefix}_{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let hash = TokenHash::of(&token);
    (Secret::new(token), hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tokens_are_alike_and_none_is_printed() {
        let ((one, hash), (two, _)) = (new_token("mfw"), new_token("mfw"));
        assert_ne!(one.expose(), two.expose());
        assert_eq!((one.expose().len(), TokenHash::of(one.expose())), (68, hash));
        assert_eq!(TokenHash::of_token("mfw", one.expose()), Some(hash));
        for foreign in [one.expose().replace("mfw", "mft"), format!("{}0", one.expose()), "mfw_".to_owned()] {
            assert_eq!(TokenHash::of_token("mfw", &foreign), None, "{foreign}");
        }
        assert_eq!(format!("{one:?} {hash:?}"), "[redacted] TokenHash");
    }
}
