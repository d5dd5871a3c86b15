//! Storing mails: once, whatever races, crashes or is refused.
//!
//! - One transaction for a batch, ledger rows first ([`transaction`]).
//! - A batch that deadlocks is repeated here; that costs nobody an attempt.
//! - A batch that PostgreSQL refuses for its data is halved until the row is found; the others are stored.
//! - A key that another mail holds already is refused by name, never swallowed.
//! - A message that we sent has one row, whoever comes first: its registration or its copy in a Sent folder. The copy
//!   fills the row in place ([`outbound`]); a second copy changes nothing.
//! - What the mail says of others (the mail it answers, the message that came back) takes effect in the same transaction
//!   ([`effects`]).

mod columns;
mod effects;
mod insert;
mod outbound;
mod transaction;

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use mailfleet_model::{
    Class, Classify, DeliveryEvent, Direction, Disposition, JobId, MailRef, StorageKey, TenantId,
};

use crate::error::{Error, Result};
use crate::links::Refs;
use crate::store::Store;

/// Most rows of one transaction.
const MAX_ROWS: usize = 1_000;
/// Most payload of one transaction, in bytes; a single larger mail goes alone. PostgreSQL's own bound for one array is 1 GB.
const MAX_BYTES: usize = 64 << 20;
/// Most Message-IDs that one transaction locks: each lock takes a place in a table that all of the server's transactions
/// share. With the default settings it was measured to hold about 12,000; 12 replicas of 2 workers take 3,600 of them.
const MAX_NAMES: usize = 150;
/// How often a transaction is tried that met a deadlock or a serialization failure.
const TRIES: u32 = 5;
/// Rest before the next try; doubles.
const REST: Duration = Duration::from_millis(5);
/// The code of a refusal because the key belongs to another mail.
const KEY_CONFLICT: &str = "key_conflict";

/// One attachment of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentRow {
    /// Place within the mail, from 0; each once.
    pub ordinal: u32,
    /// File name without any directory; cut at 255 characters.
    pub filename: Option<String>,
    /// Media type, lower case; cut at 100 characters.
    pub mime_type: String,
    /// The content, decoded.
    pub content: Bytes,
    /// Inline or beside the text.
    pub disposition: Disposition,
    /// Content-ID without brackets.
    pub content_id: Option<String>,
    /// SHA-256 of the content.
    pub content_hash: [u8; 32],
}

/// One mail, ready to be stored. Any text may hold anything: it is made storable here.
#[derive(Debug, Clone, PartialEq)]
pub struct MailRow {
    /// The job that did it; its open dead letter is resolved with it.
    pub job: JobId,
    /// The ledger's key.
    pub at: MailRef,
    /// Whose mail it is.
    pub tenant: TenantId,
    /// The hierarchy's key.
    pub key: StorageKey,
    /// SHA-256 of the canonical mail: tells a repetition from another mail under the same key.
    pub content_hash: [u8; 32],
    /// The text.
    pub content_text: String,
    /// The HTML.
    pub content_html: String,
    /// Object: lower-case name to decoded value, an array where repeated.
    pub headers: serde_json::Value,
    /// Size of the mail as fetched, in bytes.
    pub raw_size_bytes: u64,
    /// `email`, `bounce`, `auto_reply`, `complaint`…; cut at 20 characters.
    pub message_type: String,
    /// Which way it travels.
    pub direction: Direction,
    /// Sender's address; cut at 254 characters.
    pub from_email: String,
    /// Recipients' addresses, joined by commas.
    pub to_email: String,
    /// Subject, decoded.
    pub subject: String,
    /// When the mail came: INTERNALDATE, else its Date.
    pub created: DateTime<Utc>,
    /// The attachments.
    pub attachments: Vec<AttachmentRow>,
    /// Message-ID, as `lookup_message_id` keeps it.
    pub message_id: Option<String>,
    /// The messages it answers.
    pub refs: Refs,
    /// Its X-Campaign-ID: name or id of a campaign.
    pub campaign_hint: Option<String>,
    /// When the producer enqueued it.
    pub enqueued: Option<DateTime<Utc>>,
    /// What it says of messages of ours: a returned mail, a complaint.
    pub events: Vec<DeliveryEvent>,
    /// Of a message that we sent: everybody it went to (To, Cc, Bcc).
    pub recipients: Vec<String>,
}

impl MailRow {
    /// Roughly what the row weighs, in bytes; the headers by the texts that they also feed.
    fn weight(&self) -> usize {
        let attachments: usize =
            self.attachments.iter().map(|attachment| attachment.content.len() + 512).sum();
        self.content_text.len()
            + self.content_html.len()
            + self.subject.len()
            + self.to_email.len()
            + self.recipients.iter().map(|recipient| recipient.len() + 64).sum::<usize>()
            + self.events.len() * 1024
            + attachments
            + 4096
    }

    /// How many Message-IDs it locks, roughly: its own, those it answers, the one it reports about.
    fn names(&self) -> usize {
        usize::from(self.message_id.is_some()) + self.refs.ids.len() + usize::from(!self.events.is_empty())
    }

    /// Whether its key is that of tenant and Message-ID, so that a row under it is this very message, whatever its content.
    fn is_ours(&self) -> bool {
        self.direction == Direction::Outbound && self.message_id.is_some()
    }

