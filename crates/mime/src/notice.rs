//! The text of a bounce: where the returned mail begins, what is said of whom, and at which SMTP command.
//!
//! Slices are cut at offsets that a search in the same slice returned, or behind a check of the length: in bounds.

use memchr::memmem;

use crate::aol;
use crate::limits::Limits;
use crate::mail::Mail;

/// Text of a bounce that is searched.
const LONGEST_TEXT: usize = 16 * 1024;

/// Text that is taken for what is said of one recipient.
const LONGEST_EXCERPT: usize = 1_000;

/// Marks, in lower case, below which the mail that is returned begins.
const RETURNED_BELOW: &[&str] = &[
    "this is a copy of the message",
    "below is a copy of the original message",
    "the message i received",
    "original message follows",
    "-- original message",
    "header of the original message",
    "unsent message follows",
    "below this line is",
    "copy of the message follows",
    "returned message follows",
    "your message follows",
    "the text you sent follows",
];

/// Fields that begin a returned header.
const FIELDS: &[&str] = &["received:", "return-path:", "from:", "message-id:"];

/// Words, in lower case, above the list of the recipients that failed.
const LIST_BELOW: &[&str] = &[
    "following recipient",
    "following address",
    "following destination",
    "following user",
    "recipients were affected",
];

/// How lines begin, in lower case, that name others than the recipients that failed.
const OTHERS: &[&str] = &[
    "from:",
    "mail from:",
    ">>> mail from:",
    "sender:",
    "original sender:",
    "original-envelope-id:",
    "reply-to:",
    "cc:",
    "subject:",
    "message-id:",
    "message id:",
    "system contact:",
    "reporting-mta:",
    "sender-mta:",
];

/// Local parts of machines: never the recipient that failed.
const MACHINES: &[&str] = &["postmaster", "mailer-daemon"];

/// The text of a bounce, divided.
#[derive(Debug)]
pub(crate) struct Notice {
    /// What the machine says.
    pub(crate) said: String,
    /// The mail it returns, as far as it stands in the text.
    pub(crate) returned: String,
}

impl Notice {
    pub(crate) fn new(text: &str) -> Self {
        let text = prefix(text, LONGEST_TEXT);
        let lower = text.to_ascii_lowercase();
        // A field at the very top belongs to nothing that could be returned.
        let marked = RETURNED_BELOW.iter().filter_map(|mark| memmem::find(lower.as_bytes(), mark.as_bytes()));
        let header = FIELDS.iter().filter_map(|field| header_at(&lower, field));
        let (said, returned) = text.split_at(marked.chain(header).min().unwrap_or(text.len()));
        // The mark's own line is no header field of the returned mail.
        let returned = returned.trim_start_matches('\n');
        let is_field =
            FIELDS.iter().any(|f| returned.get(..f.len()).is_some_and(|r| r.eq_ignore_ascii_case(f)));
        let returned = if is_field {
            returned
        } else {
            let below = returned.split_once('\n').map_or("", |(_, rest)| rest);
            below_remarks(below.trim_start())
        };
        Self { said: said.to_owned(), returned: returned.to_owned() }
    }

    /// What is said of one recipient: from its address on; all of it where the address does not appear.
    pub(crate) fn about(&self, address: &str, others: &[&str]) -> String {
        let lower = self.said.to_ascii_lowercase();
        let find =
            |address: &str| (!address.is_empty()).then(|| lower.find(&address.to_ascii_lowercase()))?;
        let Some(at) = find(address) else {
            return one_line(if others.is_empty() { &self.said } else { "" });
        };
        let rest = self.said.get(at..).unwrap_or_default();
        let end = others.iter().filter_map(|other| find(other)).filter(|&other| other > at).min();
        one_line(prefix(rest, end.map_or(rest.len(), |end| end - at)))
    }

    /// The address that the mail was sent to, where the notice says that this one stands for it.
    pub(crate) fn original_of(&self, address: &str) -> Option<String> {
        let lower = self.said.to_ascii_lowercase();
        let (_, after) = lower.split_once(&address.to_ascii_lowercase()).filter(|_| !address.is_empty())?;
        let inside = after.trim_start_matches(['>', ':']).trim_start().strip_prefix('(')?;
        let inside = inside.trim_start_matches("ultimately ");
        let rest = ORIGINALS.iter().find_map(|words| inside.strip_prefix(words))?;
        let (original, _) = rest.split_once(')')?;
        let limits = Limits { max_recipients: 1, ..Limits::default() };
        addresses_in(original, &limits, |_| true)
            .pop()
            .filter(|original| !original.eq_ignore_ascii_case(address))
    }

    /// The notice without lines that name others.
    fn said_of_recipients(&self) -> String {
        let names_others = |line: &str| {
            let line = line.trim_start().to_ascii_lowercase();
            OTHERS.iter().any(|begin| line.starts_with(begin)) && !line.contains("rcpt:")
        };
        self.said.lines().filter(|line| !names_others(line)).collect::<Vec<_>>().join("\n")
    }

