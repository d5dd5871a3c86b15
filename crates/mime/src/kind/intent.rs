//! What a mail that is no report wants: a date in a calendar (RFC 6047), or to be left alone.
//!
//! The words are data. Both are read narrowly: a letter about unsubscribing is a letter, and a calendar file in its
//! attachments is a file.

use crate::content_type::Parameterised;
use crate::header;
use crate::mail::{Mail, MessageType, TextSource};
use crate::structure::Part;
use crate::table::rows;

/// Methods by which calendars talk to each other (RFC 5546 section 1.4). `publish` only tells of a date, and counts where
/// there is nothing else.
pub(crate) static METHODS: &[&str] =
    &["request", "reply", "add", "cancel", "refresh", "counter", "declinecounter"];

/// Subjects that mean to be left alone, alone or with a token behind them; mail programs write the first two themselves
/// from a List-Unsubscribe field.
pub(crate) static SUBJECTS: &[&str] =
    &["unsubscribe", "remove", "opt-out", "optout", "opt out", "list-unsubscribe"];

/// All that somebody writes who wants to be left alone, in lower case, without punctuation.
pub(crate) static WORDS: &[&str] = &[
    "unsubscribe",
    "unsubscribe me",
    "please unsubscribe",
    "please unsubscribe me",
    "unsubscribe please",
    "unsubscribe me please",
    "please unsubscribe me from this list",
    "please unsubscribe me from your list",
    "please unsubscribe me from your mailing list",
    "remove",
    "remove me",
    "please remove me",
    "remove me please",
    "please remove me from your list",
    "please remove me from this list",
    "please remove me from your mailing list",
    "remove me from your list",
    "take me off your list",
    "please take me off your list",
    "opt out",
    "optout",
    "stop",
    "stop emailing me",
    "please stop emailing me",
    "abmelden",
    "bitte abmelden",
    "austragen",
    "bitte austragen",
    "abbestellen",
    "désinscription",
    "désabonner",
    "me désinscrire",
    "baja",
    "darme de baja",
    "cancelar suscripción",
    "cancellami",
    "disiscrizione",
    "descadastrar",
    "uitschrijven",
    "afmelden",
    "avregistrera",
    "wypisz",
    "отписаться",
    "отписка",
    "退订",
    "取消订阅",
    "配信停止",
    "수신거부",
];

/// How lines begin that somebody else wrote, or nobody: quotes, signatures.
pub(crate) static BEHIND: &[&str] = &[">", "--", "__", "from:", "von:", "de :", "de:", "sent from"];

/// How the sentence begins that leads in to a quote, and ends with a colon; other sentences begin so too.
pub(crate) static LEADS_IN: &[&str] = &["on ", "am ", "le ", "el ", "il ", "op ", "em "];

/// The kind of a mail that is neither a report nor an automatic answer.
pub(crate) fn read(mail: &Mail, parts: &[Part<'_>]) -> MessageType {
    if parts.iter().enumerate().any(|(index, part)| is_invitation(index, part, parts)) {
        MessageType::Calendar
    } else if !is_bulk(mail) && (subject_says(mail) || text_says(mail)) {
        MessageType::Unsubscribe
    } else {
        MessageType::Email
    }
}

fn is_invitation(index: usize, part: &Part<'_>, parts: &[Part<'_>]) -> bool {
    if part.mime_type != "text/calendar" {
        return false;
    }
    if index == 0 {
        return true;
    }
    let attached = header::first(&part.fields, "content-disposition")
        .is_some_and(|raw| Parameterised::read(raw).value.starts_with("attachment"));
    let alternative = part
        .parent
        .and_then(|parent| parts.get(parent))
        .is_some_and(|parent| parent.mime_type == "multipart/alternative");
    let method = part.ctype.token("method").unwrap_or_default();
    (alternative || !attached) && rows(METHODS).any(|known| method.eq_ignore_ascii_case(known))
}

