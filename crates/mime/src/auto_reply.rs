//! Automatic answers of people who are away, and of machines that answer for them (RFC 3834).

use crate::mail::Mail;
use crate::undelivered::{has_bounce_subject, is_daemon};

/// Fields that an automatic answer carries: the name, and words one of which must stand in its value (none: the
/// field alone says it).
const FIELDS: &[(&str, &[&str])] = &[
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
const SUBJECTS: &[&str] = &[
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

pub(crate) fn is_auto_reply(mail: &Mail) -> bool {
    let by_field = FIELDS.iter().any(|(name, words)| {
        mail.headers.iter().filter(|(field, _)| field == name).any(|(_, value)| {
            let value = value.to_lowercase();
            words.is_empty() || words.iter().any(|word| value.contains(word))
        })
    });
    let subject = mail.subject.trim().to_lowercase();
    let by_subject = SUBJECTS.iter().any(|begin| subject.starts_with(begin));
    // Bounces of Postfix and others say `auto-replied` as well: who sent it decides, and how the subject begins.
    (by_subject || by_field && !has_bounce_subject(&subject)) && !is_daemon(mail)
}
