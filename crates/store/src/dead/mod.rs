//! Dead letters: jobs that could not be done, with all that is needed to see why and to do them again.
//!
//! The row is written together with the ledger's outcome, before the entry leaves its lane in Redis. It is one row a
//! job: a job that dies again opens its row again, and its former deaths stay with it.

mod actions;
mod book;
mod filter;
mod groups;
mod read;
mod write;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use mailfleet_model::{AccountId, Class, Counters, JobId, Lane, MailRef, TenantId};

use crate::error::{Error, Result};

pub use actions::{Action, ActionKind, ActionOutcome, Actor, Progress};
pub use book::{Came, Discarded};
pub use filter::DeadFilter;
pub use groups::DeadGroup;

/// A job that is given up.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDeadLetter {
    /// The job.
    pub job: JobId,
    /// The ledger's key, for a mail.
    pub at: Option<MailRef>,
    /// The lane it leaves, and would be replayed on.
    pub lane: Lane,
    /// The envelope as it travelled; of an entry that cannot be read, what stood in it
    /// ([`Unreadable`](mailfleet_model::Unreadable)).
    pub envelope_json: serde_json::Value,
    /// The raw mail, for the replay; `None` where there is none.
    pub raw: Option<Bytes>,
    /// The named reason, such as `unknown_tenant`; cut at 100 characters.
    pub reason: String,
    /// Class of the last error.
    pub class: Class,
    /// The last error, one line; cut at 500 characters.
    pub error: String,
    /// What the job has been through.
    pub counters: Counters,
    /// Its attempts: an array of objects.
    pub history: serde_json::Value,
    /// The tenant, where it is known.
    pub tenant: Option<TenantId>,
    /// The account the mail came from.
    pub account: Option<AccountId>,
    /// Message-ID without brackets, where it could be read: `explain` finds the letter by it.
    pub message_id: Option<String>,
}

/// What became of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeadOutcome {
    /// It stands in the dead letters.
    Recorded,
    /// The ledger says that the mail is persisted, or the inbox that the events are applied: another run of the job won.
    /// Nothing was written.
    AlreadyPersisted,
}

/// Where a dead letter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeadState {
    /// Waits for somebody.
    Open,
    /// Back in the queue.
    Replayed,
    /// Persisted after all.
    Resolved,
    /// Given up by an operator.
    Discarded,
}

impl DeadState {
    /// The word stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replayed => "replayed",
            Self::Resolved => "resolved",
            Self::Discarded => "discarded",
        }
    }

    fn read(word: &str) -> Result<Self> {
        [Self::Open, Self::Replayed, Self::Resolved, Self::Discarded]
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| Error::Unreadable { place: "dead_letters.state", value: word.to_owned() })
    }
}

/// What a question for many letters found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Letters {
    /// The letters, in the order that was asked for.
    pub letters: Vec<DeadLetter>,
    /// Those among them that this build cannot read.
    pub unread: Vec<UnreadLetter>,
    /// The highest number of all these; `None` where there was none.
    pub highest: Option<i64>,
}

/// A dead letter that this build cannot read: a newer version wrote it, or somebody's hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadLetter {
    /// Its number.
    pub id: i64,
    /// What stands there as its job.
    pub job: String,
    /// Table and column of what makes no sense here.
    pub place: &'static str,
    /// What stands there.
    pub value: String,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// Number for people.
    pub id: i64,
    /// The job.
    pub job: JobId,
    /// The ledger's key, for a mail.
    pub at: Option<MailRef>,
    /// The tenant, where it is known.
    pub tenant: Option<TenantId>,
    /// The account the mail came from.
    pub account: Option<AccountId>,
    /// Message-ID without brackets, where it could be read.
    pub message_id: Option<String>,
    /// The lane it left.
    pub lane: Lane,
    /// The envelope as it travelled, or what stood in an entry that could not be read;
    /// [`Envelope::of_letter`](mailfleet_model::Envelope::of_letter) tells them apart.
    pub envelope_json: serde_json::Value,
    /// The raw mail; `None` in lists, where there was none, and once resolved.
    pub raw: Option<Bytes>,
    /// Size of the raw mail in bytes; `None` where there was none.
    pub raw_size_bytes: Option<u64>,
    /// The named reason.
    pub reason: String,
    /// Class of the last error.
    pub class: Class,
    /// The last error, one line.
    pub error: String,
    /// The group it is in: reason, class and error without what differs from mail to mail, as 12 hex digits.
    pub fingerprint: String,
    /// What the job has been through.
    pub counters: Counters,
    /// Its attempts.
    pub history: serde_json::Value,
    /// Its former deaths, oldest first, the last 20.
    pub previous: serde_json::Value,
    /// Where it stands.
    pub state: DeadState,
    /// When it died first.
    pub created: DateTime<Utc>,
    /// When it died last.
    pub died: DateTime<Utc>,
    /// When it was replayed, resolved or discarded; `None` while open.
    pub closed: Option<DateTime<Utc>>,
}
