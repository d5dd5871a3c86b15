//! Roll-ups for analysts: schema `analytics`, kept up to date from messages, their recipients and their events.
//!
//! - Triggers (migration V6) note in `mailfleet.analytics_changes` which keys a statement has changed, in the transaction
//!   that changed them. A page of a run takes such notes, counts exactly those keys again from the base tables, and
//!   removes the notes, all in one transaction: nothing is counted twice, a late event corrects its day, and a crash
//!   leaves the notes where they were.
//! - Only notes behind a *transaction horizon* are taken: of transactions older than the oldest that is still open. Numbers
//!   and times of rows say nothing of the order of commits, so no cursor over them could be right.
//! - One process at a time counts, under a lease whose epoch is checked in each page's transaction (`lease`).
//! - A rebuild notes every key there is and runs: the same code gives the same numbers (`mark`).
//! - What is too much for the statement timeout is set aside, and holds up no other tenant's numbers (`aside`).
//!
//! A further roll-up is one migration (one call of `analytics.roll_up`) and a test: which there are, and what they count by,
//! is read from the database (`rollups`).

mod aside;
mod keys;
mod lease;
mod mark;
mod measures;
mod page;
mod rollups;
mod run;
mod show;

pub use aside::SetAside;
pub use lease::Lease;
pub use mark::Marked;
pub use run::{RolledUp, Roller};
pub use show::{Counts, Summary, SummaryFilter};

/// The lease under which the roll-ups are kept.
pub const ANALYTICS_LEASE: &str = "analytics";
