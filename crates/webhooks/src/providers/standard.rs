//! Standard Webhooks (standardwebhooks.com): `webhook-id`, `webhook-timestamp`, and `webhook-signature` with one or more
//! `v1,<base64>`, each the HMAC-SHA256 of `<id>.<timestamp>.<body>`.
//!
//! The standard leaves the data to the sender. Read here: `type`, whose last word after a dot is what happened, and `data`
//! (or a list of them) with `message_id`, `provider_message_id`, `recipient`, `kind` (hard, soft), `status`, `diagnostic`
//! and `reason`.

use mailfleet_model::{EventKind, Permanence};
use serde_json::Value;

use super::{Provider, Reading, Sentence};
use crate::call::{Call, Trust};
use crate::code;
use crate::crypto;
use crate::field;
use crate::refusal::Refusal;

/// Signatures looked at in one header.
const MAX_SIGNATURES: usize = 8;

/// Standard Webhooks.
pub(super) struct Standard;

impl Provider for Standard {
    fn name(&self) -> &'static str {
        "standard-webhooks"
    }

    fn secret(&self) -> &'static str {
        "the signing secret, `whsec_` and base64"
    }

    fn usable(&self, trust: &Trust<'_>) -> Result<(), Refusal> {
        keys(trust).map(|_| ())
    }

    fn verify(&self, call: &Call<'_>, trust: &Trust<'_>) -> Result<(), Refusal> {
        let keys = keys(trust)?;
        // An id with dots makes the signed text ambiguous. It is harmless: a part of a JSON document that begins after
        // `.<digits>.` begins within a string, and is no document itself; nor is one with something before it.
        let (id, time) = (call.required("webhook-id")?, call.required("webhook-timestamp")?);
        let signed: [&[u8]; 5] = [id.as_bytes(), b".", time.as_bytes(), b".", call.body()];
        let genuine = call
            .required("webhook-signature")?
            .split_ascii_whitespace()
            .filter_map(|word| word.strip_prefix("v1,"))
            .take(MAX_SIGNATURES)
            .filter_map(|text| crypto::base64(text.as_bytes()))
            .any(|signature| crypto::hmac_sha256(&keys, &signed, &signature));
        if !genuine {
            return Err(Refusal::unverified("no `v1` signature fits id, timestamp and body"));
        }
        trust.fresh(time)
    }

    fn read(&self, call: &Call<'_>) -> Result<Reading, Refusal> {
        let body = call.json()?;
        let Some(kind) = field::text(&body, &["type"]) else {
            return Err(Refusal::malformed("type: is missing"));
        };
        let kind = kind.rsplit('.').next().and_then(|word| word.parse::<EventKind>().ok());
        let data = field::list(&body, &["data"]);
        let time = field::at(&body, &["timestamp"]);
        let sentences = data.iter().take(crate::MAX_EVENTS + 1).map(|data| sentence(kind?, data, time));
        Reading::new(call.header("webhook-id"), call, sentences.collect())
    }
}

fn sentence(kind: EventKind, data: &Value, time: Option<&Value>) -> Option<Sentence> {
    let permanence = match field::text(data, &["kind"]) {
        Some("hard") => Some(Permanence::Hard),
        Some("soft") => Some(Permanence::Soft),
        _ => None,
    };
    let mut said = code::said(field::text(data, &["diagnostic"]).unwrap_or_default());
    said.enhanced = field::text(data, &["status"]).and_then(code::enhanced_code).or(said.enhanced);
    let sentence = Sentence::bounced(field::text(data, &["recipient"])?, permanence)
        .of_message(field::text(data, &["message_id"]))
        .known_as("standard-webhooks", field::word(data, &["provider_message_id"]).as_deref())
        .at(field::at(data, &["timestamp"]).or(time))
        .saying(said)
        .because(field::text(data, &["reason"]));
    Some(Sentence { kind: Some(kind), ..sentence })
}

/// The keys: base64, with or without the usual prefix.
fn keys(trust: &Trust<'_>) -> Result<Vec<Vec<u8>>, Refusal> {
    trust
        .secrets()?
        .into_iter()
        .map(|secret| {
            let text = secret.strip_prefix(b"whsec_").unwrap_or(secret);
            crypto::base64(text).filter(|key| key.len() >= 16).ok_or_else(|| {
                Refusal::unconfigured("the secret is not `whsec_` and base64 of at least 16 bytes")
            })
        })
        .collect()
}
