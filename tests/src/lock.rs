//! A lock on the ledger: as long as it is held no consumer can commit, so that a test can hold work in flight.

use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, Stdio};

/// A psql session that holds the lock until it is released or dropped.
pub struct LedgerLock {
    child: Child,
    input: Option<ChildStdin>,
}

impl LedgerLock {
    /// Takes the lock through the given psql program and database address. The caller waits until it is granted.
    pub(crate) fn take(psql: &std::path::Path, url: &str) -> Self {
        let mut child = Command::new(psql)
            .args(["-X", "-q", url])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        // SHARE conflicts with every write and lets reads pass.
        input.write_all(b"BEGIN; LOCK TABLE mailfleet.mailbox_messages IN SHARE MODE;\n").unwrap();
        input.flush().unwrap();
        Self { child, input: Some(input) }
    }

    /// Lets go of the lock.
    pub fn release(&mut self) {
        // End of input ends psql and with it the transaction.
        drop(self.input.take());
        self.child.wait().unwrap();
    }
}

impl Drop for LedgerLock {
    fn drop(&mut self) {
        drop(self.input.take());
        // A test that failed must leave nothing running; the session may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
