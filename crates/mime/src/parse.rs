//! The whole of a parse, from bytes to [`Parsed`].

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use crate::address;
use crate::assemble::{self, Assembled};
use crate::budget::{Budget, Pass};
use crate::charsets;
use crate::content_type::Parameterised;
use crate::date;
use crate::defect::{Defect, Found};
use crate::header::{self, Field};
use crate::html;
use crate::kind;
use crate::limits::Limits;
use crate::mail::{self, Attachment, Mail, MessageType, Parsed, TextSource};
use crate::message_id;
use crate::structure::{self, Part, Role};
use crate::words::{self, Decoder};
use mailfleet_model::Disposition;

/// Reads a mail. Total: any bytes give a mail; time is linear in their number and memory a small multiple of it.
#[must_use]
pub fn parse(raw: &[u8], limits: &Limits) -> Parsed {
    let mut decoder = Decoder::new(limits.max_encoded_words);
    let raw = prepare(raw);
    let parts = if raw.len() as u64 > limits.max_raw_bytes {
        decoder.found.note(Defect::TooLarge { bytes: raw.len() });
        undivided(&raw, limits, &mut decoder.found)
    } else {
        structure::read(&raw, limits, &mut decoder.found)
    };
    decoder.hint = hint(&parts);
    let mut budget = Budget::new(raw.len(), limits);
    let Assembled { text, html, attachments, stray, reports } =
        assemble::assemble(&parts, limits, &mut budget, &mut decoder);
    let fields = parts.first().map(|part| part.fields.as_slice()).unwrap_or_default();
    budget.spend(Pass::Headers, fields.iter().map(|field| field.raw.len()).sum());
    let mut mail = facts(fields, limits, &mut decoder);
    mail.attachments = attachments;
    mail.stray = stray;
    let has = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
    mail.text_source = match (has(&text), has(&html)) {
        (true, _) => TextSource::Plain,
        (false, true) => TextSource::Html,
        (false, false) if text.is_some() => TextSource::Plain,
        (false, false) if html.is_some() => TextSource::Html,
        (false, false) => TextSource::None,
    };
    if mail.text_source == TextSource::Html {
        mail.html_rendered =
            html.as_ref().map(|html| html::to_text(html, limits, &mut budget, &mut decoder.found));
    }
    mail.text = text;
    mail.html = html;
    let looked_at = looked_at(&mail, &reports, limits);
    if budget.may(Pass::Classify, looked_at.min(raw.len()), &mut decoder.found) {
        kind::classify(&mut mail, &parts, &reports, limits, &mut decoder);
    }
    Parsed { mail, defects: decoder.found.into_vec() }
}

/// How much is looked at for the kind of a mail: of its text no more than a beginning, of a report all, and of the mail that
/// is returned its header, however large it is. A byte of these costs an eighth of one of the text.
fn looked_at(mail: &Mail, reports: &[usize], limits: &Limits) -> usize {
    const TEXT: usize = 16 * 1024;
    let attached = || reports.iter().filter_map(|&index| mail.attachments.get(index));
    let is_returned = |file: &&Attachment| assemble::RETURNED.contains(&file.mime_type.as_str());
    let report = attached().filter(|file| !is_returned(file)).map(|file| file.content.len()).sum::<usize>();
    let returned = attached().find(is_returned).map_or(0, |file| file.content.len());
    TEXT + (report + returned.min(limits.max_header_bytes)) / 8
}

/// Removes what stands before the first header field (a byte order mark, blank lines) and turns a mail whose line
/// ends are lone CRs into one with LF.
pub(crate) fn prepare(raw: &[u8]) -> Cow<'_, [u8]> {
    let mut raw = raw.strip_prefix("\u{feff}".as_bytes()).unwrap_or(raw);
    while let Some(rest) = raw.strip_prefix(b"\n").or_else(|| raw.strip_prefix(b"\r")) {
        raw = rest;
    }
    if memchr::memchr(b'\n', raw).is_none() && memchr::memchr(b'\r', raw).is_some() {
        return Cow::Owned(raw.iter().map(|&byte| if byte == b'\r' { b'\n' } else { byte }).collect());
    }
    Cow::Borrowed(raw)
}

