//! Identities as types, so that a UID cannot be taken for a UIDVALIDITY or one account's key for another's.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text or number that is not a valid identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{value}` is not valid: {expected}")]
pub struct InvalidId {
    /// Which identity was meant.
    pub what: &'static str,
    /// What was found instead.
    pub value: String,
    /// What would have been right.
    pub expected: &'static str,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::parse_str(text).map(Self).map_err(|_| InvalidId {
                    what: $what,
                    value: text.to_owned(),
                    expected: "a UUID",
                })
            }
        }
    };
}

uuid_id!(
    /// One login on one IMAP server (`email_account_id` in the hierarchy).
    AccountId,
    "account id"
);
uuid_id!(
    /// One customer of the platform; the wall of row-level security.
    TenantId,
    "tenant id"
);

uuid_id!(
    /// One campaign of a tenant (`campaign_id` in the hierarchy).
    CampaignId,
    "campaign id"
);
uuid_id!(
    /// One addressee of a campaign (`lead_id` in the hierarchy).
    LeadId,
    "lead id"
);

/// The row number of one webhook call in the inbox, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InboxId(pub i64);

impl fmt::Display for InboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The row number of one mailbox (folder) of one account; small, because the ledger holds it 10⁹ times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MailboxId(pub i32);

impl fmt::Display for MailboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! u32_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(NonZeroU32);

        impl $name {
            /// The number, or `None` for 0, which RFC 3501 rules out but servers do send.
            #[must_use]
            pub const fn new(number: u32) -> Option<Self> {
                match NonZeroU32::new(number) {
                    Some(number) => Some(Self(number)),
                    None => None,
                }
            }

            /// The plain number.
            #[must_use]
            pub const fn get(self) -> u32 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl TryFrom<i64> for $name {
            type Error = InvalidId;

            fn try_from(number: i64) -> Result<Self, InvalidId> {
                u32::try_from(number).ok().and_then(Self::new).ok_or_else(|| InvalidId {
                    what: $what,
                    value: number.to_string(),
                    expected: "1 to 4294967295",
                })
            }
        }

        impl From<$name> for i64 {
            fn from(id: $name) -> i64 {
                i64::from(id.get())
            }
        }
    };
}

u32_id!(
    /// The number of a message in its mailbox, strictly ascending under one UIDVALIDITY (RFC 3501 §2.3.1.1).
    Uid,
    "UID"
);
u32_id!(
    /// The epoch of a mailbox's UIDs; a change means that every UID seen before is void.
    UidValidity,
    "UIDVALIDITY"
);
