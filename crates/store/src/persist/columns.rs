//! Rows turned into columns: each column is one array parameter, whatever the size of the batch.

use std::borrow::Cow;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use mailfleet_model::Direction;
use uuid::Uuid;

use super::MailRow;
use crate::hierarchy::expected::{
    ADDRESS_MAX_CHARS, CONTENT_ID_MAX_CHARS, FILENAME_MAX_CHARS, MIME_TYPE_MAX_CHARS,
};
use crate::text::{clamp, clean, cut, json};

/// Longest word kept in `email_messages.message_type`.
const TYPE_MAX_CHARS: usize = 20;

/// The ledger's columns.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) mailboxes: Vec<i32>,
    pub(super) epochs: Vec<u32>,
    pub(super) uids: Vec<u32>,
    pub(super) hashes: Vec<Option<Uuid>>,
}

impl Ledger {
    pub(super) fn of(rows: &[&MailRow]) -> Self {
        let mut columns = Self::default();
        for row in rows {
            columns.push(row);
        }
        columns
    }

    fn push(&mut self, row: &MailRow) {
        self.mailboxes.push(row.at.mailbox.0);
        self.epochs.push(row.at.uidvalidity.get());
        self.uids.push(row.at.uid.get());
        self.hashes.push(crate::explain::key_hash(&row.key));
    }
}

/// The columns of `email_content`.
#[derive(Debug, Default)]
pub(super) struct Contents<'a> {
    pub(super) keys: Vec<&'a str>,
    pub(super) tenants: Vec<Uuid>,
    pub(super) texts: Vec<Cow<'a, str>>,
    pub(super) htmls: Vec<Cow<'a, str>>,
    pub(super) headers: Vec<String>,
    pub(super) sizes: Vec<i64>,
    pub(super) hashes: Vec<String>,
}

impl<'a> Contents<'a> {
    pub(super) fn of(rows: &[&'a MailRow]) -> Self {
        let mut columns = Self::default();
        for row in rows {
            columns.push(row);
        }
        columns
    }

    fn push(&mut self, row: &'a MailRow) {
        self.keys.push(row.key.as_str());
        self.tenants.push(row.tenant.0);
        self.texts.push(clean(&row.content_text));
        self.htmls.push(clean(&row.content_html));
        self.headers.push(json(&row.headers));
        self.sizes.push(i64::try_from(row.raw_size_bytes).unwrap_or(i64::MAX));
        self.hashes.push(hex(&row.content_hash));
    }
}

/// The columns of `email_messages`.
#[derive(Debug, Default)]
pub(super) struct Messages<'a> {
    pub(super) keys: Vec<&'a str>,
    pub(super) tenants: Vec<Uuid>,
    pub(super) accounts: Vec<Uuid>,
    pub(super) directions: Vec<&'static str>,
    pub(super) types: Vec<Cow<'a, str>>,
    pub(super) senders: Vec<Cow<'a, str>>,
    pub(super) recipients: Vec<Cow<'a, str>>,
    pub(super) subjects: Vec<Cow<'a, str>>,
    pub(super) statuses: Vec<&'static str>,
    pub(super) created: Vec<DateTime<Utc>>,
}

impl<'a> Messages<'a> {
    pub(super) fn of(rows: &[&'a MailRow]) -> Self {
        let mut columns = Self::default();
        for row in rows {
            columns.push(row);
        }
        columns
    }

    fn push(&mut self, row: &'a MailRow) {
        self.keys.push(row.key.as_str());
        self.tenants.push(row.tenant.0);
        self.accounts.push(row.at.account.0);
        self.directions.push(row.direction.as_str());
        self.types.push(cut(&row.message_type, TYPE_MAX_CHARS));
        self.senders.push(cut(&row.from_email, ADDRESS_MAX_CHARS));
        self.recipients.push(clean(&row.to_email));
        self.subjects.push(clean(&row.subject));
        self.statuses.push(match row.direction {
            Direction::Inbound => "received",
            Direction::Outbound => "sent",
        });
        self.created.push(clamp(row.created));
    }
}

/// The columns of `attachments`.
#[derive(Debug, Default)]
pub(super) struct Attachments<'a> {
    pub(super) parents: Vec<&'a str>,
    pub(super) tenants: Vec<Uuid>,
    pub(super) ordinals: Vec<i64>,
    pub(super) filenames: Vec<Option<Cow<'a, str>>>,
    pub(super) types: Vec<Cow<'a, str>>,
    pub(super) sizes: Vec<i64>,
    pub(super) contents: Vec<&'a [u8]>,
    pub(super) dispositions: Vec<&'static str>,
    pub(super) content_ids: Vec<Option<Cow<'a, str>>>,
    pub(super) hashes: Vec<String>,
}

impl<'a> Attachments<'a> {
    pub(super) fn of(rows: &[&'a MailRow]) -> Self {
        let mut columns = Self::default();
        for row in rows {
            columns.push(row);
        }
        columns
    }

    fn push(&mut self, row: &'a MailRow) {
        for attachment in &row.attachments {
            self.parents.push(row.key.as_str());
            self.tenants.push(row.tenant.0);
            self.ordinals.push(i64::from(attachment.ordinal));
            self.filenames.push(attachment.filename.as_deref().map(|name| cut(name, FILENAME_MAX_CHARS)));
            self.types.push(cut(&attachment.mime_type, MIME_TYPE_MAX_CHARS));
            self.sizes.push(i64::try_from(attachment.content.len()).unwrap_or(i64::MAX));
            self.contents.push(&attachment.content);
            self.dispositions.push(attachment.disposition.as_str());
            self.content_ids.push(attachment.content_id.as_deref().map(|id| cut(id, CONTENT_ID_MAX_CHARS)));
            self.hashes.push(hex(&attachment.content_hash));
        }
    }
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
