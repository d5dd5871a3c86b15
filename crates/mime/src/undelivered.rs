//! Whether a mail without a machine-readable report is a notice that another mail was not delivered.
//!
//! A machine must speak: an empty return path, no author, or the name of one. Where neither subject nor sender is enough,
//! the text must say that a mail was not delivered, and show which: the mail itself, a reply of a server, or a list of
//! recipients. What a person writes about a bounce, or forwards, is a mail of that person.

use crate::author::{
    has_no_author, has_null_path, is_by_person, is_daemon, is_mailer_daemon, is_named_daemon,
};
use crate::mail::Mail;
use crate::marks::{LISTED_BELOW, UNDELIVERED};
use crate::notice::{Notice, one_spaced, prefix};
use crate::status;
use crate::structure::Part;
use crate::subject::{has_bounce_subject, is_answer};

pub(crate) fn looks_like_bounce(mail: &Mail, parts: &[Part<'_>]) -> bool {
    let subject = mail.subject.to_lowercase();
    if mail.header("x-failed-recipients").is_some() || is_refused_post(mail, &subject) || is_rejection(mail) {
        return true;
    }
    let null_path = has_null_path(parts);
    let daemon = is_daemon(mail);
    let by_subject = has_bounce_subject(&subject);
    if by_subject && (daemon || null_path || has_no_author(mail)) {
        return true;
    }
    // A name is soon written: phishing mails bear it too.
    let is_named = daemon || has_no_author(mail) || is_named_daemon(mail);
    let is_machine = is_named || null_path;
    let may_be_one = by_subject && !is_answer(&subject) || is_machine;
    if !may_be_one {
        return false;
    }
    let told = Told::new(mail, parts);
    is_mailer_daemon(mail)
        || daemon && null_path && told.says_something()
        || told.shows_which() && (is_named || by_subject || told.returns || told.coded) && !is_by_person(mail)
}

/// A person passes a report on: it stands within another mail, which no machine sent.
pub(crate) fn is_passed_on(mail: &Mail, parts: &[Part<'_>]) -> bool {
    let is_machine = is_daemon(mail) || has_null_path(parts) || has_no_author(mail) || is_named_daemon(mail);
    let is_within = parts.first().is_some_and(|part| part.mime_type != "multipart/report");
    is_within && !is_machine && (is_answer(&mail.subject.to_lowercase()) || is_by_person(mail))
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
            replied: status::enhanced(&said).is_some()
                || prefix(&text, LONGEST).lines().any(|line| status::reply_line(line).is_some()),
        }
    }

    /// That a mail was not delivered, and which.
    const fn shows_which(&self) -> bool {
        self.undelivered && (self.returns || self.coded || self.listed)
            || self.listed && (self.returns || self.coded)
    }

    const fn says_something(&self) -> bool {
        self.undelivered || self.returns || self.replied || self.listed && self.coded
    }
}

/// Parts that hold the mail which is returned.
const RETURNED: &[&str] =
    &["message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "message/partial"];

/// A manager of mailing lists refuses a post: fml says so in the subject.
fn is_refused_post(mail: &Mail, subject: &str) -> bool {
    mail.header("x-mlserver").is_some() && REFUSED_POST.iter().any(|words| subject.contains(words))
}

/// Words, in lower case, of the subjects of fml.
const REFUSED_POST: &[&str] = &["are not member", "not a member", "rejected", "fml system error"];

/// Rejections by a recipient's own rules come as notifications of disposition (RFC 5429 section 2.1).
pub(crate) fn is_rejection(mail: &Mail) -> bool {
    mail.header("auto-submitted").is_some_and(|value| value.to_lowercase().contains("(rejected)"))
}