/// Sent to many: whoever wants to be left alone writes to one.
fn is_bulk(mail: &Mail) -> bool {
    ["list-id", "list-unsubscribe", "list-post"].iter().any(|name| mail.header(name).is_some())
        || mail.header("precedence").is_some_and(|value| matches!(value.trim(), "bulk" | "list" | "junk"))
}

fn subject_says(mail: &Mail) -> bool {
    const LONGEST: usize = 300;
    if mail.subject.len() > LONGEST {
        return false;
    }
    let subject = mail.subject.trim().to_lowercase();
    rows(SUBJECTS).any(|words| {
        let Some(token) = subject.strip_prefix(words) else { return false };
        let token = token.trim_matches(['.', '!', ' ', '"']);
        // A token, not a sentence: `unsubscribe:3f2a`, `unsubscribe a@b.org`; `unsubscribed members` is neither, nor is
        // `remove: logo`.
        let is_spaced = subject[words.len()..].starts_with(' ')
            || token.starts_with([':', '-']) && token[1..].starts_with(' ');
        let marked = if is_spaced {
            token.contains(|c: char| c.is_ascii_digit() || c == '@')
        } else {
            token.starts_with([':', '-', '=', '_', '<', '(', '['])
        };
        let is_token = marked && !token.trim_start_matches([':', '-', ' ']).contains(char::is_whitespace);
        // Things are removed as well.
        is_token || token.is_empty() && (*words != "remove" || text_says(mail) || says_little(mail))
    })
}

/// A text of a word or two, or none.
fn says_little(mail: &Mail) -> bool {
    const WORDS: usize = 5;
    let text = mail.shown_text();
    text.lines()
        .take_while(|line| !is_behind(line.trim()))
        .flat_map(str::split_whitespace)
        .nth(WORDS)
        .is_none()
}

/// A line that somebody else wrote, or nobody.
fn is_behind(line: &str) -> bool {
    let line: String = line.chars().take(20).collect::<String>().to_lowercase();
    rows(BEHIND).any(|begin| line.starts_with(begin))
}

/// Words that nobody begins another sentence with.
fn is_plain(words: &str) -> bool {
    words.contains(' ') || words.starts_with("unsubscribe")
}

/// Whether all that somebody writes from this line on is a name, with or without thanks: it goes on with no sentence.
fn is_signed<'a>(next: &'a str, rest: impl Iterator<Item = &'a str>) -> bool {
    const WORDS: usize = 5;
    let own = std::iter::once(next).chain(rest).take_while(|line| !is_behind(line));
    next.starts_with(char::is_uppercase) && own.flat_map(str::split_whitespace).nth(WORDS).is_none()
}

/// The first line that somebody wrote is such a word, and the only one but for a name below it.
fn text_says(mail: &Mail) -> bool {
    const LONGEST: usize = 80;
    let text = match mail.text_source {
        TextSource::Plain => &mail.text,
        TextSource::Html => &mail.html_rendered,
        TextSource::None => return false,
    };
    let Some(text) = text else { return false };
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let Some(first) = lines.next().filter(|line| line.len() <= LONGEST) else { return false };
    let words: String =
        first.to_lowercase().chars().filter(|&c| c.is_alphanumeric() || c.is_whitespace()).collect();
    let words = words.trim();
    if !rows(WORDS).any(|known| *known == words) {
        return false;
    }
    let Some(next) = lines.next() else { return true };
    if is_plain(words.trim()) && is_signed(next, lines.clone()) {
        return true;
    }
    let begin: String = next.chars().take(20).collect::<String>().to_lowercase();
    // Long names and addresses wrap it.
    let ends = |line: &str| line.ends_with([':', '：']);
    is_behind(next)
        || rows(LEADS_IN).any(|words| begin.starts_with(words)) && (ends(next) || lines.take(2).any(ends))
}

#[cfg(test)]
mod tests {
    use crate::{Limits, MessageType, parse};

