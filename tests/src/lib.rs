//! The harness of the end-to-end tests: a whole fleet on private servers, driven through its binaries.

#![expect(clippy::missing_panics_doc, reason = "a harness panics whenever something is not as it should be")]

pub mod door;
mod fleet;
mod lock;
mod mails;
pub mod metrics;
mod platform;

pub use door::{Door, Keys};
pub use fleet::Fleet;
pub use lock::LedgerLock;
pub use mails::{Mail, as_served, bounce_of, numbered, sent_message_id, sent_to};
pub use platform::Platform;
