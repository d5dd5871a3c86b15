//! `POST /v1/messages`: what we send, told by whoever sends it. Idempotent: a call that is repeated changes nothing. A list
//! with a mistake in it registers none; a good one is registered in several transactions, so after a refusal in the middle
//! a part of it stays registered, and the same call again does the rest.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use mailfleet_store::{API_TOKEN, ApiToken, Registered, TokenHash};
use serde_json::json;
use tokio::time::Instant;

use super::metrics::Outcome;
use super::reference::{self, Unresolved};
use super::registration;
use super::reply::{self, Refused};
use super::{Door, body};

/// Messages in one call at most.
const MESSAGES_MAX: usize = 1_000;

/// How many messages of a call were new and how many were known.
struct Counted {
    registered: u64,
    known: u64,
}

/// Registers the messages of one call.
pub async fn register(State(door): State<Arc<Door>>, request: Request) -> Response {
    let taken = take(&door, request).await;
    let metrics = &door.services.metrics.doors;
    let outcome = taken.as_ref().map_or_else(
        |refused| refused.outcome,
        |counted| if counted.registered > 0 { Outcome::Accepted } else { Outcome::Duplicate },
    );
    metrics.registrations.get(outcome).inc();
    match taken {
        Ok(Counted { registered, known }) => {
            metrics.registered.inc_by(registered);
            reply::json(StatusCode::CREATED, json!({ "registered": registered, "known": known }))
        }
        Err(refused) => refused.into_response(),
    }
}

async fn take(door: &Door, request: Request) -> Result<Counted, Refused> {
    if door.shutdown.is_stopping() {
        return Err(Refused::unavailable("this process is stopping; try again"));
    }
    let (parts, content) = request.into_parts();
    let token = authorized(door, &parts.headers).await?;
    door.buckets.take(token.id, Instant::now()).map_err(Refused::too_many)?;
    let content = body::read(&parts.headers, content, &door.services.config.webhooks).await?;
    let call = registration::read(&content, MESSAGES_MAX)
        .map_err(|problem| Refused::new(Outcome::Malformed, problem))?;
    let now_ms = door.services.clock.now_ms();
    let _slot = door.slot().await?;
    let messages = reference::resolve(&door.services.store, token.tenant, call, now_ms).await;
    let messages = messages.map_err(|unresolved| match unresolved {
        Unresolved::Unknown(problem) => Refused::new(Outcome::UnknownReference, problem),
        Unresolved::Store(error) => door.failed("look up what messages refer to", error),
    })?;
    let registered = door.services.store.register_outbound(&messages).await;
    let registered = registered.map_err(|error| door.failed("register messages", error))?;
    let new = registered.iter().filter(|one| **one == Registered::New).count();
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Ok(Counted { registered: count(new), known: count(registered.len() - new) })
}

/// The token of `Authorization: Bearer <token>`; the same answer whether it is missing, unknown or revoked.
async fn authorized(door: &Door, headers: &HeaderMap) -> Result<ApiToken, Refused> {
    let refused = || {
        let message =
            "give a token that is good: `Authorization: Bearer <token>` (`mailfleet token add` makes one)";
        Refused::new(Outcome::Unauthorized, message)
    };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = match given.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => return Err(refused()),
    };
    let hash = TokenHash::of_token(API_TOKEN, token).ok_or_else(refused)?;
    let known = {
        let _slot = door.slot().await?;
        door.services.store.api_token(hash).await
    };
    let known = known.map_err(|error| door.failed("look up a token", error))?;
    known.filter(|token| token.revoked.is_none()).ok_or_else(refused)
}
