//! Our own schema, for whoever can choose what it sends. README.md describes it.
//!
//! Signed like many webhooks: `X-Mailfleet-Signature: t=<seconds since 1970>,v1=<hex>`, where v1 is the HMAC-SHA256 of
//! `<t>.<body>`; several `v1` may stand there while a secret is being changed. Two calls with the same body are one: give
//! events that are alike an `id`.

use data_encoding::HEXLOWER;
use mailfleet_model::{EventKind, Permanence, address_key, lookup_message_id};
use serde_json::{Map, Value};

use super::{NAME_MAX_CHARS, Provider, RECIPIENT_MAX_CHARS, Reading, Sentence};
use crate::call::{Call, Trust};
use crate::code;
use crate::crypto;
use crate::refusal::Refusal;
use crate::time;

const SIGNATURE: &str = "x-mailfleet-signature";
/// Signatures looked at in one header.
const MAX_SIGNATURES: usize = 8;

/// Every key an event may have.
const KEYS: &[&str] = &[
    "event",
    "recipient",
    "message_id",
    "provider",
    "provider_message_id",
    "occurred_at",
    "permanence",
    "code",
    "enhanced_status",
    "diagnostic",
    "reason",
    "id",
];

/// The name of our own schema: who names no other provider speaks it.
pub const GENERIC: &str = "generic";

/// Our own schema.
pub(super) struct Generic;

impl Provider for Generic {
    fn name(&self) -> &'static str {
        GENERIC
    }

    fn secret(&self) -> &'static str {
        "a shared secret of your choice, at least 16 characters"
    }

    fn usable(&self, trust: &Trust<'_>) -> Result<(), Refusal> {
        trust.long_secrets().map(|_| ())
    }

    fn verify(&self, call: &Call<'_>, trust: &Trust<'_>) -> Result<(), Refusal> {
        // The file may have changed since the endpoint was added.
        let secrets = trust.long_secrets()?;
        let header = call.required(SIGNATURE)?;
        let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
        let shape = || Refusal::unverified(format!("`{SIGNATURE}` must be `t=<seconds>,v1=<hex>`"));
        let (_, time) = parts().find(|(key, _)| *key == "t").ok_or_else(shape)?;
        let signatures: Vec<Vec<u8>> = parts()
            .filter(|(key, _)| *key == "v1")
            .take(MAX_SIGNATURES)
            .filter_map(|(_, hex)| crypto::hex(hex))
            .collect();
        if signatures.is_empty() {
            return Err(shape());
        }
        let signed: [&[u8]; 3] = [time.as_bytes(), b".", call.body()];
        if !signatures.iter().any(|signature| crypto::hmac_sha256(&secrets, &signed, signature)) {
            return Err(Refusal::unverified(
                "the signature does not fit: it is the HMAC-SHA256 of `<t>.<body>` in hexadecimal",
            ));
        }
        trust.fresh(time)
    }

    fn read(&self, call: &Call<'_>) -> Result<Reading, Refusal> {
        let body = call.json()?;
        let sentences = match &body {
            Value::Array(items) => items
                .iter()
                .take(crate::MAX_EVENTS + 1)
                .enumerate()
                .map(|(index, item)| event(item, &format!("[{index}]")))
                .collect::<Result<Vec<_>, _>>()?,
            one => vec![event(one, "")?],
        };
        Reading::new(None, call, sentences)
    }
}

/// The value of `X-Mailfleet-Signature` for a call with this body at this time (seconds since 1970): what a sender does.
#[must_use]
pub fn sign(secret: &[u8], seconds: i64, body: &[u8]) -> String {
    let time = seconds.to_string();
    let signature = crypto::hmac_sha256_of(secret, &[time.as_bytes(), b".", body]);
    format!("t={time},v1={}", HEXLOWER.encode(&signature))
}

