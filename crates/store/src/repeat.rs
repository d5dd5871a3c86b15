//! A transaction that lost against another one (a deadlock, a serialization failure) is run again: nobody is to blame, and
//! the next try as a rule succeeds.

use std::time::Duration;

use mailfleet_model::{Class, Classify};

use crate::error::Error;

/// How often a transaction is tried.
const TRIES: u32 = 5;
/// Rest before the next try; doubles.
const REST: Duration = Duration::from_millis(5);

/// The tries of one transaction.
#[derive(Debug, Default)]
pub(crate) struct Tries(u32);

impl Tries {
    /// Whether the transaction shall be run again after this error; rests before it says so.
    pub(crate) async fn again(&mut self, error: &Error) -> bool {
        if error.class() != Class::Transient || self.0 + 1 >= TRIES {
            return false;
        }
        tracing::debug!(%error, tries = self.0, "a transaction lost against another one and is repeated");
        tokio::time::sleep(REST * 2u32.saturating_pow(self.0)).await;
        self.0 += 1;
        true
    }
}
