//! Tells Redis how entries ended, for as long as it takes to be heard.
//!
//! While Redis is away the deliveries are kept and the call is repeated; nothing is counted. A stopping process gives
//! up when its time is over, which is harmless: an entry that is not settled stays pending, its lease runs out, it runs
//! again, and the ledger turns that run into a no-op.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mailfleet_model::{Backoff, Class, Classify as _, JobId};
use mailfleet_queue::{Consumer, Delivery, Failure, Returned, Settled, Stray};
use mailfleet_runtime::{Beat, LogGate, Shutdown};

use crate::deadline::{self, Step};

/// At most one line of an outage in this time.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Where entries go.
#[derive(Debug)]
enum Move {
    Done,
    DeadLetter(HashMap<JobId, &'static str>),
    /// One entry at a time.
    Retry(Duration, Failure),
    /// One entry at a time.
    Crashed(Duration, Failure),
    Delay(Duration),
    HandBack,
}

/// See the module.
#[derive(Debug)]
pub struct Settler {
    consumer: Consumer,
    shutdown: Shutdown,
    beat: Beat,
    log: Arc<LogGate>,
}

impl Settler {
    /// Settles through this consumer and reports Redis' health to `beat`, and to the log as `log` lets it: all queues
    /// share one [`outage_log`](Self::outage_log), because it is one Redis.
    pub fn new(consumer: Consumer, shutdown: Shutdown, beat: Beat, log: Arc<LogGate>) -> Self {
        Self { consumer, shutdown, beat, log }
    }

    /// What keeps an outage from filling the log.
    pub fn outage_log() -> Arc<LogGate> {
        Arc::new(LogGate::new(LOG_EVERY))
    }

    /// Redis answered.
    pub fn answered(&self) {
        self.beat.ok();
    }

    /// Redis failed: readiness says so, and the log once in a while.
    pub fn note(&self, error: &mailfleet_queue::Error) {
        self.beat.failed(error);
        let Some(suppressed) = self.log.open() else { return };
        if error.class() == Class::Fault {
            tracing::error!(%error, suppressed, "Redis refuses what we ask; nothing is counted");
        } else {
            tracing::warn!(%error, suppressed, "Redis is away; waiting, nothing is counted");
        }
    }

    /// How long to wait after so many failures in a row.
    pub fn pause(failures: u32) -> Duration {
        Backoff::RECONNECT.delay(failures, fastrand::f64())
    }

    /// Acknowledges finished entries.
    pub async fn done(&self, batch: Vec<Delivery>) {
        self.insist(batch, &Move::Done).await;
    }

    /// Moves entries whose dead letters are written, each with its reason.
    pub async fn dead_letter(&self, batch: Vec<(Delivery, &'static str)>) {
        let reasons = batch.iter().map(|(delivery, reason)| (delivery.job_id().clone(), *reason)).collect();
        let batch = batch.into_iter().map(|(delivery, _)| delivery).collect();
        self.insist(batch, &Move::DeadLetter(reasons)).await;
    }

    /// Puts an entry aside for another attempt. `None` when Redis was not told.
    pub async fn retry(&self, delivery: Delivery, after: Duration, failure: Failure) -> Option<Settled> {
        self.insist(vec![delivery], &Move::Retry(after, failure)).await.pop()
    }

    /// Puts an entry aside that has ended another process than this one. `None` when Redis was not told.
    pub async fn crashed(&self, delivery: Delivery, after: Duration, failure: Failure) -> Option<Settled> {
        self.insist(vec![delivery], &Move::Crashed(after, failure)).await.pop()
    }

    /// Says that an entry begins by itself, for as long as it takes to be heard; whether it is still ours. A stopping process
    /// drops this and hands the entry back.
    pub async fn begin(&self, delivery: &Delivery) -> bool {
        let mut failures = 0;
        loop {
            match self.consumer.begin(delivery).await {
                Ok(ours) => {
                    self.answered();
                    return ours;
                }
                Err(error) => self.note(&error),
            }
            failures += 1;
            tokio::time::sleep(Self::pause(failures)).await;
        }
    }

    /// Takes entries without a job id, whose dead letters are written, out of Redis, for as long as it takes to be heard; a
    /// stopping process gives up and drops this.
    pub async fn put_away(&self, mut strays: Vec<Stray>) {
        let mut failures = 0;
        while let Err((error, rest)) = self.consumer.put_away(strays).await {
            self.note(&error);
            strays = rest;
            failures += 1;
            tokio::time::sleep(Self::pause(failures)).await;
        }
    }

    /// Puts entries aside without counting anything; empty when Redis was not told.
    pub async fn delay(&self, batch: Vec<Delivery>, after: Duration) -> Vec<Settled> {
        self.insist(batch, &Move::Delay(after)).await
    }

    /// Gives entries back, to run next elsewhere; empty when Redis was not told.
    pub async fn hand_back(&self, batch: Vec<Delivery>) -> Vec<Settled> {
        self.insist(batch, &Move::HandBack).await
    }

    async fn insist(&self, batch: Vec<Delivery>, to: &Move) -> Vec<Settled> {
        let entries = batch.len();
        if entries == 0 {
            return Vec::new();
        }
        tokio::select! {
            biased;
            settled = self.repeat(batch, to) => settled,
            () = deadline::over(&self.shutdown, Step::Settle) => {
                tracing::warn!(entries, "Redis is away and time is up; the entries run again elsewhere");
                Vec::new()
            }
        }
    }

    async fn repeat(&self, mut batch: Vec<Delivery>, to: &Move) -> Vec<Settled> {
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
            Move::Crashed(after, failure) => {
                let mut settled = Vec::new();
                for delivery in batch {
                    settled.push(self.consumer.crashed(delivery, *after, failure).await?);
                }
                Ok(settled)
            }
            Move::Delay(after) => self.consumer.delay_uncounted(batch, *after).await,
            Move::HandBack => self.consumer.hand_back(batch).await,
        }
    }
}
