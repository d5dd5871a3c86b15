//! The gate before PostgreSQL: while it is away nobody claims, and who holds entries waits with them.
//!
//! An outage is not a failure: it costs no attempt, and what is held stays held (the keeper renews the leases). Nor is
//! a mistake of ours, such as a missing table, the mails' fault: it closes the gate as well, shows in readiness and in
//! the log as an error, and ends when an operator has mended it.

use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use mailfleet_model::{Backoff, Class, Classify as _};
use mailfleet_runtime::{Beat, LogGate};
use mailfleet_store::Store;
use tokio::sync::watch;

/// How often PostgreSQL is asked while all is well.
const PING_EVERY: Duration = Duration::from_secs(2);

/// Whether PostgreSQL can be used, for all who ask.
#[derive(Debug)]
pub struct Gate {
    store: Store,
    open: watch::Sender<bool>,
    beat: Beat,
    log: LogGate,
    /// Why it closed, for the log line that says it is open again.
    why: Mutex<Option<String>>,
}

impl Gate {
    /// A gate that is closed until PostgreSQL has answered once.
    pub fn new(store: Store, beat: Beat) -> Self {
        let (open, _) = watch::channel(false);
        Self { store, open, beat, log: LogGate::each_second(), why: Mutex::default() }
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

    /// Asks PostgreSQL for as long as it is polled: often while the gate is closed, so that work goes on within
    /// seconds of its return. The time between asks is jittered; many consumers do not return in one instant.
    pub async fn watch(&self) {
        let mut failures = 0;
        loop {
            match self.store.ping().await {
                Ok(()) => {
                    failures = 0;
                    self.beat.ok();
                    if !self.open.send_replace(true) {
                        let why = self.why.lock().ok().and_then(|mut why| why.take());
                        tracing::info!(after = why, "PostgreSQL answers; claiming");
                    }
                    tokio::time::sleep(PING_EVERY).await;
                }
                Err(error) => {
                    failures += 1;
                    self.close(&error);
                    tokio::time::sleep(Backoff::RECONNECT.delay(failures, fastrand::f64())).await;
                }
            }
        }
    }

    /// Runs a store call until it gives an answer that is about the mails: outages and faults of ours close the
    /// gate and are waited out. The call must be safe to repeat, which every call of the store is.
    pub async fn through<T, F, Fut>(&self, mut call: F) -> Result<T, mailfleet_store::Error>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, mailfleet_store::Error>>,
    {
        loop {
            self.opened().await;
            let error = match call().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match error.class() {
                Class::Outage | Class::Fault => self.close(&error),
                Class::Transient | Class::Data | Class::Policy | Class::Hostile => return Err(error),
            }
        }
    }

    fn close(&self, error: &mailfleet_store::Error) {
        self.open.send_replace(false);
        self.beat.failed(error);
        if let Ok(mut why) = self.why.lock() {
            why.get_or_insert_with(|| error.to_string());
        }
        let Some(suppressed) = self.log.open() else { return };
        if error.class() == Class::Fault {
            tracing::error!(%error, suppressed, "PostgreSQL refuses our statements; nothing is claimed until it is mended");
        } else {
            tracing::warn!(%error, suppressed, "PostgreSQL is away; waiting, nothing is counted");
        }
    }
}
