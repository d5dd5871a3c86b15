//! Reading mailboxes over IMAP: blocking, one thread per connection, read-only.
//!
//! The `imap` crate drives the session (LOGIN, CAPABILITY, NOOP, IDLE, LOGOUT). EXAMINE, LIST, SEARCH and FETCH are
//! read by a small framer on the same socket, one response at a time, so that one odd message never spoils a batch
//! and a large mail goes straight into the buffer that is handed to the caller. The parts, from the bottom up:
//!
//! - `socket`: the TCP connection with deadlines, a kill switch and an interrupt;
//! - `tls`: rustls with the machine's roots and an optional `ca_file`;
//! - `wire`: the buffered stream that framer and `imap` crate share, and what the `imap` crate may hear of it;
//! - `framer`: bytes to whole responses, with a cap on everything a server could make endless;
//! - `response`, `status`: one response to data, tolerant;
//! - `connect`, `session`, `examine`, `fetch`, `idle`: the commands.
//!
//! Nothing here marks mail as read: mailboxes are opened by EXAMINE and bodies asked for by `BODY.PEEK[]`. ENVELOPE
//! and BODYSTRUCTURE are never asked for, because parsing them is where IMAP servers and clients break.
//!
//! An error ends the session unless its documentation says otherwise: drop it and connect again.

mod batches;
mod config;
mod connect;
mod error;
mod examine;
mod fetch;
mod framer;
mod idle;
mod interrupt;
mod kill;
mod mailbox_name;
mod response;
mod session;
mod socket;
mod source;
mod status;
mod tls;
mod uid_set;
mod wire;

pub use batches::batches;
pub use config::{Config, ConfigError, Endpoint, Waits};
pub use connect::connect;
pub use error::{Error, Result, TlsProblem};
pub use interrupt::Interrupt;
pub use kill::KillSwitch;
pub use source::{FetchReport, Fetched, MailSource, MailboxInfo, Selected, UidInfo, Wake};
