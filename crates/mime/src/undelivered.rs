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
    let subject = mail.subject.to_lowercase();
    if mail.header("x-failed-recipients").is_some() || is_refused_post(mail, &subject) || is_rejection(mail) {
        return true;
    }
    let null_path = parts.first().and_then(|part| header::first(&part.fields, "return-path"));
    let null_path = null_path.is_some_and(|path| is_null_path(path) || is_own_path(path));
    let daemon = is_daemon(mail);
    let is_named = daemon || has_no_author(mail) || is_named_daemon(mail);
    let is_machine = is_named || null_path;
    let by_subject = has_bounce_subject(&subject);
    if by_subject && is_machine {
        return true;
    }
    let may_be_one = by_subject && !is_answer(&subject) || is_machine;
    if !may_be_one {
        return false;
    }
    let told = Told::new(mail, parts);
    is_mailer_daemon(mail)
        || daemon && null_path && told.says_something()
        || told.shows_which() && (is_named || by_subject || told.returns || told.coded) && !is_by_person(mail)
}

/// What the text of a mail tells of another one.
#[expect(clippy::struct_excessive_bools, reason = "four signs, each alone")]
struct Told {
    undelivered: bool,
    listed: bool,
    returns: bool,
    coded: bool,
}

impl Told {
    fn new(mail: &Mail, parts: &[Part<'_>]) -> Self {
        const LONGEST: usize = 4_000;
        let text = mail.content_text();
        let own = prefix(&text, LONGEST).lines().filter(|line| !line.starts_with('>'));
        let said = one_spaced(&own.collect::<Vec<_>>().join("\n"));
        let has_part = parts.iter().any(|part| RETURNED.contains(&part.mime_type.as_str()));
        Self {
            undelivered: UNDELIVERED.iter().any(|words| said.contains(words)),
            listed: LISTED_BELOW.iter().any(|words| said.contains(words)) && said.contains('@'),
            returns: has_part || !Notice::new(&text).returned.is_empty(),
            coded: status::reply_code(&said).is_some() || status::enhanced(&said).is_some(),
        }
    }

    /// That a mail was not delivered, and which.
    const fn shows_which(&self) -> bool {
        self.undelivered && (self.returns || self.coded || self.listed)
            || self.listed && (self.returns || self.coded)
    }

    const fn says_something(&self) -> bool {
        self.undelivered || self.listed || self.returns || self.coded
    }
}

/// Parts that hold the mail which is returned.
const RETURNED: &[&str] =
    &["message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "message/partial"];

/// Programs by which people write, as they name themselves in lower case.
const PROGRAMS: &[&str] = &[
    "thunderbird",
    "mozilla",
    "outlook",
    "apple mail",
    "iphone mail",
    "ipad mail",
    "evolution",
    "kmail",
    "mutt",
    "roundcube",
    "squirrelmail",
    "the bat",
    "eudora",
    "airmail",
    "em client",
    "emclient",
    "k-9 mail",
    "claws mail",
    "sylpheed",
    "horde",
    "zimbra",
    "lotus notes",
    "groupwise",
    "pegasus",
    "gnus",
    "yahoomail",
    "open-xchange",
];

/// How people begin, in lower case.
const GREETINGS: &[&str] =
    &["hi ", "hi,", "hello ", "hello,", "hey ", "dear ", "hallo ", "liebe", "bonjour", "hola", "ciao"];

/// Above what people forward, in lower case.
const FORWARDED: &[&str] = &["-----original message-----", "-- forwarded message", "begin forwarded message"];

/// Somebody wrote it: with a program for people, with a greeting, above what is quoted.
fn is_by_person(mail: &Mail) -> bool {
    let program =
        mail.header("user-agent").or_else(|| mail.header("x-mailer")).unwrap_or_default().to_lowercase();
    let text = mail.text.as_deref().unwrap_or_default();
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_lowercase();
    PROGRAMS.iter().any(|words| program.contains(words))
        || GREETINGS.iter().any(|words| first.starts_with(words))
        || text
            .lines()
            .take(40)
            .map(str::to_lowercase)
            .any(|line| line.starts_with("> ") || FORWARDED.iter().any(|words| line.contains(words)))
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

pub(crate) fn has_bounce_subject(subject: &str) -> bool {
    SUBJECTS.iter().any(|words| subject.contains(words))
}

/// How the subjects of answers and of forwarded mails begin, in lower case.
const ANSWERS: &[&str] = &[
    "re", "aw", "sv", "vs", "antw", "odp", "ynt", "r", "rif", "res", "ref", "fwd", "fw", "wg", "tr", "rv",
    "i", "enc", "doorst", "vb", "vl", "vid", "pd", "ilt", "atb", "回复", "答复", "转发", "回覆", "轉寄",
    "返信", "転送",
];

/// Somebody writes about a bounce: its subject stands behind the mark of an answer.
fn is_answer(subject: &str) -> bool {
    let Some((mark, rest)) = subject.split_once([':', '：']) else { return false };
    let mark = mark
        .trim()
        .trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '[' | ']' | '(' | ')' | '^'));
    let begin = prefix(rest.trim_start(), ANSWERED);
    ANSWERS.contains(&mark.trim_end()) && (has_bounce_subject(begin) || is_answer(rest))
}

/// As much of a subject as shows that a bounce's own begins there.
const ANSWERED: usize = 40;

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

/// `Return-Path: <MAILER-DAEMON>`, which some servers write for an empty one.
fn is_own_path(path: &[u8]) -> bool {
    let path = path.trim_ascii();
    path.eq_ignore_ascii_case(b"<mailer-daemon>") || path.eq_ignore_ascii_case(b"mailer-daemon")
}

fn local(address: &str) -> &str {
    address.split(['@', '\\']).next().unwrap_or_default()
}

/// Rejections by a recipient's own rules come as notifications of disposition (RFC 5429 section 2.1).
pub(crate) fn is_rejection(mail: &Mail) -> bool {
    mail.header("auto-submitted").is_some_and(|value| value.to_lowercase().contains("(rejected)"))
}