/// One event; `place` is its index in messages. An unknown word for what happened is no mistake: it may be a later one.
fn event(item: &Value, place: &str) -> Result<Option<Sentence>, Refusal> {
    let Value::Object(fields) = item else {
        return Err(Refusal::malformed(format!("{place}: must be an object")));
    };
    let fields = Fields { fields, place };
    if let Some(unknown) = fields.fields.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let shown: String = unknown.chars().take(60).collect();
        return Err(fields.wrong(&shown, &format!("is not known; the fields are {}", KEYS.join(", "))));
    }
    let kind = fields.text("event", 60)?.ok_or_else(|| fields.wrong("event", "is missing"))?;
    let recipient = fields
        .text("recipient", RECIPIENT_MAX_CHARS)?
        .filter(|recipient| !mailfleet_model::recipient_key(recipient).is_empty())
        .ok_or_else(|| fields.wrong("recipient", "is missing"))?;
    // Of a provider's own form whatever it writes is kept; in ours a mistake is told to whoever can mend it.
    let recipient = address_key(recipient)
        .ok_or_else(|| fields.wrong("recipient", "must be a bare address such as ann@example.com"))?;
    let message_id = fields.text("message_id", 2_000)?;
    let alias =
        fields.text("provider_message_id", NAME_MAX_CHARS)?.map(str::trim).filter(|id| !id.is_empty());
    if message_id.and_then(lookup_message_id).is_none() && alias.is_none() {
        return Err(fields
            .wrong("message_id", "is missing, and so is provider_message_id: one of them must be there"));
    }
    let occurred = fields.fields.get("occurred_at").filter(|value| !value.is_null());
    if occurred.is_some_and(|value| time::ms(value).is_none()) {
        return Err(fields.wrong("occurred_at", "must be RFC 3339 or seconds since 1970"));
    }
    let permanence = match fields.text("permanence", 10)? {
        None => None,
        Some("hard") => Some(Permanence::Hard),
        Some("soft") => Some(Permanence::Soft),
        Some(_) => return Err(fields.wrong("permanence", "must be `hard` or `soft`")),
    };
    let mut said = code::said(fields.text("diagnostic", usize::MAX)?.unwrap_or_default());
    match fields.fields.get("code").filter(|value| !value.is_null()) {
        None => {}
        Some(value) => {
            let code = value.as_u64().and_then(|code| code::smtp_code(&code.to_string()));
            said.smtp =
                Some(code.ok_or_else(|| fields.wrong("code", "must be an SMTP reply code, 200 to 599"))?);
        }
    }
    if let Some(word) = fields.text("enhanced_status", 20)? {
        let code = code::enhanced_code(word);
        said.enhanced = Some(code.ok_or_else(|| fields.wrong("enhanced_status", "must be like 5.1.1"))?);
    }
    fields.text("id", NAME_MAX_CHARS)?;
    // Registered under the same names: one that there is not would be an alias of nothing, and the event would wait for ever.
    let provider = fields.text("provider", usize::MAX)?;
    if provider.is_some_and(|name| super::by_name(name).is_none()) {
        let problem = format!("is not known; the providers are {}", super::names());
        return Err(fields.wrong("provider", &problem));
    }
    let reason = fields.text("reason", NAME_MAX_CHARS)?;
    let Ok(kind) = kind.parse::<EventKind>() else { return Ok(None) };
    let sentence = Sentence::bounced(recipient, permanence)
        .of_message(message_id)
        .known_as(provider.unwrap_or(GENERIC), alias)
        .at(occurred)
        .saying(said)
        .because(reason);
    Ok(Some(Sentence { kind: Some(kind), ..sentence }))
}

struct Fields<'a> {
    fields: &'a Map<String, Value>,
    place: &'a str,
}

impl<'a> Fields<'a> {
    fn wrong(&self, key: &str, problem: &str) -> Refusal {
        let dot = if self.place.is_empty() { "" } else { "." };
        Refusal::malformed(format!("{}{dot}{key}: {problem}", self.place))
    }

    fn text(&self, key: &str, max_chars: usize) -> Result<Option<&'a str>, Refusal> {
        match self.fields.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= max_chars => Ok(Some(text)),
            Some(Value::String(_)) => Err(self.wrong(key, &format!("is longer than {max_chars} characters"))),
            Some(_) => Err(self.wrong(key, "must be text")),
        }
    }
}
