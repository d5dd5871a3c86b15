//! The rules that find a bounce's reason, as data: which words of servers mean what.
//!
//! A rule is a reason, the words that tell it, and who taught it: a mail of the corpus (`set/name`), or a server's
//! reply in `tests/corpus/replies` ([`REPLY`]). Words stand in lower case; several match when all are there, in this
//! order. They begin where a word of the text does, and end anywhere: `*rbl$` may begin inside one and must end with it,
//! as `dnsrbl`, and is not said by "garbled"; behind `dns-p#` stands a digit. Of a table the first rule that matches wins,
//! so particular words stand above general ones. A new rule takes words that a family of servers says, not a sentence that
//! one mail holds.

pub(crate) mod codes;
pub(crate) mod content;
pub(crate) mod host;
pub(crate) mod mailbox;
pub(crate) mod sender;
pub(crate) mod statuses;
pub(crate) mod transport;
pub(crate) mod unknown;
pub(crate) mod vendors;

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use crate::bounce::reason::Reason;
use crate::table::is_there;

/// Words and what they mean.
#[derive(Debug, PartialEq)]
pub(crate) struct Rule {
    pub(crate) reason: Reason,
    pub(crate) words: &'static [&'static str],
    /// The mail of the corpus, or the document, that taught it. Read by tests alone.
    #[cfg_attr(not(test), allow(dead_code, reason = "the origin is for people and for tests"))]
    taught_by: &'static str,
}

/// Words of a reply in `tests/corpus/replies/*.tsv`, where it stands who says it.
pub(crate) const REPLY: &str = "reply";

/// One line of a table.
pub(crate) const fn rule(reason: Reason, words: &'static [&'static str], taught_by: &'static str) -> Rule {
    Rule { reason, words, taught_by }
}

macro_rules! tables {
    ($($variant:ident $rules:path,)*) => {
        /// A table of rules, by its theme.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Table {
            $($variant,)*
            /// The words of a provider, by its number.
            Provider(usize),
        }

        /// All tables but those of providers.
        fn tables() -> impl Iterator<Item = (Table, &'static [Rule])> {
            [$((Table::$variant, $rules),)*].into_iter()
        }
    };
}

tables! {
    Full mailbox::FULL,
    Closed mailbox::CLOSED,
    Unknown unknown::UNKNOWN,
    ListedNowhere unknown::LISTED_NOWHERE,
    Refused unknown::REFUSED,
    Unwelcome mailbox::UNWELCOME,
    Nowhere unknown::NOWHERE,
    Domain unknown::DOMAIN,
    Size content::SIZE,
    Authentication content::AUTHENTICATION,
    Virus content::VIRUS,
    Form content::FORM,
    Spam content::SPAM,
    Policy content::POLICY,
    Vague content::VAGUE,
    Relay sender::RELAY,
    Name host::NAME,
    Reputation host::REPUTATION,
    Address sender::ADDRESS,
    Listed host::LISTED,
    Host host::HOST,
    Rate host::RATE,
    Credentials sender::CREDENTIALS,
    Tls transport::TLS,
    Network transport::NETWORK,
    Program transport::PROGRAM,
    Broken transport::BROKEN,
    Late transport::LATE,
    Unreached transport::UNREACHED,
    Syntax transport::SYNTAX,
    Codes codes::CODES,
}

/// All rules with their tables, in the order of each table.
fn all() -> impl Iterator<Item = (Table, &'static Rule)> {
    let providers = vendors::PROVIDERS.iter().enumerate().map(|(n, (_, rules))| (Table::Provider(n), *rules));
    let tables = tables().chain(providers);
    tables.flat_map(|(table, rules)| rules.iter().map(move |rule| (table, rule)))
}

/// Finds the first words of all rules in one pass over a text: a rule costs nothing where its first word is not said.
struct Search {
    automaton: AhoCorasick,
    /// The rules that begin with each word, by the number of the word in the automaton.
    rules: Vec<Vec<Entry>>,
}

