//! The strings by which an account's thread is held from outside: stop, wake, kill, and what it last reported.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mailfleet_imap::{Interrupt, KillSwitch};

/// How an account stands, as its thread last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// No connection yet, or the server is away: it is being tried.
    Connecting,
    /// Logged in and watching.
    Connected,
    /// The server refuses the login, or there is no password to log in with.
    AuthFailed,
    /// Something else that a person must look at, such as a certificate or a mailbox that is not there.
    Error,
}

impl State {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Connecting, Self::Connected, Self::AuthFailed, Self::Error];

    /// The word in the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::AuthFailed => "auth_failed",
            Self::Error => "error",
        }
    }
}

/// What a thread last reported.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// How it stands.
    pub state: State,
    /// When it last got something done: a look that found nothing counts, a failed try does not.
    pub progress: Option<Instant>,
}

/// One per account; the thread and the fleet share it.
#[derive(Debug)]
pub struct Control {
    stop: AtomicBool,
    /// Ends a wait on the mail server.
    pub interrupt: Interrupt,
    /// Ends a session that does not end by itself.
    pub kill: KillSwitch,
    report: Mutex<Report>,
    nudged: Mutex<bool>,
    wake: Condvar,
}

impl Control {
    /// Fails only when the process is out of file descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            stop: AtomicBool::new(false),
            interrupt: Interrupt::new()?,
            kill: KillSwitch::new(),
            report: Mutex::new(Report { state: State::Connecting, progress: None }),
            nudged: Mutex::new(false),
            wake: Condvar::new(),
        })
    }

    /// Asks the thread to end: it finishes the batch in hand, no more.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.nudge();
    }

    /// Whether the thread is to end.
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Makes the thread look around at once, wherever it waits: on its server, or between two tries.
    pub fn nudge(&self) {
        *lock(&self.nudged) = true;
        self.wake.notify_all();
        self.interrupt.raise();
    }

    /// Waits between two tries. A nudge that came earlier, or comes meanwhile, ends it.
    pub fn pause(&self, at_most: Duration) {
        let nudged = lock(&self.nudged);
        let (mut nudged, _) = self
            .wake
            .wait_timeout_while(nudged, at_most, |nudged| !*nudged)
            .unwrap_or_else(PoisonError::into_inner);
        *nudged = false;
    }

    /// Reports how the account stands.
    pub fn set_state(&self, state: State) {
        lock(&self.report).state = state;
    }

    /// Reports that something got done.
    pub fn progress(&self) {
        lock(&self.report).progress = Some(Instant::now());
    }

    /// What was last reported.
    pub fn report(&self) -> Report {
        *lock(&self.report)
    }
}

/// The values are whole after every assignment, so a panic elsewhere leaves them usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_stop_ends_a_pause_at_once_even_when_it_came_first() {
        let control = Arc::new(Control::new().unwrap());
        control.stop();
        let begun = Instant::now();
        control.pause(Duration::from_secs(60));
        assert!(begun.elapsed() < Duration::from_secs(10) && control.stopping());

        let sleeper = std::thread::spawn({
            let control = Arc::clone(&control);
            move || control.pause(Duration::from_secs(60))
        });
        control.nudge();
        sleeper.join().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}
