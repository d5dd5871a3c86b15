//! Whether a mail without a machine-readable report is a notice that another mail was not delivered.
//!
//! A machine must speak: an empty return path, no author, or the name of one. Where neither subject nor sender is enough,
//! the text must say that a mail was not delivered, and show which: the mail itself, a reply of a server, or a list of
//! recipients. What a person writes about a bounce, or forwards, is a mail of that person.

use crate::header;
use crate::mail::Mail;
use crate::marks::{LISTED_BELOW, UNDELIVERED};
use crate::notice::{Notice, one_spaced, prefix};
use crate::peek::is_null_path;
use crate::status;
use crate::structure::Part;

/// Local parts of machines that return mail.
const DAEMONS: &[&str] =
    &["mailer-daemon", "postmaster", "post_master", "mail-daemon", "mailerdaemon", "mdaemon", "bounce"];

/// Parts of the names under which they write, in lower case.
const DAEMON_NAMES: &[&str] = &[
    "mail delivery",
    "mail deliver system",
    "mailer-daemon",
    "mailer daemon",
    "postmaster",
    "mail server",
    "mail system",
    "internet mail delivery",
    "message router",
    "microsoft exchange",
    "microsoft outlook",
    "system administrator",
    "systemadministrator",
    "administrateur système",
    "administrador del sistema",
    "amministratore di sistema",
];

/// Words in the subject of a notice that a mail was not delivered, in lower case.
const SUBJECTS: &[&str] = &[
    "undeliver",
    "delivery status",
    "delivery failure",
    "delivery_failure",
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
    "failed delivery",
    "mail delivery failed",
    "mail system error",
    "mail failure",
    "mail error",
    "mail could not be delivered",
    "message could not be delivered",
    "message not delivered",
    "message you sent blocked",
    "message frozen",
    "has been frozen",
    "non-delivery",
    "nondeliver",
    "not delivered",
    "returned mail",
    "returned to sender",
    "unable to deliver",
    "could not send message",
    "couldn't be delivered",
    "permanent delivery failure",
    "permanent failure",
    "postmaster notify",
    "still being retried",
    "error sending",
    "user unknown",
    "warning: could not send",
    "warning: message",
    // German.
    "unzustellbar",
    "nicht zustellbar",
    "nicht zugestellt",
    "zustellungsfehler",
    "zustellung fehlgeschlagen",
    // French.
    "non remis",
    "non distribu",
    "echec de distribution",
    "échec de la remise",
    "échec de la distribution",
    // Spanish, Portuguese, Italian.
    "no se puede entregar",
    "no se pudo entregar",
    "no entregado",
    "error de entrega",
    "error en la entrega",
    "não é possível entregar",
    "não entregue",
    "non recapitabile",
    "mancato recapito",
    "mancata consegna",
    // Dutch and Scandinavian languages, Finnish.
    "onbestelbaar",
    "niet bezorgd",
    "olevererbart",
    "kan inte levereras",
    "kan ikke leveres",
    "ikke leveret",
    "ei voi toimittaa",
    // Polish, Czech, Hungarian, Turkish, Russian.
    "niedostarczalne",
    "nie można dostarczyć",
    "nedoručitelné",
    "kézbesíthetetlen",
    "teslim edilemedi",
    "не доставлено",
    "недоставленное",
    "не удается доставить",
    "недоставлено",
    // Japanese, Chinese, Korean.
    "メールエラー通知",
    "配信エラー",
    "配信不能",
    "配信不可",
    "配達不能",
    "送信できません",
    "配信できません",
    "退信",
    "无法传递",
    "无法送达",
    "未送达",
    "无法投递",
    "傳送失敗",
    "無法傳遞",
    "배달되지 않음",
    "반송",
];

pub(crate) fn looks_like_bounce(mail: &Mail, parts: &[Part<'_>]) -> bool {
    let null_path =
        parts.first().and_then(|part| header::first(&part.fields, "return-path")).is_some_and(is_null_path);
    let subject = mail.subject.to_lowercase();
    let daemon = is_daemon(mail);
    if mail.header("x-failed-recipients").is_some() || is_refused_post(mail, &subject) {
        return true;
    }
    let is_machine = daemon || null_path || has_no_author(mail);
    has_bounce_subject(&subject) && (is_machine || !is_answer(&subject) || tells_of_one(mail, parts))
        || daemon && (null_path || is_mailer_daemon(mail) || speaks_smtp(mail))
        || (is_machine || is_named_daemon(mail)) && tells_of_one(mail, parts)
}

/// The text says that a mail was not delivered, and shows which.
fn tells_of_one(mail: &Mail, parts: &[Part<'_>]) -> bool {
    const LONGEST: usize = 4_000;
    let text = mail.content_text();
    let own = prefix(&text, LONGEST).lines().filter(|line| !line.starts_with('>'));
    let said = one_spaced(&own.collect::<Vec<_>>().join("\n"));
    let listed = LISTED_BELOW.iter().any(|words| said.contains(words)) && said.contains('@');
    let undelivered = UNDELIVERED.iter().any(|words| said.contains(words));
    let returns = parts.iter().any(|part| {
        matches!(part.mime_type.as_str(), "message/rfc822" | "text/rfc822-headers" | "message/rfc822-headers")
    });
    let coded = status::reply_code(&said).is_some() || status::enhanced(&said).is_some();
    (undelivered || listed)
        && (returns || coded || listed && undelivered || !Notice::new(&text).returned.is_empty())
}

/// A manager of mailing lists refuses a post: fml says so in the subject.
fn is_refused_post(mail: &Mail, subject: &str) -> bool {
    mail.header("x-mlserver").is_some() && REFUSED_POST.iter().any(|words| subject.contains(words))
}

/// Words, in lower case, of the subjects of fml.
const REFUSED_POST: &[&str] = &["are not member", "not a member", "rejected", "fml system error"];

/// Nobody else writes under this name.
fn is_mailer_daemon(mail: &Mail) -> bool {
    mail.from.as_ref().is_some_and(|from| local(&from.address).eq_ignore_ascii_case("mailer-daemon"))
}

/// The text quotes an SMTP error.
fn speaks_smtp(mail: &Mail) -> bool {
    mail.text.as_deref().is_some_and(|text| status::reply_code(text).is_some())
}

pub(crate) fn has_bounce_subject(subject: &str) -> bool {
    SUBJECTS.iter().any(|words| subject.contains(words))
}

/// Somebody writes about a bounce.
fn is_answer(subject: &str) -> bool {
    ["re:", "aw:", "fwd:", "fw:", "sv:"].iter().any(|begin| subject.trim_start().starts_with(begin))
}

/// The address is that of a machine which returns mail.
pub(crate) fn is_daemon(mail: &Mail) -> bool {
    mail.from.as_ref().is_some_and(|from| DAEMONS.contains(&local(&from.address).to_lowercase().as_str()))
}

/// `From: <>`: nobody shall answer.
fn has_no_author(mail: &Mail) -> bool {
    mail.header("from").is_some_and(|from| from.contains("<>"))
}

fn is_named_daemon(mail: &Mail) -> bool {
    let name = mail.from.as_ref().and_then(|from| from.name.as_deref()).unwrap_or_default().to_lowercase();
    DAEMON_NAMES.iter().any(|words| name.contains(words))
}

fn local(address: &str) -> &str {
    address.split('@').next().unwrap_or_default()
}
