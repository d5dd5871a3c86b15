//! Amazon SES by way of SNS: an envelope whose `Message` is JSON as text, signed by SNS with a key that it shows in a
//! certificate.
//!
//! - The certificate is the endpoint's secret: the operator fetches it once from the SNS host and pins it (the next one is
//!   put beside it when Amazon changes it). Nothing is ever fetched because a caller names an address: neither the
//!   certificate nor the address that confirms a subscription, which is left as a note for the operator.
//! - The topic must be the endpoint's: whoever has an account at Amazon can have messages signed by that key.
//! - SNS repeats a message for up to an hour with its first time, which is signed: it may be old, but not older than any
//!   repetition. A replay within that time is known by the `MessageId`, which is signed too. What is signed is a text of
//!   lines without lengths: so that it can be split in one way only, no field but `Message` may break a line.

use mailfleet_model::{EventKind, Permanence};
use serde_json::Value;

use super::{Provider, Reading, Sentence};
use crate::call::{Call, Trust};
use crate::code::{self, Said};
use crate::crypto::{self, Hash};
use crate::field;
use crate::refusal::Refusal;
use crate::time;

/// What is signed of a notification, in this order; `Subject` only where it is there.
const NOTIFICATION: &[&str] = &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"];
/// What is signed of a confirmation.
const CONFIRMATION: &[&str] =
    &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];
/// Recipients looked at in one event; SES takes 50 a message.
const MAX_RECIPIENTS: usize = 1_000;

/// Amazon SES through SNS.
pub(super) struct SesSns;

impl Provider for SesSns {
    fn name(&self) -> &'static str {
        "ses-sns"
    }

    fn secret(&self) -> &'static str {
        "the certificate (PEM) that SigningCertURL of the topic's messages names, fetched by you"
    }

    fn needs_topic(&self) -> bool {
        true
    }

    fn usable(&self, trust: &Trust<'_>) -> Result<(), Refusal> {
        topic(trust)?;
        crypto::certificate_keys(trust.secret, trust.now_ms).map(|_| ())
    }

    fn verify(&self, call: &Call<'_>, trust: &Trust<'_>) -> Result<(), Refusal> {
        let keys = crypto::certificate_keys(trust.secret, trust.now_ms)?;
        let wanted = topic(trust)?;
        let envelope = call.json()?;
        let part = |key: &str| field::text(&envelope, &[key]);
        let need = |key: &str| part(key).ok_or_else(|| Refusal::unverified(format!("{key}: is missing")));
        let signed = match need("Type")? {
            "Notification" => NOTIFICATION,
            "SubscriptionConfirmation" | "UnsubscribeConfirmation" => CONFIRMATION,
            _ => return Err(Refusal::unverified("Type: is none of SNS")),
        };
        let hash = match need("SignatureVersion")? {
            "1" => Hash::Sha1,
            "2" => Hash::Sha256,
            _ => return Err(Refusal::unverified("SignatureVersion: must be 1 or 2")),
        };
        if !is_sns_address(need("SigningCertURL")?) {
            return Err(Refusal::unverified("SigningCertURL: is not an https address of SNS"));
        }
        let mut text = String::new();
        for key in signed {
            match part(key) {
                // SNS publishes no subject with a line break or another control character ("Publish", `Subject`), and
                // what else is signed is its own writing.
                Some(value) if *key != "Message" && value.contains(char::is_control) => {
                    return Err(Refusal::unverified(format!("{key}: contains a control character")));
                }
                Some(value) => text.extend([*key, "\n", value, "\n"]),
                None if *key == "Subject" => {}
                None => return Err(Refusal::unverified(format!("{key}: is missing"))),
            }
        }
        let genuine = crypto::base64(need("Signature")?.as_bytes())
            .is_some_and(|signature| crypto::rsa(&keys, hash, text.as_bytes(), &signature));
        if !genuine {
            return Err(Refusal::unverified(
                "the signature does not fit the message and the pinned certificate",
            ));
        }
        if part("TopicArn") != Some(wanted) {
            return Err(Refusal::unverified("TopicArn: is not the topic of this endpoint"));
        }
        let signed = field::at(&envelope, &["Timestamp"]).and_then(time::ms);
        trust.recent(signed.ok_or_else(|| Refusal::unverified("Timestamp: is not a time"))?)
    }

    fn read(&self, call: &Call<'_>) -> Result<Reading, Refusal> {
        let envelope = call.json()?;
        let id = field::text(&envelope, &["MessageId"]);
        match field::text(&envelope, &["Type"]) {
            Some("Notification") => {
                // Plain text is what SNS itself says, such as that the topic works.
                let message = field::text(&envelope, &["Message"])
                    .and_then(|text| serde_json::from_str::<Value>(text).ok())
                    .unwrap_or_default();
                let sentences = sentences(&message);
                // A message that means nothing here is one thing that was said.
                Reading::new(id, call, if sentences.is_empty() { vec![None] } else { sentences })
            }
            Some("SubscriptionConfirmation") => {
                let address = field::text(&envelope, &["SubscribeURL"]).filter(|url| is_sns_address(url));
                let note = address.map(|url| format!("confirm the subscription by opening {url}"));
                Ok(Reading { note, ..Reading::new(id, call, vec![None])? })
            }
            Some("UnsubscribeConfirmation") => {
                let note = Some(
                    "the topic's subscription was ended; subscribe again if that was a mistake".to_owned(),
                );
                Ok(Reading { note, ..Reading::new(id, call, vec![None])? })
            }
            _ => Err(Refusal::malformed("Type: must be Notification or a confirmation of SNS")),
        }
    }
}

