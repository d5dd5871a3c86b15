//! Who writes: a machine that returns mail, or a person.

use crate::bounce::notice::prefix;
use crate::header;
use crate::mail::Mail;
use crate::peek::is_null_path;
use crate::structure::Part;
use crate::table::rows;

/// Local parts of machines that return mail.
pub(crate) static DAEMONS: &[&str] =
    &["mailer-daemon", "postmaster", "post_master", "mail-daemon", "mailerdaemon", "mdaemon", "bounce"];

/// Parts of the names under which they write, in lower case.
pub(crate) static DAEMON_NAMES: &[&str] = &[
    "mail delivery",
    "mail deliver system",
    "mailer-daemon",
    "mailer daemon",
    "postmaster",
    "mail system",
    "message router",
];

/// Names under which they write too, in lower case, which people bear behind their own as their title.
pub(crate) static TITLES: &[&str] = &[
    "mail server",
    "microsoft exchange",
    "microsoft outlook",
    "system administrator",
    "systemadministrator",
    "administrateur système",
    "administrador del sistema",
    "amministratore di sistema",
];

/// Nobody else writes under this name.
pub(crate) fn is_mailer_daemon(mail: &Mail) -> bool {
    mail.from.as_ref().is_some_and(|from| local(&from.address).eq_ignore_ascii_case("mailer-daemon"))
}

/// The address is that of a machine which returns mail.
pub(crate) fn is_daemon(mail: &Mail) -> bool {
    mail.from.as_ref().is_some_and(|from| {
        let local = local(&from.address).to_lowercase();
        rows(DAEMONS).any(|daemon| *daemon == local)
    })
}

/// Of the daemons the one that people write as, too.
pub(crate) fn is_postmaster(mail: &Mail) -> bool {
    mail.from.as_ref().is_some_and(|from| local(&from.address).to_lowercase().starts_with("post"))
}

/// Of the daemons the one that bounces are sent to, too.
pub(crate) fn takes_bounces(mail: &Mail) -> bool {
    mail.from.as_ref().is_some_and(|from| local(&from.address).eq_ignore_ascii_case("bounce"))
}

pub(crate) fn has_no_name(mail: &Mail) -> bool {
    mail.from.as_ref().is_none_or(|from| from.name.is_none())
}

/// `From: <>`: nobody shall answer.
pub(crate) fn has_no_author(mail: &Mail) -> bool {
    mail.header("from").is_some_and(|from| from.contains("<>"))
}

pub(crate) fn is_named_daemon(mail: &Mail) -> bool {
    let name = mail.from.as_ref().and_then(|from| from.name.as_deref()).unwrap_or_default().to_lowercase();
    rows(DAEMON_NAMES).any(|words| name.contains(words)) || rows(TITLES).any(|words| name.starts_with(words))
}

/// `Return-Path: <MAILER-DAEMON>`, which some servers write for an empty one.
fn is_own_path(path: &[u8]) -> bool {
    let path = path.trim_ascii();
    path.eq_ignore_ascii_case(b"<mailer-daemon>") || path.eq_ignore_ascii_case(b"mailer-daemon")
}

fn local(address: &str) -> &str {
    address.split(['@', '\\']).next().unwrap_or_default()
}

pub(crate) fn has_null_path(parts: &[Part<'_>]) -> bool {
    let path = parts.first().and_then(|part| header::first(&part.fields, "return-path"));
    path.is_some_and(is_machines_path)
}

/// A return path that no answer goes to.
pub(crate) fn is_machines_path(path: &[u8]) -> bool {
    is_null_path(path) || is_own_path(path)
}

/// A From field, as it was sent, that holds the address of a machine which returns mail.
pub(crate) fn is_daemons(from: &[u8]) -> bool {
    const LONGEST: usize = 1_000;
    let from = String::from_utf8_lossy(from.get(..LONGEST).unwrap_or(from)).to_lowercase();
    let is_mark = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '(' | ')');
    from.split(is_mark).any(|word| DAEMONS.contains(&local(word)) && word.contains('@') || word == DAEMONS[0])
}

/// Programs by which people write, as they name themselves in lower case.
pub(crate) static PROGRAMS: &[&str] = &[
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
    "em_client",
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
pub(crate) static GREETINGS: &[&str] =
    &["hi ", "hi,", "hello ", "hello,", "hey ", "dear ", "hallo ", "liebe", "bonjour", "hola", "ciao"];

/// Above what people forward, in lower case.
pub(crate) static FORWARDED: &[&str] =
    &["-----original message-----", "-- forwarded message", "begin forwarded message"];

/// Fields of a mail as Outlook and its kin quote it, in lower case: no header has them.
pub(crate) static SENT: &[&str] = &[
    "sent:",
    "gesendet:",
    "envoyé",
    "enviado",
    "enviada",
    "inviato:",
    "verzonden:",
    "skickat:",
    "sendt:",
    "lähetetty:",
    "wysłano:",
    "odesláno:",
    "elküldve:",
    "gönderilen:",
    "отправлено:",
    "发送时间",
    "寄件日期",
    "送信日時",
];

/// Somebody wrote it: with a program for people, with a greeting, above what is quoted.
pub(crate) fn is_by_person(mail: &Mail) -> bool {
    const LONGEST: usize = 1_000;
    let program = mail.header("user-agent").or_else(|| mail.header("x-mailer")).unwrap_or_default();
    let program = prefix(program, LONGEST).to_lowercase();
    let text = mail.shown_text();
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let first = prefix(first.trim(), LONGEST).to_lowercase();
    rows(PROGRAMS).any(|words| program.contains(words))
        || rows(GREETINGS).any(|words| first.starts_with(words))
        || text
            .lines()
            .take(40)
            .map(|line| prefix(line, LONGEST).to_lowercase())
            .any(|line| line.starts_with("> ") || rows(FORWARDED).any(|words| line.contains(words)))
        || quotes_mail(text)
}

/// A mail is quoted with its fields above it: `From:`, and `Sent:` right below.
fn quotes_mail(text: &str) -> bool {
    const LINES: usize = 200;
    const FIELD: usize = 40;
    let mut above = "";
    text.lines()
        .map(|line| line.trim_start_matches(['*', ' ', '\t']))
        .filter(|line| !line.is_empty())
        .take(LINES)
        .any(|line| {
            let is_field = prefix(above, FIELD).contains(':');
            above = line;
            let begin = prefix(line, FIELD).to_lowercase();
            is_field && begin.contains([':', '：']) && rows(SENT).any(|words| begin.starts_with(words))
        })
}
