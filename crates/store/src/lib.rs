//! PostgreSQL, which is the truth: the mail hierarchy, the ledger, the dead letters, the reference data. All SQL of
//! mailfleet is in this crate.
//!
//! - Effects happen once by UNIQUE constraints in one transaction, never by a look before an insert. [`Store::persist`]
//!   writes the ledger row first: it is the gate.
//! - Whatever text comes, it can be stored: the last gate is here (`text`).
//! - Every wait has a bound, and a connection in doubt never returns to the pool (`session`).
//! - An error knows its class ([`mailfleet_model::Classify`]) by SQLSTATE.

mod accounts;
mod analytics;
mod api_tokens;
mod campaigns;
mod check;
mod config;
mod dead;
mod delivery;
mod endpoints;
mod error;
mod events;
mod explain;
mod hierarchy;
mod inbox;
mod ledger;
mod links;
mod mailboxes;
mod match_lock;
mod migrate;
mod outbound;
mod outbound_types;
mod persist;
mod recipients;
mod references;
mod repeat;
mod rows;
mod session;
mod store;
mod tenants;
mod text;
mod tls;
mod token;
mod totals;

pub use accounts::{Account, NewAccount};
pub use analytics::{
    ANALYTICS_LEASE, Counts, Lease, Marked, RolledUp, Roller, SetAside, Summary, SummaryFilter,
};
pub use api_tokens::ApiToken;
pub use campaigns::{Campaign, Imported, LeadImport, NewLead, RefusedLead};
pub use check::{Finding, Level};
pub use config::{Config, ConfigError};
pub use dead::{
    Action, ActionKind, ActionOutcome, Actor, Came, DeadFilter, DeadGroup, DeadLetter, DeadOutcome,
    DeadState, Discarded, Letters, NewDeadLetter, Progress, UnreadLetter,
};
pub use delivery::{Delivery, Said, Standing};
pub use endpoints::{Endpoint, ListedEndpoint, NewEndpoint};
pub use error::{Error, Result};
pub use events::{Applied, EventFate, InboxFate, Swept};
pub use explain::{CallEvent, Explain, Explained, ExplainedCall, ExplainedMail, LedgerEntry};
pub use hierarchy::Mismatch;
pub use inbox::{NewInbox, Received};
pub use links::Refs;
pub use mailboxes::Mailbox;
pub use outbound_types::{NewOutbound, Registered};
pub use persist::{AttachmentRow, MailRow, Persisted};
pub use references::KnownLead;
pub use store::Store;
pub use tenants::Tenant;
pub use token::{API_TOKEN, TokenHash, WEBHOOK_TOKEN};
pub use totals::Totals;

/// The schema of mailfleet's own tables.
pub const OWN_SCHEMA: &str = "mailfleet";
