//! One batch from claim to settlement: read, resolve, persist, done; each mail ends in exactly one way.
//!
//! The order is fixed: PostgreSQL first, Redis second. Every step may be repeated, because the ledger makes the second
//! run of a mail a no-op; so a crash between any two steps costs time and nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mailfleet_mime::Limits;
use mailfleet_model::{Backoff, Class, Classify as _, Clock, Envelope};
use mailfleet_queue::{Consumer, Delivery, Failure};
use mailfleet_store::{DeadOutcome, MailRow, NewDeadLetter, Persisted, Store};

use crate::gate::Gate;
use crate::ingest::{Prepared, Rejection, prepare};
use crate::metrics::{ConsumerMetrics, Outcome};
use crate::settle::Settler;
use crate::tenants::Directory;

/// What every worker shares.
#[derive(Debug)]
pub struct Context {
    /// Redis.
    pub consumer: Consumer,
    /// PostgreSQL.
    pub store: Store,
    /// Whether PostgreSQL can be used.
    pub gate: Gate,
    /// Whose mail it is.
    pub directory: Directory,
    /// Moves entries in Redis, waiting out its outages.
    pub settler: Settler,
    /// What is counted.
    pub metrics: ConsumerMetrics,
    /// Bounds of the parser.
    pub limits: Limits,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

/// How the store's part of a mail ended; what Redis must be told.
#[derive(Debug)]
pub enum Verdict {
    /// Its effect is committed, or was already.
    Done(Outcome),
    /// To be dead-lettered; after [`Context::decide`] the letter is written.
    Dead(Rejection),
    /// Another attempt later.
    Retry(Failure),
    /// Not decided, and nobody's fault: the entry comes again, uncounted.
    Later,
}

impl Context {
    /// PostgreSQL's half: reads the mails, persists them, writes dead letters. Gives a verdict for each entry.
    ///
    /// Only borrows the deliveries: a caller that stops polling still has them and can hand them back. What was
    /// committed by then is found in the ledger by the next run.
    pub async fn decide(&self, batch: &[Delivery]) -> Vec<Verdict> {
        self.metrics.batch_entries.observe(wide(batch.len()));
        let (rows, mut verdicts) = self.read(batch).await;
        self.persist(batch, rows, &mut verdicts).await;
        for (delivery, verdict) in batch.iter().zip(&mut verdicts) {
            last_attempt(delivery, verdict);
        }
        self.bury(batch, &mut verdicts).await;
        verdicts.into_iter().map(|verdict| verdict.unwrap_or(Verdict::Later)).collect()
    }

