//! Whom a notice names as the recipients that failed.
//!
//! Notices agree in one thing: a recipient begins its line, in a list below words that announce it. Addresses in
//! running text, in what a server replied, or in the mail's own header are other people's as often as not, and count
//! only where nobody is named better.

use std::collections::HashSet;

use memchr::memmem;

use crate::bounce::aol;
use crate::bounce::excerpts::mention;
use crate::bounce::local_users;
use crate::bounce::marks::{ADDRESSEES, LISTED_BELOW, MACHINES, ORIGINALS, OTHERS};
use crate::bounce::notice::{Notice, lower_case, one_spaced, prefix};
use crate::bounce::status;
use crate::limits::Limits;
use crate::mail::{Address, Mail};
use crate::table::rows;

/// The recipients that the notice names: the mail's own addressees only where there is nobody else.
pub(crate) fn recipients(notice: &Notice, mail: &Mail, limits: &Limits) -> Vec<String> {
    let failed = mail.header("x-failed-recipients").unwrap_or_default();
    let is_other = |address: &str| {
        let is_ours =
            mail.to.iter().chain(&mail.from).any(|other| other.address.eq_ignore_ascii_case(address));
        !is_ours && !is_machines(address)
    };
    let named = addresses_in(failed, limits, |_| true);
    if !named.is_empty() {
        return named;
    }
    let named = aol::screen_names(mail, &notice.said, limits);
    if !named.is_empty() {
        return named;
    }
    let named = begun(&notice.said, limits);
    if !named.is_empty() {
        return named;
    }
    let all = without_lines(&notice.said, OTHERS);
    let said = without_originals(&all);
    let others = without_lines(&said, ADDRESSEES);
    let listed = below_mark(&others);
    // A manager of mailing lists names the list first, and then where to ask for help.
    if mail.header("x-mlserver").is_some() {
        let limits = Limits { max_recipients: 1, ..limits.clone() };
        return addresses_in(&others, &limits, is_other);
    }
    let machine = mail.from.as_ref().and_then(Address::domain).unwrap_or_default();
    let texts = [
        heads(listed, head),
        heads(listed, labelled),
        without_replies(listed, &machine),
        heads(&others, head),
        heads(&others, labelled),
        without_replies(&others, &machine),
        others.clone(),
        said.clone(),
        all.clone(),
    ];
    let named = texts.iter().map(|text| addresses_in(text, limits, is_other));
    if let Some(named) = named.into_iter().find(|named| !named.is_empty()) {
        return named;
    }
    // The one it writes to, where nobody else is named.
    let own = notice.said.lines().filter(|line| line.starts_with('<')).collect::<Vec<_>>().join("\n");
    let own =
        addresses_in(&format!("{own}\n{}", heads(listed, head)), limits, |address| !is_machines(address));
    if own.is_empty() && !machine.is_empty() {
        local_users::named(&notice.said, &machine, limits)
    } else {
        own
    }
}

/// The address that the mail was sent to, where the notice says that this one stands for it.
pub(crate) fn original_of(said: &str, address: &str) -> Option<String> {
    let lower = one_spaced(said);
    let after = lower.get(mention(&lower, &address.to_ascii_lowercase())? + address.len()..)?;
    let inside = after.trim_start_matches(['>', ':']).trim_start().strip_prefix('(')?;
    let inside = inside.trim_start_matches("ultimately ");
    let rest = rows(ORIGINALS).find_map(|words| inside.strip_prefix(words))?;
    let (original, _) = rest.split_once(')')?;
    let limits = Limits { max_recipients: 1, ..Limits::default() };
    addresses_in(original, &limits, |_| true).pop().filter(|original| !original.eq_ignore_ascii_case(address))
}

/// The addresses of lines that begin with one in angle brackets and go on with what became of it, as those of Postfix,
/// qmail, sendmail and many others. A quoted local part is kept as it stands.
fn begun(said: &str, limits: &Limits) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut lines = said.lines().peekable();
    while let Some(line) = lines.next() {
        let begin = line.strip_prefix('<').and_then(|line| line.split_once('>'));
        let Some((address, rest)) = begin else { continue };
        // Sendmail tells it in the next line, in brackets.
        let is_told = rest.starts_with(':')
            || rest.trim_start().starts_with('(')
            || rest.trim().is_empty() && lines.peek().is_some_and(|next| next.trim_start().starts_with('('));
        let is_quoted = address.starts_with('"') && address.contains("\"@") && address.len() <= 254;
        // What a server replied, quoted: `<<< 550 <a@b>: no`.
        if !is_told || address.starts_with('<') {
            continue;
        }
        let named =
            if is_quoted { vec![address.to_owned()] } else { addresses_in(address, limits, |_| true) };
        for address in named {
            if found.len() < limits.max_recipients && !found.iter().any(|a| a.eq_ignore_ascii_case(&address))
            {
                found.push(address);
            }
        }
    }
    found
}

/// The text without lines that begin so, and without those that name mails.
fn without_lines(said: &str, begins: &'static [&'static str]) -> String {
    let is_kept = |line: &&str| {
        let line = line.trim_start();
        let line = ["* ", "- ", "• "].iter().find_map(|bullet| line.strip_prefix(bullet)).unwrap_or(line);
        // The French write a space before the colon.
        let line = lower_case(line.trim_start()).replacen(" :", ":", 1);
        let names_mail = line.contains("message-id") || line.contains("message id");
        !names_mail && (!rows(begins).any(|begin| line.starts_with(begin)) || line.contains("rcpt:"))
    };
    said.lines().filter(is_kept).collect::<Vec<_>>().join("\n")
}

