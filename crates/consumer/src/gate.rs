//! The gate before PostgreSQL: while it cannot be used nobody claims, and who holds entries waits with them.
//!
//! An outage is not a failure: it costs no attempt, and what is held stays held (the keeper renews the leases). Nor is
//! a mistake of ours, such as a missing table, the mails' fault: it closes the gate as well, shows in readiness and in
//! the log as an error, and ends when an operator has mended it.
//!
//! A closed gate opens when PostgreSQL answers *and* its schema is as it must be. A call that keeps failing although
//! both hold comes back to its caller: then it may be one mail that is to blame, and one mail must not hold everybody.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailfleet_model::{Backoff, Class, Classify as _};
use mailfleet_runtime::{Beat, LogGate};
use mailfleet_store::{Error, Store};
use tokio::sync::watch;
use tokio::time::Instant;

/// How often PostgreSQL is asked while all is well.
const PING_EVERY: Duration = Duration::from_secs(2);

/// An answer later than this is none: a server that stands still is away.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// A call that failed makes the process unready for this long, unless one succeeds before: what it could not do comes
/// again within that time, so that a lasting trouble shows without a gap.
const REMEMBERED: Duration = Duration::from_secs(60);

/// At most one line of an outage in this time.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Whether PostgreSQL can be used, for all who ask.
#[derive(Debug)]
pub struct Gate {
    store: Store,
    open: watch::Sender<bool>,
    beat: Beat,
    log: LogGate,
    trouble: Mutex<Trouble>,
}

/// What stands against opening the gate, or against calling it healthy.
#[derive(Debug, Default)]
struct Trouble {
    /// Calls that failed since the last that wrote something.
    failures: u32,
    /// When the last of them failed.
    last: Option<Instant>,
    /// Why the gate closed, for the log line that says it is open again.
    why: Option<String>,
}

impl Gate {
    /// A gate that is closed until PostgreSQL has answered once.
    pub fn new(store: Store, beat: Beat) -> Self {
        let (open, _) = watch::channel(false);
        Self { store, open, beat, log: LogGate::new(LOG_EVERY), trouble: Mutex::default() }
    }

    /// Whether it is open now.
    pub fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// Waits until it is open.
    pub async fn opened(&self) {
        // The sender lives in self, so waiting cannot fail.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }

    /// Waits until it is closed.
    pub async fn closed(&self) {
        let _ = self.open.subscribe().wait_for(|open| !*open).await;
    }

    /// Asks PostgreSQL for as long as it is polled: at once when the gate has closed, then often, so that work goes on
    /// within seconds of its return. The time between asks is jittered; many consumers do not return in one instant.
    pub async fn watch(&self) {
        let mut unanswered = 0;
        loop {
            match self.ask().await {
                Ok(()) => {
                    unanswered = 0;
                    self.reopen();
                    tokio::select! {
                        () = tokio::time::sleep(PING_EVERY) => {}
                        // PostgreSQL answers, yet calls fail: each failure makes the next try wait longer.
                        () = self.closed() => {
                            let failures = self.trouble().failures;
                            pause(failures).await;
                        }
                    }
                }
                Err(error) => {
                    unanswered += 1;
                    self.close(&error);
                    pause(unanswered).await;
                }
            }
        }
    }

    /// A sign of life while all is well. After trouble the schema as well: a missing table, a lost right and a standby
    /// answer every ping.
    async fn ask(&self) -> Result<(), Error> {
        let well = self.is_open();
        let asked = async { if well { self.store.ping().await } else { self.store.require_schema().await } };
        let late = Error::Timeout { what: "asking for a sign of life", after: ANSWERS_WITHIN };
        tokio::time::timeout(ANSWERS_WITHIN, asked).await.unwrap_or(Err(late))
    }

    /// Runs a store call until it gives an answer that is about the mails: outages and faults of ours close the gate
    /// and are waited out. The call must be safe to repeat, which every call of the store is.
    ///
    /// An outage or a fault is the answer when the call still fails after PostgreSQL was found well again, `patience`
    /// times over.
    pub async fn through<T, F, Fut>(&self, mut call: F) -> Result<T, Error>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let mut failures = 0;
        loop {
            self.opened().await;
            let error = match call().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            failures += 1;
            let patience = patience(&error);
            if patience > 0 {
                self.fail(&error);
            }
            if failures >= patience {
                return Err(error);
            }
        }
    }

    /// Something was written: PostgreSQL works.
    pub fn worked(&self) {
        let mut trouble = self.trouble();
        (trouble.failures, trouble.last) = (0, None);
        drop(trouble);
        self.beat.ok();
    }

    fn fail(&self, error: &Error) {
        let mut trouble = self.trouble();
        trouble.failures = trouble.failures.saturating_add(1);
        trouble.last = Some(Instant::now());
        drop(trouble);
        self.close(error);
    }

    fn close(&self, error: &Error) {
        self.trouble().why.get_or_insert_with(|| error.to_string());
        self.open.send_replace(false);
        self.beat.failed(error);
        let Some(suppressed) = self.log.open() else { return };
        if error.class() == Class::Fault {
            tracing::error!(%error, suppressed, "PostgreSQL refuses our statements; nothing is counted");
        } else {
            tracing::warn!(%error, suppressed, "PostgreSQL cannot be used; waiting, nothing is counted");
        }
    }

    fn reopen(&self) {
        let mut trouble = self.trouble();
        let why = trouble.why.take();
        let healthy = trouble.last.is_none_or(|last| last.elapsed() > REMEMBERED);
        drop(trouble);
        if healthy {
            self.beat.ok();
        }
        // While calls keep failing the gate opens for a try only, which is not worth a line.
        if !self.open.send_replace(true) && (healthy || self.log.open().is_some()) {
            tracing::info!(after = why, "PostgreSQL answers");
        }
    }

    /// Plain values, whole after every statement, so a poisoned lock is usable.
    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn pause(failures: u32) {
    tokio::time::sleep(Backoff::RECONNECT.delay(failures, fastrand::f64())).await;
}

/// How often a call may fail like this, with PostgreSQL well in between, before its caller is told. 0: it is told at
/// once, and the gate stays open.
fn patience(error: &Error) -> u32 {
    match error.class() {
        Class::Transient | Class::Data | Class::Policy | Class::Hostile => 0,
        // The schema is looked at next; if it is as it must be, this call is the odd one.
        Class::Fault => 1,
        // What the server said about this very statement: too long, too large, no room.
        Class::Outage
            if error.code().is_some_and(|code| !code.starts_with("08") && !code.starts_with("57P")) =>
        {
            3
        }
        // Connections that broke. A pool may hold several that died in one failover.
        Class::Outage => 20,
    }
}
