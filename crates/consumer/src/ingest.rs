//! From a claimed entry to the rows of one mail. Pure but for the parser's time: no I/O.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use mailfleet_mime::{Limits, Mail, Parsed, Peek};
use mailfleet_model::{Class, Direction, Envelope, MailRef, StorageKey, TenantId, lookup_message_id};
use mailfleet_queue::Failure;
use mailfleet_store::{AttachmentRow, MailRow};
use sha2::{Digest, Sha256};

use crate::reports;

/// Most recipients taken from the header of one mail that we sent.
const MAX_RECIPIENTS: usize = 2_000;
/// The reason of what stands in a queue and is no entry of its kind.
pub const MALFORMED: &str = "malformed_entry";
/// A longer X-Campaign-ID names no campaign.
const HINT_MAX_CHARS: usize = 200;

/// A mail that was read, and what is still to be known about it.
#[derive(Debug)]
pub struct Prepared {
    /// The rows, complete but for the tenant and what follows from it.
    pub row: MailRow,
    /// What its top header says about whose it is.
    pub peek: Peek,
}

impl Prepared {
    /// The rows, of this tenant. A message that we sent is known by tenant and Message-ID, whatever folder its copy lies in.
    pub fn into_row(self, tenant: TenantId) -> MailRow {
        let key = match (self.row.direction, &self.row.message_id) {
            (Direction::Outbound, Some(id)) => StorageKey::outbound(id, tenant),
            (Direction::Outbound, None) | (Direction::Inbound, _) => self.row.key.clone(),
        };
        MailRow { tenant, key, ..self.row }
    }
}

/// Why an entry ends as a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// A short word that on-call filters by, such as `unknown_tenant`.
    pub reason: &'static str,
    /// The class of the failure.
    pub class: Class,
    /// One line for people.
    pub error: String,
    /// What this very run adds to what the entry has been through.
    pub charge: Charge,
}

/// What a run that ends in a dead letter is counted as. Whatever it is, the letter's history tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Charge {
    /// Nothing: it was not run. What ended it is in its history already.
    NotRun,
    /// Nothing: it could not end in another way.
    Free,
    /// The last of the attempts.
    Attempt(Failure),
    /// The last of the crashes.
    Crash(Failure),
}

impl Rejection {
    /// A rejection of a run that counts as nothing.
    pub fn new(reason: &'static str, class: Class, error: impl Into<String>) -> Self {
        Self { reason, class, error: error.into(), charge: Charge::Free }
    }
}

/// The Message-ID, for finding the dead letter. As guarded as [`prepare`]: a letter must be writable whatever its mail
/// does to the libraries.
pub fn message_id(raw: &[u8]) -> Option<String> {
    catch_unwind(|| mailfleet_mime::peek(raw).message_id).ok().flatten()
}

/// Reads one mail. `tenant` is a placeholder until the tenant is resolved.
///
/// The parser is total; the panic guard is for the libraries under it, so that a mistake in one of them costs one
/// mail and not its batch.
pub fn prepare(envelope: &Envelope, raw: &Bytes, limits: &Limits) -> Result<Prepared, Rejection> {
    let Some(at) = envelope.work.mail() else {
        let error = "an entry that is no mail stands in the queue of mails; find out who writes it";
        return Err(Rejection::new(MALFORMED, Class::Fault, error));
    };
    catch_unwind(AssertUnwindSafe(|| read(envelope, at, raw, limits))).map_err(|_| {
        let error = "the parser panicked on this mail; the raw mail is kept with this letter";
        Rejection::new("parser_panicked", Class::Fault, error)
    })
}

