//! What a rehearsal is told on its standard input: one line of JSON, then the raw mail.

use std::io::{self, BufRead};

use mailfleet_model::Envelope;
use serde::{Deserialize, Serialize};

/// A longer line is no order of ours.
const LINE_MAX: u64 = 1 << 20;

/// The line before the raw mail.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// Bytes of address space that the process may use.
    pub memory: u64,
    /// Seconds of processor time that it may use.
    pub seconds: u64,
    /// Largest mail that is taken apart, in bytes.
    pub max_message_bytes: u64,
    /// Bytes of raw mail behind the line.
    pub size: usize,
    /// The entry's envelope.
    pub envelope: Envelope,
}

impl Order {
    /// The line, its end included.
    pub fn line(&self) -> serde_json::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }

    /// Reads the line.
    pub fn read(from: impl BufRead) -> io::Result<Self> {
        let mut line = String::new();
        from.take(LINE_MAX).read_line(&mut line)?;
        serde_json::from_str(&line).map_err(io::Error::other)
    }
}
