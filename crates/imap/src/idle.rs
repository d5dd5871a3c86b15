//! Waiting for new mail: IDLE (RFC 2177) in slices, or NOOP at intervals.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use imap::extensions::idle;

use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::session::{Session, wire_error};
use crate::source::Wake;

impl Session {
    /// Waits for news; see [`MailSource::wait`](crate::MailSource::wait).
    ///
    /// Each round begins with NOOP: it tells what came between the last command and IDLE, which servers need not
    /// repeat once they idle, and after a slice it proves that the connection still lives. The last round ends
    /// with one too, so that a timeout means that the server was asked.
    pub(crate) fn wait_for_news(&mut self, at_most: Duration, interrupt: &Interrupt) -> Result<Wake> {
        self.check_usable("IDLE")?;
        let end = Instant::now() + at_most;
        loop {
            if interrupt.take() {
                return Ok(Wake::Interrupted);
            }
            if !self.has_news() {
                self.by_crate("NOOP", imap::Session::noop)?;
            }
            if self.take_news() {
                return Ok(Wake::NewMail);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Wake::Timeout);
            }
            // Without an open mailbox there is nothing to idle on.
            if self.can_idle && self.selected {
                self.idle_slice(left.min(self.waits.idle), interrupt)?;
            } else {
                self.quiet_slice(left.min(self.waits.poll), interrupt)?;
            }
            if self.take_news() {
                return Ok(Wake::NewMail);
            }
        }
    }

    fn has_news(&self) -> bool {
        self.shared.wire().news
    }

    fn take_news(&self) -> bool {
        std::mem::take(&mut self.shared.wire().news)
    }

    /// One IDLE: until news, the end of the slice or the interrupt, then DONE and its completion.
    fn idle_slice(&mut self, slice: Duration, interrupt: &Interrupt) -> Result<()> {
        self.shared.wire().before_idle(interrupt);
        // The handle says DONE and reads the completion when it is dropped, and swallows an error of that; the
        // wire keeps it.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut handle = self.imap.idle();
            handle.timeout(slice).keepalive(false);
            handle.wait_while(idle::stop_on_any)
        }));
        let mut wire = self.shared.wire();
        let refused = wire.after_idle();
        let fault = wire.fault.take().map(|fault| wire_error(&self.host, &wire, "IDLE", fault));
        drop(wire);
        if refused {
            // Announced but not given; asking by NOOP is what is left.
            tracing::warn!(host = %self.host, "the server refuses IDLE; asking for new mail at intervals instead");
            self.can_idle = false;
            return Ok(());
        }
        let error = match (fault, outcome) {
            (None, Ok(Ok(_))) => return Ok(()),
            (Some(error), _) => error,
            (None, Ok(Err(_))) => Error::Disconnected { host: self.host.clone(), during: "IDLE", text: None },
            (None, Err(_)) => Error::Protocol {
                host: self.host.clone(),
                what: "its answer to IDLE made the client library panic".into(),
            },
        };
        Err(self.broken_by(error))
    }

    fn quiet_slice(&mut self, slice: Duration, interrupt: &Interrupt) -> Result<()> {
        let mut wire = self.shared.wire();
        let outcome = wire.listen(Instant::now() + slice, interrupt);
        match outcome {
            Ok(()) => Ok(()),
            Err(error) => {
                let error = wire_error(&self.host, &wire, "the wait for new mail", error);
                drop(wire);
                Err(self.broken_by(error))
            }
        }
    }
}
