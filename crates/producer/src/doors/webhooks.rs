//! `POST /webhooks/{provider}/{token}`: what providers say of our messages.
//!
//! The order is the promise: token, rate, body, signature, meaning, COMMIT, answer. The queue hears of it beside.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use mailfleet_model::{Class, Classify};
use mailfleet_store::{Endpoint, NewInbox, Received, TokenHash, WEBHOOK_TOKEN};
use mailfleet_webhooks::{Call, Provider, Reading, Refusal, Trust, by_name};
use serde_json::json;
use tokio::time::Instant;

use super::metrics::{ByKind, ByProvider, Outcome};
use super::reply::{self, Refused};
use super::{Door, body, secret};

/// What was taken.
struct Taken {
    outcome: Outcome,
    events: usize,
}

/// Takes one call.
pub async fn receive(
    State(door): State<Arc<Door>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let begun = Instant::now();
    let known = path.ok().and_then(|Path((provider, token))| Some((by_name(&provider)?, token)));
    let label = ByProvider(known.as_ref().map(|(provider, _)| provider.name()));
    let taken = match known {
        // A path that leads nowhere is never shown, nor why it does not.
        None => Err(Refused::not_found()),
        Some((provider, token)) => take(&door, provider, &token, request).await,
    };
    let metrics = &door.services.metrics.doors;
    let outcome = taken.as_ref().map_or_else(|refused| refused.outcome, |taken| taken.outcome);
    metrics.requests.get((label, outcome)).inc();
    metrics.seconds.observe(begun.elapsed().as_secs_f64());
    match taken {
        Ok(Taken { outcome: Outcome::Duplicate, .. }) => {
            reply::json(StatusCode::OK, json!({ "status": "duplicate" }))
        }
        Ok(Taken { events, .. }) => {
            reply::json(StatusCode::OK, json!({ "status": "accepted", "events": events }))
        }
        Err(refused) => refused.into_response(),
    }
}

async fn take(door: &Door, provider: &dyn Provider, token: &str, request: Request) -> Result<Taken, Refused> {
    if door.shutdown.is_stopping() {
        return Err(Refused::unavailable("this process is stopping; try again"));
    }
    let hash = TokenHash::of_token(WEBHOOK_TOKEN, token).ok_or_else(Refused::not_found)?;
    let endpoint = {
        let _slot = door.slot().await?;
        door.services.store.endpoint_by_token(hash).await
    };
    let endpoint = endpoint.map_err(|error| door.failed("look up a webhook endpoint", error))?;
    let endpoint = endpoint
        .filter(|endpoint| endpoint.enabled && endpoint.provider == provider.name())
        .ok_or_else(Refused::not_found)?;
    door.buckets.take(endpoint.id, Instant::now()).map_err(Refused::too_many)?;
    let (parts, content) = request.into_parts();
    let content = body::read(&parts.headers, content, &door.services.config.webhooks).await?;
    let reading = read(door, provider, &endpoint, &parts.headers, &content).await?;
    let call = NewInbox {
        endpoint: &endpoint,
        dedupe: &reading.dedupe,
        body: &content,
        events: &reading.events,
        note: reading.note.as_deref(),
    };
    let slot = door.slot().await?;
    let doubt = door.hint.in_doubt();
    let received = door.services.store.receive(&call).await;
    let received = received.map_err(|error| door.failed("keep a webhook call", error))?;
    // From here on it is committed; nothing may be waited for before the queue has heard of it.
    doubt.clear();
    drop(slot);
    match received {
        Received::Replay(_) => Ok(Taken { outcome: Outcome::Duplicate, events: 0 }),
        Received::New(row) => {
            if !reading.events.is_empty() {
                door.hint.committed(row);
            }
            let (events, ignored) = (reading.events.len(), reading.ignored);
            tracing::debug!(endpoint = endpoint.name, %row, events, ignored, "a webhook call was taken");
            let label = ByProvider(Some(provider.name()));
            for event in &reading.events {
                door.services.metrics.doors.events.get((label, ByKind(event.kind))).inc();
            }
            if reading.note.is_some() {
                let endpoint = endpoint.name.as_str();
                tracing::warn!(
                    endpoint,
                    "a webhook call asks an operator to act: see `mailfleet webhook list`"
                );
            }
            Ok(Taken { outcome: Outcome::Accepted, events: reading.events.len() })
        }
    }
}

/// Verifies a call, then says what it means.
async fn read(
    door: &Door,
    provider: &dyn Provider,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    content: &[u8],
) -> Result<Reading, Refused> {
    let name = endpoint.name.as_str();
    let secret = secret::read(&endpoint.secret).await;
    let mut verified = false;
    let read = secret.map_err(Refusal::Unconfigured).and_then(|secret| {
        // Header names are in lower case already; a value that is not text is none that a provider sends.
        let headers: Vec<(&str, &str)> =
            headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
        let call = Call::new(&headers, content);
        let trust = Trust {
            secret: &secret,
            topic: endpoint.topic.as_deref(),
            now_ms: door.services.clock.now_ms(),
            skew_seconds: door.services.config.webhooks.clock_skew_seconds,
        };
        provider.verify(&call, &trust)?;
        verified = true;
        provider.read(&call)
    });
    if verified && endpoint.note.is_some() && door.notes.may_clear(endpoint.id, Instant::now()) {
        door.note(endpoint, None).await;
    }
    match &read {
        Ok(_) => {}
        Err(Refusal::Unconfigured(why)) => {
            if let Some(suppressed) = door.unusable_log.open() {
                tracing::error!(
                    suppressed,
                    endpoint = name,
                    "a webhook endpoint cannot verify its calls: {why}"
                );
            }
            let needs = provider.secret();
            let note = format!(
                "calls are refused (503), because they cannot be verified: {why}. Put {needs} where the producer can read it; \
                 it is read for each call, and this goes with the next one that is verified. Where there are several producers, each \
                 of them must be able to read it"
            );
            door.notes.refused(endpoint.id);
            door.note(endpoint, Some(&note)).await;
        }
        // The reason is our text; what the caller wrote is in none of it but for names of fields.
        Err(Refusal::Malformed(why) | Refusal::Unverified(why)) => {
            if let Some(suppressed) = door.services.refusal_log.open() {
                tracing::warn!(suppressed, endpoint = name, "a webhook call was refused: {why}");
            }
        }
    }
    read.map_err(Refused::from)
}

impl Door {
    /// Leaves word for operators, who see it in `mailfleet webhook list`, why an endpoint takes no calls, or that it takes
    /// them again. It is written only where it is new, and no call waits for it longer than for a right to ask PostgreSQL,
    /// nor fails with it.
    async fn note(&self, endpoint: &Endpoint, note: Option<&str>) {
        if endpoint.note.as_deref() == note {
            return;
        }
        let Ok(_slot) = self.slot().await else { return };
        if let Err(error) = self.services.store.note_endpoint(endpoint, note).await {
            self.failed("note what is wrong with a webhook endpoint", error);
        }
    }

    /// Tells the log, once in a while, why PostgreSQL did not do it; the caller hears only what concerns it.
    pub(super) fn failed(&self, what: &str, error: mailfleet_store::Error) -> Refused {
        match self.services.outage_log.open() {
            Some(suppressed) if matches!(error.class(), Class::Outage | Class::Transient) => {
                tracing::warn!(suppressed, "cannot {what}: {error}; callers are asked to try again");
            }
            Some(suppressed) => tracing::error!(suppressed, "cannot {what}: {error}"),
            None => {}
        }
        Refused::from(error)
    }
}
