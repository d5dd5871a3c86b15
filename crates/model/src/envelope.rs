//! The envelope: the small versioned record that travels through the queue in place of the mail.

use serde::{Deserialize, Serialize};

use crate::ids::InboxId;
use crate::job::{JobId, MailRef};
use crate::outcome::Direction;

/// The version this build writes and reads.
pub const ENVELOPE_VERSION: u16 = 1;

/// What there is to do, and by what it is known. A new kind of work is a new variant and a handler in the consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// A mail fetched from a mailbox, by where it stands on its server.
    Mail(MailRef),
    /// What a webhook brought, by its row in the inbox.
    Events {
        /// The row.
        inbox: InboxId,
    },
}

impl Work {
    /// The deterministic id of the job.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        match self {
            Self::Mail(at) => JobId::mail(at),
            Self::Events { inbox } => JobId::events(*inbox),
        }
    }

    /// Where the mail stands; `None` for other work.
    #[must_use]
    pub const fn mail(&self) -> Option<MailRef> {
        match self {
            Self::Mail(at) => Some(*at),
            Self::Events { .. } => None,
        }
    }
}

/// How the raw bytes beside an envelope are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As they came.
    Identity,
    /// Compressed with zstd.
    Zstd,
}

/// One unit of work. Everything but the raw mail, which lies inside the entry or beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Version of this record.
    pub v: u16,
    /// What to do.
    #[serde(flatten)]
    pub work: Work,
    /// Size of what travels with it in bytes: the raw mail as fetched; 0 where nothing does.
    pub size: u64,
    /// Message-ID as [`lookup_message_id`](crate::lookup_message_id) keeps it, for finding a mail that waits; `None`
    /// where the mail has none or nobody looked. Never trusted for identity: the consumer reads the mail itself.
    #[serde(default)]
    pub message_id: Option<String>,
    /// Whether the mail came in or is our own, from a folder of what we sent. It travels with the mail, so that a replay
    /// keeps it.
    #[serde(default)]
    pub direction: Direction,
    /// IMAP flags at the time of the fetch, such as `\Seen`.
    #[serde(default)]
    pub flags: Vec<String>,
    /// INTERNALDATE in milliseconds since 1970; `None` where the server gave none.
    pub internal_date_ms: Option<i64>,
    /// When the producer enqueued it first, in milliseconds since 1970.
    pub enqueued_at_ms: i64,
    /// How the raw bytes are kept.
    pub encoding: Encoding,
    /// W3C trace context of the fetch.
    #[serde(default)]
    pub traceparent: Option<String>,
}

/// An envelope that this build cannot read.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Written by another version: left for a consumer that knows it.
    #[error("envelope version {found} is not known here (this build knows {ENVELOPE_VERSION})")]
    UnknownVersion {
        /// What stands in the envelope.
        found: u16,
    },
    /// Not an envelope at all.
    #[error("not an envelope: {0}")]
    Malformed(#[from] serde_json::Error),
}

#[derive(Deserialize)]
struct VersionOnly {
    v: u16,
}

impl Envelope {
    /// The deterministic id of the job.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.work.job_id()
    }

    /// Reads an envelope; the version is looked at first, so that a later version is told from rubbish.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let VersionOnly { v } = serde_json::from_slice(bytes)?;
        if v != ENVELOPE_VERSION {
            return Err(EnvelopeError::UnknownVersion { found: v });
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// Writes an envelope as JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Unwrap safety: the record has only string keys and no map, so serialising into memory cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What a job has been through. Only attempts and crashes can end it; drains and outages are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Errors that may be retried.
    pub attempts: u32,
    /// Times its process died on it while it ran alone.
    pub crashes: u32,
    /// Times a stopping worker handed it back.
    pub drains: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MailboxId, Uid, UidValidity};

    fn envelope() -> Envelope {
        Envelope {
            v: ENVELOPE_VERSION,
            work: Work::Mail(MailRef {
                account: "6d0b5e4e-52a4-4f0e-9d5f-8f8a6d7d0001".parse().unwrap(),
                mailbox: MailboxId(1),
                uidvalidity: UidValidity::new(1).unwrap(),
                uid: Uid::new(2).unwrap(),
            }),
            size: 3,
            message_id: Some("a@b".into()),
            direction: Direction::Outbound,
            flags: vec!["\\Seen".into()],
            internal_date_ms: Some(-1),
            enqueued_at_ms: 5,
            encoding: Encoding::Identity,
            traceparent: None,
        }
    }

    #[test]
    fn an_envelope_reads_back_as_it_was_written() {
        assert_eq!(Envelope::decode(&envelope().encode()).unwrap(), envelope());
        let events = Envelope { work: Work::Events { inbox: InboxId(7) }, ..envelope() };
        assert_eq!(Envelope::decode(&events.encode()).unwrap(), events);
        assert_eq!(events.job_id().work(), Some(events.work));
    }

    #[test]
    fn an_envelope_that_was_written_without_a_message_id_is_read() {
        let mut json = serde_json::to_value(envelope()).unwrap();
        json.as_object_mut().unwrap().remove("message_id").unwrap();
        let read = Envelope::decode(json.to_string().as_bytes()).unwrap();
        assert_eq!(read, Envelope { message_id: None, ..envelope() });
    }

    #[test]
    fn an_envelope_that_was_written_before_there_were_sent_folders_is_of_a_mail_that_came_in() {
        let mut json = serde_json::to_value(envelope()).unwrap();
        json.as_object_mut().unwrap().remove("direction").unwrap();
        let read = Envelope::decode(json.to_string().as_bytes()).unwrap();
        assert_eq!(read, Envelope { direction: Direction::Inbound, ..envelope() });
    }

    #[test]
    fn a_later_version_is_told_from_rubbish() {
        let later = br#"{"v":9,"entirely":"different"}"#;
        assert!(matches!(Envelope::decode(later), Err(EnvelopeError::UnknownVersion { found: 9 })));
        assert!(matches!(Envelope::decode(b"\x00"), Err(EnvelopeError::Malformed(_))));
    }
}
