//! Whether a mail without a machine-readable report is a notice that another mail was not delivered.
//!
//! A machine must speak: an empty return path, no author, or the name of one. Where neither subject nor sender is enough,
//! the text must say that a mail was not delivered, and show which: the mail itself, a reply of a server, or a list of
//! recipients. An address like any other is a machine's only where the subject and the text both say so, and nothing
//! shows a person, a list or a date. What a person writes about a bounce, or forwards, is a mail of that person: a machine
//! returns the mail that failed, and only a person, or a gateway in a machine's name, encloses a bounce.

use crate::bounce::marks::{LATE, LISTED_BELOW, UNDELIVERED};
use crate::bounce::nested;
use crate::bounce::notice::{Notice, one_spaced, prefix};
use crate::bounce::status;
use crate::kind::author::{
    has_no_author, has_no_name, has_null_path, is_by_person, is_daemon, is_mailer_daemon, is_named_daemon,
    is_postmaster, takes_bounces,
};
use crate::kind::refused_post::{is_refused_post, is_returned_post};
use crate::kind::subject::{has_bounce_subject, is_answer, is_marked, lowered};
use crate::limits::Limits;
use crate::mail::Mail;
use crate::structure::Part;
use crate::table::rows;

pub(crate) fn looks_like_bounce(mail: &Mail, parts: &[Part<'_>], limits: &Limits) -> bool {
    let subject = lowered(mail);
    if rows(SESSIONS).any(|words| subject.contains(words)) {
        return false;
    }
    if mail.header("x-failed-recipients").is_some()
        || is_rejection(mail)
        || is_refused_post(mail, &subject)
        || is_returned_post(mail)
    {
        return true;
    }
    let null_path = has_null_path(parts);
    // Newsletters come from addresses that take bounces; a list that passes a daemon's mail on marks it as its own too.
    let daemon = is_daemon(mail) && (null_path || !takes_bounces(mail) || !is_bulk(mail));
    let by_subject = has_bounce_subject(&subject);
    let is_plain = by_subject && !is_answer(&subject);
    let is_certain = is_mailer_daemon(mail) || has_no_author(mail);
    let is_machines = null_path || is_named_daemon(mail) || !is_postmaster(mail);
    if by_subject && is_certain || is_plain && daemon && is_machines {
        return true;
    }
    // A name is soon written: phishing mails bear it too.
    let is_named = daemon || has_no_author(mail) || is_named_daemon(mail);
    let is_machine = is_named || null_path;
    let may_be_strangers = is_plain && mail.in_reply_to.is_empty();
    if !is_machine && !may_be_strangers {
        return false;
    }
    let told = Told::new(mail, parts);
    if !is_machine {
        return is_strangers(mail, parts, &told) && !nested::is_bounce(mail, limits);
    }
    is_mailer_daemon(mail)
        || (daemon || is_plain) && null_path && told.says_something()
        || is_plain
            && daemon
            && (told.says_something() || has_no_name(mail) && told.points())
            && !is_by_person(mail)
        || told.shows_which() && (is_named || by_subject || told.returns || told.coded) && !is_by_person(mail)
}

/// In the subjects of what a server tells its operator of a conversation that went wrong, in lower case: no mail came back.
pub(crate) static SESSIONS: &[&str] =
    &["smtp server: errors from", "smtp client: errors from", "lmtp client: errors from"];

/// Sent to many, and not because a mail of one of them failed.
fn is_bulk(mail: &Mail) -> bool {
    ["list-unsubscribe", "list-id"].iter().any(|name| mail.header(name).is_some())
}

/// Whether a mail with such a subject, from an address like any other, is a notice: it says which mail was not delivered,
/// or to whom, and is none by a person, no newsletter and no date in a calendar.
fn is_strangers(mail: &Mail, parts: &[Part<'_>], told: &Told) -> bool {
    let is_dated = parts.iter().any(|part| part.mime_type == "text/calendar");
    let encloses = parts.iter().any(|part| rows(RETURNED).any(|kind| *kind == part.mime_type));
    told.undelivered
        && (encloses || !is_bulk(mail) && (told.named || !is_marked(&lowered(mail)) && told.returns))
        && !is_dated
        && !is_by_person(mail)
}

/// A person passes a report on: it stands within another mail, which no machine sent.
pub(crate) fn is_passed_on(mail: &Mail, parts: &[Part<'_>]) -> bool {
    stands_within(mail, parts) && (is_answer(&lowered(mail)) || is_by_person(mail))
}

/// A person passes a bounce on, as [`is_passed_on`] says or with all its parts: a machine that adds to a bounce leaves
/// its sender as it was.
pub(crate) fn is_bounce_passed_on(mail: &Mail, parts: &[Part<'_>]) -> bool {
    let encloses = || stands_within(mail, parts) && parts.iter().skip(1).any(is_report);
    is_passed_on(mail, parts) || encloses()
}

/// The mail is no report itself, and no machine sent it.
fn stands_within(mail: &Mail, parts: &[Part<'_>]) -> bool {
    let is_machine = is_daemon(mail) || has_null_path(parts) || has_no_author(mail) || is_named_daemon(mail);
    !is_machine && parts.first().is_some_and(|part| !is_report(part))
}

fn is_report(part: &Part<'_>) -> bool {
    part.mime_type == "multipart/report"
}

/// What the text of a mail tells of another one.
#[expect(clippy::struct_excessive_bools, reason = "signs, each of which stands alone")]
struct Told {
    undelivered: bool,
    listed: bool,
    returns: bool,
    coded: bool,
    /// A reply that is one beyond doubt: with an enhanced status, or at the beginning of a line.
    replied: bool,
    /// An address stands alone in its line, not that of the mail's addressee, or with an enhanced status somewhere.
    named: bool,
}

/// Addressees of a mail with whom a line is compared.
const MOST_ADDRESSEES: usize = 20;

impl Told {
    fn new(mail: &Mail, parts: &[Part<'_>]) -> Self {
        const LONGEST: usize = 4_000;
        let text = mail.shown_text();
        let own = prefix(text, LONGEST).lines().filter(|line| !line.starts_with('>'));
        let own_lines: Vec<&str> = own.collect();
        let said = one_spaced(&own_lines.join("\n"));
        let lower = |text: &str| text.to_ascii_lowercase();
        let ours: Vec<String> = mail.to.iter().take(MOST_ADDRESSEES).map(|to| lower(&to.address)).collect();
        let is_ours = |line: &str| ours.contains(&lower(bare(line)));
        let has_part = parts.iter().any(|part| rows(RETURNED).any(|kind| *kind == part.mime_type));
        Self {
            undelivered: rows(UNDELIVERED).chain(rows(LATE)).any(|words| said.contains(words)),
            listed: rows(LISTED_BELOW).any(|words| said.contains(words)) && said.contains('@'),
            returns: has_part || !Notice::new(text).returned.is_empty(),
            coded: status::reply_code(&said).is_some() || status::enhanced(&said).is_some(),
            replied: status::enhanced(&said).is_some()
                || prefix(text, LONGEST).lines().any(|line| status::reply_line(line).is_some()),
            named: said.contains('@') && status::enhanced(&said).is_some()
                || own_lines
                    .iter()
                    .any(|line| is_address(line) && !is_ours(line) || ends_with_recipient(line)),
        }
    }

    /// That a mail was not delivered, and which.
    const fn shows_which(&self) -> bool {
        self.undelivered && (self.returns || self.coded || self.listed)
            || self.listed && (self.returns || self.coded)
    }

    /// Somebody is named as a recipient is.
    const fn points(&self) -> bool {
        self.named || self.listed
    }

    const fn says_something(&self) -> bool {
        self.undelivered || self.returns || self.replied || self.listed && self.coded
    }
}

/// A line without what stands around an address in a list.
fn bare(line: &str) -> &str {
    line.trim().trim_matches(|c: char| matches!(c, '<' | '>' | '"' | ':' | '.'))
}

/// A line that is an address and nothing else.
fn is_address(line: &str) -> bool {
    let line = bare(line);
    line.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'))
        && !line.contains(char::is_whitespace)
}

/// `Could not be delivered to: <a@b>`.
fn ends_with_recipient(line: &str) -> bool {
    let Some((says, rest)) = line.rsplit_once(": <") else { return false };
    let says = says.to_lowercase();
    is_address(rest) && rows(UNDELIVERED).any(|words| says.contains(words))
}

/// Parts that hold the mail which is returned.
pub(crate) static RETURNED: &[&str] =
    &["message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "message/partial"];

/// Rejections by a recipient's own rules come as notifications of disposition (RFC 5429 section 2.1).
pub(crate) fn is_rejection(mail: &Mail) -> bool {
    mail.header("auto-submitted")
        .is_some_and(|value| prefix(value, 1_000).to_lowercase().contains("(rejected)"))
}
