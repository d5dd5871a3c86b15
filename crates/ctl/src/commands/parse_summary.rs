//! A mail in a few lines for people.

use std::fmt::Write as _;

use mailfleet_mime::{Address, Mail, Parsed};

use crate::text;

/// Addresses shown of one field.
const ADDRESSES: usize = 5;
/// Attachments and recipients shown.
const ITEMS: usize = 20;

/// The summary of one mail, with an empty line at its end.
pub fn summary(name: &str, size: usize, parsed: &Parsed) -> String {
    let mail = &parsed.mail;
    let mut out = format!("{} ({})\n", text::printable(name), text::size(size as u64));
    let mut field = |label: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {label:<12}{}", text::cut(value, 200));
    };
    if size == 0 {
        field("empty", "the file has no bytes: there is no mail in it");
        return out;
    }
    field("type", &kind(mail));
    field("from", &mail.from.as_ref().map_or_else(|| "(none)".to_owned(), address));
    field("to", &addresses(&mail.to));
    if !mail.cc.is_empty() {
        field("cc", &addresses(&mail.cc));
    }
    field("subject", if mail.subject.trim().is_empty() { "(none)" } else { &mail.subject });
    field("date", &mail.date.map_or_else(|| "(none that can be read)".to_owned(), text::time));
    field("message-id", mail.message_id.as_deref().unwrap_or("(none)"));
    if let Some(parent) = mail.in_reply_to.first() {
        field("reply to", parent);
    }
    field("text", &body(mail));
    for attachment in mail.attachments.iter().take(ITEMS) {
        let name = attachment.filename.as_deref().unwrap_or("(no name)");
        let size = text::size(attachment.content.len() as u64);
        let sha256 = attachment.sha256_hex();
        let hash = sha256.get(..12).unwrap_or(&sha256);
        field("attachment", &format!("{name}, {}, {size}, sha256 {hash}…", attachment.mime_type));
    }
    if mail.attachments.len() > ITEMS {
        field("", &format!("and {} more attachments", mail.attachments.len() - ITEMS));
    }
    for recipient in mail.bounce.iter().flat_map(|bounce| &bounce.recipients).take(ITEMS) {
        let status = recipient.status.as_deref().unwrap_or("no status");
        let said = recipient.diagnostic.as_deref().unwrap_or_default();
        field(
            "recipient",
            &format!(
                "{} {} {} {status} {said}",
                recipient.address,
                recipient.kind.as_str(),
                recipient.reason.as_str()
            ),
        );
    }
    for defect in &parsed.defects {
        field("defect", &defect.to_string());
    }
    out
}

fn kind(mail: &Mail) -> String {
    match &mail.bounce {
        Some(bounce) => format!("{} ({})", mail.message_type.as_str(), bounce.kind.as_str()),
        None => mail.message_type.as_str().to_owned(),
    }
}

fn address(address: &Address) -> String {
    match &address.name {
        Some(name) => format!("{name} <{}>", address.address),
        None => address.address.clone(),
    }
}

fn addresses(all: &[Address]) -> String {
    if all.is_empty() {
        return "(none)".to_owned();
    }
    let shown: Vec<String> = all.iter().take(ADDRESSES).map(address).collect();
    match all.len().saturating_sub(ADDRESSES) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn body(mail: &Mail) -> String {
    let content = mail.content_text();
    if content.trim().is_empty() {
        return "(none)".to_owned();
    }
    let first = content.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    format!(
        "{} characters ({}): {}",
        content.chars().count(),
        mail.text_source.as_str(),
        text::cut(first, 80)
    )
}