    #[track_caller]
    fn check(raw: &str, kind: MessageType) {
        assert_eq!(parse(raw.as_bytes(), &Limits::default()).mail.message_type, kind, "{raw}");
    }

    #[test]
    fn an_invitation_is_one_by_its_method() {
        let alternative = |kind: &str| {
            format!(
                "From: a@b.org\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\nMeet me\n--b\nContent-Type: {kind}\n\n\
                 BEGIN:VCALENDAR\n--b--\n"
            )
        };
        check(&alternative("text/calendar; charset=utf-8; method=REQUEST"), MessageType::Calendar);
        check(&alternative("text/calendar; method=\"reply\"; name=x.ics"), MessageType::Calendar);
        check("From: a@b.org\nContent-Type: text/calendar\n\nBEGIN:VCALENDAR\n", MessageType::Calendar);
        check(&alternative("text/calendar; method=PUBLISH"), MessageType::Email);
        let attached = "From: a@b.org\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nSee the file\n--b\n\
                        Content-Type: text/calendar; method=REQUEST\nContent-Disposition: attachment\n\nBEGIN\n--b--\n";
        check(attached, MessageType::Email);
    }

    #[test]
    fn whoever_wants_to_be_left_alone_is_heard() {
        for subject in [
            "unsubscribe",
            "Unsubscribe.",
            "UNSUBSCRIBE:3f2a-77",
            "unsubscribe a@b.org",
            "remove",
            "unsubscribe-123",
        ] {
            check(&format!("From: a@b.org\nSubject: {subject}\n\n"), MessageType::Unsubscribe);
        }
        for text in [
            "Unsubscribe",
            "Please remove me!\n\n-- \nAnn",
            "STOP\n\nOn Monday, sales@b.org wrote:\n> Hello",
            "Stop\n\nOn Mon, Jan 1, 2024 at 10:00 AM Ann Bee of the sales team <sales@b.org>\nwrote:\n\nHello",
            "Please unsubscribe me.\nAnn",
            "Please remove me from your list\n\nThank you\nAnn Bee\n\nFrom: Sales\nTo: Ann\n\nA long offer in many words.",
            "Bitte abmelden.\n\nAm 3.4.2024 um 10:00 schrieb Sales:\n> Hallo",
            "退订\n> 您好",
        ] {
            check(
                &format!(
                    "From: a@b.org\nSubject: Re: Offer\nContent-Type: text/plain; charset=utf-8\n\n{text}\n"
                ),
                MessageType::Unsubscribe,
            );
        }
        check(
            "From: a@b.org\nSubject: Re: x\nContent-Type: text/html\n\n<p>unsubscribe</p>\n",
            MessageType::Unsubscribe,
        );
    }

    #[test]
    fn a_letter_about_unsubscribing_is_a_letter() {
        for subject in [
            "Unsubscribe rates are falling",
            "unsubscribed members 2024",
            "Remove 5 bugs today",
            "Re: unsubscribe",
            "Remove: logo",
            "Remove - logo",
            "Unsubscribe - question",
        ] {
            check(&format!("From: a@b.org\nSubject: {subject}\n\nHello\n"), MessageType::Email);
        }
        let text = "Hi, could you remove the second chart from the proposal? The rest is fine.";
        check(&format!("From: a@b.org\nSubject: Remove\n\n{text}\n"), MessageType::Email);
        for text in [
            "Stop\nand think about it",
            "Stop!\nOn second thought, call me next week.\nAnn",
            "Please remove me from the invoice of May",
            "Remove me\nfrom the invoice",
            "Stop\nAnn",
            "Unsubscribe me\nOr let us talk about it on Monday",
            "Hello\nunsubscribe",
        ] {
            check(&format!("From: a@b.org\nSubject: Re: Offer\n\n{text}\n"), MessageType::Email);
        }
        check("From: a@b.org\nList-Id: <l.b.org>\nSubject: unsubscribe\n\nunsubscribe\n", MessageType::Email);
    }
}
