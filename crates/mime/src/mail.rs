//! What a mail says, in the words of the trade.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::defect::Defect;
use crate::display;
use crate::html;
use crate::stray::Stray;
use mailfleet_model::Disposition;

mod bounce;

pub use bounce::{Bounce, BounceKind, Original, Recipient};

/// The outcome of [`parse`](crate::parse): always a mail, and what was wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The mail.
    pub mail: Mail,
    /// What had to be bent, guessed or left undone; empty for a well-formed mail.
    pub defects: Vec<Defect>,
}

/// One address of a header field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// The display name, decoded; `None` where there is none.
    pub name: Option<String>,
    /// The address as written, without angle brackets. Not validated: `MAILER-DAEMON` is one.
    pub address: String,
    /// The name of the group that it stands in (RFC 5322 section 3.4), shared by all in it.
    pub group: Option<Arc<str>>,
}

impl Address {
    /// The domain in lower case, without a trailing dot; `None` for an address without `@`.
    #[must_use]
    pub fn domain(&self) -> Option<String> {
        domain(&self.address)
    }
}

/// The domain of an address, in lower case; the remains of brackets and a trailing dot do not belong to it.
pub(crate) fn domain(address: &str) -> Option<String> {
    let (_, domain) = address.rsplit_once('@')?;
    let domain = domain.trim().trim_end_matches(['>', '.']).to_lowercase();
    (!domain.is_empty()).then_some(domain)
}

/// Where the text of a mail came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextSource {
    /// It was sent as text.
    Plain,
    /// Made from the HTML.
    Html,
    /// The mail has neither.
    None,
}

impl TextSource {
    /// `plain`, `html` or `none`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Html => "html",
            Self::None => "none",
        }
    }
}

/// What says when a mail was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DateSource {
    /// The Date field.
    Date,
    /// The last Received field, which is the first: the sender's clock or program is broken.
    Received,
    /// The mailbox it lies in.
    Internal,
    /// Nothing.
    None,
}

impl DateSource {
    /// `date`, `received`, `internal` or `none`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Received => "received",
            Self::Internal => "internal",
            Self::None => "none",
        }
    }
}

/// A part of the mail that is neither its text nor its HTML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The file's name without any path; `None` where the mail gives none.
    pub filename: Option<String>,
    /// The media type in lower case, such as `application/pdf`.
    pub mime_type: String,
    /// The decoded bytes, line ends as they were sent: CRLF in whatever IMAP gave, and not base64.
    pub content: Vec<u8>,
    /// How it is meant to be shown.
    pub disposition: Disposition,
    /// Content-ID without angle brackets.
    pub content_id: Option<String>,
}

impl Attachment {
    /// SHA-256 of the content.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.content).into()
    }

    /// SHA-256 of the content as 64 hexadecimal digits.
    #[must_use]
    pub fn sha256_hex(&self) -> String {
        HEXLOWER.encode(&self.sha256())
    }
}

/// What kind of mail this is; decided by structure first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// Written by somebody, or a newsletter: the rest.
    Email,
    /// A mail could not be delivered, or is late (RFC 3464, and the many that predate it).
    Bounce,
    /// A machine answers for an absent person (RFC 3834).
    AutoReply,
    /// A recipient's provider passes on a complaint (RFC 5965).
    Complaint,
    /// The mail was displayed, deleted or otherwise disposed of (RFC 8098).
    ReadReceipt,
    /// An invitation to a date, an answer to one, or its end (RFC 6047).
    Calendar,
    /// Somebody wants no more mail, and says nothing else.
    Unsubscribe,
}

impl MessageType {
    /// The word stored in `email_messages.message_type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Bounce => "bounce",
            Self::AutoReply => "auto_reply",
            Self::Complaint => "complaint",
            Self::ReadReceipt => "read_receipt",
            Self::Calendar => "calendar",
            Self::Unsubscribe => "unsubscribe",
        }
    }
}

