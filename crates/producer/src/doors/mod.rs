//! The doors: HTTP from outside. `POST /webhooks/{provider}/{token}` takes what providers say of our messages (`webhooks`),
//! `POST /v1/messages` takes what we send (`messages`).
//!
//! - Nothing is answered with 2xx before it is committed (`webhooks`); the queue comes after (`enqueue`), and what does not
//!   get there, or what Redis loses, is brought there from PostgreSQL (`sweep`).
//! - Every wait and every memory has a bound: connections, silence, the body and its time (`body`), calls by endpoint
//!   (`rate`).
//! - The token in the path is a secret. The path is never logged, measured or repeated, and no layer is put around the
//!   router that would.

mod body;
pub mod config;
mod enqueue;
mod messages;
pub mod metrics;
mod notes;
mod rate;
mod reference;
mod registration;
mod reply;
mod secret;
mod serve;
pub mod sweep;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use mailfleet_queue::Queue;
use mailfleet_runtime::{LogGate, Shutdown};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::services::Services;
use enqueue::{Hint, Missed};
use notes::Notes;
use rate::Buckets;
use reply::Refused;
pub use serve::open;

/// What the handlers share.
#[derive(Debug)]
pub struct Door {
    services: Arc<Services>,
    shutdown: Shutdown,
    buckets: Buckets,
    notes: Notes,
    hint: Hint,
    /// Rights to ask PostgreSQL: half of the connections, so that a flood of calls leaves the mailboxes theirs.
    slots: Semaphore,
    /// Lets one line a second about endpoints that cannot verify calls pass: a log of its own, because refusals of calls,
    /// which anybody can cause, must not hide what an operator has to mend.
    unusable_log: LogGate,
}

/// Longest wait for a right to ask PostgreSQL.
const SLOT_WAIT: Duration = Duration::from_secs(5);

impl Door {
    /// Waits for the right to ask PostgreSQL, in the order of the calls.
    async fn slot(&self) -> Result<SemaphorePermit<'_>, Refused> {
        match tokio::time::timeout(SLOT_WAIT, self.slots.acquire()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(Refused::unavailable("too many calls at once; try again")),
        }
    }
}

/// What the inbox needs beside the services of the mailboxes.
#[derive(Debug, Clone)]
pub struct Inbox {
    /// The services.
    pub services: Arc<Services>,
    /// The queue of events.
    pub events: Queue,
    /// Whether rows did not get there at once.
    missed: Missed,
}
