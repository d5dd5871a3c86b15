//! Postal (postalserver/postal, `lib/postal/signer.rb`, `app/models/webhook.rb`): JSON `{event, timestamp, payload, uuid}`,
//! signed with the installation's RSA key over the raw body.
//!
//! The signed `timestamp` says when the call was first queued, and Postal repeats it unchanged
//! (`app/services/webhook_delivery_service.rb`): so it may be old, but not older than any repetition. A replay within that
//! time is known by the `uuid`, which is signed too.

use mailfleet_model::{EventKind, Permanence};

use super::{Provider, Reading, Sentence};
use crate::call::{Call, Trust};
use crate::code;
use crate::crypto::{self, Hash};
use crate::field;
use crate::refusal::Refusal;
use crate::time;

const SIGNATURE_256: &str = "x-postal-signature-256";
/// What older versions send alone.
const SIGNATURE: &str = "x-postal-signature";

/// Postal.
pub(super) struct Postal;

impl Provider for Postal {
    fn name(&self) -> &'static str {
        "postal"
    }

    fn secret(&self) -> &'static str {
        "the installation's public key in PEM: openssl rsa -in signing.key -pubout"
    }

    fn usable(&self, trust: &Trust<'_>) -> Result<(), Refusal> {
        crypto::public_keys(trust.secret).map(|_| ())
    }

    fn verify(&self, call: &Call<'_>, trust: &Trust<'_>) -> Result<(), Refusal> {
        let keys = crypto::public_keys(trust.secret)?;
        let (signature, hash) = match (call.header(SIGNATURE_256), call.header(SIGNATURE)) {
            (Some(signature), _) => (signature, Hash::Sha256),
            (None, Some(signature)) => (signature, Hash::Sha1),
            (None, None) => {
                return Err(Refusal::unverified(format!("the header `{SIGNATURE_256}` is missing")));
            }
        };
        let genuine = crypto::base64(signature.as_bytes())
            .is_some_and(|signature| crypto::rsa(&keys, hash, call.body(), &signature));
        if !genuine {
            return Err(Refusal::unverified("the signature does not fit the body and our key"));
        }
        // A call without a time is genuine all the same: whether it is a call of Postal at all is for `read` to say.
        let body = call.json().ok();
        let signed = body.as_ref().and_then(|body| field::at(body, &["timestamp"])).and_then(time::ms);
        signed.map_or(Ok(()), |signed| trust.recent(signed))
    }

    fn read(&self, call: &Call<'_>) -> Result<Reading, Refusal> {
        let body = call.json()?;
        let Some(event) = field::text(&body, &["event"]) else {
            return Err(Refusal::malformed("event: is missing"));
        };
        let place = if event == "MessageBounced" { "original_message" } else { "message" };
        let message = |key| field::text(&body, &["payload", place, key]);
        let to = message("to").unwrap_or_default();
        let details = field::text(&body, &["payload", "details"]).unwrap_or_default();
        let said = code::said(field::text(&body, &["payload", "output"]).unwrap_or(""));
        let sentence = match event {
            "MessageSent" => Some(Sentence::new(EventKind::Delivered, to)),
            "MessageDelayed" => Some(Sentence::new(EventKind::Deferred, to)),
            "MessageDeliveryFailed" => Some(Sentence::bounced(to, Some(Permanence::Hard))),
            // The returned mail's contents are not told.
            "MessageBounced" => Some(Sentence::bounced(to, None)),
            "MessageHeld" if details.to_lowercase().contains("suppress") => {
                Some(Sentence::rejected(to, "suppressed"))
            }
            // Held for a person, who may release it.
            "MessageHeld" => Some(Sentence::new(EventKind::Deferred, to).because(Some("held"))),
            "MessageLoaded" => Some(Sentence::new(EventKind::Opened, to)),
            "MessageLinkClicked" => Some(Sentence::new(EventKind::Clicked, to)),
            _ => None,
        };
        let time = field::at(&body, &["payload", "timestamp"]).or_else(|| field::at(&body, &["timestamp"]));
        let sentence = sentence.map(|sentence| {
            let said = if said.text.is_some() { said } else { code::said(details) };
            sentence
                .of_message(message("message_id"))
                .known_as(self.name(), message("token"))
                .at(time)
                .saying(said)
        });
        Reading::new(field::text(&body, &["uuid"]), call, vec![sentence])
    }
}
