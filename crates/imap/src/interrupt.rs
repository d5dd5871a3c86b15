//! Waking a thread that waits on a socket.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends a [`wait`](crate::MailSource::wait) from another thread. One per waiting thread; clones are handles to the
/// same one. Several calls before the wait looks are one; a call while nobody waits ends the next wait.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    raised: AtomicBool,
    // A pipe, because it can be polled together with the socket: the wake-up is immediate and waiting costs nothing.
    reader: PipeReader,
    writer: PipeWriter,
}

impl Interrupt {
    /// A new one. Fails only when the process is out of file descriptors (two are needed).
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self(Arc::new(Inner { raised: AtomicBool::new(false), reader, writer })))
    }

    /// Ends the current wait, or the next one. Never blocks: at most two bytes are ever in the pipe.
    pub fn raise(&self) {
        if !self.0.raised.swap(true, Ordering::SeqCst) {
            // A failure would need a closed pipe, and both ends live as long as `self`.
            let _ = (&self.0.writer).write(&[0]);
        }
    }

    /// Whether it was raised and not yet taken.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.0.raised.load(Ordering::SeqCst)
    }

    /// Takes a raised interrupt back and tells whether there was one.
    ///
    /// The flag falls before the byte is read: a raise in between then writes a byte of its own and is seen by the
    /// next wait. The other order would swallow it. A raiser that has set the flag but not yet written makes the
    /// read wait for that one instruction.
    #[must_use = "a taken interrupt must be acted on"]
    pub fn take(&self) -> bool {
        if !self.0.raised.swap(false, Ordering::SeqCst) {
            return false;
        }
        let _ = (&self.0.reader).read(&mut [0]);
        true
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.reader.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raises_before_a_take_are_one() {
        let interrupt = Interrupt::new().unwrap();
        assert!(!interrupt.take());
        interrupt.raise();
        interrupt.clone().raise();
        assert!(interrupt.is_raised() && interrupt.take());
        assert!(!interrupt.take());
        interrupt.raise();
        assert!(interrupt.take());
    }
}