/// A rule, its table, and its place among all rules.
type Entry = (usize, Table, &'static Rule);

static SEARCH: LazyLock<Option<Search>> = LazyLock::new(|| {
    let mut words: Vec<&str> = Vec::new();
    let mut rules: Vec<Vec<Entry>> = Vec::new();
    for (place, (table, rule)) in all().enumerate() {
        let Some(first) = rule.words.first().map(|word| Word::new(word).letters) else { continue };
        if let Some(known) = words.iter().position(|&word| word == first) {
            rules[known].push((place, table, rule));
        } else {
            words.push(first);
            rules.push(vec![(place, table, rule)]);
        }
    }
    // The words are few and short, which is all that can make this fail.
    AhoCorasick::new(&words).ok().map(|automaton| Search { automaton, rules })
});

/// What was said, in lower case, with the rules that it meets.
#[derive(Debug)]
pub(crate) struct Said {
    text: String,
    met: Vec<Entry>,
}

impl Said {
    /// Compares a text, which must be in lower case, with all rules.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let mut met: Vec<Entry> = Vec::new();
        if let Some(search) = SEARCH.as_ref().filter(|_| !text.is_empty()) {
            let mut seen = vec![false; search.rules.len()];
            for found in search.automaton.find_overlapping_iter(&text) {
                let word = found.pattern().as_usize();
                if !std::mem::replace(&mut seen[word], true) {
                    met.extend(search.rules[word].iter().filter(|(_, _, rule)| in_order(&text, rule.words)));
                }
            }
            met.sort_unstable_by_key(|(place, _, _)| *place);
        }
        Self { text, met }
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The reason of the first rule of the tables, in their order, that is met.
    pub(crate) fn first(&self, tables: &[Table]) -> Option<Reason> {
        tables.iter().find_map(|wanted| {
            let mut met = self.met.iter().filter(|(_, table, rule)| table == wanted && is_there(*rule));
            met.next().map(|(_, _, rule)| rule.reason)
        })
    }
}

/// Whether all of these words stand in a text, in this order.
fn in_order(text: &str, words: &[&str]) -> bool {
    let mut from = 0;
    words.iter().all(|word| match Word::new(word).find(text, from) {
        Some(end) => {
            from = end;
            true
        }
        None => false,
    })
}

/// A word of a rule, without the signs that say where it may stand.
struct Word<'a> {
    letters: &'a str,
    /// It may stand inside another word.
    is_inner: bool,
    /// No letter or digit may follow.
    is_whole: bool,
    /// A digit must follow.
    is_numbered: bool,
}

impl<'a> Word<'a> {
    fn new(word: &'a str) -> Self {
        let (is_inner, word) = word.strip_prefix('*').map_or((false, word), |rest| (true, rest));
        let (is_whole, word) = word.strip_suffix('$').map_or((false, word), |rest| (true, rest));
        let (is_numbered, letters) = word.strip_suffix('#').map_or((false, word), |rest| (true, rest));
        let is_letter = letters.starts_with(|c: char| c.is_ascii_alphanumeric());
        Self { letters, is_inner: is_inner || !is_letter, is_whole, is_numbered }
    }

    /// Where its first place in a text from there on ends.
    fn find(&self, text: &str, from: usize) -> Option<usize> {
        let is_part: fn(char) -> bool = |c| c.is_ascii_alphanumeric();
        let begins = |at: usize| self.is_inner || !text.get(..at).is_some_and(|text| text.ends_with(is_part));
        let follows =
            |at: usize, is: fn(char) -> bool| text.get(at..).is_some_and(|text| text.starts_with(is));
        let ends = |at: usize| {
            (!self.is_whole || !follows(at, is_part))
                && (!self.is_numbered || follows(at, |c| c.is_ascii_digit()))
        };
        let places = text.get(from..)?.match_indices(self.letters).map(|(at, _)| from + at);
        let mut places = places.filter(|&at| begins(at)).map(|at| at + self.letters.len());
        places.find(|&end| ends(end))
    }
}

#[cfg(test)]
mod tests;
