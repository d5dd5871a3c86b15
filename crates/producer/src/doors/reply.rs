//! What the doors answer: a status, and JSON that says what to do about it. What breaks the rules of HTTP itself does not
//! get as far: the HTTP library answers it with a bare 400 or 431.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mailfleet_model::{Class, Classify};
use mailfleet_webhooks::Refusal;
use serde_json::{Value, json};

use super::metrics::Outcome;

/// How long a sender should wait before it tries again when we cannot take anything.
const UNAVAILABLE_SECONDS: u64 = 5;

/// Why a call is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What became of it.
    pub outcome: Outcome,
    /// For people: what is wrong, and what to do. Holds no secret and no part of the path.
    pub message: String,
    /// Seconds after which to try again.
    pub retry_after: Option<u64>,
}

impl Refused {
    /// A refusal for good.
    pub fn new(outcome: Outcome, message: impl Into<String>) -> Self {
        Self { outcome, message: message.into(), retry_after: None }
    }

    /// The same answer for an unknown provider, an unknown token and a disabled endpoint.
    pub fn not_found() -> Self {
        Self::new(
            Outcome::NotFound,
            "there is no such endpoint; check the address (`mailfleet webhook list`)",
        )
    }

    /// Too many calls.
    pub fn too_many(seconds: u64) -> Self {
        let message = format!("too many calls; try again in {seconds} s");
        Self { retry_after: Some(seconds), ..Self::new(Outcome::RateLimited, message) }
    }

    /// We cannot take anything now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { retry_after: Some(UNAVAILABLE_SECONDS), ..Self::new(Outcome::Unavailable, message) }
    }

    const fn status(&self) -> (StatusCode, &'static str) {
        match self.outcome {
            Outcome::Accepted | Outcome::Duplicate => (StatusCode::OK, "ok"),
            Outcome::Malformed => (StatusCode::BAD_REQUEST, "malformed"),
            Outcome::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Outcome::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Outcome::Slow => (StatusCode::REQUEST_TIMEOUT, "slow"),
            Outcome::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Outcome::UnknownReference => (StatusCode::UNPROCESSABLE_ENTITY, "unknown_reference"),
            Outcome::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
            Outcome::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed(message) => Self::new(Outcome::Malformed, message),
            Refusal::Unverified(message) => Self::new(Outcome::Unauthorized, message),
            // Ours to mend: the sender may come again, and is not told about it.
            Refusal::Unconfigured(_) => {
                Self::unavailable("this endpoint cannot verify calls at the moment; try again later")
            }
        }
    }
}

impl From<mailfleet_store::Error> for Refused {
    fn from(error: mailfleet_store::Error) -> Self {
        match error.class() {
            Class::Data | Class::Hostile => Self::new(Outcome::Malformed, "the call cannot be kept as it is"),
            // A mistake of ours is an outage to the sender: it must not throw the call away.
            Class::Outage | Class::Transient | Class::Policy | Class::Fault => {
                Self::unavailable("nothing can be kept at the moment; try again later")
            }
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, code) = self.status();
        let mut response = error(status, code, &self.message);
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// JSON with a status.
pub fn json(status: StatusCode, body: Value) -> Response {
    (status, Json(body)).into_response()
}

fn error(status: StatusCode, code: &str, message: &str) -> Response {
    json(status, json!({ "error": code, "message": message }))
}

/// 404 for whatever else is asked for.
pub async fn no_such_path() -> Response {
    error(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is nothing here; POST /webhooks/{provider}/{token} or POST /v1/messages",
    )
}

/// 405 for another method than POST.
pub async fn only_post() -> Response {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "use POST");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    response
}
