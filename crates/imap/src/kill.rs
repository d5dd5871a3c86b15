//! Ending a connection from another thread, whatever it is doing.

use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Shuts a connection's socket down from another thread, for a process that must end now. Every blocked call of
/// the session returns at once with an error; a connection attempt ends within its timeout. Stays thrown: a
/// connection made later fails at once. One per account; clones are handles to the same one.
#[derive(Debug, Clone, Default)]
pub struct KillSwitch(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    killed: bool,
    stream: Weak<TcpStream>,
}

impl KillSwitch {
    /// A switch that is not thrown.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Throws it.
    pub fn kill(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.killed = true;
        if let Some(stream) = state.stream.upgrade() {
            // Fails only where the peer has already gone, which is what is wanted.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Whether it was thrown.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).killed
    }

    /// Takes charge of a connection. The lock decides the race with `kill`: either this sees the switch thrown and
    /// returns false, or `kill` sees the stream.
    #[must_use]
    pub(crate) fn watch(&self, stream: &Arc<TcpStream>) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.stream = Arc::downgrade(stream);
        !state.killed
    }
}