    /// Redis' half, after PostgreSQL: tells it how each entry ended.
    pub async fn settle(&self, batch: Vec<Delivery>, verdicts: Vec<Verdict>) {
        let (mut done, mut dead, mut later) = (Vec::new(), Vec::new(), Vec::new());
        for (delivery, verdict) in batch.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Done(outcome) => {
                    self.count(outcome, &delivery);
                    done.push(delivery);
                }
                Verdict::Dead(rejection) => {
                    self.metrics.dead.get(rejection.class).inc();
                    self.count(Outcome::DeadLettered, &delivery);
                    dead.push((delivery, rejection.reason));
                }
                Verdict::Retry(failure) => {
                    let attempt = delivery.counters().attempts + 1;
                    let after = Backoff::RETRY.delay(attempt, fastrand::f64());
                    tracing::warn!(
                        job = %delivery.job_id(), class = %failure.class, error = failure.text, attempt,
                        after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX), "attempt failed; tried again"
                    );
                    self.count(Outcome::Retried, &delivery);
                    self.settler.retry(delivery, after, failure).await;
                }
                Verdict::Later => later.push(delivery),
            }
        }
        for lane in self.settler.done(done).await {
            self.metrics.processed.get((Outcome::LeaseLost, lane)).inc();
        }
        self.settler.dead_letter(dead).await;
        self.settler.delay(later, LATER).await;
    }

    /// A stopping worker's way out: everything goes back, uncounted.
    pub async fn hand_back(&self, batch: Vec<Delivery>) {
        for delivery in &batch {
            self.count(Outcome::HandedBack, delivery);
        }
        self.settler.hand_back(batch).await;
    }

    /// Parses every mail and resolves its tenant. Gives the rows that can be persisted, with their place in the batch,
    /// and a verdict for the others.
    async fn read(&self, batch: &[Delivery]) -> (Vec<(usize, MailRow)>, Vec<Option<Verdict>>) {
        let mut verdicts: Vec<Option<Verdict>> = Vec::new();
        let mut inputs: Vec<(usize, Envelope, Bytes)> = Vec::new();
        for (index, delivery) in batch.iter().enumerate() {
            let refusal = refusal(delivery);
            if refusal.is_none() {
                inputs.push((index, delivery.envelope().clone(), delivery.raw().clone()));
            }
            verdicts.push(refusal.map(Verdict::Dead));
        }
        let limits = self.limits.clone();
        let timer = self.metrics.parse_seconds.start_timer();
        // Parsing is work for the processor: on the blocking pool it keeps no lease renewal and no probe waiting.
        let parsed = tokio::task::spawn_blocking(move || {
            let parse =
                |(index, envelope, raw): (usize, Envelope, Bytes)| (index, prepare(&envelope, &raw, &limits));
            inputs.into_iter().map(parse).collect::<Vec<_>>()
        });
        // A task that fails here was cancelled with the runtime: nothing is settled, the entries stay pending.
        let Ok(parsed) = parsed.await else { return (Vec::new(), verdicts) };
        timer.observe_duration();

        let mut mails: Vec<(usize, Prepared)> = Vec::new();
        for (index, result) in parsed {
            match result {
                Ok(mail) => mails.push((index, mail)),
                Err(rejection) => place(&mut verdicts, index, Verdict::Dead(rejection)),
            }
        }
        let tenants = {
            let asked: Vec<&Prepared> = mails.iter().map(|(_, mail)| mail).collect();
            self.gate.through(|| self.directory.tenants(&asked)).await
        };
        let tenants = match tenants {
            Ok(tenants) => tenants,
            Err(error) => {
                // Not an outage, and no mail's fault either (a deadlock, a time-out): another attempt for each.
                for (index, _) in mails {
                    place(&mut verdicts, index, Verdict::Retry(failure(&error)));
                }
                return (Vec::new(), verdicts);
            }
        };
        let mut rows = Vec::new();
        for ((index, mail), tenant) in mails.into_iter().zip(tenants) {
            match tenant {
                Ok(tenant) => rows.push((index, MailRow { tenant, ..mail.row })),
                Err(rejection) => place(&mut verdicts, index, Verdict::Dead(rejection)),
            }
        }
        (rows, verdicts)
    }

    /// Persists the rows in one transaction; where that fails for the batch, each in its own.
    async fn persist(
        &self,
        batch: &[Delivery],
        rows: Vec<(usize, MailRow)>,
        verdicts: &mut [Option<Verdict>],
    ) {
        if rows.is_empty() {
            return;
        }
        let (indexes, rows): (Vec<usize>, Vec<MailRow>) = rows.into_iter().unzip();
        match self.persist_once(&rows).await {
            Ok(persisted) => {
                for (index, persisted) in indexes.into_iter().zip(persisted) {
                    place(verdicts, index, self.judge(batch.get(index), persisted));
                }
            }
            Err(error) if rows.len() == 1 => {
                for index in indexes {
                    place(verdicts, index, Verdict::Retry(failure(&error)));
                }
            }
            Err(error) => {
                tracing::warn!(%error, mails = rows.len(), "a batch could not be persisted; each mail is tried alone");
                for (index, row) in indexes.into_iter().zip(rows) {
                    let verdict = match self.persist_once(std::slice::from_ref(&row)).await {
                        Ok(persisted) => {
                            persisted.into_iter().next().map(|p| self.judge(batch.get(index), p))
                        }
                        Err(error) => Some(Verdict::Retry(failure(&error))),
                    };
                    if let Some(verdict) = verdict {
                        place(verdicts, index, verdict);
                    }
                }
            }
        }
    }

    async fn persist_once(&self, rows: &[MailRow]) -> Result<Vec<Persisted>, mailfleet_store::Error> {
        self.gate
            .through(|| async {
                let started = Instant::now();
                let persisted = self.store.persist(rows).await?;
                self.metrics.persist_seconds.observe(started.elapsed().as_secs_f64());
                Ok(persisted)
            })
            .await
    }

    fn judge(&self, delivery: Option<&Delivery>, persisted: Persisted) -> Verdict {
        match persisted {
            Persisted::New => {
                if let Some(delivery) = delivery {
                    let enqueued_at_ms = delivery.envelope().enqueued_at_ms;
                    let waited = self.clock.now_ms().saturating_sub(enqueued_at_ms).max(0);
                    self.metrics.enqueue_to_commit_seconds.observe(wide(waited) / 1000.0);
                }
                Verdict::Done(Outcome::Persisted)
            }
            Persisted::Duplicate => Verdict::Done(Outcome::Duplicate),
            Persisted::AlreadyRecorded => Verdict::Done(Outcome::Redelivered),
            Persisted::Refused { code, message } => Verdict::Dead(Rejection {
                reason: "refused_by_postgresql",
                class: Class::Data,
                error: format!("PostgreSQL refused the rows of this mail ({code}): {message}"),
            }),
        }
    }

    /// Writes the letters of all entries that are to die, in one transaction with their ledger rows.
    async fn bury(&self, batch: &[Delivery], verdicts: &mut [Option<Verdict>]) {
        let mut indexes = Vec::new();
        let mut letters = Vec::new();
        for (index, (delivery, verdict)) in batch.iter().zip(verdicts.iter()).enumerate() {
            if let Some(Verdict::Dead(why)) = verdict {
                indexes.push(index);
                letters.push(letter(delivery, why));
            }
        }
        if letters.is_empty() {
            return;
        }
        let outcomes = match self.gate.through(|| self.store.dead_letter(&letters)).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                // The letters are not written, so the entries must not move: they come again and are judged again.
                tracing::error!(%error, letters = letters.len(), "dead letters could not be written; tried again");
                for index in indexes {
                    place(verdicts, index, Verdict::Later);
                }
                return;
            }
        };
        for ((index, letter), outcome) in indexes.into_iter().zip(letters).zip(outcomes) {
            match outcome {
                DeadOutcome::Recorded => tracing::warn!(
                    job = %letter.job, reason = letter.reason, class = %letter.class, error = letter.error, "dead letter"
                ),
                // Another run of this very mail succeeded meanwhile: there is nothing to bury.
                DeadOutcome::AlreadyPersisted => place(verdicts, index, Verdict::Done(Outcome::Redelivered)),
            }
        }
    }

    fn count(&self, outcome: Outcome, delivery: &Delivery) {
        self.metrics.processed.get((outcome, delivery.lane())).inc();
    }
}

