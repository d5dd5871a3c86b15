//! Mailgun: JSON `{signature, event-data}`. The signature covers its own time and token alone, not the event: so a call is
//! taken only once by its token, and only within the time that Mailgun repeats it.

use mailfleet_model::{EventKind, Permanence};
use serde_json::Value;

use super::{Provider, Reading, Sentence};
use crate::call::{Call, Trust};
use crate::code::{self, Said};
use crate::crypto;
use crate::field;
use crate::refusal::Refusal;

/// Mailgun.
pub(super) struct Mailgun;

impl Provider for Mailgun {
    fn name(&self) -> &'static str {
        "mailgun"
    }

    fn secret(&self) -> &'static str {
        "the account's HTTP webhook signing key"
    }

    fn usable(&self, trust: &Trust<'_>) -> Result<(), Refusal> {
        trust.long_secrets().map(|_| ())
    }

    fn verify(&self, call: &Call<'_>, trust: &Trust<'_>) -> Result<(), Refusal> {
        let secrets = trust.long_secrets()?;
        let body = call.json()?;
        let part = |key| {
            field::word(&body, &["signature", key])
                .ok_or_else(|| Refusal::unverified(format!("signature.{key}: is missing")))
        };
        let (time, token, signature) = (part("timestamp")?, part("token")?, part("signature")?);
        let genuine = crypto::hex(&signature).is_some_and(|signature| {
            crypto::hmac_sha256(&secrets, &[time.as_bytes(), token.as_bytes()], &signature)
        });
        if !genuine {
            return Err(Refusal::unverified("the signature does not fit its time and token"));
        }
        // Not signed anew when it is repeated, which goes on for eight hours: an outage of ours must not make it stale.
        // Until then, and after it, the token is what keeps somebody from putting another event under the signature. Time
        // and token are signed without anything between them: with a digit more or less it is no time of this century
        // that is recent.
        let seconds: i64 = time
            .parse()
            .map_err(|_| Refusal::unverified("signature.timestamp: is not a number of seconds since 1970"))?;
        trust.recent(seconds.saturating_mul(1_000))
    }

    fn read(&self, call: &Call<'_>) -> Result<Reading, Refusal> {
        let body = call.json()?;
        let Some(data) = field::at(&body, &["event-data"]).filter(|data| data.is_object()) else {
            return Err(Refusal::malformed("event-data: is missing"));
        };
        let Some(event) = field::text(data, &["event"]) else {
            return Err(Refusal::malformed("event-data.event: is missing"));
        };
        let to = field::text(data, &["recipient"]).unwrap_or_default();
        let said = said(data);
        let sentence = match event {
            "accepted" => Some(Sentence::new(EventKind::Sent, to)),
            "delivered" => Some(Sentence::new(EventKind::Delivered, to)),
            "failed" => Some(failed(data, to, said.smtp)),
            "rejected" => Some(Sentence::rejected(to, "rejected")),
            "complained" => Some(Sentence::new(EventKind::Complained, to)),
            "unsubscribed" => Some(Sentence::new(EventKind::Unsubscribed, to)),
            "opened" => Some(Sentence::new(EventKind::Opened, to)),
            "clicked" => Some(Sentence::new(EventKind::Clicked, to)),
            _ => None,
        };
        let sentence = sentence.map(|sentence| {
            sentence
                .of_message(field::text(data, &["message", "headers", "message-id"]))
                .at(field::at(data, &["timestamp"]))
                .saying(said)
        });
        Reading::new(field::word(&body, &["signature", "token"]).as_deref(), call, vec![sentence])
    }
}

/// "Permanent" here means that Mailgun will not try again. That says something of the address only where the remote server
/// refused it: not where Mailgun suppressed the message itself, nor where it gave up after too long.
fn failed(data: &Value, to: &str, smtp: Option<u16>) -> Sentence {
    let reason = field::text(data, &["reason"]).unwrap_or_default();
    if field::text(data, &["severity"]) == Some("temporary") {
        return Sentence::new(EventKind::Deferred, to).because(Some(reason));
    }
    if reason.starts_with("suppress") {
        return Sentence::rejected(to, "suppressed");
    }
    let soft = field::text(data, &["delivery-status", "bounce-type"]) == Some("soft")
        || matches!(reason, "old" | "espblock")
        || smtp.is_some_and(|code| code < 500);
    let permanence = if soft { Permanence::Soft } else { Permanence::Hard };
    Sentence::bounced(to, Some(permanence)).because(Some(reason))
}

fn said(data: &Value) -> Said {
    let status = |key| field::text(data, &["delivery-status", key]).filter(|text| !text.is_empty());
    let said = code::said(status("message").or_else(|| status("description")).unwrap_or_default());
    let number = field::at(data, &["delivery-status", "code"]).and_then(Value::as_u64);
    Said {
        // Mailgun's own codes (605 and the like) are not SMTP's.
        smtp: number.and_then(|code| code::smtp_code(&code.to_string())).or(said.smtp),
        enhanced: status("enhanced-code").and_then(code::enhanced_code).or(said.enhanced),
        text: said.text,
    }
}
