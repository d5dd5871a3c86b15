//! The metrics of the doors.

use mailfleet_model::EventKind;
use mailfleet_runtime::metrics::SECONDS;
use mailfleet_runtime::{AgeGauges, CounterFamily, DepthGauges, Label, Metrics};
use prometheus::{Histogram, IntCounter};

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Taken.
    Accepted,
    /// Taken before.
    Duplicate,
    /// 400.
    Malformed,
    /// 401.
    Unauthorized,
    /// 404.
    NotFound,
    /// 408.
    Slow,
    /// 413.
    TooLarge,
    /// 422.
    UnknownReference,
    /// 429.
    RateLimited,
    /// 503.
    Unavailable,
}

impl Label for Outcome {
    const NAME: &'static str = "result";

    fn all() -> Vec<Self> {
        vec![
            Self::Accepted,
            Self::Duplicate,
            Self::Malformed,
            Self::Unauthorized,
            Self::NotFound,
            Self::Slow,
            Self::TooLarge,
            Self::UnknownReference,
            Self::RateLimited,
            Self::Unavailable,
        ]
    }

    fn value(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Malformed => "malformed",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::Slow => "slow",
            Self::TooLarge => "too_large",
            Self::UnknownReference => "unknown_reference",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
        }
    }
}

/// A provider that is known here; what the caller writes is never a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByProvider(pub Option<&'static str>);

impl Label for ByProvider {
    const NAME: &'static str = "provider";

    fn all() -> Vec<Self> {
        let known = mailfleet_webhooks::all().iter().map(|provider| Self(Some(provider.name())));
        known.chain([Self(None)]).collect()
    }

    fn value(self) -> &'static str {
        self.0.unwrap_or("unknown")
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByKind(pub EventKind);

impl Label for ByKind {
    const NAME: &'static str = "kind";

    fn all() -> Vec<Self> {
        EventKind::ALL.map(Self).to_vec()
    }

    fn value(self) -> &'static str {
        self.0.as_str()
    }
}

/// The metrics of the doors, registered once. They are there without a door too: calls may wait from before.
#[derive(Debug)]
pub struct DoorMetrics {
    /// Webhook calls.
    pub requests: CounterFamily<(ByProvider, Outcome)>,
    /// Events of webhook calls that were taken.
    pub events: CounterFamily<(ByProvider, ByKind)>,
    /// Calls whose events took no effect yet; absent while unknown.
    pub waiting: DepthGauges,
    /// For how long the oldest of them has waited; 0 without any, absent while unknown.
    pub oldest: AgeGauges,
    /// From the request's head to the answer.
    pub seconds: Histogram,
    /// Calls that the sweep put into the queue again.
    pub swept: IntCounter,
    /// Calls that the sweep could not put into the queue again, counted at each look.
    pub sweep_failed: IntCounter,
    /// Registrations, by what became of the call.
    pub registrations: CounterFamily<Outcome>,
    /// Messages that were registered for the first time.
    pub registered: IntCounter,
}

impl DoorMetrics {
    /// Registers all of them.
    pub fn register(metrics: &Metrics) -> prometheus::Result<Self> {
        Ok(Self {
            requests: metrics.counters(
                "mailfleet_webhook_requests_total",
                "Webhook calls by provider (unknown: a path that leads nowhere) and what became of them.",
            )?,
            events: metrics.counters(
                "mailfleet_webhook_events_total",
                "Delivery events of webhook calls that were taken, repetitions left out.",
            )?,
            waiting: metrics.depths(
                "mailfleet_webhook_inbox_waiting",
                "Webhook calls whose events took no effect yet; absent while unknown; use max over replicas.",
                &[],
            )?,
            oldest: metrics.ages(
                "mailfleet_webhook_inbox_oldest_age_seconds",
                "For how long the oldest webhook call without effect has waited; 0 without any, absent while unknown; use max \
                 over replicas.",
                &[],
            )?,
            seconds: metrics.histogram(
                "mailfleet_webhook_seconds",
                "From the head of a webhook call to its answer.",
                SECONDS,
            )?,
            swept: metrics.counter(
                "mailfleet_webhook_swept_total",
                "Webhook calls without effect that were put into the queue again because it did not know them.",
            )?,
            sweep_failed: metrics.counter(
                "mailfleet_webhook_sweep_failed_total",
                "Webhook calls without effect that the sweep could not put into the queue, because its lane or Redis was full \
                 or it was closed; the next look tries, and counts, those again.",
            )?,
            registrations: metrics.counters(
                "mailfleet_outbound_requests_total",
                "Calls that register outbound messages, by what became of them.",
            )?,
            registered: metrics.counter(
                "mailfleet_outbound_registered_total",
                "Outbound messages that were registered for the first time.",
            )?,
        })
    }
}
