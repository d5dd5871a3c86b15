//! The machine-readable parts of reports: delivery status (RFC 3464), feedback (RFC 5965), disposition (RFC 8098).

use crate::bounce::returned::Returned;
use crate::bounce::status;
use crate::charsets;
use crate::defect::{Defect, Found};
use crate::header::{self, Field};
use crate::limits::Limits;
use crate::message_id;
use crate::table::rows;
use crate::words::{self, Decoder};

/// What a delivery-status part says of one recipient, before it is judged.
#[derive(Debug, Default, Clone)]
pub(crate) struct Row {
    pub(crate) address: String,
    pub(crate) original: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) diagnostic: Option<String>,
    pub(crate) remote_mta: Option<String>,
    /// What kind of failure the sending host takes it for, in its own words.
    pub(crate) category: Option<String>,
}

/// Reads the recipients of a message/delivery-status part: groups of fields between blank lines, of which those
/// with a recipient count. A field that comes again begins a new recipient where the blank line is missing.
pub(crate) fn delivery_status(content: &[u8], limits: &Limits, decoder: &mut Decoder) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut at = 0;
    while at < content.len() {
        let block = header::read(content, at, limits, &mut Found::default(), |_| false);
        // The block ends behind itself, so this ends.
        at = if block.body_at > at { block.body_at } else { skip_line(content, at) };
        for group in groups(&block.fields) {
            if rows.len() >= limits.max_recipients {
                decoder.found.note(Defect::TooManyRecipients);
                return rows;
            }
            rows.extend(row(group, decoder));
        }
    }
    rows
}

fn skip_line(content: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', &content[at..]).map_or(content.len(), |end| at + end + 1)
}

/// Splits a block into recipients: where a Final-Recipient comes again, or at the Original-Recipient right before it
/// (RFC 3464 §2.3 has them in that order), and where another Original-Recipient comes behind other fields.
fn groups<'b, 'a>(fields: &'b [Field<'a>]) -> Vec<&'b [Field<'a>]> {
    let mut groups = Vec::new();
    let (mut start, mut has_final, mut original) = (0, false, None);
    for (index, field) in fields.iter().enumerate() {
        let mut begin = None;
        if field.name == "final-recipient" {
            let is_behind_original = index > start + 1 && fields[index - 1].name == "original-recipient";
            if has_final {
                begin = Some(index - usize::from(is_behind_original));
                original = original.filter(|_| is_behind_original);
            }
            has_final = true;
        } else if field.name == "original-recipient" {
            let named = address(field.raw).to_ascii_lowercase();
            let is_another = original.as_ref().is_some_and(|other| *other != named);
            original = Some(named);
            if is_another {
                begin = Some(index);
                has_final = false;
            }
        }
        if let Some(begin) = begin {
            groups.push(&fields[start..begin]);
            start = begin;
        }
    }
    groups.push(&fields[start..]);
    groups
}

fn row(fields: &[Field<'_>], decoder: &mut Decoder) -> Option<Row> {
    let named = ["final-recipient", "original-recipient", "x-actual-recipient"]
        .into_iter()
        .filter_map(|name| header::first(fields, name).map(address).filter(|address| !address.is_empty()));
    let named: Vec<String> = named.collect();
    // A name after X.400, or of a local user, says less than the address that the mail was sent to.
    let address = named.iter().find(|address| address.contains('@')).or(named.first())?.clone();
    // Where the mail was forwarded, the sender knows this one alone.
    let original = header::first(fields, "original-recipient").map(self::address);
    let mut text = |name| {
        header::first(fields, name).map(|raw| decoder.text(raw)).filter(|text: &String| !text.is_empty())
    };
    let diagnostic = text("diagnostic-code");
    let status = text("status").and_then(|value| status::enhanced(&value));
    let action = text("action").map(|value| {
        let word: String = value.chars().take_while(char::is_ascii_alphabetic).collect();
        word.to_ascii_lowercase()
    });
    Some(Row {
        original: original.filter(|original| !original.is_empty() && !is_same(original, &address)),
        address,
        status,
        action: action.filter(|word| !word.is_empty()),
        remote_mta: text("remote-mta").map(|value| host(untyped(&value)).to_owned()),
        category: text("x-powermta-bouncecategory"),
        diagnostic,
    })
}

/// `rfc822; x` and `dns; x` without the type.
fn untyped(value: &str) -> &str {
    let typed = value.split_once(';').filter(|(kind, _)| !kind.contains(['"', '@']));
    typed.map_or(value, |(_, rest)| rest).trim()
}

/// A host without its number or what is remarked of it: `mx.example.org [192.0.2.1]`, `mx.example.org (TCP)`.
fn host(value: &str) -> &str {
    let named =
        value.split_once(char::is_whitespace).filter(|(_, rest)| rest.trim_start().starts_with(['[', '(']));
    named.map_or(value, |(name, _)| name).trim_end_matches('.')
}

/// Whether two addresses are one, with its local part in quotes or without.
fn is_same(one: &str, other: &str) -> bool {
    let bare = |address: &str| address.replacen('"', "", 2);
    bare(one).eq_ignore_ascii_case(&bare(other))
}

/// The address of a report's field. Encoded words in it are part of the address as it was sent.
fn address(raw: &[u8]) -> String {
    let line = words::unfold(raw);
    let text = charsets::guess(&line).replace('\0', "");
    let address = untyped(&text);
    let address =
        address.split_once('<').map_or(address, |(_, inner)| inner.split('>').next().unwrap_or(inner));
    // A comment behind it: `a@b (Ann)`.
    let address =
        address.split_once(" (").filter(|(before, _)| before.contains('@')).map_or(address, |(a, _)| a);
    let address = address.trim_matches(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '\''));
    unescaped(address)
}