fn topic<'a>(trust: &Trust<'a>) -> Result<&'a str, Refusal> {
    trust.topic.ok_or_else(|| Refusal::unconfigured("the endpoint names no topic"))
}

/// `https://sns.<region>.amazonaws.com/…` (or amazonaws.com.cn), without port, user or anything else in the host.
fn is_sns_address(url: &str) -> bool {
    let Some((host, path)) = url.strip_prefix("https://").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let region = host.strip_prefix("sns.").and_then(|rest| {
        rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn"))
    });
    let plain = |region: &str| {
        (1..=40).contains(&region.len())
            && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    region.is_some_and(plain) && path.len() < 2_000 && path.bytes().all(|byte| byte.is_ascii_graphic())
}

fn sentences(message: &Value) -> Vec<Option<Sentence>> {
    // `eventType` from configuration sets, `notificationType` from identities.
    let kind = field::text(message, &["eventType"]).or_else(|| field::text(message, &["notificationType"]));
    let mail = |key: &str| field::at(message, &["mail", key]);
    let make = |part: &str, list: &[Value], sentence: &dyn Fn(&str, &Value) -> Sentence| {
        let time = field::at(message, &[part, "timestamp"]).or_else(|| mail("timestamp"));
        list.iter()
            .take(MAX_RECIPIENTS)
            .map(|entry| {
                let to = entry.as_str().or_else(|| field::text(entry, &["emailAddress"]))?;
                let message_id = field::text(message, &["mail", "commonHeaders", "messageId"]);
                let alias = mail("messageId").and_then(Value::as_str);
                Some(
                    sentence(to, entry)
                        .of_message(message_id)
                        .known_as("ses-sns", alias)
                        .at(time)
                        .saying(said(entry)),
                )
            })
            .collect::<Vec<_>>()
    };
    let of = |part: &str, key: &str| field::list(message, &[part, key]);
    let all = of("mail", "destination");
    match kind {
        Some("Bounce") => make("bounce", of("bounce", "bouncedRecipients"), &|to, _| bounced(message, to)),
        // Amazon took an address of its own list of complaints for the recipient and sent nothing.
        Some("Complaint") if suppressed(message, &["complaint", "complaintSubType"]) => {
            make("complaint", of("complaint", "complainedRecipients"), &|to, _| {
                Sentence::rejected(to, "suppressed")
            })
        }
        // The recipient, or who reads for it, says that the mail is wanted (RFC 6430): the opposite of a complaint.
        Some("Complaint") if wanted(message) => Vec::new(),
        Some("Complaint") => make("complaint", of("complaint", "complainedRecipients"), &|to, _| {
            Sentence::new(EventKind::Complained, to)
        }),
        Some("Delivery") => {
            make("delivery", of("delivery", "recipients"), &|to, _| Sentence::new(EventKind::Delivered, to))
        }
        Some("DeliveryDelay") => make("deliveryDelay", of("deliveryDelay", "delayedRecipients"), &|to, _| {
            Sentence::new(EventKind::Deferred, to)
                .because(field::text(message, &["deliveryDelay", "delayType"]))
        }),
        Some("Send") => make("send", all, &|to, _| Sentence::new(EventKind::Sent, to)),
        Some("Reject") => make("reject", all, &|to, _| Sentence::rejected(to, "rejected")),
        Some("Rendering Failure") => make("failure", all, &|to, _| Sentence::rejected(to, "rejected")),
        Some("Open") => make("open", all, &|to, _| Sentence::new(EventKind::Opened, to)),
        Some("Click") => make("click", all, &|to, _| Sentence::new(EventKind::Clicked, to)),
        Some("Subscription") => {
            make("subscription", all, &|to, _| Sentence::new(EventKind::Unsubscribed, to))
        }
        _ => Vec::new(),
    }
}

fn bounced(message: &Value, to: &str) -> Sentence {
    if suppressed(message, &["bounce", "bounceSubType"]) {
        return Sentence::rejected(to, "suppressed");
    }
    let permanence = match field::text(message, &["bounce", "bounceType"]) {
        Some("Permanent") => Some(Permanence::Hard),
        Some("Transient") => Some(Permanence::Soft),
        // Also what out-of-office replies come as: nothing is concluded.
        _ => None,
    };
    let reason = match field::text(message, &["bounce", "bounceSubType"]) {
        Some("MailboxFull") => Some("mailboxfull"),
        Some("NoEmail") => Some("userunknown"),
        Some("MessageTooLarge") => Some("mesgtoobig"),
        Some("ContentRejected" | "AttachmentRejected") => Some("contenterror"),
        _ => None,
    };
    Sentence::bounced(to, permanence).because(reason)
}

fn suppressed(message: &Value, path: &[&str]) -> bool {
    matches!(field::text(message, path), Some("Suppressed" | "OnAccountSuppressionList"))
}

fn wanted(message: &Value) -> bool {
    field::text(message, &["complaint", "complaintFeedbackType"])
        .is_some_and(|kind| kind.eq_ignore_ascii_case("not-spam"))
}

fn said(entry: &Value) -> Said {
    let said = code::said(field::text(entry, &["diagnosticCode"]).unwrap_or_default());
    let enhanced = field::text(entry, &["status"]).and_then(code::enhanced_code);
    Said { enhanced: enhanced.or(said.enhanced.clone()), ..said }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_sns_itself_are_addresses_of_sns() {
        for good in [
            "https://sns.us-east-1.amazonaws.com/x.pem",
            "https://sns.cn-north-1.amazonaws.com.cn/?Action=Confirm&Token=a",
        ] {
            assert!(is_sns_address(good), "{good}");
        }
        for bad in [
            "http://sns.us-east-1.amazonaws.com/x.pem",
            "https://sns.us-east-1.amazonaws.com.example.org/x.pem",
            "https://sns.us-east-1.amazonaws.com@example.org/x.pem",
            "https://sns.us-east-1.amazonaws.com:8443/x.pem",
            "https://example.org/sns.us-east-1.amazonaws.com/x.pem",
            "https://sns.a.b.amazonaws.com/x.pem",
            "https://sns..amazonaws.com/x.pem",
            "https://evil-sns.us-east-1.amazonaws.com/x.pem",
            "https://sns.us-east-1.amazonaws.com/x y",
            "https://sns.us-east-1.amazonaws.com",
            "",
        ] {
            assert!(!is_sns_address(bad), "{bad}");
        }
    }
}
