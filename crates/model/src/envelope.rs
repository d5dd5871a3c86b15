//! The envelope: the small versioned record that travels through the queue in place of the mail.

use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, InboxId, MailboxId, Uid, UidValidity};
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
#[serde(try_from = "Wire")]
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
    pub message_id: Option<String>,
    /// Whether the mail came in or is our own, from a folder of what we sent. It travels with the mail, so that a replay
    /// keeps it.
    pub direction: Direction,
    /// IMAP flags at the time of the fetch, such as `\Seen`.
    pub flags: Vec<String>,
    /// INTERNALDATE in milliseconds since 1970; `None` where the server gave none.
    pub internal_date_ms: Option<i64>,
    /// When the producer enqueued it first, in milliseconds since 1970.
    pub enqueued_at_ms: i64,
    /// How the raw bytes are kept.
    pub encoding: Encoding,
    /// W3C trace context of the fetch.
    pub traceparent: Option<String>,
}

/// An envelope as it is read: what is flat in JSON is flat here, since a flattened enum would have every field of every
/// envelope kept aside until its kind is known, which costs more than all else of a claim.
#[derive(Deserialize)]
struct Wire {
    v: u16,
    kind: Kind,
    account: Option<AccountId>,
    mailbox: Option<MailboxId>,
    uidvalidity: Option<UidValidity>,
    uid: Option<Uid>,
    inbox: Option<InboxId>,
    size: u64,
    message_id: Option<String>,
    #[serde(default)]
    direction: Direction,
    #[serde(default)]
    flags: Vec<String>,
    internal_date_ms: Option<i64>,
    enqueued_at_ms: i64,
    encoding: Encoding,
    traceparent: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Mail,
    Events,
}

impl Wire {
    /// What to do, or the name of the field that is missing for it.
    fn work(&self) -> Result<Work, &'static str> {
        Ok(match self.kind {
            Kind::Mail => Work::Mail(MailRef {
                account: self.account.ok_or("account")?,
                mailbox: self.mailbox.ok_or("mailbox")?,
                uidvalidity: self.uidvalidity.ok_or("uidvalidity")?,
                uid: self.uid.ok_or("uid")?,
            }),
            Kind::Events => Work::Events { inbox: self.inbox.ok_or("inbox")? },
        })
    }
}

impl TryFrom<Wire> for Envelope {
    type Error = String;

    fn try_from(wire: Wire) -> Result<Self, String> {
        let work = wire.work().map_err(|field| format!("missing field `{field}`"))?;
        let Wire { v, size, message_id, direction, flags, internal_date_ms, .. } = wire;
        let Wire { enqueued_at_ms, encoding, traceparent, .. } = wire;
        Ok(Self {
            v,
            work,
            size,
            message_id,
            direction,
            flags,
            internal_date_ms,
            enqueued_at_ms,
            encoding,
            traceparent,
        })
    }
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

    /// Reads an envelope. A later version is told from rubbish, whatever else stands in it.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        match serde_json::from_slice::<Self>(bytes) {
            Ok(envelope) if envelope.v == ENVELOPE_VERSION => Ok(envelope),
            Ok(envelope) => Err(EnvelopeError::UnknownVersion { found: envelope.v }),
            Err(error) => match serde_json::from_slice(bytes) {
                Ok(VersionOnly { v }) if v != ENVELOPE_VERSION => {
                    Err(EnvelopeError::UnknownVersion { found: v })
                }
                Ok(_) | Err(_) => Err(error.into()),
            },
        }
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
    fn an_envelope_without_what_its_kind_needs_is_malformed_and_names_the_field() {
        for (work, field) in [(envelope().work, "uid"), (Work::Events { inbox: InboxId(7) }, "inbox")] {
            let mut json = serde_json::to_value(Envelope { work, ..envelope() }).unwrap();
            json.as_object_mut().unwrap().remove(field).unwrap();
            let error = Envelope::decode(json.to_string().as_bytes()).unwrap_err().to_string();
            assert!(error.contains(&format!("`{field}`")), "{error}");
        }
    }

    #[test]
    fn a_later_version_is_told_from_rubbish() {
        let later = br#"{"v":9,"entirely":"different"}"#;
        assert!(matches!(Envelope::decode(later), Err(EnvelopeError::UnknownVersion { found: 9 })));
        assert!(matches!(Envelope::decode(b"\x00"), Err(EnvelopeError::Malformed(_))));
    }
}
