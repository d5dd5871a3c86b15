//! The providers. Adding one is a file here, with its entry in [`ALL`], and a test of its vectors.

pub(crate) mod generic;
mod mailgun;
mod postal;
mod ses_sns;
mod standard;

use mailfleet_model::{DIAGNOSTIC_MAX_CHARS, DeliveryEvent, EventKind, Permanence, lookup_message_id};
use serde_json::Value;

use crate::call::{Call, Trust};
use crate::code::Said;
use crate::crypto;
use crate::refusal::Refusal;
use crate::time;

/// Longest address that can be a recipient (RFC 5321 §4.5.3.1: 64 + 1 + 255).
const RECIPIENT_MAX_CHARS: usize = 320;
/// Longest name that a provider may give a message or a call, in characters.
const NAME_MAX_CHARS: usize = 200;

/// Who sends calls, how they are known to be genuine, and what they mean.
pub trait Provider: Sync {
    /// The word in the path, in metrics, and before the ids of its messages.
    fn name(&self) -> &'static str;

    /// What its secret is and where an operator finds it, for the command line.
    fn secret(&self) -> &'static str;

    /// Whether its endpoints must name the Amazon SNS topic that they take messages of.
    fn needs_topic(&self) -> bool {
        false
    }

    /// Whether an endpoint's secret can be used at all.
    ///
    /// # Errors
    /// [`Refusal::Unconfigured`], with what is wrong.
    fn usable(&self, trust: &Trust<'_>) -> Result<(), Refusal>;

    /// Whether a call is genuine: nothing of it is believed before.
    ///
    /// # Errors
    /// [`Refusal::Unverified`]; [`Refusal::Malformed`] where not even the signature can be found;
    /// [`Refusal::Unconfigured`] where our secret is none.
    fn verify(&self, call: &Call<'_>, trust: &Trust<'_>) -> Result<(), Refusal>;

    /// What a genuine call means. What it says of something else than one of our messages, or in words that are not
    /// known here, gives no event and is no error: it is kept all the same.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] for what has not the shape of this provider's calls.
    fn read(&self, call: &Call<'_>) -> Result<Reading, Refusal>;
}

/// What a call means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What tells a repetition of this call from a new one, 1 to 200 characters.
    pub dedupe: String,
    /// What it says of our messages.
    pub events: Vec<DeliveryEvent>,
    /// How many further things it says, which mean no event here.
    pub ignored: usize,
    /// What an operator has to do about it.
    pub note: Option<String>,
}

impl Reading {
    /// The reading of a call that the provider gave this id. One without an id, or with an id that is too long, is known
    /// by its body.
    fn new(id: Option<&str>, call: &Call<'_>, sentences: Vec<Option<Sentence>>) -> Result<Self, Refusal> {
        if sentences.len() > crate::MAX_EVENTS {
            let problem =
                format!("{} events in one call, at most {} are taken", sentences.len(), crate::MAX_EVENTS);
            return Err(Refusal::malformed(problem));
        }
        let dedupe = match id.map(|id| id.replace('\0', "")) {
            Some(id) if !id.is_empty() && id.chars().count() <= NAME_MAX_CHARS => id,
            Some(id) if !id.is_empty() => crypto::fingerprint(id.as_bytes()),
            _ => crypto::fingerprint(call.body()),
        };
        let said = sentences.len();
        let events: Vec<DeliveryEvent> =
            sentences.into_iter().flatten().filter_map(Sentence::into_event).collect();
        Ok(Self { dedupe, ignored: said - events.len(), events, note: None })
    }
}

/// One thing said of one recipient, before it is made fit to be kept.
#[derive(Debug, Clone, Default)]
pub struct Sentence {
    kind: Option<EventKind>,
    recipient: String,
    message_id: Option<String>,
    alias: Option<String>,
    occurred_ms: Option<i64>,
    permanence: Option<Permanence>,
    reason: Option<String>,
    said: Said,
}

impl Sentence {
    fn new(kind: EventKind, recipient: impl Into<String>) -> Self {
        Self { kind: Some(kind), recipient: recipient.into(), ..Self::default() }
    }

    /// A bounce. Of one whose permanence is not told nothing is concluded.
    fn bounced(recipient: impl Into<String>, permanence: Option<Permanence>) -> Self {
        Self { permanence, ..Self::new(EventKind::Bounced, recipient) }
    }

    /// The provider did not even try: the message will not arrive, but nothing was learnt of the address.
    fn rejected(recipient: impl Into<String>, reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..Self::bounced(recipient, Some(Permanence::Soft)) }
    }

    fn of_message(self, message_id: Option<&str>) -> Self {
        Self { message_id: message_id.and_then(lookup_message_id), ..self }
    }

    fn known_as(self, provider: &str, id: Option<&str>) -> Self {
        let id = id.map(str::trim).filter(|id| !id.is_empty() && id.chars().count() <= NAME_MAX_CHARS);
        Self { alias: id.map(|id| format!("{provider}:{}", clean(id))), ..self }
    }

    fn at(self, time: Option<&Value>) -> Self {
        Self { occurred_ms: time.and_then(time::ms), ..self }
    }

    fn saying(self, said: Said) -> Self {
        Self { said, ..self }
    }

    fn because(self, reason: Option<&str>) -> Self {
        let reason = reason.map(|reason| reason.chars().take(NAME_MAX_CHARS).collect());
        Self { reason: reason.or(self.reason), ..self }
    }

    /// `None` where nobody is named, or where it says nothing known.
    fn into_event(self) -> Option<DeliveryEvent> {
        let mut event = DeliveryEvent::new(self.kind?, &clean(&self.recipient));
        if event.recipient.is_empty() || event.recipient.chars().count() > RECIPIENT_MAX_CHARS {
            return None;
        }
        event.message_id = self.message_id;
        event.alias = self.alias;
        event.occurred_ms = self.occurred_ms;
        event.permanence = (event.kind == EventKind::Bounced).then_some(self.permanence).flatten();
        event.enhanced_status = self.said.enhanced;
        event.smtp_code = self.said.smtp;
        event.diagnostic =
            self.said.text.map(|text| clean(&text).chars().take(DIAGNOSTIC_MAX_CHARS).collect());
        event.reason = self.reason.map(|reason| clean(&reason));
        Some(event)
    }
}

/// PostgreSQL keeps no NUL.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Every provider.
static ALL: [&dyn Provider; 5] =
    [&generic::Generic, &postal::Postal, &mailgun::Mailgun, &ses_sns::SesSns, &standard::Standard];

/// Every provider, in the order in which help texts name them.
#[must_use]
pub fn all() -> &'static [&'static dyn Provider] {
    &ALL
}

/// The names of all of them, for messages: `generic, postal, …`.
#[must_use]
pub fn names() -> String {
    ALL.map(Provider::name).join(", ")
}

/// The provider of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static dyn Provider> {
    ALL.into_iter().find(|provider| provider.name() == name)
}