    /// What must be the same for two rows of one key to be the same mail.
    fn identity(&self) -> (TenantId, Option<[u8; 32]>) {
        (self.tenant, (!self.is_ours()).then_some(self.content_hash))
    }
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Persisted {
    /// Stored now.
    New,
    /// The same mail stood there already (another folder, another epoch); the ledger row is new.
    Duplicate,
    /// The ledger said persisted already; nothing was done.
    AlreadyRecorded,
    /// PostgreSQL (or the key's owner) refuses this row; nothing of it was stored.
    Refused {
        /// SQLSTATE, or `key_conflict` where the key belongs to another mail.
        code: String,
        /// Why, in one line.
        message: String,
    },
}

impl Store {
    /// Stores mails and their ledger rows, and resolves the dead letters of their jobs; answers in the order of `rows`.
    ///
    /// # Errors
    /// Never of class Data: rows that are refused are [`Persisted::Refused`]. After an error nothing or a part was stored;
    /// the same call again is right in every case.
    pub async fn persist(&self, rows: &[MailRow]) -> Result<Vec<Persisted>> {
        let mut fates: Vec<Option<Persisted>> = vec![None; rows.len()];
        let mut parts = parts(rows, &mut fates);
        // Each turn settles a part or halves it, so there are at most two turns a row.
        while let Some(part) = parts.pop() {
            match self.persist_part(rows, &part).await {
                Ok(settled) => {
                    for (index, fate) in settled {
                        settle(&mut fates, index, fate);
                    }
                }
                Err(error) if error.class() == Class::Data => match part.as_slice() {
                    [] => {}
                    [index] => settle(&mut fates, *index, refusal(&error)),
                    _ => {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.push(second.to_vec());
                        parts.push(first.to_vec());
                    }
                },
                Err(error) => return Err(error),
            }
        }
        // Every index was in exactly one part, and every part settles all of its own.
        Ok(fates.into_iter().map(|fate| fate.unwrap_or(Persisted::AlreadyRecorded)).collect())
    }

    /// One part, repeated while it loses against other transactions, and without the rows whose key another mail holds.
    async fn persist_part(&self, rows: &[MailRow], part: &[usize]) -> Result<Vec<(usize, Persisted)>> {
        let mut settled: Vec<(usize, Persisted)> = Vec::with_capacity(part.len());
        let mut left: Vec<(usize, &MailRow)> =
            part.iter().filter_map(|&index| rows.get(index).map(|row| (index, row))).collect();
        let mut tries = 0;
        // Each turn commits, drops at least one row, or uses up a try.
        while !left.is_empty() {
            let batch: Vec<&MailRow> = left.iter().map(|(_, row)| *row).collect();
            match transaction::write(self, &batch).await {
                Ok(transaction::Written::Committed(fates)) => {
                    settled.extend(left.iter().map(|(index, _)| *index).zip(fates));
                    break;
                }
                Ok(transaction::Written::Conflicts(keys)) => {
                    let (taken, free) = left.into_iter().partition(|(_, row)| keys.contains(&row.key));
                    left = free;
                    let taken: Vec<(usize, &MailRow)> = taken;
                    settled.extend(taken.into_iter().map(|(index, row)| (index, conflict(&row.key))));
                }
                Err(error) if error.class() == Class::Transient && tries + 1 < TRIES => {
                    tracing::debug!(%error, tries, "a transaction lost against another one and is repeated");
                    tokio::time::sleep(REST * 2u32.saturating_pow(tries)).await;
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(settled)
    }
}

/// The rows by key, so that all writers lock in the same order, cut into parts of bounded size; the last part comes
/// first, because the caller pops. A row that shares its key with another mail of the batch is refused here.
fn parts(rows: &[MailRow], fates: &mut [Option<Persisted>]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&index| rows.get(index).map(|row| (&row.key, row.at)));
    let mut owners: HashMap<&StorageKey, (TenantId, Option<[u8; 32]>)> = HashMap::new();
    let mut parts: Vec<Vec<usize>> = Vec::new();
    let (mut part, mut bytes, mut names): (Vec<usize>, usize, usize) = (Vec::new(), 0, 0);
    for index in order {
        let Some(row) = rows.get(index) else { continue };
        if *owners.entry(&row.key).or_insert_with(|| row.identity()) != row.identity() {
            settle(fates, index, conflict(&row.key));
            continue;
        }
        let weight = row.weight();
        let full = part.len() >= MAX_ROWS
            || bytes.saturating_add(weight) > MAX_BYTES
            || names + row.names() > MAX_NAMES;
        if full && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
            (bytes, names) = (0, 0);
        }
        bytes = bytes.saturating_add(weight);
        names += row.names();
        part.push(index);
    }
    parts.push(part);
    parts.reverse();
    parts
}

fn settle(fates: &mut [Option<Persisted>], index: usize, fate: Persisted) {
    if let Some(slot) = fates.get_mut(index) {
        *slot = Some(fate);
    }
}

fn refusal(error: &Error) -> Persisted {
    Persisted::Refused { code: error.code().unwrap_or("invalid").to_owned(), message: error.to_string() }
}

fn conflict(key: &StorageKey) -> Persisted {
    Persisted::Refused {
        code: KEY_CONFLICT.to_owned(),
        message: format!("storage_key {key} belongs to another mail (other tenant or other content)"),
    }
}
