//! What a sending server, a provider or a returned mail says of one message and one recipient, in one vocabulary.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::recipient_status::{Permanence, RecipientStatus};

/// Longest diagnostic text that is kept, in characters.
pub const DIAGNOSTIC_MAX_CHARS: usize = 2_000;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// The sending server took the message.
    Sent,
    /// Delivery is put off.
    Deferred,
    /// The recipient's server took it.
    Delivered,
    /// It will not be delivered, or came back.
    Bounced,
    /// The recipient called it unwanted.
    Complained,
    /// The recipient opened it (an image was loaded).
    Opened,
    /// The recipient followed a link.
    Clicked,
    /// The recipient does not want further mail.
    Unsubscribed,
}

/// A word that names no kind of event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an event (sent, deferred, delivered, bounced, complained, opened, clicked, unsubscribed)"
)]
pub struct UnknownEventKind(pub String);

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Sent,
        Self::Deferred,
        Self::Delivered,
        Self::Bounced,
        Self::Complained,
        Self::Opened,
        Self::Clicked,
        Self::Unsubscribed,
    ];

    /// The word used in columns, labels and the generic webhook schema.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Deferred => "deferred",
            Self::Delivered => "delivered",
            Self::Bounced => "bounced",
            Self::Complained => "complained",
            Self::Opened => "opened",
            Self::Clicked => "clicked",
            Self::Unsubscribed => "unsubscribed",
        }
    }
}

impl std::str::FromStr for EventKind {
    type Err = UnknownEventKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownEventKind(text.chars().take(60).collect()))
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One event about one recipient of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryEvent {
    /// What happened.
    pub kind: EventKind,
    /// Message-ID of the message we sent, as [`lookup_message_id`](crate::lookup_message_id) keeps it, where the
    /// source tells it.
    #[serde(default)]
    pub message_id: Option<String>,
    /// The source's own name of the message, where it has one: `<provider>:<id>`.
    #[serde(default)]
    pub alias: Option<String>,
    /// The recipient's address, as [`recipient_key`] keeps it.
    pub recipient: String,
    /// The address that the message was sent to, in the same form, where a returned mail tells it and it is another than
    /// `recipient`: that server forwards.
    #[serde(default)]
    pub original_recipient: Option<String>,
    /// When it happened, in milliseconds since 1970; `None` where the source does not say.
    #[serde(default)]
    pub occurred_ms: Option<i64>,
    /// Of a bounce: whether it is for good. A bounce of which nothing is known is soft.
    #[serde(default)]
    pub permanence: Option<Permanence>,
    /// Enhanced status code (RFC 3463), such as `5.1.1`.
    #[serde(default)]
    pub enhanced_status: Option<String>,
    /// SMTP reply code, such as 550.
    #[serde(default)]
    pub smtp_code: Option<u16>,
    /// What the remote server said, cut at [`DIAGNOSTIC_MAX_CHARS`].
    #[serde(default)]
    pub diagnostic: Option<String>,
    /// Why, in the established vocabulary (`userunknown`, `mailboxfull`…), where it is known.
    #[serde(default)]
    pub reason: Option<String>,
}

impl DeliveryEvent {
    /// An event that says nothing but what happened, and to whom.
    #[must_use]
    pub fn new(kind: EventKind, recipient: &str) -> Self {
        Self {
            kind,
            message_id: None,
            alias: None,
            recipient: recipient_key(recipient),
            original_recipient: None,
            occurred_ms: None,
            permanence: None,
            enhanced_status: None,
            smtp_code: None,
            diagnostic: None,
            reason: None,
        }
    }

    /// The status it raises its recipient to; `None` for what stands beside the status (opened, clicked, unsubscribed).
    #[must_use]
    pub const fn status(&self) -> Option<RecipientStatus> {
        match (self.kind, self.permanence) {
            (EventKind::Sent, _) => Some(RecipientStatus::Sent),
            (EventKind::Deferred, _) => Some(RecipientStatus::Deferred),
            (EventKind::Delivered, _) => Some(RecipientStatus::Delivered),
            (EventKind::Bounced, Some(Permanence::Hard)) => Some(RecipientStatus::BouncedHard),
            (EventKind::Bounced, Some(Permanence::Soft) | None) => Some(RecipientStatus::BouncedSoft),
            (EventKind::Complained, _) => Some(RecipientStatus::Complained),
            (EventKind::Opened | EventKind::Clicked | EventKind::Unsubscribed, _) => None,
        }
    }
}

/// An address as recipients are compared: without white space and angle brackets, in lower case. The local part too:
/// RFC 5321 §2.4 lets a server tell cases apart, in practice none does, and providers change the case in their events.
#[must_use]
pub fn recipient_key(address: &str) -> String {
    address.trim().trim_start_matches('<').trim_end_matches('>').trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_from_its_word() {
        for kind in EventKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!("queued".parse::<EventKind>().is_err());
    }

    #[test]
    fn opens_clicks_and_unsubscribes_are_events_beside_the_status() {
        for kind in EventKind::ALL {
            let beside = matches!(kind, EventKind::Opened | EventKind::Clicked | EventKind::Unsubscribed);
            assert_eq!(DeliveryEvent::new(kind, "a@example.com").status().is_none(), beside, "{kind}");
        }
    }

    #[test]
    fn a_bounce_of_unknown_permanence_is_soft() {
        let mut event = DeliveryEvent::new(EventKind::Bounced, "a@example.com");
        assert_eq!(event.status(), Some(RecipientStatus::BouncedSoft));
        event.permanence = Some(Permanence::Hard);
        assert_eq!(event.status(), Some(RecipientStatus::BouncedHard));
    }

    #[test]
    fn addresses_are_compared_without_brackets_and_case() {
        assert_eq!(recipient_key(" <Ann@Example.COM> "), "ann@example.com");
    }

    #[test]
    fn an_event_reads_back_as_it_was_written_and_lacking_fields_are_none() {
        let mut event = DeliveryEvent::new(EventKind::Bounced, "a@example.com");
        event.smtp_code = Some(550);
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<DeliveryEvent>(&json).unwrap(), event);
        let bare = r#"{"kind":"sent","recipient":"a@example.com"}"#;
        assert_eq!(
            serde_json::from_str::<DeliveryEvent>(bare).unwrap(),
            DeliveryEvent::new(EventKind::Sent, "a@example.com")
        );
    }
}