/// An address as it was before it was made fit for SMTP: `\x{FC}` in those beyond ASCII (RFC 6533 section 3), and `+2B`,
/// which is a plus sign in ORCPT (RFC 3461 section 4) and is left as it came by servers that do not decode it.
fn unescaped(address: &str) -> String {
    let (mut kept, mut left) = (String::new(), address);
    while let Some((before, rest)) = left.split_once("\\x{") {
        // At most six digits: looked for no further, so that the time is linear.
        let end = rest.bytes().take(7).position(|byte| byte == b'}');
        let letter = end.and_then(|end| {
            let (digits, behind) = (rest.get(..end)?, rest.get(end + 1..)?);
            let letter = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)?;
            (!letter.is_control()).then_some((letter, behind))
        });
        kept.push_str(before);
        if let Some((letter, behind)) = letter {
            kept.push(letter);
            left = behind;
        } else {
            kept.push_str("\\x{");
            left = rest;
        }
    }
    kept.push_str(left);
    kept.replace("+2B", "+")
}

/// Names recipients as they were sent to, where the report knows them by a domain of the machine's own (`ann@internal`, as
/// Cyrus writes): one without a dot, which no mail is sent to.
pub(crate) fn name_as_sent(rows: &mut [Row], returned: &Returned) {
    const MANY: usize = 50;
    for row in rows.iter_mut().take(MANY) {
        let Some((local, domain)) = row.address.rsplit_once('@') else { continue };
        let is_it =
            |sent: &&String| sent.rsplit_once('@').is_some_and(|(name, _)| name.eq_ignore_ascii_case(local));
        let mut sent_to = returned.original.recipients.iter().take(MANY).filter(is_it);
        if let (false, Some(sent), None) = (domain.contains('.'), sent_to.next(), sent_to.next()) {
            row.address.clone_from(sent);
        }
    }
}

/// Fields that name them: RFC 5965, and the draft before it, for wishes to be removed.
pub(crate) static RECIPIENTS: &[&str] = &["original-rcpt-to", "removal-recipient"];

/// The recipients a feedback report complains for.
pub(crate) fn feedback(content: &[u8], limits: &Limits) -> Vec<String> {
    let block = header::read(content, 0, limits, &mut Found::default(), |_| false);
    let mut addresses: Vec<String> = Vec::new();
    for field in block.fields.iter().filter(|field| rows(RECIPIENTS).any(|name| *name == field.name)) {
        let address = address(field.raw);
        let is_new = !addresses.iter().any(|other| other.eq_ignore_ascii_case(&address));
        if !address.is_empty() && is_new && addresses.len() < limits.max_recipients {
            addresses.push(address);
        }
    }
    addresses
}

/// `Original-Message-ID` of a disposition notification.
pub(crate) fn disposition_original(content: &[u8], limits: &Limits, decoder: &mut Decoder) -> Option<String> {
    let block = header::read(content, 0, limits, &mut Found::default(), |_| false);
    block.first("original-message-id").and_then(|raw| message_id::read_one(raw, decoder))
}

#[cfg(test)]
mod tests;
