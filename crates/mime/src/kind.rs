//! What kind of mail this is: by structure first, then by the fields machines set, then by the words they use.

use crate::assemble;
use crate::bounce;
use crate::header;
use crate::intent;
use crate::limits::Limits;
use crate::mail::{Attachment, Mail, MessageType};
use crate::notice::Notice;
use crate::peek::is_null_path;
use crate::report::{self, Returned};
use crate::status;
use crate::structure::Part;
use crate::words::Decoder;

/// Fields that an automatic answer carries: the name, and words one of which must stand in its value (none: the
/// field alone says it).
const AUTO_REPLY_FIELDS: &[(&str, &[&str])] = &[
    ("auto-submitted", &["auto-replied"]),
    ("x-autoreply", &[]),
    ("x-autoreply-from", &[]),
    ("x-autorespond", &[]),
    ("x-autoresponder", &[]),
    ("x-auto-reply-from", &[]),
    ("x-mail-autoreply", &[]),
    ("precedence", &["auto_reply", "auto-reply"]),
    ("x-precedence", &["auto_reply", "auto-reply"]),
    ("x-apple-action", &["vacation"]),
    ("delivered-to", &["autoresponder"]),
];

/// How the subjects of automatic answers begin, in lower case.
const AUTO_REPLY_SUBJECTS: &[&str] = &[
    "automatic reply",
    "auto reply",
    "auto-reply",
    "autoreply",
    "auto:",
    "auto response",
    "autosvar",
    "out of office",
    "out-of-office",
    "out of the office",
    "i am out of",
    "i'm out of",
    "away from",
    "on vacation",
    "vacation",
    "abwesenheit",
    "automatische antwort",
    "automatisch antwoord",
    "réponse automatique",
    "respuesta automática",
    "risposta automatica",
    "resposta automática",
    "自動返信",
    "自动回复",
];

/// Local parts of machines that return mail.
const DAEMONS: &[&str] =
    &["mailer-daemon", "postmaster", "post_master", "mail-daemon", "mailerdaemon", "mdaemon", "bounce"];

