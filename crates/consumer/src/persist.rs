//! Mails, from entries to rows in PostgreSQL: rehearse what is a suspect, parse, attach to a tenant, persist.

use std::time::{Duration, Instant};

use bytes::Bytes;
use mailfleet_mime::Limits;
use mailfleet_model::{Envelope, TenantId};
use mailfleet_queue::Delivery;
use mailfleet_store::{Error, MailRow, Persisted};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;

use crate::attempt::{Placed, end};
use crate::batch::{Case, Context, Kind, Verdict};
use crate::ingest::{Prepared, Rejection, prepare};
use crate::metrics::{Outcome, wide};
use crate::rehearsal::Rehearsal;
use crate::tenants::Directory;

/// No batch takes so long to be read: it is bounded in bytes, and the parser is linear in them.
const READ_WITHIN: Duration = Duration::from_secs(600);

/// Waits for a reader, whose thread cannot be ended, for so long; one that goes on is a mistake of ours that one of its mails
/// has met. Then the process ends, like after any panic of a worker: the entries run elsewhere, one by one, and the mail is
/// found by the child that reads it first, which has a limit of processor time. Kept waiting it would hold its worker and
/// its lease for ever.
async fn within<T>(limit: Duration, reader: JoinHandle<T>) -> Result<T, JoinError> {
    let read = timeout(limit, reader).await;
    read.unwrap_or_else(|_| panic!("reading a batch of mails takes longer than {} s", limit.as_secs()))
}

/// What work on mails needs.
#[derive(Debug)]
pub struct Mails {
    /// Whose mail it is.
    pub directory: Directory,
    /// Bounds of the parser.
    pub limits: Limits,
    /// Reads in a child process first what a consumer has died on.
    pub rehearsal: Rehearsal,
}

impl Kind for Mails {
    type Row = MailRow;
    type Fate = Persisted;
    type Read = Vec<Placed<Prepared>>;

    fn takes_long(delivery: &Delivery) -> bool {
        delivery.is_suspect()
    }

    async fn try_first(context: &Context<Self>, delivery: &Delivery) -> Option<Verdict> {
        context.rehearse(delivery).await
    }

    async fn read(context: &Context<Self>, cases: &mut [Case<'_>]) -> Self::Read {
        context.parse(cases).await
    }

    async fn decide(context: &Context<Self>, cases: &mut [Case<'_>], mails: Self::Read) {
        let rows = context.attach(cases, mails).await;
        context.write(cases, rows).await;
    }

    async fn write(context: &Context<Self>, rows: &[MailRow]) -> Result<Vec<Persisted>, Error> {
        let started = Instant::now();
        let persisted = context.store.persist(rows).await?;
        context.metrics.persist_seconds.observe(started.elapsed().as_secs_f64());
        Ok(persisted)
    }

    fn is_new(persisted: &Persisted) -> bool {
        *persisted == Persisted::New
    }

    fn judge(context: &Context<Self>, case: &mut Case<'_>, persisted: Persisted) -> Verdict {
        match persisted {
            Persisted::New => {
                let enqueued_at_ms = case.delivery.envelope().enqueued_at_ms;
                let waited = context.clock.now_ms().saturating_sub(enqueued_at_ms).max(0);
                context.metrics.enqueue_to_commit_seconds.observe(wide(waited) / 1000.0);
                Verdict::Done(Outcome::Persisted)
            }
            Persisted::Duplicate => Verdict::Done(Outcome::Duplicate),
            Persisted::AlreadyRecorded => Verdict::Done(Outcome::Redelivered),
            Persisted::Refused { code, message } => Verdict::Dead(Rejection::refused(&code, &message)),
        }
    }
}

impl Context<Mails> {
    /// Parses every mail that is to be read.
    async fn parse(&self, cases: &mut [Case<'_>]) -> Vec<Placed<Prepared>> {
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
        let limits = self.kind.limits.clone();
        let timer = self.metrics.parse_seconds.start_timer();
        // Parsing is work for the processor: on the blocking pool it keeps no lease renewal and no probe waiting.
        let parsed = tokio::task::spawn_blocking(move || {
            let parse = |(index, (envelope, raw)): Placed<(Envelope, Bytes)>| {
                (index, prepare(&envelope, &raw, &limits))
            };
            inputs.into_iter().map(parse).collect::<Vec<_>>()
        });
        // A task that fails here was cancelled with the runtime: nothing is settled, the entries stay pending.
        let Ok(parsed) = within(READ_WITHIN, parsed).await else { return Vec::new() };
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
    async fn attach(&self, cases: &mut [Case<'_>], mut mails: Vec<Placed<Prepared>>) -> Vec<Placed<MailRow>> {
        // Reading takes its time, and some may run elsewhere by now.
        mails.retain(|(index, _)| cases.get_mut(*index).is_some_and(Case::goes_on));
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
                    rows.push((index, mail.into_row(tenant)));
                }
                Ok(Err(rejection)) => end(cases, index, Verdict::Dead(rejection)),
                Err(error) => end(cases, index, self.failed(&mail.row.job, began, &error)),
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
        self.gate.through(|| self.kind.directory.tenants(mails)).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_reader_that_does_not_end_ends_its_worker() {
        let (over, ends) = mpsc::channel::<()>();
        let reader = tokio::task::spawn_blocking(move || ends.recv().is_err());
        let worker = tokio::spawn(within(Duration::from_millis(20), reader));
        assert!(worker.await.unwrap_err().is_panic());
        drop(over);
        let reader = tokio::task::spawn_blocking(|| 7);
        assert_eq!(within(READ_WITHIN, reader).await.unwrap(), 7);
    }
}
