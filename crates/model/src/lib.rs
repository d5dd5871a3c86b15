//! The words mailfleet is written in: identities, the job envelope, lanes, outcomes, classes of error,
//! backoff and the clock. No I/O; every other crate depends on this one and the libraries on nothing else of ours.

mod address;
mod audit;
mod backoff;
mod class;
mod clock;
mod delivery_event;
mod disposition;
mod envelope;
mod ids;
mod job;
mod lane;
mod outcome;
mod recipient_status;
mod secret;
mod storage_key;
mod tls_mode;
mod unreadable;

pub use address::{ADDRESS_MAX_CHARS, address_key};
pub use audit::unaccounted;
pub use backoff::Backoff;
pub use class::{Class, Classify};
pub use clock::{Clock, MockClock, SystemClock};
pub use delivery_event::{DIAGNOSTIC_MAX_CHARS, DeliveryEvent, EventKind, UnknownEventKind, recipient_key};
pub use disposition::Disposition;
pub use envelope::{Counters, ENVELOPE_VERSION, Encoding, Envelope, EnvelopeError, Work};
pub use ids::{AccountId, CampaignId, InboxId, InvalidId, LeadId, MailboxId, TenantId, Uid, UidValidity};
pub use job::{JobId, MailRef};
pub use lane::{Lane, LaneWeights, UnknownLane};
pub use outcome::{Direction, LedgerOutcome, UnknownOutcome};
pub use recipient_status::{Permanence, RecipientStatus, UnknownRecipientStatus};
pub use secret::{Secret, SecretError, SecretSource};
pub use storage_key::{MESSAGE_ID_MAX_CHARS, StorageKey, lookup_message_id};
pub use tls_mode::{TlsMode, UnknownTlsMode};
pub use unreadable::{LetterError, Unreadable};
