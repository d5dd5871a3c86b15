//! The record that `mailfleet parse --json` prints, one object a line.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::bounce::reason::Reason;
use crate::mail::{Address, Attachment, DateSource, Mail, MessageType, Parsed, fields_json};

/// What mailfleet reads out of one mail.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The file, as it was named.
    pub path: String,
    /// The decoded subject.
    pub subject: String,
    /// Address of the first author.
    pub from: Option<String>,
    /// Name of the first author.
    pub from_name: Option<String>,
    /// Address of Sender.
    pub sender: Option<String>,
    /// Addresses of Reply-To.
    pub reply_to: Vec<String>,
    /// Addresses of To.
    pub to: Vec<String>,
    /// Addresses of Cc.
    pub cc: Vec<String>,
    /// Addresses of Bcc.
    pub bcc: Vec<String>,
    /// When it says it was sent, in UTC: the Date field where it can be read, else the last Received. Of a Date that
    /// is not believed ([`Mail::when`]) the defects hold `late-date`.
    pub date: Option<DateTime<Utc>>,
    /// `date`, `received` or `none`: the field that `date` is taken from.
    pub date_source: &'static str,
    /// Message-ID without angle brackets.
    pub message_id: Option<String>,
    /// Message-IDs that the mail answers.
    pub in_reply_to: Vec<String>,
    /// Message-IDs of the thread, oldest first.
    pub references: Vec<String>,
    /// All fields of the top header: lower-case name to decoded value, an array where a field is repeated.
    pub headers: Value,
    /// The text, or text made from the HTML.
    pub text: String,
    /// `plain`, `html` or `none`: what `text` is made from.
    pub text_source: &'static str,
    /// The HTML as sent.
    pub html: Option<String>,
    /// Everything that is neither text nor HTML.
    pub attachments: Vec<AttachmentReport>,
    /// What the mail holds outside its parts.
    pub stray: Vec<StrayReport>,
    /// What kind of mail this is.
    pub message_type: &'static str,
    /// What a delivery report, complaint or automatic reply says.
    pub bounce: Option<BounceReport>,
    /// What was wrong with the mail.
    pub defects: Vec<String>,
    /// Why the file could not be read; `None` once it was.
    pub error: Option<String>,
}

/// One attachment.
#[derive(Debug, Clone, Serialize)]
pub struct AttachmentReport {
    /// The file's name.
    pub filename: Option<String>,
    /// The media type.
    pub mime_type: String,
    /// Bytes, decoded.
    pub size: usize,
    /// SHA-256 of the decoded bytes in hexadecimal.
    pub sha256: String,
    /// `inline` or `attachment`.
    pub disposition: &'static str,
    /// Content-ID without angle brackets.
    pub content_id: Option<String>,
}

/// What stood before the first or behind the last part of a multipart.
#[derive(Debug, Clone, Serialize)]
pub struct StrayReport {
    /// `preamble` or `epilogue`.
    pub place: &'static str,
    /// What stood there.
    pub text: String,
}

/// What is reported about the mail's recipients.
#[derive(Debug, Clone, Serialize)]
pub struct BounceReport {
    /// `hard`, `soft`, `complaint`, `auto_reply` or `delivered`.
    pub kind: &'static str,
    /// Every recipient.
    pub recipients: Vec<RecipientReport>,
    /// Message-ID of the returned mail.
    pub original_message_id: Option<String>,
    /// What else is returned of it; `None` where nothing is.
    pub original: Option<OriginalReport>,
}

/// The mail that a report returns: what it can be matched by.
#[derive(Debug, Clone, Serialize)]
pub struct OriginalReport {
    /// The fields of its header: lower-case name to decoded value, an array where a field is repeated.
    pub headers: Value,
    /// The addresses of its To and Cc fields.
    pub recipients: Vec<String>,
}

/// What is reported about one recipient.
#[derive(Debug, Clone, Serialize)]
pub struct RecipientReport {
    /// The address.
    pub address: String,
    /// The address that the sender wrote to, where it is told and another.
    pub original: Option<String>,
    /// Enhanced status code.
    pub status: Option<String>,
    /// Three digits of the SMTP reply.
    pub reply_code: Option<u16>,
    /// The reason, in the shared vocabulary.
    pub reason: &'static str,
    /// `failed`, `delayed`, …
    pub action: Option<String>,
    /// `hard`, `soft`, `complaint`, `auto_reply` or `delivered`.
    pub kind: &'static str,
    /// What the remote server said.
    pub diagnostic: Option<String>,
    /// The server that said so.
    pub remote_mta: Option<String>,
}

impl Report {
    /// The record of a parsed mail.
    #[must_use]
    pub fn new(path: &str, parsed: &Parsed) -> Self {
        let mail = &parsed.mail;
        let addresses = |list: &[Address]| {
            list.iter().map(|a| a.address.clone()).filter(|address| !address.is_empty()).collect()
        };
        let (date, date_source) = match mail.date {
            Some(_) => (mail.date, DateSource::Date),
            None => mail.when(None),
        };
        Self {
            path: path.to_owned(),
            subject: mail.subject.clone(),
            from: mail.from.as_ref().map(|from| from.address.clone()).filter(|address| !address.is_empty()),
            from_name: mail.from.as_ref().and_then(|from| from.name.clone()),
            sender: mail
                .sender
                .as_ref()
                .map(|sender| sender.address.clone())
                .filter(|address| !address.is_empty()),
            reply_to: addresses(&mail.reply_to),
            to: addresses(&mail.to),
            cc: addresses(&mail.cc),
            bcc: addresses(&mail.bcc),
            date,
            date_source: date_source.as_str(),
            message_id: mail.message_id.clone(),
            in_reply_to: mail.in_reply_to.clone(),
            references: mail.references.clone(),
            headers: mail.headers_json(),
            text: mail.content_text(),
            text_source: mail.text_source.as_str(),
            html: mail.html.clone(),
            attachments: mail.attachments.iter().map(AttachmentReport::new).collect(),
            stray: mail
                .stray
                .iter()
                .map(|stray| StrayReport { place: stray.place.as_str(), text: stray.text.clone() })
                .collect(),
            message_type: mail.message_type.as_str(),
            bounce: bounce(mail),
            defects: parsed.defects.iter().map(ToString::to_string).collect(),
            error: None,
        }
    }

