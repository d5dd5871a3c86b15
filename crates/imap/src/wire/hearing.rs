//! What the `imap` crate may hear.
//!
//! The `imap` crate panics on or fails at much that servers say between the lines of a command: untagged NO, unknown
//! responses, completions of earlier commands, an update between IDLE and its `+`. So it is shown only what it waits
//! for: continuations, the completion of its own command (without the text, which is noted), and during IDLE the
//! EXISTS line that ends it. It is shown one line at a time, so that its own read-ahead buffer is empty whenever the
//! framer takes over.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use imap::extensions::idle::SetReadTimeout;

use super::{Wire, strip_word};
use crate::framer::{Frame, FrameError};
use crate::interrupt::Interrupt;
use crate::status::{Condition, Status};

/// Responses nobody asked for, within one command of the `imap` crate.
const MAX_UNHEARD: u32 = 10_000;

/// What the `imap` crate is doing, which decides what it may hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hearing {
    /// A command: continuations and its completion.
    Command,
    /// IDLE was or will be sent: the `+`.
    IdleStart,
    /// Idling: EXISTS that means news.
    Idle,
    /// The server refused or ended IDLE: nothing more is passed in either direction until the handle is gone.
    Refused,
}

impl Wire {
    /// Prepares for the `imap` crate's IDLE, which `interrupt` may end.
    pub(crate) fn before_idle(&mut self, interrupt: &Interrupt) {
        self.begin();
        self.hearing = Hearing::IdleStart;
        self.interrupt = Some(interrupt.clone());
        self.fault = None;
    }

    /// Ends what `before_idle` began. Tells whether the server refused to idle, or stopped by itself.
    pub(crate) fn after_idle(&mut self) -> bool {
        let refused = self.hearing == Hearing::Refused;
        self.hearing = Hearing::Command;
        self.interrupt = None;
        self.heard.clear();
        self.heard_at = 0;
        self.begin();
        refused
    }

    /// Reads until there is something the `imap` crate may hear and puts it into `heard`. Returns false when the time
    /// of an IDLE is up or it was interrupted.
    fn hear(&mut self) -> Result<bool, FrameError> {
        let mut frame = std::mem::take(&mut self.frame);
        let result = self.hear_into(&mut frame);
        self.frame = frame;
        result
    }

    fn hear_into(&mut self, frame: &mut Frame) -> Result<bool, FrameError> {
        self.heard.clear();
        self.heard_at = 0;
        while self.heard.is_empty() {
            if self.hearing == Hearing::Idle {
                let interrupt = self.interrupt.take();
                let outcome = self.await_words(self.idle_until, interrupt.as_ref());
                self.interrupt = interrupt;
                if !outcome? {
                    return Ok(false);
                }
            }
            self.read(frame)?;
            self.filter(frame)?;
        }
        Ok(true)
    }

    fn filter(&mut self, frame: &Frame) -> Result<(), FrameError> {
        let exists = |wire: &Self| format!("* {} EXISTS\r\n", wire.exists).into_bytes();
        if frame.text.starts_with(b"+") {
            match self.hearing {
                Hearing::IdleStart => {
                    self.hearing = Hearing::Idle;
                    self.heard.extend_from_slice(b"+ idling\r\n");
                    // Mail was told of between IDLE and its `+`: the idling ends before it began.
                    if self.news {
                        self.heard.extend(exists(self));
                    }
                }
                Hearing::Command => self.heard.extend_from_slice(&frame.text),
                Hearing::Idle | Hearing::Refused => {}
            }
        } else if frame.text.starts_with(b"* ") {
            if self.hearing == Hearing::Idle && self.news {
                self.heard.extend(exists(self));
            }
        } else if let Some(status) = strip_word(&frame.text, &self.tag).and_then(Status::parse) {
            // Before DONE there is nothing to complete: a refusal, or an IDLE that the server ends by itself.
            if matches!(self.hearing, Hearing::IdleStart | Hearing::Idle) {
                self.hearing = Hearing::Refused;
                return Err(FrameError::Eof);
            }
            let word = match status.condition {
                Condition::Ok => "OK",
                Condition::No => "NO",
                Condition::Bad | Condition::Bye | Condition::PreAuth => "BAD",
            };
            self.heard.extend_from_slice(&self.tag);
            self.heard.extend(format!(" {word} noted\r\n").into_bytes());
            self.completion = Some(status);
        }
        // Anything else is the completion of a command that was given up, or nothing IMAP knows.
        self.unheard += 1;
        if self.unheard > MAX_UNHEARD {
            return Err(FrameError::Limit("responses without end to one command"));
        }
        Ok(())
    }
}

/// The `imap` crate's end of the wire.
#[derive(Debug, Clone)]
pub(crate) struct Shared(pub(crate) Arc<Mutex<Wire>>);

impl Shared {
    /// The wire. One thread owns a session, so nobody ever waits here.
    pub(crate) fn wire(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read for Shared {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.wire();
        if wire.hearing == Hearing::Refused {
            return Ok(0);
        }
        if wire.heard_at >= wire.heard.len() {
            match wire.hear() {
                Ok(true) => {}
                Ok(false) => return Err(ErrorKind::TimedOut.into()),
                Err(FrameError::Eof) if wire.hearing == Hearing::Refused => return Ok(0),
                Err(error) => {
                    wire.fault = Some(error);
                    return Err(ErrorKind::ConnectionAborted.into());
                }
            }
        }
        // One line at a time: the crate reads until a line feed and must not hold more than it uses.
        let rest = wire.heard.get(wire.heard_at..).unwrap_or_default();
        let line = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1).min(buf.len());
        for (to, from) in buf.iter_mut().zip(rest.iter().take(line)) {
            *to = *from;
        }
        wire.heard_at += line;
        Ok(line)
    }
}

impl Write for Shared {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut wire = self.wire();
        if wire.hearing == Hearing::Refused {
            return Ok(buf.len());
        }
        let word = buf.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        // The crate's tags are `a1`, `a2`, …; `DONE` and the answers to challenges are none.
        if word.len() < buf.len()
            && word.strip_prefix(b"a").is_some_and(|n| !n.is_empty() && n.iter().all(u8::is_ascii_digit))
        {
            wire.tag = word.to_vec();
            wire.completion = None;
            wire.unheard = 0;
        }
        if let Err(error) = wire.write_through(buf) {
            let kind = error.kind();
            wire.fault = Some(FrameError::Io(error));
            return Err(kind.into());
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SetReadTimeout for Shared {
    /// `None` does not mean to wait for ever, as the `imap` crate has it, but to be as patient as with any command:
    /// it is set right before the crate waits for the answer to DONE.
    fn set_read_timeout(&mut self, timeout: Option<Duration>) -> imap::Result<()> {
        let mut wire = self.wire();
        if let Some(timeout) = timeout {
            wire.idle_until = Instant::now() + timeout;
        } else {
            if wire.hearing == Hearing::Idle {
                wire.hearing = Hearing::Command;
            }
            wire.begin();
        }
        Ok(())
    }
}
