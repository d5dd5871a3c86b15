//! Reading a body: so much of it, for so long.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use futures::StreamExt as _;

use super::config::WebhooksConfig;
use super::metrics::Outcome;
use super::reply::Refused;

/// How much of a body that is too large is read and thrown away, in bytes, and for how long: a sender that still writes
/// when the connection is closed does not see the answer.
const LINGER_BYTES: usize = 4 << 20;
const LINGER: Duration = Duration::from_secs(2);

/// The body, at most as large and within the time that the configuration says.
pub async fn read(headers: &HeaderMap, body: Body, config: &WebhooksConfig) -> Result<Bytes, Refused> {
    let (max, within) = (config.body_max_bytes, config.body_timeout());
    let told: Option<usize> =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let mut stream = body.into_data_stream();
    let mut whole = Vec::with_capacity(told.unwrap_or(0).min(max));
    let reading = async {
        if told.is_some_and(|length| length > max) {
            return Ok::<bool, Refused>(false);
        }
        while let Some(piece) = stream.next().await {
            let piece =
                piece.map_err(|_| Refused::new(Outcome::Malformed, "the body broke off; send it again"))?;
            if whole.len() + piece.len() > max {
                return Ok(false);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(true)
    };
    let fits = tokio::time::timeout(within, reading).await.map_err(|_| {
        let message = format!("the body did not come within {} s; send it again", within.as_secs());
        Refused::new(Outcome::Slow, message)
    })??;
    if fits {
        return Ok(whole.into());
    }
    let linger = async {
        let mut thrown_away = 0;
        while let Some(Ok(piece)) = stream.next().await {
            thrown_away += piece.len();
            if thrown_away > LINGER_BYTES {
                break;
            }
        }
    };
    // Done or not: it is refused.
    let _ = tokio::time::timeout(LINGER, linger).await;
    Err(Refused::new(
        Outcome::TooLarge,
        format!("the body is larger than {max} bytes; send fewer events in one call"),
    ))
}