fn read(envelope: &Envelope, at: MailRef, raw: &Bytes, limits: &Limits) -> Prepared {
    let (key, content_hash, Parsed { mail, defects }) = {
        let parsed = mailfleet_mime::parse(raw, limits);
        // As large as the mail, and gone before the rows are made.
        let canonical = mailfleet_mime::canonical(raw);
        let id = parsed.mail.message_id.as_deref();
        let key = StorageKey::inbound(id, at.account, &canonical);
        (key, Sha256::digest(&canonical).into(), parsed)
    };
    if !defects.is_empty() {
        let codes: Vec<&str> = defects.iter().map(mailfleet_mime::Defect::code).collect();
        tracing::debug!(job = %envelope.job_id(), defects = ?codes, "mail read with defects");
    }
    let message_id = mail.message_id.as_deref().and_then(lookup_message_id);
    let addresses = |list: &[mailfleet_mime::Address]| {
        list.iter()
            .map(|address| address.address.as_str())
            .filter(|a| !a.is_empty())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let row = MailRow {
        job: envelope.job_id(),
        at,
        tenant: TenantId(uuid::Uuid::nil()),
        content_hash,
        content_text: mail.content_text(),
        content_html: mail.content_html(),
        headers: mail.headers_json(),
        raw_size_bytes: raw.len() as u64,
        message_type: mail.message_type.as_str().to_owned(),
        direction: envelope.direction,
        message_id,
        refs: reports::refs(&mail),
        campaign_hint: mail.header("x-campaign-id").and_then(campaign_hint),
        enqueued: DateTime::from_timestamp_millis(envelope.enqueued_at_ms),
        events: match envelope.direction {
            Direction::Inbound => reports::events(&mail),
            // Our own mail tells us nothing that we must believe.
            Direction::Outbound => Vec::new(),
        },
        recipients: match envelope.direction {
            Direction::Inbound => Vec::new(),
            Direction::Outbound => recipients(&mail),
        },
        from_email: mail.from.as_ref().map(|from| from.address.clone()).unwrap_or_default(),
        to_email: addresses(&mail.to),
        created: created(mail.when(None).0, envelope),
        // Moved, not copied: the attachments are most of what a large mail weighs. What stood outside the parts has no
        // other place in the hierarchy.
        attachments: mail
            .attachments
            .into_iter()
            .chain(mail.stray.into_iter().map(mailfleet_mime::Stray::into_attachment))
            .zip(0u32..)
            .map(attachment)
            .collect(),
        subject: mail.subject,
        key,
    };
    Prepared { row, peek: mailfleet_mime::peek(raw) }
}

/// What X-Campaign-ID says, where it can name a campaign.
fn campaign_hint(value: &str) -> Option<String> {
    let value = value.trim();
    (!value.is_empty() && value.chars().count() <= HINT_MAX_CHARS).then(|| value.to_owned())
}

/// Everybody that a mail of ours went to.
fn recipients(mail: &Mail) -> Vec<String> {
    let all = mail.to.iter().chain(&mail.cc).chain(&mail.bcc);
    let addresses = all.map(|address| address.address.clone()).filter(|address| address.contains('@'));
    addresses.take(MAX_RECIPIENTS).collect()
}

fn attachment((attachment, ordinal): (mailfleet_mime::Attachment, u32)) -> AttachmentRow {
    AttachmentRow {
        ordinal,
        content_hash: attachment.sha256(),
        filename: attachment.filename,
        mime_type: attachment.mime_type,
        content: Bytes::from(attachment.content),
        disposition: attachment.disposition,
        content_id: attachment.content_id,
    }
}

/// When the mail came: what the server says, else what the mail says, else when it was fetched.
fn created(date: Option<DateTime<Utc>>, envelope: &Envelope) -> DateTime<Utc> {
    let received = envelope.internal_date_ms.and_then(DateTime::from_timestamp_millis);
    received.or(date).or_else(|| DateTime::from_timestamp_millis(envelope.enqueued_at_ms)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use mailfleet_model::{ENVELOPE_VERSION, Encoding, MailboxId, Uid, UidValidity, Work};

    use super::*;

    fn row(raw: &str, internal_date_ms: Option<i64>) -> MailRow {
        let envelope = Envelope {
            v: ENVELOPE_VERSION,
            work: Work::Mail(MailRef {
                account: "6d0b5e4e-52a4-4f0e-9d5f-8f8a6d7d0001".parse().unwrap(),
                mailbox: MailboxId(1),
                uidvalidity: UidValidity::new(1).unwrap(),
                uid: Uid::new(2).unwrap(),
            }),
            size: raw.len() as u64,
            message_id: None,
            direction: Direction::Inbound,
            flags: Vec::new(),
            internal_date_ms,
            enqueued_at_ms: 5_000,
            encoding: Encoding::Identity,
            traceparent: None,
        };
        prepare(&envelope, &Bytes::copy_from_slice(raw.as_bytes()), &Limits::default()).unwrap().row
    }

    #[test]
    fn what_stands_outside_the_parts_is_stored_behind_the_attachments() {
        let raw = "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: image/png; name=a.png\n\nx\n--b--\nfoot";
        let files = row(raw, None).attachments;
        let files: Vec<_> =
            files.iter().map(|file| (file.ordinal, file.filename.as_deref(), &file.content[..])).collect();
        assert_eq!(files, [(0, Some("a.png"), &b"x"[..]), (1, Some("epilogue.txt"), &b"foot"[..])]);
    }

    #[test]
    fn a_mail_without_a_usable_date_came_when_it_was_last_received() {
        let raw = "Received: from a by b; Thu, 1 Jan 1970 00:00:03 +0000\nDate: yesterday\n\n";
        let came = |internal| row(raw, internal).created.timestamp();
        assert_eq!((came(None), came(Some(4_000))), (3, 4));
        assert_eq!(row("Subject: x\n\n", None).created.timestamp(), 5);
    }
}
