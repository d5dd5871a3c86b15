//! Where a message stands for one of its recipients, and for all of them together.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether a bounce is for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permanence {
    /// The address may work another time (mailbox full, greylisted until the sender gave up).
    Soft,
    /// The address or the domain will not take mail.
    Hard,
}

impl Permanence {
    /// The word used in columns and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Soft => "soft",
            Self::Hard => "hard",
        }
    }
}

/// How far delivery to one recipient has come. Totally ordered, and only ever raised: whatever order its events come
/// in, and however often, the end is the same.
///
/// A later bounce outranks `Delivered` (servers accept first and return later), a complaint outranks both: it proves
/// that the mail arrived and was unwanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecipientStatus {
    /// Known to us, not yet with the sending server.
    Queued,
    /// With the sending server.
    Sent,
    /// The recipient's server asked to wait.
    Deferred,
    /// The recipient's server took it.
    Delivered,
    /// Given up or returned, for now.
    BouncedSoft,
    /// Refused or returned for good.
    BouncedHard,
    /// The recipient called it unwanted.
    Complained,
}

/// A stored status that this build does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a recipient's status")]
pub struct UnknownRecipientStatus(pub String);

impl RecipientStatus {
    /// All of them, in their order.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Sent,
        Self::Deferred,
        Self::Delivered,
        Self::BouncedSoft,
        Self::BouncedHard,
        Self::Complained,
    ];

    /// The number stored beside the word, so that PostgreSQL can raise a status with `GREATEST`.
    #[must_use]
    pub const fn rank(self) -> i16 {
        match self {
            Self::Queued => 0,
            Self::Sent => 1,
            Self::Deferred => 2,
            Self::Delivered => 3,
            Self::BouncedSoft => 4,
            Self::BouncedHard => 5,
            Self::Complained => 6,
        }
    }

    /// Reads the stored number.
    pub fn from_rank(rank: i16) -> Result<Self, UnknownRecipientStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.rank() == rank)
            .ok_or_else(|| UnknownRecipientStatus(rank.to_string()))
    }

    /// The status after one more event: the greater one.
    #[must_use]
    pub fn raised_by(self, other: Self) -> Self {
        self.max(other)
    }

    /// The word of `email_messages.status`; soft and hard bounces share one.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Deferred => "deferred",
            Self::Delivered => "delivered",
            Self::BouncedSoft | Self::BouncedHard => "bounced",
            Self::Complained => "complained",
        }
    }

    /// How bad it is for the message as a whole, best first: delivered, sent, queued, deferred, then the bounces and the
    /// complaint. One recipient who has the mail does not make up for one who is still waited for.
    #[must_use]
    pub const fn badness(self) -> i16 {
        match self {
            Self::Delivered => 0,
            Self::Sent => 1,
            Self::Queued => 2,
            Self::Deferred => 3,
            Self::BouncedSoft => 4,
            Self::BouncedHard => 5,
            Self::Complained => 6,
        }
    }

    /// The status of a message: that of the recipient who is worst off; `None` without recipients.
    #[must_use]
    pub fn worst(of: impl IntoIterator<Item = Self>) -> Option<Self> {
        of.into_iter().max_by_key(|status| status.badness())
    }
}

impl fmt::Display for RecipientStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_status() -> impl Strategy<Value = RecipientStatus> {
        (0..RecipientStatus::ALL.len()).prop_map(|index| RecipientStatus::ALL[index])
    }

    proptest! {
        #[test]
        fn whatever_order_events_come_in_and_however_often_the_end_is_the_same(
            events in prop::collection::vec(any_status(), 1..12),
            shuffled in any::<prop::sample::Index>(),
        ) {
            let end = |events: &[RecipientStatus]| {
                events.iter().fold(RecipientStatus::Queued, |status, event| status.raised_by(*event))
            };
            let mut other = events.clone();
            other.rotate_left(shuffled.index(events.len()));
            other.reverse();
            other.extend_from_slice(&events);
            prop_assert_eq!(end(&events), end(&other));
        }

        #[test]
        fn a_status_is_never_lowered(status in any_status(), event in any_status()) {
            prop_assert!(status.raised_by(event) >= status);
        }
    }

    #[test]
    fn the_stored_numbers_keep_the_order() {
        for pair in RecipientStatus::ALL.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].rank() < pair[1].rank());
        }
        for status in RecipientStatus::ALL {
            assert_eq!(RecipientStatus::from_rank(status.rank()), Ok(status));
        }
        assert!(RecipientStatus::from_rank(7).is_err());
    }

    #[test]
    fn a_message_is_as_badly_off_as_its_worst_recipient() {
        use RecipientStatus::{BouncedSoft, Complained, Deferred, Delivered, Queued, Sent};
        assert_eq!(RecipientStatus::worst([Delivered, Deferred, Delivered]), Some(Deferred));
        assert_eq!(RecipientStatus::worst([Sent, Queued]), Some(Queued));
        assert_eq!(RecipientStatus::worst([Delivered, BouncedSoft]), Some(BouncedSoft));
        assert_eq!(RecipientStatus::worst([Complained, BouncedSoft]), Some(Complained));
        assert_eq!(RecipientStatus::worst([]), None);
    }
}
