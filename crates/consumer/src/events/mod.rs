//! Delivery events, from entries of their queue to statuses in PostgreSQL. An entry names a row of the inbox, in which
//! the events stand: PostgreSQL has had them before the provider got its answer.

pub mod sweep;

use std::time::Instant;

use mailfleet_model::{Class, EventKind, InboxId, Work};
use mailfleet_runtime::{CounterFamily, Label, Metrics};
use mailfleet_store::{Applied, Error, EventFate, InboxFate};
use prometheus::{Histogram, IntCounter};

use crate::attempt::{Placed, end};
use crate::batch::{Case, Context, Kind, Verdict};
use crate::ingest::{MALFORMED, Rejection};
use crate::metrics::Outcome;

/// The work on delivery events.
#[derive(Debug)]
pub struct Events {
    /// What is counted of events alone.
    pub metrics: EventMetrics,
}

impl Kind for Events {
    type Row = InboxId;
    type Fate = Applied;
    type Read = ();

    /// An event is a number: there is nothing to read.
    async fn read(_context: &Context<Self>, _cases: &mut [Case<'_>]) {}

    async fn decide(context: &Context<Self>, cases: &mut [Case<'_>], (): ()) {
        let mut rows: Vec<Placed<InboxId>> = Vec::with_capacity(cases.len());
        for index in 0..cases.len() {
            let Some(case) = cases.get_mut(index).filter(|case| case.verdict.is_none()) else { continue };
            match case.delivery.envelope().work {
                Work::Events { inbox } => rows.push((index, inbox)),
                Work::Mail(_) => {
                    let error = "a mail stands in the queue of delivery events; find out who writes it";
                    let rejection = Rejection::new(MALFORMED, Class::Fault, error);
                    end(cases, index, Verdict::Dead(rejection));
                }
            }
        }
        context.write(cases, rows).await;
    }

    async fn write(context: &Context<Self>, rows: &[InboxId]) -> Result<Vec<Applied>, Error> {
        let started = Instant::now();
        let applied = context.store.apply_inbox(rows).await?;
        context.kind.metrics.apply_seconds.observe(started.elapsed().as_secs_f64());
        Ok(applied)
    }

    fn is_new(applied: &Applied) -> bool {
        matches!(applied.fate, InboxFate::Applied(_))
    }

    fn judge(context: &Context<Self>, case: &mut Case<'_>, applied: Applied) -> Verdict {
        case.tenant = applied.tenant;
        let metrics = &context.kind.metrics;
        match applied.fate {
            InboxFate::Applied(events) => {
                for (kind, fate) in events {
                    metrics.applied.get((EventLabel(kind), fate.into())).inc();
                }
                Verdict::Done(Outcome::Applied)
            }
            InboxFate::AlreadyApplied => Verdict::Done(Outcome::Redelivered),
            // Whoever removed the row did not want it to take effect.
            InboxFate::Missing => {
                metrics.rows_missing.inc();
                Verdict::Done(Outcome::Redelivered)
            }
            // In a deploy the doors may be ahead of us: it waits for a consumer that knows it, and nothing is counted against
            // it. Whoever goes on meeting it is told of by the alert of unknown versions.
            InboxFate::Newer { message } => {
                metrics.rows_newer.inc();
                if let Some(suppressed) = context.log.open() {
                    let job = case.delivery.job_id();
                    tracing::warn!(%job, message, suppressed, "events of a newer version wait for it");
                }
                Verdict::Later
            }
            InboxFate::Refused { code, message } => Verdict::Dead(Rejection::refused(&code, &message)),
        }
    }
}

/// What is counted of events.
#[derive(Debug)]
pub struct EventMetrics {
    applied: CounterFamily<(EventLabel, EventResult)>,
    rows_missing: IntCounter,
    rows_newer: IntCounter,
    matched_late: IntCounter,
    apply_seconds: Histogram,
}

impl EventMetrics {
    /// Registers all of them.
    pub fn register(metrics: &Metrics) -> prometheus::Result<Self> {
        Ok(Self {
            applied: metrics.counters(
                "mailfleet_events_applied_total",
                "Delivery events by kind and by what became of them: matched with their message, waiting for it, or a duplicate.",
            )?,
            rows_missing: metrics.counter(
                "mailfleet_inbox_rows_missing_total",
                "Entries whose row of the webhook inbox was not there.",
            )?,
            rows_newer: metrics.counter(
                "mailfleet_inbox_rows_newer_total",
                "Entries put off because their row of the webhook inbox says what only a newer version knows.",
            )?,
            matched_late: metrics.counter(
                "mailfleet_events_matched_late_total",
                "Waiting events whose message was there already when the sweep looked.",
            )?,
            apply_seconds: metrics.histogram(
                "mailfleet_events_apply_seconds",
                "Time of one call that applies events, COMMIT included.",
                mailfleet_runtime::metrics::SECONDS,
            )?,
        })
    }
}

/// The kind of an event, as a label.
#[derive(Debug, Clone, Copy)]
struct EventLabel(EventKind);

impl Label for EventLabel {
    const NAME: &'static str = "kind";

    fn all() -> Vec<Self> {
        EventKind::ALL.map(Self).to_vec()
    }

    fn value(self) -> &'static str {
        self.0.as_str()
    }
}

/// What became of an event, as a label.
#[derive(Debug, Clone, Copy)]
struct EventResult(EventFate);

impl From<EventFate> for EventResult {
    fn from(fate: EventFate) -> Self {
        Self(fate)
    }
}

impl Label for EventResult {
    const NAME: &'static str = "result";

    fn all() -> Vec<Self> {
        [EventFate::Matched, EventFate::Waiting, EventFate::Duplicate].map(Self).to_vec()
    }

    fn value(self) -> &'static str {
        match self.0 {
            EventFate::Matched => "matched",
            EventFate::Waiting => "waiting",
            EventFate::Duplicate => "duplicate",
        }
    }
}
