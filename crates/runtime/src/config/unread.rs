//! A section that belongs to another binary.

use serde::de::{Deserialize, Deserializer, IgnoredAny};

/// Takes any value and keeps nothing of it: the placeholder for sections of the shared file that this binary does
/// not read. Write `#[serde(default, rename = "consumer")] _consumer: Option<Unread>`; the underscore tells the compiler
/// that nobody reads the field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unread;

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}
