//! The TCP connection: reads and writes that always end.
//!
//! The descriptor is non-blocking and waiting is done by `poll`, because the socket's own timeouts are per call: a
//! peer that sends one byte per 100 ms would never run into them. Here every read has a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::interrupt::Interrupt;

/// How long reads may take.
#[derive(Debug, Clone, Copy)]
enum Patience {
    /// Until this moment, whatever comes.
    Until(Instant),
    /// A deadline that moves on with what arrives: each byte buys `1 / rate` seconds, up to `grace` from now. So
    /// silence ends after `grace`, a trickle below `rate` little later, and a slow link takes the time it needs.
    Progress { deadline: Instant, grace: Duration, rate: u32 },
}

/// A non-blocking socket that looks blocking, with deadlines.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Arc<TcpStream>,
    patience: Patience,
    write_timeout: Duration,
    interrupt: Option<Interrupt>,
}

impl Socket {
    /// Takes over a connected stream.
    pub(crate) fn new(
        stream: Arc<TcpStream>,
        patience: Duration,
        write_timeout: Duration,
    ) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        // Commands are single small writes that wait for an answer; Nagle would only delay them.
        stream.set_nodelay(true)?;
        let patience = Patience::Until(Instant::now() + patience);
        Ok(Self { stream, patience, write_timeout, interrupt: None })
    }

    /// From now on a read may take `grace`, renewed by progress of at least `rate` bytes per second.
    pub(crate) fn expect_progress(&mut self, grace: Duration, rate: u32) {
        self.patience = Patience::Progress { deadline: Instant::now() + grace, grace, rate: rate.max(1) };
    }

    /// From now on all reads end at `deadline`.
    pub(crate) fn read_until(&mut self, deadline: Instant) {
        self.patience = Patience::Until(deadline);
    }

    /// Moves the deadline by time that was not the server's.
    pub(crate) fn forgive(&mut self, spent: Duration) {
        match &mut self.patience {
            Patience::Until(deadline) | Patience::Progress { deadline, .. } => *deadline += spent,
        }
    }

    /// Lets `interrupt` end reads (with `WouldBlock`), or no longer.
    pub(crate) fn listen_to(&mut self, interrupt: Option<Interrupt>) {
        self.interrupt = interrupt;
    }

    fn deadline(&self) -> Instant {
        match self.patience {
            Patience::Until(deadline) | Patience::Progress { deadline, .. } => deadline,
        }
    }

    fn credit(&mut self, bytes: usize) {
        if let Patience::Progress { deadline, grace, rate } = &mut self.patience {
            let micros = (bytes as u64).saturating_mul(1_000_000) / u64::from(*rate);
            let earned = Duration::from_micros(micros).min(*grace);
            *deadline = (*deadline + earned).min(Instant::now() + *grace);
        }
    }

    fn wait(&self, flags: PollFlags, deadline: Instant, interruptible: bool) -> io::Result<()> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let interrupt = self.interrupt.as_ref().filter(|_| interruptible);
            // Without an interrupt the second place is the socket again, asked for nothing.
            let second = interrupt.map_or(PollFd::new(&*self.stream, PollFlags::empty()), |interrupt| {
                PollFd::from_borrowed_fd(interrupt.fd(), PollFlags::IN)
            });
            let mut fds = [PollFd::new(&*self.stream, flags), second];
            match poll(&mut fds, Some(&timeout)) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let [socket, second] = &fds;
            let socket_ready = !socket.revents().is_empty();
            let interrupt_ready = interrupt.is_some() && !second.revents().is_empty();
            // What the server has sent comes first; the interrupt stays raised and ends the next wait.
            if socket_ready {
                return Ok(());
            }
            if interrupt_ready {
                return Err(ErrorKind::WouldBlock.into());
            }
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            // A fixed deadline holds even for a peer that always has something to say.
            if let Patience::Until(deadline) = self.patience
                && Instant::now() >= deadline
            {
                return Err(ErrorKind::TimedOut.into());
            }
            match (&*self.stream).read(buf) {
                Ok(bytes) => {
                    self.credit(bytes);
                    return Ok(bytes);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait(PollFlags::IN, self.deadline(), true)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let deadline = Instant::now() + self.write_timeout;
        loop {
            match (&*self.stream).write(buf) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait(PollFlags::OUT, deadline, false)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
