//! From entries to rows in PostgreSQL: parse, attach to a tenant, persist.

use std::time::Instant;

use bytes::Bytes;
use mailfleet_model::{Class, Classify as _, Envelope, TenantId};
use mailfleet_queue::Failure;
use mailfleet_store::{Error, MailRow, Persisted};

use crate::batch::{Case, Context, Verdict};
use crate::blame::Mark;
use crate::ingest::{Prepared, Rejection, prepare};
use crate::metrics::{Outcome, wide};

/// Something with its entry's place in the batch.
pub type Placed<T> = (usize, T);

impl Context {
    /// Parses every mail that is to be read.
    pub async fn read(&self, cases: &mut [Case<'_>]) -> Vec<Placed<Prepared>> {
        let inputs: Vec<Placed<(Envelope, Bytes)>> = cases
            .iter_mut()
            .enumerate()
            .filter_map(|(index, case)| {
                let delivery = case.delivery;
                case.goes_on().then(|| (index, (delivery.envelope().clone(), delivery.raw().clone())))
            })
            .collect();
        if inputs.is_empty() {
            return Vec::new();
        }
        let limits = self.limits.clone();
        let timer = self.metrics.parse_seconds.start_timer();
        // Parsing is work for the processor: on the blocking pool it keeps no lease renewal and no probe waiting.
        let parsed = tokio::task::spawn_blocking(move || {
            let parse = |(index, (envelope, raw)): Placed<(Envelope, Bytes)>| {
                (index, prepare(&envelope, &raw, &limits))
            };
            inputs.into_iter().map(parse).collect::<Vec<_>>()
        });
        // A task that fails here was cancelled with the runtime: nothing is settled, the entries stay pending.
        let Ok(parsed) = parsed.await else { return Vec::new() };
        timer.observe_duration();
        let mut mails = Vec::with_capacity(parsed.len());
        for (index, result) in parsed {
            match result {
                Ok(mail) => mails.push((index, mail)),
                Err(rejection) => end(cases, index, Verdict::Dead(rejection)),
            }
        }
        mails
    }

    /// Resolves the tenants. Gives the rows that can be persisted.
    pub async fn attach(&self, cases: &mut [Case<'_>], mails: Vec<Placed<Prepared>>) -> Vec<Placed<MailRow>> {
        if mails.is_empty() {
            return Vec::new();
        }
        let asked: Vec<&Prepared> = mails.iter().map(|(_, mail)| mail).collect();
        let began = self.suspects.mark();
        let answers = match self.tenants(&asked).await {
            Ok(found) => found.into_iter().map(Ok).collect(),
            Err(_) => self.tenants_each(&asked).await,
        };
        let mut rows = Vec::with_capacity(mails.len());
        for ((index, mail), answer) in mails.into_iter().zip(answers) {
            match answer {
                Ok(Ok(tenant)) => {
                    if let Some(case) = cases.get_mut(index) {
                        case.tenant = Some(tenant);
                    }
                    rows.push((index, MailRow { tenant, ..mail.row }));
                }
                Ok(Err(rejection)) => end(cases, index, Verdict::Dead(rejection)),
                Err(error) => end(cases, index, self.failed(&mail.row, began, &error)),
            }
        }
        rows
    }

    /// What PostgreSQL cannot be asked for one mail must not cost the others anything.
    async fn tenants_each(&self, mails: &[&Prepared]) -> Vec<Result<Result<TenantId, Rejection>, Error>> {
        let mut answers = Vec::with_capacity(mails.len());
        for mail in mails {
            match self.tenants(&[mail]).await {
                Ok(found) => answers.extend(found.into_iter().map(Ok)),
                Err(error) => answers.push(Err(error)),
            }
        }
        answers
    }

    async fn tenants(&self, mails: &[&Prepared]) -> Result<Vec<Result<TenantId, Rejection>>, Error> {
        self.gate.through(|| self.directory.tenants(mails)).await
    }

    /// Persists the rows in one transaction; where that fails for the batch, each in its own.
    pub async fn persist(&self, cases: &mut [Case<'_>], mut rows: Vec<Placed<MailRow>>) {
        rows.retain(|(index, _)| cases.get_mut(*index).is_some_and(Case::goes_on));
        if rows.is_empty() {
            return;
        }
        let (indexes, rows): (Vec<usize>, Vec<MailRow>) = rows.into_iter().unzip();
        let began = self.suspects.mark();
        match self.persist_once(&rows).await {
            Ok(persisted) => {
                for (index, persisted) in indexes.into_iter().zip(persisted) {
                    self.judge(cases, index, persisted);
                }
            }
            Err(error) if rows.len() == 1 => {
                for (index, row) in indexes.into_iter().zip(&rows) {
                    end(cases, index, self.failed(row, began, &error));
                }
            }
            Err(error) => {
                for row in &rows {
                    self.suspects.suspect(&row.job);
                }
                if let Some(suppressed) = self.log.open() {
                    tracing::warn!(
                        %error, mails = rows.len(), suppressed,
                        "a batch could not be persisted; each mail is tried alone"
                    );
                }
                self.persist_each(cases, indexes.into_iter().zip(rows).collect()).await;
            }
        }
    }

    /// Each row in its own transaction. Those that failed while nothing else was stored are tried once more after
    /// something was: only then it is known whether they are to blame.
    async fn persist_each(&self, cases: &mut [Case<'_>], mut rows: Vec<Placed<MailRow>>) {
        for _ in 0..2 {
            let before = self.suspects.mark();
            let mut undecided = Vec::new();
            for (index, row) in rows {
                let began = self.suspects.mark();
                match self.persist_once(std::slice::from_ref(&row)).await {
                    Ok(persisted) => {
                        for fate in persisted {
                            self.judge(cases, index, fate);
                        }
                    }
                    Err(error) => {
                        let verdict = self.failed(&row, began, &error);
                        if matches!(verdict, Verdict::Later) {
                            undecided.push((index, row));
                        }
                        end(cases, index, verdict);
                    }
                }
            }
            if undecided.is_empty() || self.suspects.mark() == before {
                return;
            }
            rows = undecided;
        }
    }

    async fn persist_once(&self, rows: &[MailRow]) -> Result<Vec<Persisted>, Error> {
        let persisted = self
            .gate
            .through(|| async {
                let started = Instant::now();
                let persisted = self.store.persist(rows).await?;
                self.metrics.persist_seconds.observe(started.elapsed().as_secs_f64());
                Ok(persisted)
            })
            .await?;
        self.gate.worked();
        if persisted.contains(&Persisted::New) {
            self.suspects.stored();
        }
        Ok(persisted)
    }

    /// What becomes of a mail for which the store has no answer but an error.
    fn failed(&self, row: &MailRow, began: Mark, error: &Error) -> Verdict {
        let class = error.class();
        let blamed = match class {
            Class::Outage | Class::Fault => self.suspects.failed(&row.job, began),
            Class::Transient | Class::Data | Class::Policy | Class::Hostile => true,
        };
        if blamed { Verdict::Retry(Failure::new(class, error.to_string())) } else { Verdict::Later }
    }

    fn judge(&self, cases: &mut [Case<'_>], index: usize, persisted: Persisted) {
        let Some(case) = cases.get_mut(index) else { return };
        self.suspects.forget(case.delivery.job_id());
        case.verdict = Some(match persisted {
            Persisted::New => {
                let enqueued_at_ms = case.delivery.envelope().enqueued_at_ms;
                let waited = self.clock.now_ms().saturating_sub(enqueued_at_ms).max(0);
                self.metrics.enqueue_to_commit_seconds.observe(wide(waited) / 1000.0);
                Verdict::Done(Outcome::Persisted)
            }
            Persisted::Duplicate => Verdict::Done(Outcome::Duplicate),
            Persisted::AlreadyRecorded => Verdict::Done(Outcome::Redelivered),
            Persisted::Refused { code, message } => Verdict::Dead(Rejection::refused(&code, &message)),
        });
    }
}

fn end(cases: &mut [Case<'_>], index: usize, verdict: Verdict) {
    if let Some(case) = cases.get_mut(index) {
        case.verdict = Some(verdict);
    }
}
