//! What is told of a message that we send, and what becomes of that.

use chrono::{DateTime, Utc};
use mailfleet_model::{AccountId, CampaignId, LeadId, TenantId};

/// A message that was sent or is about to be, as its sender registers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOutbound {
    /// The tenant that sends it.
    pub tenant: TenantId,
    /// Message-ID, as [`lookup_message_id`](mailfleet_model::lookup_message_id) keeps it.
    pub message_id: String,
    /// The account it is sent from; one of the tenant's.
    pub account: Option<AccountId>,
    /// The campaign it belongs to; one of the tenant's.
    pub campaign: Option<CampaignId>,
    /// The lead it is sent to; one of the campaign's.
    pub lead: Option<LeadId>,
    /// The sender's address.
    pub from: String,
    /// Every recipient (To and Cc), as [`recipient_key`](mailfleet_model::recipient_key) keeps them, each once.
    pub recipients: Vec<String>,
    /// The recipients of To, comma-joined, for `email_messages.to_email`.
    pub to_header: String,
    /// Subject; empty where it was not told.
    pub subject: String,
    /// Names that providers gave the message: `<provider>:<id>`.
    pub aliases: Vec<String>,
    /// When it was or is sent.
    pub created: DateTime<Utc>,
}

/// What became of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// Nothing was known of the message before.
    New,
    /// It was there before, registered or seen in a Sent folder; what was new about it was added.
    Known,
}