/// A mail, read. No text in it holds a NUL character.
#[derive(Debug, Clone, PartialEq)]
pub struct Mail {
    /// Message-ID without angle brackets.
    pub message_id: Option<String>,
    /// The Message-IDs this mail answers, without angle brackets.
    pub in_reply_to: Vec<String>,
    /// The Message-IDs of the thread, oldest first, without angle brackets.
    pub references: Vec<String>,
    /// The subject, decoded; empty where there is none. Of repeated fields the first counts.
    pub subject: String,
    /// The first address of From.
    pub from: Option<Address>,
    /// Sender, where it is given.
    pub sender: Option<Address>,
    /// Reply-To.
    pub reply_to: Vec<Address>,
    /// To, groups flattened.
    pub to: Vec<Address>,
    /// Cc, groups flattened.
    pub cc: Vec<Address>,
    /// Bcc, groups flattened.
    pub bcc: Vec<Address>,
    /// The Date field, where it can be read and lies in 1970..2100. Whether it is believed says [`Mail::when`].
    pub date: Option<DateTime<Utc>>,
    /// The time of the topmost Received field that has one, under the same conditions: the next best where `date` is
    /// unknown ([`Mail::when`]).
    pub received: Option<DateTime<Utc>>,
    /// The text as sent, line ends as LF; of format=flowed with its paragraphs whole, without uuencoded files.
    pub text: Option<String>,
    /// The HTML as sent, line ends as LF.
    pub html: Option<String>,
    /// What [`Mail::content_text`] is made from.
    pub text_source: TextSource,
    /// All fields of the top header in their order: lower-case name, decoded value on one line.
    pub headers: Vec<(String, String)>,
    /// Everything that is neither text nor HTML, in the mail's order.
    pub attachments: Vec<Attachment>,
    /// What the mail holds outside its parts, in its order; no attachment, since no reader shows it as one.
    pub stray: Vec<Stray>,
    /// What kind of mail this is.
    pub message_type: MessageType,
    /// What a delivery report or a complaint says; `None` unless this is one.
    pub bounce: Option<Bounce>,
    /// Message-ID of the mail that a bounce, complaint or receipt is about, without angle brackets.
    pub original_message_id: Option<String>,
    pub(crate) html_rendered: Option<String>,
}

impl Mail {
    /// When the mail was sent, and what says so: its Date, else the last Received, else `internal`, the time that the
    /// mailbox gives (INTERNALDATE). A Date that lies more than three days behind the last Received, or without one behind
    /// `internal`, is not believed: nobody receives a mail before it is sent, and clocks are wrong by hours, or by years.
    #[must_use]
    pub fn when(&self, internal: Option<DateTime<Utc>>) -> (Option<DateTime<Utc>>, DateSource) {
        let arrived = self.received.or(internal);
        let is_believed = |date: &DateTime<Utc>| arrived.is_none_or(|arrived| !is_too_late(*date, arrived));
        let sources = [
            (self.date.filter(is_believed), DateSource::Date),
            (self.received, DateSource::Received),
            (internal, DateSource::Internal),
        ];
        sources.into_iter().find(|(date, _)| date.is_some()).unwrap_or((None, DateSource::None))
    }

    /// The text, or text made from the HTML where there is none; empty where there is neither.
    #[must_use]
    pub fn content_text(&self) -> String {
        self.shown_text().to_owned()
    }

    /// As [`Mail::content_text`], which may be too long for a copy.
    pub(crate) fn shown_text(&self) -> &str {
        let text = match self.text_source {
            TextSource::Plain => &self.text,
            TextSource::Html => &self.html_rendered,
            TextSource::None => &None,
        };
        text.as_deref().unwrap_or_default()
    }

    /// The HTML as sent, or HTML made from the text where there is none; empty where there is neither. It is what a stranger
    /// sent, scripts included: to show it take [`Mail::html_for_display`].
    #[must_use]
    pub fn content_html(&self) -> String {
        match (&self.html, &self.text) {
            (Some(html), _) => html.clone(),
            (None, Some(text)) => html::from_text(text),
            (None, None) => String::new(),
        }
    }

    /// HTML to put into a page: [`Mail::content_html`] without scripts, handlers, forms, frames, style sheets, and styles that
    /// move things; links open elsewhere (`rel="noopener noreferrer"`) and go to http, https, mailto and tel only. Images of
    /// the mail itself (`cid:`) stay, those from elsewhere are not loaded, for that tells the sender who reads. HTML of more
    /// than 1 MiB, 20,000 tags or 200 levels is shown as its text.
    #[must_use]
    pub fn html_for_display(&self) -> String {
        display::clean(&self.content_html()).unwrap_or_else(|| html::from_text(self.shown_text()))
    }

    /// The first field of this name (lower case), decoded.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The headers as a JSON object: lower-case name to value, an array where a field is repeated, safe for JSONB.
    #[must_use]
    pub fn headers_json(&self) -> Value {
        fields_json(&self.headers)
    }
}

/// Whether a mail that arrived then cannot have been sent at this date.
pub(crate) fn is_too_late(date: DateTime<Utc>, arrived: DateTime<Utc>) -> bool {
    const WRONG_BY: TimeDelta = TimeDelta::days(3);
    date.signed_duration_since(arrived) > WRONG_BY
}

/// Header fields as a JSON object: name to value, an array where a field is repeated.
pub(crate) fn fields_json(fields: &[(String, String)]) -> Value {
    let mut object = serde_json::Map::new();
    for (name, value) in fields {
        let value = Value::String(value.clone());
        match object.get_mut(name) {
            None => {
                object.insert(name.clone(), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(one) => *one = Value::Array(vec![one.take(), value]),
        }
    }
    Value::Object(object)
}
