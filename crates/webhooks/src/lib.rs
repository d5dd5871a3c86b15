//! What providers say of our messages over HTTP: is a call genuine, and what does it mean. No I/O, no clock of its own.
//!
//! A provider is one file under `providers/`: it verifies a call and translates it into
//! [`DeliveryEvent`](mailfleet_model::DeliveryEvent)s. Everything around it (tokens, limits, the inbox, the queue) is the
//! same for all of them and stands in the producer.

mod call;
mod code;
mod crypto;
mod field;
mod providers;
mod refusal;
mod time;

pub use call::{Call, Trust};
pub use providers::generic::{GENERIC, sign};
pub use providers::{Provider, Reading, Sentence, all, by_name, names};
pub use refusal::Refusal;
pub use time::ms as time_ms;

/// The most events that one call may bring. Providers send fewer; a longer list is refused as a whole.
pub const MAX_EVENTS: usize = 1_000;
