//! Who works at the same time in this process: batches beside each other, or one suspect with nothing beside it.
//!
//! A process that dies takes along whatever it has at work, and nothing says of which it died. So an entry that may have
//! ended processes before has its turn while nothing else is decided or settled, of whatever kind of work: then its
//! process' death is its own. That is seldom, once for each death with it in hand, and costs the others the time of the
//! batches that run and of one entry. What else the process does meanwhile (claims, leases, roll-ups) runs no entry.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// One for all workers of a process. First come, first served: whoever wants to be by itself is not passed by those who
/// come later.
#[derive(Debug, Default)]
pub struct Turns(RwLock<()>);

/// A turn, until it is dropped.
#[derive(Debug)]
#[must_use = "the turn is over when this is dropped"]
pub enum Turn<'a> {
    /// Beside others.
    Beside {
        /// Keeps those out who want to be by themselves.
        _guard: RwLockReadGuard<'a, ()>,
    },
    /// Nothing else is at work.
    ByItself {
        /// Keeps everybody out.
        _guard: RwLockWriteGuard<'a, ()>,
    },
}

impl Turns {
    /// Waits while somebody is by itself, or waits for it.
    pub async fn beside(&self) -> Turn<'_> {
        Turn::Beside { _guard: self.0.read().await }
    }

    /// Waits until everybody else has ended what is at work.
    pub async fn by_itself(&self) -> Turn<'_> {
        Turn::ByItself { _guard: self.0.write().await }
    }
}
