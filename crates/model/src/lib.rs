//! The words mailfleet is written in: identities, the job envelope, lanes, outcomes, classes of error,
//! backoff and the clock. No I/O; every other crate depends on this one and the libraries on nothing else of ours.

mod audit;
mod backoff;
mod class;
mod clock;
mod disposition;
mod envelope;
mod ids;
mod job;
mod lane;
mod outcome;
mod secret;
mod storage_key;
mod tls_mode;

pub use audit::unaccounted;
pub use backoff::Backoff;
pub use class::{Class, Classify};
pub use clock::{Clock, MockClock, SystemClock};
pub use disposition::Disposition;
pub use envelope::{Counters, ENVELOPE_VERSION, Encoding, Envelope, EnvelopeError, Kind};
pub use ids::{AccountId, InvalidId, MailboxId, TenantId, Uid, UidValidity};
pub use job::{JobId, MailRef};
pub use lane::{Lane, LaneWeights, UnknownLane};
pub use outcome::{Direction, LedgerOutcome, UnknownOutcome};
pub use secret::{Secret, SecretError, SecretSource};
pub use storage_key::{MESSAGE_ID_MAX_CHARS, StorageKey, lookup_message_id};
pub use tls_mode::{TlsMode, UnknownTlsMode};
