//! Tells Redis how entries ended, for as long as it takes to be heard.
//!
//! While Redis is away the deliveries are kept and the call is repeated; nothing is counted. Giving up (the caller
//! stops polling) is harmless: an entry that is not settled stays pending, its lease runs out, it runs again, and the
//! ledger turns that run into a no-op.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mailfleet_model::{Backoff, JobId, Lane};
use mailfleet_queue::{Consumer, Delivery, Failure, Returned, Settled};
use mailfleet_runtime::{Beat, LogGate, Shutdown};

/// When a stopping process has less time left than this, it no longer waits for Redis.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Where entries go.
#[derive(Debug)]
enum Move {
    Done,
    DeadLetter(HashMap<JobId, &'static str>),
    /// One entry at a time.
    Retry(Duration, Failure),
    Delay(Duration),
    HandBack,
}

/// See the module.
#[derive(Debug)]
pub struct Settler {
    consumer: Consumer,
    shutdown: Shutdown,
    beat: Beat,
    log: LogGate,
    /// Set when a call has failed since it was last asked: replies may be lost, entries may be ours unawares.
    failed: AtomicBool,
}

impl Settler {
    /// Settles through this consumer and reports Redis' health to `beat`.
    pub fn new(consumer: Consumer, shutdown: Shutdown, beat: Beat) -> Self {
        Self { consumer, shutdown, beat, log: LogGate::each_second(), failed: AtomicBool::new(false) }
    }

    /// Whether a call has failed since this was last asked.
    pub fn take_failed(&self) -> bool {
        self.failed.swap(false, Ordering::AcqRel)
    }

    /// Redis answered.
    pub fn answered(&self) {
        self.beat.ok();
    }

    /// Redis failed: says so, once a second, and remembers it.
    pub fn note(&self, error: &mailfleet_queue::Error) {
        self.failed.store(true, Ordering::Release);
        self.beat.failed(error);
        if let Some(suppressed) = self.log.open() {
            tracing::warn!(%error, suppressed, "Redis does not do as asked; waiting, nothing is counted");
        }
    }

    /// How long to wait after so many failures in a row.
    pub fn pause(failures: u32) -> Duration {
        Backoff::RECONNECT.delay(failures, fastrand::f64())
    }

    /// Acknowledges finished entries; gives the lanes of those whose lease was lost meanwhile.
    pub async fn done(&self, batch: Vec<Delivery>) -> Vec<Lane> {
        let lanes: Vec<Lane> = batch.iter().map(Delivery::lane).collect();
        let settled = self.insist(batch, &Move::Done).await;
        settled
            .into_iter()
            .zip(lanes)
            .filter(|(s, _)| *s == Settled::LostLease)
            .map(|(_, lane)| lane)
            .collect()
    }

    /// Moves entries whose dead letters are written, each with its reason.
    pub async fn dead_letter(&self, batch: Vec<(Delivery, &'static str)>) {
        let reasons = batch.iter().map(|(delivery, reason)| (delivery.job_id().clone(), *reason)).collect();
        let batch = batch.into_iter().map(|(delivery, _)| delivery).collect();
        self.insist(batch, &Move::DeadLetter(reasons)).await;
    }

    /// Puts an entry aside for another attempt.
    pub async fn retry(&self, delivery: Delivery, after: Duration, failure: Failure) {
        self.insist(vec![delivery], &Move::Retry(after, failure)).await;
    }

    /// Puts entries aside without counting anything.
    pub async fn delay(&self, batch: Vec<Delivery>, after: Duration) {
        self.insist(batch, &Move::Delay(after)).await;
    }

    /// Gives entries back; they run next elsewhere.
    pub async fn hand_back(&self, batch: Vec<Delivery>) {
        self.insist(batch, &Move::HandBack).await;
    }

    async fn insist(&self, mut batch: Vec<Delivery>, to: &Move) -> Vec<Settled> {
        if batch.is_empty() {
            return Vec::new();
        }
        let mut failures = 0;
        loop {
            match self.once(batch, to).await {
                Ok(settled) => {
                    self.answered();
                    return settled;
                }
                Err((error, rest)) => {
                    self.note(&error);
                    batch = rest;
                }
            }
            if self.shutdown.time_left().is_some_and(|left| left < LAST_WORD) {
                tracing::warn!(
                    entries = batch.len(),
                    "Redis is away and time is up; the entries run again elsewhere"
                );
                return Vec::new();
            }
            failures += 1;
            tokio::time::sleep(Self::pause(failures)).await;
        }
    }

    async fn once(&self, batch: Vec<Delivery>, to: &Move) -> Result<Vec<Settled>, Returned> {
        match to {
            Move::Done => self.consumer.done(batch).await,
            Move::DeadLetter(reasons) => {
                let with_reasons = batch.into_iter().map(|delivery| {
                    let reason = reasons.get(delivery.job_id()).copied().unwrap_or_default().to_owned();
                    (delivery, reason)
                });
                self.consumer.dead_letter(with_reasons.collect()).await
            }
            Move::Retry(after, failure) => {
                let mut settled = Vec::new();
                for delivery in batch {
                    settled.push(self.consumer.retry(delivery, *after, failure).await?);
                }
                Ok(settled)
            }
            Move::Delay(after) => self.consumer.delay_uncounted(batch, *after).await,
            Move::HandBack => self.consumer.hand_back(batch).await,
        }
    }
}
