//! The bytes of a file one by one, and the line that each stands on.

use std::io::{self, BufRead};

/// Why a file cannot be read on.
#[derive(Debug)]
pub enum Broken {
    /// The file cannot be read.
    Read(io::Error),
    /// It is not what it should be, from this line on.
    Shape(u64, &'static str),
}

/// Reads bytes and counts lines as an editor does: `\n`, `\r\n` and a `\r` alone each end one, wherever they stand.
#[derive(Debug)]
pub struct Bytes<R> {
    reader: R,
    line: u64,
    after_return: bool,
}

impl<R: BufRead> Bytes<R> {
    pub fn new(reader: R) -> Self {
        Self { reader, line: 1, after_return: false }
    }

    /// The line of the next byte, from 1. Between the two bytes of `\r\n` it is the next line's already.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The next byte, which stays there.
    pub fn peek(&mut self) -> Result<Option<u8>, Broken> {
        Ok(self.reader.fill_buf().map_err(Broken::Read)?.first().copied())
    }

    /// The next byte; `None` at the end.
    pub fn next(&mut self) -> Result<Option<u8>, Broken> {
        let byte = self.peek()?;
        if byte.is_some() {
            self.reader.consume(1);
        }
        match byte {
            Some(b'\n') if self.after_return => {}
            Some(b'\n' | b'\r') => self.line += 1,
            _ => {}
        }
        self.after_return = byte == Some(b'\r');
        Ok(byte)
    }
}