    /// The record of a file that could not be read.
    #[must_use]
    pub fn failed(path: &str, error: &str) -> Self {
        let empty = crate::parse(b"", &crate::Limits::default());
        Self { error: Some(error.to_owned()), defects: Vec::new(), ..Self::new(path, &empty) }
    }

    /// The record as one line of JSON, without a line end.
    #[must_use]
    pub fn to_line(&self) -> String {
        // The record has only string keys and no map, so serialising into memory cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl AttachmentReport {
    fn new(attachment: &Attachment) -> Self {
        Self {
            filename: attachment.filename.clone(),
            mime_type: attachment.mime_type.clone(),
            size: attachment.content.len(),
            sha256: attachment.sha256_hex(),
            disposition: attachment.disposition.as_str(),
            content_id: attachment.content_id.clone(),
        }
    }
}

fn bounce(mail: &Mail) -> Option<BounceReport> {
    if mail.message_type == MessageType::AutoReply {
        let address = mail.from.as_ref().map(|from| from.address.clone()).unwrap_or_default();
        let recipient = RecipientReport {
            address,
            original: None,
            status: None,
            reply_code: None,
            reason: Reason::Vacation.as_str(),
            action: None,
            kind: MessageType::AutoReply.as_str(),
            diagnostic: None,
            remote_mta: None,
        };
        return Some(BounceReport {
            kind: MessageType::AutoReply.as_str(),
            recipients: vec![recipient],
            original_message_id: mail.original_message_id.clone(),
            original: None,
        });
    }
    mail.bounce.as_ref().map(|bounce| BounceReport {
        kind: bounce.kind.as_str(),
        recipients: bounce
            .recipients
            .iter()
            .map(|recipient| RecipientReport {
                address: recipient.address.clone(),
                original: recipient.original.clone(),
                status: recipient.status.clone(),
                reply_code: recipient.reply_code,
                reason: recipient.reason.as_str(),
                action: recipient.action.clone(),
                kind: recipient.kind.as_str(),
                diagnostic: recipient.diagnostic.clone(),
                remote_mta: recipient.remote_mta.clone(),
            })
            .collect(),
        original_message_id: bounce.original_message_id.clone(),
        original: (!bounce.original.headers.is_empty()).then(|| OriginalReport {
            headers: fields_json(&bounce.original.headers),
            recipients: bounce.original.recipients.clone(),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::Report;
    use crate::{Limits, parse};
    use serde_json::{Value, json};

    #[test]
    fn all_that_is_known_of_a_recipient_is_in_the_record() {
        let raw = "From: MAILER-DAEMON@x.org\nSubject: failure notice\n\
                   Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
                   --b\nContent-Type: message/delivery-status\n\n\
                   Original-Recipient: rfc822; c@d.org\nFinal-Recipient: rfc822; a@b.org\nAction: failed\nStatus: 5.1.1\n\
                   Remote-MTA: dns; mx.b.org\nDiagnostic-Code: smtp; 550 5.1.1 no such user\n\n--b--\n";
        let line = Report::new("x", &parse(raw.as_bytes(), &Limits::default())).to_line();
        let record: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            record["bounce"]["recipients"],
            json!([{
                "address": "a@b.org", "original": "c@d.org", "status": "5.1.1", "reply_code": 550,
                "reason": "userunknown", "action": "failed", "kind": "hard",
                "diagnostic": "smtp; 550 5.1.1 no such user", "remote_mta": "mx.b.org",
            }])
        );
    }

    #[test]
    fn the_returned_mail_of_a_bounce_is_in_the_record() {
        let bounce = |returned: &str| -> Value {
            let raw = format!(
                "From: MAILER-DAEMON@x.org\nSubject: failure notice\n\
                 Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
                 --b\nContent-Type: message/delivery-status\n\n\
                 Final-Recipient: rfc822; a@b.org\nAction: failed\nStatus: 5.1.1\n\n{returned}--b--\n"
            );
            let line = Report::new("x", &parse(raw.as_bytes(), &Limits::default())).to_line();
            serde_json::from_str::<Value>(&line).unwrap()["bounce"].take()
        };
        let returned = bounce(
            "--b\nContent-Type: text/rfc822-headers\n\nReceived: one\nReceived: two\nMessage-ID: <m@x>\n\
             To: a@b.org\nCc: Eve <e@b.org>\nSubject: =?utf-8?q?caf=C3=A9?=\n\n",
        );
        assert_eq!(returned["original_message_id"], "m@x");
        assert_eq!(returned["original"]["recipients"], json!(["a@b.org", "e@b.org"]));
        assert_eq!(returned["original"]["headers"]["subject"], "café");
        assert_eq!(returned["original"]["headers"]["received"], json!(["one", "two"]));
        assert_eq!(bounce("")["original"], Value::Null);
    }
}
