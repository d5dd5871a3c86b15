//! From a claimed entry to the rows of one mail. Pure but for the parser's time: no I/O.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use mailfleet_mime::{Limits, Parsed};
use mailfleet_model::{Class, Direction, Envelope, StorageKey, TenantId};
use mailfleet_store::{AttachmentRow, Disposition, MailRow};
use sha2::{Digest, Sha256};

/// A mail that was read, and what is still to be known about it.
#[derive(Debug)]
pub struct Prepared {
    /// The rows, complete but for the tenant.
    pub row: MailRow,
    /// Domains that may own the mail when its account is shared: of the topmost Delivered-To or X-Original-To
    /// first, then, only for accounts that allow it, of To and Cc.
    pub delivered_to: Option<String>,
    /// Domains of To and Cc.
    pub to_cc: Vec<String>,
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
}

/// Reads one mail. `tenant` is a placeholder until the tenant is resolved.
///
/// The parser is total; the panic guard is for the libraries under it, so that a mistake in one of them costs one
/// mail and not its batch.
pub fn prepare(envelope: &Envelope, raw: &Bytes, limits: &Limits) -> Result<Prepared, Rejection> {
    catch_unwind(AssertUnwindSafe(|| read(envelope, raw, limits))).map_err(|_| Rejection {
        reason: "parser_panicked",
        class: Class::Fault,
        error: "the parser panicked on this mail; the raw mail is kept with this letter".to_owned(),
    })
}

fn read(envelope: &Envelope, raw: &Bytes, limits: &Limits) -> Prepared {
    let Parsed { mail, defects } = mailfleet_mime::parse(raw, limits);
    let canonical = mailfleet_mime::canonical(raw);
    let peek = mailfleet_mime::peek(raw);
    let key = StorageKey::inbound(mail.message_id.as_deref(), envelope.at.account, &canonical);
    if !defects.is_empty() {
        let codes: Vec<&str> = defects.iter().map(mailfleet_mime::Defect::code).collect();
        tracing::debug!(job = %envelope.job_id(), defects = ?codes, "mail read with defects");
    }
    let addresses = |list: &[mailfleet_mime::Address]| {
        list.iter()
            .map(|address| address.address.as_str())
            .filter(|a| !a.is_empty())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let row = MailRow {
        job: envelope.job_id(),
        at: envelope.at,
        tenant: TenantId(uuid::Uuid::nil()),
        content_hash: Sha256::digest(&canonical).into(),
        content_text: mail.content_text(),
        content_html: mail.content_html(),
        headers: mail.headers_json(),
        raw_size_bytes: raw.len() as u64,
        message_type: mail.message_type.as_str().to_owned(),
        direction: Direction::Inbound,
        from_email: mail.from.as_ref().map(|from| from.address.clone()).unwrap_or_default(),
        to_email: addresses(&mail.to),
        subject: mail.subject.clone(),
        created: created(mail.date, envelope),
        attachments: mail
            .attachments
            .iter()
            .zip(0u32..)
            .map(|(attachment, ordinal)| AttachmentRow {
                ordinal,
                filename: attachment.filename.clone(),
                mime_type: attachment.mime_type.clone(),
                content: Bytes::copy_from_slice(&attachment.content),
                disposition: disposition(attachment.disposition),
                content_id: attachment.content_id.clone(),
                content_hash: Sha256::digest(&attachment.content).into(),
            })
            .collect(),
        key,
    };
    let domains = |list: &[mailfleet_mime::Address]| list.iter().filter_map(|a| domain(&a.address)).collect();
    Prepared {
        row,
        delivered_to: peek.delivered_to.as_deref().and_then(domain),
        to_cc: domains(&[mail.to.as_slice(), mail.cc.as_slice()].concat()),
    }
}

/// When the mail came: what the server says, else what the mail says, else when it was fetched.
fn created(date: Option<DateTime<Utc>>, envelope: &Envelope) -> DateTime<Utc> {
    let received = envelope.internal_date_ms.and_then(DateTime::from_timestamp_millis);
    received.or(date).or_else(|| DateTime::from_timestamp_millis(envelope.enqueued_at_ms)).unwrap_or_default()
}

fn disposition(of: mailfleet_mime::Disposition) -> Disposition {
    match of {
        mailfleet_mime::Disposition::Inline => Disposition::Inline,
        mailfleet_mime::Disposition::Attachment => Disposition::Attachment,
    }
}

/// The lower-case domain of an address.
fn domain(address: &str) -> Option<String> {
    let (_, domain) = address.rsplit_once('@')?;
    let domain = domain.trim().trim_end_matches(['>', '.']).to_ascii_lowercase();
    (!domain.is_empty()).then_some(domain)
}