/// Words in the subject of a notice that a mail was not delivered, in lower case.
const BOUNCE_SUBJECTS: &[&str] = &[
    "undeliver",
    "delivery status notification",
    "delivery failure",
    "delivery failed",
    "delivery report",
    "delivery notification",
    "delivery problem",
    "delivery error",
    "delivery has failed",
    "delivery warning",
    "automatically rejected mail",
    "failure notice",
    "failure delivery",
    "mail failed",
    "failure notification",
    "failed mail",
    "mail delivery failed",
    "mail system error",
    "mail failure",
    "mail error",
    "mail could not be delivered",
    "message not delivered",
    "non-delivery",
    "nondeliverable",
    "not delivered",
    "returned mail",
    "returned to sender",
    "unable to deliver",
    "could not send message",
    "couldn't be delivered",
    "permanent delivery failure",
    "permanent failure",
    "still being retried",
    "error sending",
    "unzustellbar",
    "user unknown",
    "warning: could not send",
    "warning: message",
    "メールエラー通知",
    "配信エラー",
    "配信不能",
    "送信できません",
    "配信できません",
];

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
    let is_bounce = !rows.is_empty()
        || report_type.as_deref() == Some("delivery-status")
        || (find(DISPOSITIONS).is_none() || is_rejection(mail))
            && !is_auto_reply(mail)
            && looks_like_bounce(mail, parts);
    let notice = is_bounce.then(|| Notice::new(&mail.content_text()));
    if let Some(notice) = &notice
        && rows.is_empty()
        && let Some(at) = memchr::memmem::find(notice.said.as_bytes(), b"\nFinal-Recipient:")
    {
        // A report that was flattened into text.
        rows = report::delivery_status(&notice.said.as_bytes()[at + 1..], limits, decoder);
    }
    rows.truncate(limits.max_recipients);
    let is_about_another = notice.is_some() || find(&["message/feedback-report"]).is_some();
    let returned =
        returned.or_else(|| is_about_another.then(|| mislabelled(mail, parts, limits, decoder))?);
    let returned = returned.or_else(|| {
        notice.as_ref().map(|notice| report::returned(notice.returned.as_bytes(), limits, decoder))
    });
    let returned = returned.unwrap_or_default();

    // Apple Mail writes for its user, with a field for the machine that reads it.
    let is_unsubscribe = mail.header("x-apple-unsubscribe").is_some_and(|value| value.trim() == "true");
    if is_unsubscribe && find(&["message/feedback-report"]).is_none() {
        mail.message_type = MessageType::Complaint;
        let from = mail.from.iter().map(|from| from.address.clone()).collect();
        mail.bounce = Some(bounce::complaint(from, &returned));
    } else if let Some(part) = find(&["message/feedback-report"]) {
        mail.message_type = MessageType::Complaint;
        let addresses = report::feedback(&part.content, limits);
        mail.bounce = Some(bounce::complaint(addresses, &returned));
        mail.original_message_id = returned.message_id;
    } else if let Some(notice) = notice {
        mail.message_type = MessageType::Bounce;
        mail.bounce = Some(if rows.is_empty() {
            bounce::from_text(mail, &notice, &returned, limits)
        } else {
            bounce::from_rows(mail, rows, &notice, &returned)
        });
        mail.original_message_id = returned.message_id;
    } else if let Some(part) = find(DISPOSITIONS) {
        mail.message_type = MessageType::ReadReceipt;
        mail.original_message_id =
            report::disposition_original(&part.content, limits, decoder).or(returned.message_id);
    } else if !is_report && is_auto_reply(mail) {
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

fn is_auto_reply(mail: &Mail) -> bool {
    let by_field = AUTO_REPLY_FIELDS.iter().any(|(name, words)| {
        mail.headers.iter().filter(|(field, _)| field == name).any(|(_, value)| {
            let value = value.to_lowercase();
            words.is_empty() || words.iter().any(|word| value.contains(word))
        })
    });
    let subject = mail.subject.trim().to_lowercase();
    let by_subject = AUTO_REPLY_SUBJECTS.iter().any(|begin| subject.starts_with(begin));
    // Bounces of Postfix and others say `auto-replied` as well: who sent it decides, and how the subject begins.
    (by_subject || by_field && !has_bounce_subject(&subject)) && !is_daemon(mail)
}

fn looks_like_bounce(mail: &Mail, parts: &[Part<'_>]) -> bool {
    let null_path =
        parts.first().and_then(|part| header::first(&part.fields, "return-path")).is_some_and(is_null_path);
    let subject = mail.subject.to_lowercase();
    let failed = mail.header("x-failed-recipients").is_some();
    let daemon = is_daemon(mail);
    failed
        || is_refused_post(mail, &subject)
        || has_bounce_subject(&subject)
            && (daemon || null_path || !is_answer(&subject) || says_undelivered(mail))
        || daemon && (null_path || is_mailer_daemon(mail) || speaks_smtp(mail))
}

/// A manager of mailing lists refuses a post: fml says so in the subject.
fn is_refused_post(mail: &Mail, subject: &str) -> bool {
    mail.header("x-mlserver").is_some() && REFUSED_POST.iter().any(|words| subject.contains(words))
}

/// Words, in lower case, of the subjects of fml.
const REFUSED_POST: &[&str] = &["are not member", "not a member", "rejected", "fml system error"];

/// Nobody else writes under this name.
fn is_mailer_daemon(mail: &Mail) -> bool {
    let local =
        |address: &str| address.split('@').next().is_some_and(|l| l.eq_ignore_ascii_case("mailer-daemon"));
    mail.from.as_ref().is_some_and(|from| local(&from.address))
}

/// Rejections by a recipient's own rules come as notifications of disposition (RFC 5429 section 2.1).
fn is_rejection(mail: &Mail) -> bool {
    mail.header("auto-submitted").is_some_and(|value| value.to_lowercase().contains("(rejected)"))
}

/// Somebody's answer that says itself, not in what it quotes, that a mail was not delivered.
fn says_undelivered(mail: &Mail) -> bool {
    let text = mail.text.as_deref().unwrap_or_default();
    text.lines().take(20).filter(|line| !line.starts_with('>')).any(|line| {
        let line = line.to_lowercase();
        UNDELIVERED.iter().any(|words| line.contains(words))
    })
}

/// Words, in lower case, of a notice in plain text.
const UNDELIVERED: &[&str] = &["could not be delivered", "was not delivered", "has not been delivered"];

/// The text quotes an SMTP error.
fn speaks_smtp(mail: &Mail) -> bool {
    mail.text.as_deref().is_some_and(|text| status::reply_code(text).is_some())
}

fn has_bounce_subject(subject: &str) -> bool {
    BOUNCE_SUBJECTS.iter().any(|words| subject.contains(words))
}

/// Somebody writes about a bounce.
fn is_answer(subject: &str) -> bool {
    ["re:", "aw:", "fwd:", "fw:", "sv:"].iter().any(|begin| subject.trim_start().starts_with(begin))
}

fn is_daemon(mail: &Mail) -> bool {
    mail.from.as_ref().is_some_and(|from| {
        let local = from.address.split('@').next().unwrap_or_default().to_lowercase();
        DAEMONS.contains(&local.as_str())
    })
}
