//! Whether a mail without a machine-readable report is a notice that another mail was not delivered.
//!
//! A machine must speak: an empty return path, no author, or the name of one. Where neither subject nor sender is enough,
//! the text must say that a mail was not delivered, and show which: the mail itself, a reply of a server, or a list of
//! recipients. An address like any other is a machine's only where the subject and the text both say so, and nothing
//! shows a person, a list or a date. What a person writes about a bounce, or forwards, is a mail of that person.

use crate::bounce::marks::{LATE, LISTED_BELOW, UNDELIVERED};
use crate::bounce::notice::{Notice, one_spaced, prefix};
use crate::bounce::status;
use crate::kind::author::{
    has_no_author, has_no_name, has_null_path, is_by_person, is_daemon, is_mailer_daemon, is_named_daemon,
    is_postmaster,
};
use crate::kind::refused_post::{is_refused_post, is_returned_post};
use crate::kind::subject::{has_bounce_subject, is_answer, is_marked, lowered};
use crate::mail::Mail;
use crate::structure::Part;

pub(crate) fn looks_like_bounce(mail: &Mail, parts: &[Part<'_>]) -> bool {
    let subject = lowered(mail);
    if mail.header("x-failed-recipients").is_some()
        || is_rejection(mail)
        || is_refused_post(mail, &subject)
        || is_returned_post(mail)
    {
        return true;
    }
    let null_path = has_null_path(parts);
    let daemon = is_daemon(mail);
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
        return is_strangers(mail, parts, &told);
    }
    is_mailer_daemon(mail)
        || (daemon || is_plain) && null_path && told.says_something()
        || is_plain
            && daemon
            && (told.says_something() || has_no_name(mail) && told.points())
            && !is_by_person(mail)
        || told.shows_which() && (is_named || by_subject || told.returns || told.coded) && !is_by_person(mail)
}

/// Whether a mail with such a subject, from an address like any other, is a notice: it says which mail was not delivered,
/// or to whom, and is none by a person, no newsletter and no date in a calendar.
fn is_strangers(mail: &Mail, parts: &[Part<'_>], told: &Told) -> bool {
    let is_list = ["list-unsubscribe", "list-id"].iter().any(|name| mail.header(name).is_some());
    let is_dated = parts.iter().any(|part| part.mime_type == "text/calendar");
    let encloses = parts.iter().any(|part| RETURNED.contains(&part.mime_type.as_str()));
    told.undelivered
        && (encloses || !is_list && (told.named || !is_marked(&lowered(mail)) && told.returns))
        && !is_dated
        && !is_by_person(mail)
}

/// A person passes a report on: it stands within another mail, which no machine sent.
pub(crate) fn is_passed_on(mail: &Mail, parts: &[Part<'_>]) -> bool {
    let is_machine = is_daemon(mail) || has_null_path(parts) || has_no_author(mail) || is_named_daemon(mail);
    let is_within = parts.first().is_some_and(|part| part.mime_type != "multipart/report");
    is_within && !is_machine && (is_answer(&lowered(mail)) || is_by_person(mail))
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
    /// An address stands alone in its line, or with an enhanced status somewhere.
    named: bool,
}

impl Told {
    fn new(mail: &Mail, parts: &[Part<'_>]) -> Self {
        const LONGEST: usize = 4_000;
        let text = mail.content_text();
        let own = prefix(&text, LONGEST).lines().filter(|line| !line.starts_with('>'));
        let own_lines: Vec<&str> = own.collect();
        let said = one_spaced(&own_lines.join("\n"));
        let has_part = parts.iter().any(|part| RETURNED.contains(&part.mime_type.as_str()));
        Self {
            undelivered: UNDELIVERED.iter().chain(LATE).any(|words| said.contains(words)),
            listed: LISTED_BELOW.iter().any(|words| said.contains(words)) && said.contains('@'),
            returns: has_part || !Notice::new(&text).returned.is_empty(),
            coded: status::reply_code(&said).is_some() || status::enhanced(&said).is_some(),
            replied: status::enhanced(&said).is_some()
                || prefix(&text, LONGEST).lines().any(|line| status::reply_line(line).is_some()),
            named: said.contains('@') && status::enhanced(&said).is_some()
                || own_lines.iter().any(|line| is_address(line) || ends_with_recipient(line)),
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

/// A line that is an address and nothing else.
fn is_address(line: &str) -> bool {
    let line = line.trim().trim_matches(|c: char| matches!(c, '<' | '>' | '"' | ':' | '.'));
    line.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'))
        && !line.contains(char::is_whitespace)
}

/// `Could not be delivered to: <a@b>`.
fn ends_with_recipient(line: &str) -> bool {
    let Some((says, rest)) = line.rsplit_once(": <") else { return false };
    let says = says.to_lowercase();
    is_address(rest) && UNDELIVERED.iter().any(|words| says.contains(words))
}

/// Parts that hold the mail which is returned.
const RETURNED: &[&str] =
    &["message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "message/partial"];

/// Rejections by a recipient's own rules come as notifications of disposition (RFC 5429 section 2.1).
pub(crate) fn is_rejection(mail: &Mail) -> bool {
    mail.header("auto-submitted")
        .is_some_and(|value| prefix(value, 1_000).to_lowercase().contains("(rejected)"))
}