    /// The recipients that the notice names: the mail's own addressees only where there is nobody else.
    pub(crate) fn recipients(&self, mail: &Mail, limits: &Limits) -> Vec<String> {
        let failed = mail.header("x-failed-recipients").unwrap_or_default();
        let ours = |address: &str| {
            mail.to.iter().chain(&mail.from).any(|other| other.address.eq_ignore_ascii_case(address))
        };
        let named = addresses_in(failed, limits, |_| true);
        if !named.is_empty() {
            return named;
        }
        // A manager of mailing lists names the list first, and then where to ask for help.
        let limits = &Limits {
            max_recipients: if mail.header("x-mlserver").is_some() { 1 } else { limits.max_recipients },
            ..limits.clone()
        };
        let named = aol::screen_names(mail, &self.said, limits);
        if !named.is_empty() {
            return named;
        }
        // Postfix and qmail begin a line so for each recipient; other addresses are those of people who help.
        let begun = self.said.lines().filter(|line| line.starts_with('<') && line.contains(">:"));
        let begun = begun.filter_map(|line| line.split_once(">:")).map(|(address, _)| address);
        let named = addresses_in(&begun.collect::<Vec<_>>().join("\n"), limits, |_| true);
        if !named.is_empty() {
            return named;
        }
        let whole = self.said_of_recipients();
        let said = without_originals(&whole);
        let below = LIST_BELOW
            .iter()
            .filter_map(|words| memmem::find(said.to_ascii_lowercase().as_bytes(), words.as_bytes()));
        let listed = below.min().and_then(|at| said.get(at..)).unwrap_or_default();
        for text in [listed, &said, &whole] {
            let named = addresses_in(text, limits, |address| !ours(address));
            if !named.is_empty() {
                return named;
            }
        }
        // The one it writes to, where nobody else is named.
        let own = self.said.lines().filter(|line| line.starts_with('<')).collect::<Vec<_>>().join("\n");
        addresses_in(&own, limits, |_| true)
    }
}

/// The returned mail without what the machine remarks between its mark and the header.
fn below_remarks(returned: &str) -> &str {
    if returned.split_once(':').is_some_and(|(name, _)| name.bytes().all(|b| b.is_ascii_graphic())) {
        return returned;
    }
    let lower = returned.to_ascii_lowercase();
    let header = FIELDS.iter().filter_map(|field| header_at(&lower, field)).min();
    header.and_then(|at| returned.get(at + 1..)).unwrap_or(returned)
}

/// Words, in lower case, before the address that the mail was sent to and that stands for the one which failed; as
/// Exim and sendmail write them.
const ORIGINALS: &[&str] = &["generated from", "expanded from:"];

/// The text without the addresses that were expanded or forwarded: `a@b (generated from c@d)`.
fn without_originals(said: &str) -> String {
    let lower = said.to_ascii_lowercase();
    let mut kept = String::new();
    let mut from = 0;
    let marks = lower.match_indices('(').filter(|(at, _)| {
        let inside = lower.get(*at + 1..).unwrap_or_default();
        let inside = inside.trim_start_matches("ultimately ");
        ORIGINALS.iter().any(|words| inside.starts_with(words))
    });
    for (at, _) in marks {
        // A bracket inside one that was left out.
        if at < from {
            continue;
        }
        let end = lower.get(at..).and_then(|rest| rest.find(')'));
        kept.push_str(said.get(from..at).unwrap_or_default());
        from = end.map_or(said.len(), |end| at + end + 1);
    }
    kept.push_str(said.get(from..).unwrap_or_default());
    kept
}

/// Where a line begins with this field and a header follows: the next line is a field, or belongs to this one.
fn header_at(lower: &str, field: &str) -> Option<usize> {
    let mark = format!("\n{field}");
    memmem::find_iter(lower.as_bytes(), mark.as_bytes()).take(20).find(|&at| {
        let rest = lower.get(at + 1..).unwrap_or_default();
        let next = rest.split_once('\n').map_or("", |(_, next)| next);
        let name = next.split_once(':').map_or("", |(name, _)| name);
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
        next.trim().is_empty() || next.starts_with([' ', '\t']) || is_name(name)
    })
}

/// White space as single spaces, at most `LONGEST_EXCERPT` characters.
fn one_line(text: &str) -> String {
    prefix(&text.split_whitespace().collect::<Vec<_>>().join(" "), LONGEST_EXCERPT).to_owned()
}

pub(crate) fn prefix(text: &str, length: usize) -> &str {
    let end = (0..=length.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}

/// Things that look like addresses, in their order, each once.
fn addresses_in(text: &str, limits: &Limits, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let stops = |c: char| {
        c.is_whitespace() || matches!(c, '<' | '>' | '(' | ')' | '[' | ']' | ',' | ';' | '"' | '\'' | ':')
    };
    let mut found: Vec<String> = Vec::new();
    for word in text.split(stops) {
        let word = word.trim_matches(|c: char| matches!(c, '.' | '*' | '|' | '!' | '?'));
        let Some((local, domain)) = word.split_once('@') else { continue };
        let is_address =
            word.len() <= 254 && !local.is_empty() && domain.contains('.') && !domain.contains('@');
        let is_machine = MACHINES.iter().any(|machine| local.eq_ignore_ascii_case(machine));
        if is_address
            && !is_machine
            && wanted(word)
            && !found.iter().any(|other| other.eq_ignore_ascii_case(word))
        {
            found.push(word.to_owned());
        }
        if found.len() >= limits.max_recipients {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_one_recipient_ends_where_the_next_begins() {
        let notice = Notice::new(
            "Hi.\n<a@b.c>:\nuser unknown\n\n<d@e.f>:\nmailbox full\n\n--- Below this line is a copy\n\nFrom: x\n",
        );
        assert_eq!(notice.about("a@b.c", &["d@e.f"]), "a@b.c>: user unknown <");
        assert_eq!(notice.about("D@e.f", &["a@b.c"]), "d@e.f>: mailbox full ---");
        assert_eq!(notice.about("other@x", &["a@b.c"]), "");
        assert_eq!(notice.returned, "From: x\n");
    }
}