/// How long an undecided entry waits.
const LATER: Duration = Duration::from_secs(60);

/// Turns the failure of a last attempt into a dead letter.
fn last_attempt(delivery: &Delivery, verdict: &mut Option<Verdict>) {
    if let Some(Verdict::Retry(failure)) = verdict
        && delivery.attempts_left() <= 1
    {
        let error = format!("the last of its attempts failed: {}", failure.text);
        *verdict =
            Some(Verdict::Dead(Rejection { reason: "attempts_exhausted", class: failure.class, error }));
    }
}

/// Why an entry is not even read.
fn refusal(delivery: &Delivery) -> Option<Rejection> {
    if delivery.exhausted_crashes() {
        return Some(Rejection {
            reason: "crashes_exhausted",
            class: Class::Hostile,
            error: format!("its process died on it {} times while it ran alone", delivery.counters().crashes),
        });
    }
    let malformed = delivery.malformed()?;
    Some(Rejection { reason: "malformed_entry", class: Class::Fault, error: malformed.to_owned() })
}

fn letter(delivery: &Delivery, why: &Rejection) -> NewDeadLetter {
    NewDeadLetter {
        job: delivery.job_id().clone(),
        at: Some(delivery.envelope().at),
        lane: delivery.lane(),
        envelope_json: serde_json::json!(delivery.envelope()),
        raw: Some(delivery.raw().clone()),
        reason: why.reason.to_owned(),
        class: why.class,
        error: why.error.clone(),
        counters: delivery.counters(),
        history: serde_json::json!(delivery.history()),
        tenant: None,
        account: Some(delivery.envelope().at.account),
        message_id: mailfleet_mime::peek(delivery.raw()).message_id,
    }
}

fn failure(error: &mailfleet_store::Error) -> Failure {
    Failure::new(error.class(), error.to_string())
}

fn place(verdicts: &mut [Option<Verdict>], index: usize, verdict: Verdict) {
    if let Some(slot) = verdicts.get_mut(index) {
        *slot = Some(verdict);
    }
}

/// A count or a number of milliseconds as a metric's value; exact up to 2⁵³.
#[expect(clippy::cast_precision_loss, reason = "metrics are floating-point numbers")]
fn wide(number: impl TryInto<i64>) -> f64 {
    number.try_into().map_or(f64::MAX, |number| number as f64)
}