/// The charset that 8-bit text without one of its own is in: the first that a part declares, else that of the first
/// encoded word of the subject or the sender, else the one that their letters tell.
fn hint(parts: &[Part<'_>]) -> String {
    let declared = parts.iter().filter_map(|part| part.ctype.token("charset"));
    if let Some(charset) = declared.into_iter().find(|charset| charsets::is_telling(charset)) {
        return charset.to_owned();
    }
    let fields = parts.first().map(|part| part.fields.as_slice()).unwrap_or_default();
    let raw = || ["subject", "from"].iter().filter_map(|name| header::first(fields, name));
    if let Some(charset) =
        raw().filter_map(words::first_charset).find(|charset| charsets::is_telling(charset))
    {
        return charset.to_owned();
    }
    // Raw 8-bit fields are short: the beginning of the body, in the same charset, helps to tell it.
    let mut sample: Vec<u8> = raw().collect::<Vec<_>>().join(&b' ');
    if sample.is_ascii() {
        return String::new();
    }
    let body = parts.iter().find(|part| part.role == Role::Leaf).map(|part| part.body).unwrap_or_default();
    sample.extend_from_slice(body.get(..body.len().min(SAMPLE)).unwrap_or_default());
    charsets::detected(&sample).unwrap_or_default().to_owned()
}

/// Bytes of a body that help to tell the charset of raw header fields.
const SAMPLE: usize = 2 * 1024;

/// The headers of a mail beyond the size limit, its body as one piece.
fn undivided<'a>(raw: &'a [u8], limits: &Limits, found: &mut Found) -> Vec<Part<'a>> {
    let block = header::read(raw, 0, limits, found, |_| false);
    let body = raw.get(block.body_at..).unwrap_or_default();
    let part = |fields, mime_type: &str, body, parent, role| Part {
        fields,
        mime_type: mime_type.to_owned(),
        ctype: Parameterised::default(),
        body,
        parent,
        role,
    };
    vec![
        part(block.fields, "multipart/mixed", &raw[..0], None, Role::Container),
        part(Vec::new(), "application/octet-stream", body, Some(0), Role::Opaque),
    ]
}

/// What the top header says.
fn facts(fields: &[Field<'_>], limits: &Limits, decoder: &mut Decoder) -> Mail {
    let raw = |name| header::first(fields, name);
    let mut ids = |name| raw(name).map(|value| message_id::read(value, decoder)).unwrap_or_default();
    let (in_reply_to, references) = (ids("in-reply-to"), ids("references"));
    let message_id = raw("message-id").and_then(|value| message_id::read_one(value, decoder));
    let subject = raw("subject").map(|value| decoder.text(value)).unwrap_or_default();
    let date_text = raw("date").map(|value| decoder.text(value)).unwrap_or_default();
    let date = date::read(&date_text);
    let received = received(fields, decoder);
    match (date, received) {
        (None, _) if !date_text.is_empty() => decoder.found.note(Defect::BadDate(date_text)),
        (Some(date), Some(arrived)) if mail::is_too_late(date, arrived) => {
            decoder.found.note(Defect::LateDate(date_text));
        }
        _ => {}
    }
    let mut list = |name| {
        // A repeated field breaks RFC 5322, but every copy names somebody.
        let values = fields.iter().filter(|field| field.name == name).map(|field| field.raw);
        let mut all = Vec::new();
        for value in values {
            let room = limits.max_addresses.saturating_sub(all.len());
            all.extend(address::read(value, room, decoder));
        }
        all
    };
    let first = |list: Vec<crate::Address>| {
        // `Bee, Ann <a@b.org>`: a name with a comma that nobody quoted is no sender.
        let whole = list.iter().position(|address| address.address.contains('@'));
        let best = whole.or_else(|| list.iter().position(|address| !address.address.is_empty())).unwrap_or(0);
        list.into_iter().nth(best)
    };
    let (from, sender) = (first(list("from")), first(list("sender")));
    let (reply_to, to, cc, bcc) = (list("reply-to"), list("to"), list("cc"), list("bcc"));
    if from.as_ref().is_none_or(|from| from.address.is_empty()) {
        decoder.found.note(Defect::NoFrom);
    }
    // What was read is not read again: a subject may be very long.
    let is_subject =
        |field: &Field<'_>| raw("subject").is_some_and(|subject| std::ptr::eq(subject, field.raw));
    let mut text =
        |field: &Field<'_>| if is_subject(field) { subject.clone() } else { decoder.text(field.raw) };
    let headers = fields.iter().map(|field| (field.name.clone(), text(field))).collect();
    Mail {
        message_id,
        in_reply_to,
        references,
        subject,
        from,
        sender,
        reply_to,
        to,
        cc,
        bcc,
        date,
        received,
        text: None,
        html: None,
        text_source: TextSource::None,
        headers,
        attachments: Vec::new(),
        stray: Vec::new(),
        message_type: MessageType::Email,
        bounce: None,
        original_message_id: None,
        html_rendered: None,
    }
}

/// The time of the topmost Received field that has one, of the first few.
fn received(fields: &[Field<'_>], decoder: &mut Decoder) -> Option<DateTime<Utc>> {
    const MOST: usize = 10;
    const LONGEST: usize = 500;
    let hops = fields.iter().filter(|field| field.name == "received").take(MOST);
    hops.map(|field| decoder.text(&field.raw[field.raw.len().saturating_sub(LONGEST)..]))
        .find_map(|text| date::read(text.rsplit(';').next()?))
}

/// An attachment made of bytes that were not taken apart.
pub(crate) fn opaque(body: &[u8]) -> Attachment {
    Attachment {
        filename: None,
        mime_type: "application/octet-stream".to_owned(),
        content: body.to_vec(),
        disposition: Disposition::Attachment,
        content_id: None,
    }
}