/// The text below the first words that announce a list of recipients; empty where there are none.
fn below_mark(said: &str) -> &str {
    let lower = lower_case(said).replace(['\n', '\t'], " ");
    let found = rows(LISTED_BELOW).filter_map(|words| memmem::find(lower.as_bytes(), words.as_bytes()));
    found.min().and_then(|at| said.get(at..)).unwrap_or_default()
}

/// What each line of a text names in this way.
fn heads(said: &str, named: fn(&str) -> Option<&str>) -> String {
    said.lines().filter_map(named).collect::<Vec<_>>().join("\n")
}

/// The address that a line begins with, alone or behind a bullet, and those that follow it behind commas.
fn head(line: &str) -> Option<&str> {
    let (before, first, after) = around_address(line)?;
    // Sendmail writes `550 5.1.1 <a@b>... User unknown` in its own name.
    let open = before.trim_start();
    let is_code = |word: &str| status::reply_code(word).is_some() || is_status(word) || word == "<";
    let only_codes =
        after.starts_with(">...") && open.split_inclusive('<').all(|w| w.split_whitespace().all(is_code));
    let is_head = only_codes || open.chars().all(|c| c.is_whitespace() || is_bullet(c));
    is_head.then(|| listed_together(line.get(before.len()..).unwrap_or(first), first.len()))
}

/// The address that a line ends with, behind a label and a colon: `Recipient: a@b`.
fn labelled(line: &str) -> Option<&str> {
    let (before, first, after) = around_address(line)?;
    let is_edge = |c: char| c.is_whitespace() || is_bullet(c);
    let label = before.trim_matches(is_edge).strip_suffix(':')?;
    let is_label = label.split_whitespace().count() <= 3
        && label.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '\'' | '(' | ')' | '[' | ':'));
    (is_label && after.trim_matches(|c| is_edge(c) || c == '.').is_empty()).then_some(first)
}

/// The first thing in a line that looks like an address, with what stands before and behind it; none where a line goes
/// on with the end of a link.
fn around_address(line: &str) -> Option<(&str, &str, &str)> {
    let first = line.split(stops).find(|word| word.contains('@'))?;
    let (before, rest) = line.split_at_checked(line.find(first)?)?;
    let (first, after) = rest.split_at_checked(first.len())?;
    let is_tail = after.starts_with('>') && !before.contains('<');
    (!is_tail).then_some((before, first, after))
}

/// As much of a line as lists addresses, from its beginning.
fn listed_together(line: &str, first: usize) -> &str {
    let mut end = first;
    while let Some(rest) = line.get(end..).filter(|rest| !rest.is_empty()) {
        let gap = rest.len() - rest.trim_start_matches([' ', '\t', ',', ';', '<', '>', '"']).len();
        let (between, next) = rest.split_at(gap);
        let word = next.split(stops).next().unwrap_or_default();
        let is_list = between.contains([',', ';']) || between.bytes().all(|b| b.is_ascii_whitespace());
        if !is_list || !word.contains('@') {
            break;
        }
        end += gap + word.len();
    }
    &line[..end]
}

const fn is_bullet(c: char) -> bool {
    matches!(c, '<' | '>' | '"' | '\'' | '*' | '-' | '•' | '[' | ']' | '(' | ')' | '|')
}

/// The text without the replies of servers that name somebody at the machine which writes the notice: its own name for
/// the sender.
fn without_replies(said: &str, machine: &str) -> String {
    let machine = format!("@{machine}");
    let line = |line| {
        let before = before_reply(line);
        let reply = line.get(before.len()..).unwrap_or_default().to_ascii_lowercase();
        if machine.len() > 1 && reply.contains(&machine) { before } else { line }
    };
    said.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn before_reply(line: &str) -> &str {
    let is_reply = |word: &&str| status::reply_code(word).is_some() || is_status(word);
    let before = line.split_inclusive(char::is_whitespace).take_while(|word| !is_reply(word));
    prefix(line, before.map(str::len).sum())
}

pub(crate) fn is_status(word: &str) -> bool {
    word.len() <= 12 && status::enhanced(word).is_some()
}

/// The text without the addresses that were expanded or forwarded: `a@b (generated from c@d)`.
fn without_originals(said: &str) -> String {
    let lower = said.to_ascii_lowercase();
    let mut kept = String::new();
    let mut from = 0;
    let marks = lower.match_indices('(').filter(|(at, _)| {
        let inside = lower.get(*at + 1..).unwrap_or_default();
        let inside = inside.trim_start_matches("ultimately ");
        rows(ORIGINALS).any(|words| inside.starts_with(words))
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

fn stops(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '<' | '>' | '(' | ')' | '[' | ']' | ',' | ';' | '"' | '\'' | ':' | '“' | '”' | '„')
}

/// An address that machines write from: of those that a notice names in passing never the one which failed.
fn is_machines(address: &str) -> bool {
    let local = address.split('@').next().unwrap_or_default();
    rows(MACHINES).any(|machine| local.eq_ignore_ascii_case(machine))
}

/// Things that look like addresses, in their order, each once.
fn addresses_in(text: &str, limits: &Limits, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut seen: HashSet<String> = HashSet::new();
    for word in text.split(stops) {
        let word = word.trim_matches(|c: char| matches!(c, '.' | '*' | '|' | '!' | '?'));
        // A part of a name after X.400.
        let word = word.strip_prefix("SMTP=").unwrap_or(word);
        let Some((local, domain)) = word.split_once('@') else { continue };
        let is_address = word.len() <= 254
            && !local.is_empty()
            && domain.contains('.')
            && !domain.contains(['@', '=', '/', '?', '&']);
        if is_address && wanted(word) && seen.insert(word.to_ascii_lowercase()) {
            found.push(word.to_owned());
        }
        if found.len() >= limits.max_recipients {
            break;
        }
    }
    found
}
