//! PostgreSQL, which is the truth: the mail hierarchy, the ledger, the dead letters, the reference data. All SQL of
//! mailfleet is in this crate.
//!
//! - Effects happen once by UNIQUE constraints in one transaction, never by a look before an insert. [`Store::persist`]
//!   writes the ledger row first: it is the gate.
//! - Whatever text comes, it can be stored: the last gate is here (`text`).
//! - Every wait has a bound, and a connection in doubt never returns to the pool (`session`).
//! - An error knows its class ([`mailfleet_model::Classify`]) by SQLSTATE.

mod accounts;
mod check;
mod config;
mod dead;
mod error;
mod explain;
mod hierarchy;
mod ledger;
mod mailboxes;
mod migrate;
mod persist;
mod rows;
mod session;
mod store;
mod tenants;
mod text;
mod tls;
mod totals;

pub use accounts::{Account, NewAccount};
pub use check::{Finding, Level};
pub use config::{Config, ConfigError};
pub use dead::{DeadFilter, DeadLetter, DeadOutcome, DeadState, NewDeadLetter};
pub use error::{Error, Result};
pub use explain::{Explain, Explained, ExplainedMail, LedgerEntry};
pub use hierarchy::Mismatch;
pub use mailboxes::Mailbox;
pub use persist::{AttachmentRow, MailRow, Persisted};
pub use store::Store;
pub use tenants::Tenant;
pub use totals::Totals;

/// The schema of mailfleet's own tables.
pub const OWN_SCHEMA: &str = "mailfleet";
