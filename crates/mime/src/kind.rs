//! What kind of mail this is: by structure first, then by the fields machines set, then by the words they use.

pub(crate) mod author;
pub(crate) mod auto_reply;
pub(crate) mod intent;
pub(crate) mod receipt;
pub(crate) mod refused_post;
pub(crate) mod subject;
pub(crate) mod undelivered;

use crate::assemble;
use crate::bounce;
use crate::bounce::named;
use crate::bounce::nested;
use crate::bounce::notice::Notice;
use crate::bounce::report::{self, Returned};
use crate::header;
use crate::kind::author::is_named_daemon;
use crate::kind::auto_reply::{is_auto_reply, says_auto_reply};
use crate::kind::undelivered::{is_passed_on, is_rejection, looks_like_bounce};
use crate::limits::Limits;
use crate::mail::{Attachment, Mail, MessageType};
use crate::structure::Part;
use crate::words::Decoder;

/// Media types of disposition notifications.
const DISPOSITIONS: &[&str] = &["message/disposition-notification"];

/// Decides the kind of a mail and reads the report it holds.
pub(crate) fn classify(
    mail: &mut Mail,
    parts: &[Part<'_>],
    reports: &[usize],
    limits: &Limits,
    decoder: &mut Decoder,
) {
    let top = parts.first();
    let report_type = top
        .filter(|part| part.mime_type == "multipart/report")
        .and_then(|part| part.ctype.token("report-type"))
        .map(str::to_ascii_lowercase);
    let attached: Vec<&Attachment> =
        reports.iter().filter_map(|&index| mail.attachments.get(index)).collect();
    let find = |types: &[&str]| attached.iter().find(|a| types.contains(&a.mime_type.as_str())).copied();

    let mut rows = Vec::new();
    for part in &attached {
        if matches!(part.mime_type.as_str(), "message/delivery-status" | "message/global-delivery-status") {
            rows.extend(report::delivery_status(&part.content, limits, decoder));
        }
    }
    let returned = find(assemble::RETURNED).map(|part| report::returned(&part.content, limits, decoder));
    let is_report = report_type.is_some();
    // Read only where it is needed: an ordinary mail pays nothing for it.
    if !rows.is_empty() && is_passed_on(mail, parts) {
        rows.clear();
    }
    let is_bounce = !rows.is_empty()
        || report_type.as_deref() == Some("delivery-status")
        || (find(DISPOSITIONS).is_none() || is_rejection(mail))
            && (!is_auto_reply(mail) || is_named_daemon(mail))
            && looks_like_bounce(mail, parts);
    let notice = is_bounce.then(|| Notice::new(&mail.content_text()));
    // Whom a rejection is by stands in its notification (RFC 8098): who else its text names is somebody's own words.
    if is_bounce
        && rows.is_empty()
        && is_rejection(mail)
        && let Some(part) = find(DISPOSITIONS)
    {
        rows = report::delivery_status(&part.content, limits, decoder);
    }
    if let Some(notice) = &notice
        && rows.is_empty()
        && let Some(fields) = notice.flattened_report()
    {
        rows = report::delivery_status(fields.as_bytes(), limits, decoder);
    }
    let mut returned = returned;
    if let Some(notice) = &notice
        && rows.is_empty()
        && named::recipients(notice, mail, limits).is_empty()
        && let Some((inner, about)) = nested::report(mail, limits, decoder)
    {
        (rows, returned) = (inner, Some(about));
    }
    rows.truncate(limits.max_recipients);
    let feedback = find(&["message/feedback-report"]);
    let is_complaint = feedback.is_some()
        || report_type.as_deref() == Some("feedback-report")
        || receipt::is_complaint(mail);
    let is_about_another = notice.is_some() || is_complaint;
    let returned =
        returned.or_else(|| is_about_another.then(|| mislabelled(mail, parts, limits, decoder))?);
    let returned = returned.or_else(|| {
        notice.as_ref().map(|notice| report::returned(notice.returned.as_bytes(), limits, decoder))
    });
    let mut returned = returned.unwrap_or_default();
    if is_about_another
        && returned.message_id.is_none()
        && let Some(part) = find(DISPOSITIONS)
    {
        returned.message_id = report::disposition_original(&part.content, limits, decoder);
    }

    report::name_as_sent(&mut rows, &returned);

    // Apple Mail writes for its user, with a field for the machine that reads it.
    let is_unsubscribe = mail.header("x-apple-unsubscribe").is_some_and(|value| value.trim() == "true");
    if is_unsubscribe && !is_complaint {
        mail.message_type = MessageType::Complaint;
        let from = mail.from.iter().map(|from| from.address.clone()).collect();
        mail.bounce = Some(bounce::complaint(from, &returned));
    } else if is_complaint {
        mail.message_type = MessageType::Complaint;
        let mut addresses = feedback.map_or_else(Vec::new, |part| report::feedback(&part.content, limits));
        if addresses.is_empty() {
            let named = returned.original.headers.iter().find(|(name, _)| name == receipt::COMPLAINANT);
            addresses.extend(named.map(|(_, value)| value.trim_matches(['<', '>', ' ']).to_owned()));
        }
        mail.bounce = Some(bounce::complaint(addresses, &returned));
        mail.original_message_id = returned.message_id;
    } else if let Some(notice) = notice {
        mail.message_type = MessageType::Bounce;
        mail.bounce = Some(if rows.is_empty() {
            bounce::from_text(mail, &notice, &returned, limits)
        } else {
            bounce::from_rows(mail, rows, &notice, &returned, limits)
        });
        mail.original_message_id = returned.message_id;
    } else if let Some(part) = find(DISPOSITIONS) {
        mail.message_type = MessageType::ReadReceipt;
        mail.original_message_id =
            report::disposition_original(&part.content, limits, decoder).or(returned.message_id);
    } else if report_type.as_deref() == Some("disposition-notification") || receipt::is_read(mail) {
        mail.message_type = MessageType::ReadReceipt;
        mail.original_message_id = mail.in_reply_to.first().cloned().or(returned.message_id);
    } else if !is_report && (is_auto_reply(mail) || says_auto_reply(mail)) {
        mail.message_type = MessageType::AutoReply;
        mail.original_message_id = mail.in_reply_to.first().cloned();
    } else {
        mail.message_type = intent::read(mail, parts);
    }
}

/// The returned mail where its part is not labelled as one: a header in a text file, or as the header of the part.
fn mislabelled(mail: &Mail, parts: &[Part<'_>], limits: &Limits, decoder: &mut Decoder) -> Option<Returned> {
    const FILES: usize = 10;
    let is_header = |fields: &[header::Field<'_>]| {
        ["message-id", "from", "date"].iter().all(|name| header::first(fields, name).is_some())
    };
    if let Some(part) = parts.iter().skip(1).find(|part| is_header(&part.fields)) {
        return Some(report::returned_fields(&part.fields, limits, decoder));
    }
    let files = mail.attachments.iter().filter(|file| file.mime_type.starts_with("text/")).take(FILES);
    files
        .map(|file| report::returned(&file.content, limits, decoder))
        .find(|found| found.message_id.is_some())
}
