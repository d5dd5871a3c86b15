//! What was said of our messages: each saying recorded once, found its message, and brought to its recipients.
//!
//! - An event counts once by the UNIQUE `source` of its row: `w:<inbox row>:<n>` of a webhook, `m:<storage_key>:<n>` of a
//!   returned mail.
//! - An event and its message may come in either order, or at one moment: both sides take the locks of the names
//!   ([`names`]) before they look, so whoever comes second sees what the first wrote. What finds nothing waits in its row
//!   until the message comes ([`appeared`]); a sweep looks after both ([`sweep`]).
//! - Statuses are only ever raised ([`crate::recipients`]), so the end is the same in any order.
//! - A webhook is the word of a sending server that a tenant trusts: an address of which it speaks is a recipient. A
//!   returned mail is written by anybody: it takes effect only where Message-ID and recipient are both ours. The recipient
//!   is the one it was sent to, or the one that failed: a server that forwards tells both. Where both are recipients it is
//!   said of both, in whatever order they become known.

mod appeared;
mod attach;
mod inbox;
mod names;
mod pending;
mod sweep;

use chrono::{DateTime, Utc};
use mailfleet_model::{DeliveryEvent, InboxId, StorageKey, TenantId};

pub(crate) use appeared::{Appeared, appeared};
pub(crate) use inbox::resolve;
pub use inbox::{Applied, EventFate, InboxFate};
pub(crate) use names::{alias, lock, teach};
pub(crate) use pending::{address, record};
pub use sweep::Swept;

/// Most events of one transaction that takes the locks of their names: up to three each, and the locks of all transactions
/// share one table of PostgreSQL (with its defaults about 12,000).
const MAX_LOCKED: usize = 50;

/// What the sources of events in mails begin with: these are believed only where the recipient is known too.
const FROM_MAIL: &str = "m:";

/// An event on its way into the store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewEvent {
    /// What makes it count once.
    pub(crate) source: String,
    /// The tenant whose endpoint or mailbox brought it.
    pub(crate) tenant: TenantId,
    /// What it says.
    pub(crate) event: DeliveryEvent,
    /// When it came in: the time of an event that tells none.
    pub(crate) received: DateTime<Utc>,
}

impl NewEvent {
    /// The `number`th event of a webhook call.
    pub(crate) fn from_webhook(
        inbox: InboxId,
        number: usize,
        tenant: TenantId,
        event: DeliveryEvent,
        received: DateTime<Utc>,
    ) -> Self {
        Self { source: format!("w:{inbox}:{number}"), tenant, event, received }
    }

    /// The `number`th recipient of which a returned mail speaks. Strict: see the module.
    pub(crate) fn from_mail(
        mail: &StorageKey,
        number: usize,
        tenant: TenantId,
        event: DeliveryEvent,
        received: DateTime<Utc>,
    ) -> Self {
        Self { source: format!("{FROM_MAIL}{mail}:{number}"), tenant, event, received }
    }
}
