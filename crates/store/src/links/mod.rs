//! Which mail answers which, and which campaign it belongs to.
//!
//! The answer is a function of what is known, not of the order it came in:
//!
//! - The **parent** is the nearest message of `refs` that the tenant has; where several have that Message-ID, the one we
//!   sent, else the least storage_key. A nearer one that comes later takes over.
//! - The **thread** is the parent's; without a parent it is made from the last of `refs` (the first of References), else
//!   from the own Message-ID, else from the storage_key.
//! - The **campaign** of what we sent is the registered one (of several registrations the first), else the one our own
//!   X-Campaign-ID names, else the parent's. Of what came in it is the parent's, if that is one we sent or belongs to such a conversation; else, weakly, the one
//!   its X-Campaign-ID names within the tenant. A copy of our own mail in an inbox (the Message-ID of a message we sent)
//!   has a parent and a thread, but is never tied to a campaign: it answers nobody.
//!
//! What a header named before there was such a campaign (or such a lead) is kept, and settled when an import has ended
//! ([`settle_waiting`]).
//!
//! Concurrency: whoever links holds the match locks of all Message-IDs concerned ([`names`]), so a parent and its child
//! that are committed at the same moment see each other. What stands already is only moved under the tenant's thread lock.

mod adopt;
mod hints;
mod known;
mod place;
mod refs;
mod settle;
mod write;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use mailfleet_model::{AccountId, CampaignId, Direction, LeadId, MailboxId, StorageKey, TenantId};

use crate::error::Result;
use crate::session::Session;
use crate::store::Store;

pub(crate) use hints::settle_waiting;
pub use refs::Refs;

/// A mail as far as its place among the others goes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Linked {
    /// Its key in the hierarchy; each once in a call.
    pub(crate) key: StorageKey,
    /// Whose it is.
    pub(crate) tenant: TenantId,
    /// The account it came to or left from.
    pub(crate) account: Option<AccountId>,
    /// The folder it was seen in; `None` for a registration.
    pub(crate) mailbox: Option<MailboxId>,
    /// Which way it travels.
    pub(crate) direction: Direction,
    /// As in `email_messages`; at most 20 characters.
    pub(crate) message_type: String,
    /// As `lookup_message_id` keeps it.
    pub(crate) message_id: Option<String>,
    /// The messages it answers; none for a registration.
    pub(crate) refs: Refs,
    /// What a registration says of its campaign; `None` for what was only seen.
    pub(crate) registered: Option<Registered>,
    /// What its X-Campaign-ID says; `None` without one.
    pub(crate) named: Option<Named>,
    /// Size of the raw mail; 0 while only registered.
    pub(crate) bytes: u64,
    /// When the producer enqueued it; `None` where it did not come through the queue.
    pub(crate) enqueued: Option<DateTime<Utc>>,
    /// When it came or was sent.
    pub(crate) created: DateTime<Utc>,
}

/// The campaign and the lead that a message was registered with. The caller has seen that they are the tenant's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Registered {
    pub(crate) campaign: CampaignId,
    pub(crate) lead: Option<LeadId>,
}

impl Registered {
    /// Both registrations of a message as one. The first stays: the later one takes nothing away, and adds the lead where
    /// it tells one of the same campaign and the first told none.
    pub(crate) fn and(self, later: Option<Self>) -> Self {
        let lead = later.filter(|later| later.campaign == self.campaign).and_then(|later| later.lead);
        Self { lead: self.lead.or(lead), ..self }
    }
}

/// What a header says of the campaign: anybody can write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// Name or id of a campaign, as rows keep it.
    pub(crate) campaign: String,
    /// The other side's address: the sender of what came in, the first recipient of what we sent.
    pub(crate) address: String,
}

/// Where a mail belongs; what `email_messages` holds of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) thread: String,
    pub(crate) parent: Option<String>,
    pub(crate) campaign: Option<CampaignId>,
    pub(crate) lead: Option<LeadId>,
}

/// The names that must be locked (`match_lock::lock`, once a transaction, together with whatever else it matches) before
/// [`link`] is called with these rows.
pub(crate) fn names(rows: &[Linked]) -> BTreeSet<(TenantId, String)> {
    rows.iter()
        .flat_map(|row| row.message_id.iter().chain(&row.refs.ids).map(|id| (row.tenant, id.clone())))
        .collect()
}

/// Writes the rows of `mailfleet.messages`, ties them to their parents and adopts the mails that waited for them; a row
/// that stands there already (an outbound message, registered and then seen, or the other way round) is completed.
///
/// Call it under the match locks of [`names`], in a transaction that declared the tenants, after `email_content` and
/// before any other statement on `email_messages` or `messages` (the thread lock comes between). Answers in the order of
/// `rows`: what their rows of `email_messages` are to hold. Where such a row stands already it is filled here; other mails
/// that are moved are changed in both tables.
pub(crate) async fn link(session: &mut Session, store: &Store, rows: &[Linked]) -> Result<Vec<Link>> {
    write::write(session, store, rows).await
}
