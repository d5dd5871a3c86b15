//! Which mails the demo delivers, and to whom.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use anyhow::Context as _;
use mailfleet_mime::{Limits, MessageType, parse};
use mailfleet_testkit::DovecotServer;

use super::servers::{CATCH_ALL, SALES};

/// A mail above this is left out: the demo is about variety, not about bulk.
const MAX_BYTES: usize = 1 << 20;

/// A corpus file: its name and its bytes.
type Named = (String, Vec<u8>);

/// One mail to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The corpus file it came from.
    pub name: String,
    /// Whether it goes to the shared account (with a Delivered-To of its own) or to the tenant's.
    pub shared: bool,
    /// The bytes to deliver.
    pub raw: Vec<u8>,
}

/// Chooses `count` mails out of the corpus: the same ones on every run, from all sets in turn, no two alike, and one of
/// each kind there is.
///
/// Within a set the picks are spread evenly over the sorted names, so that a set of hundreds of bounces shows
/// more than the first letter of its alphabet.
pub fn choose(corpus: Vec<(String, Vec<u8>)>, count: usize, domain: &str) -> Vec<Delivery> {
    let mut seen = HashSet::new();
    let fit = |raw: &Vec<u8>| !raw.is_empty() && raw.len() <= MAX_BYTES;
    let corpus = corpus.into_iter().filter(|(_, raw)| fit(raw) && seen.insert(raw.clone()));
    let (mut of_each, rest) = one_of_each(corpus.collect());
    of_each.truncate(count);
    let mut sets: BTreeMap<String, Vec<(String, Vec<u8>)>> = BTreeMap::new();
    for (name, raw) in rest {
        sets.entry(set_of(&name)).or_default().push((name, raw));
    }
    let mut turns: Vec<Vec<(String, Vec<u8>)>> = sets.into_values().map(spread).collect();
    let mut chosen = Vec::with_capacity(count);
    let most = count - of_each.len();
    while chosen.len() < most && turns.iter().any(|set| !set.is_empty()) {
        let round: Vec<_> = turns.iter_mut().filter_map(Vec::pop).take(most - chosen.len()).collect();
        chosen.extend(round);
    }
    // At the end: what is special comes in while the fleet runs, on the lane of its kind.
    chosen.extend(of_each);
    let deliver = |(number, (name, raw)): (usize, (String, Vec<u8>))| {
        let shared = number % 2 == 1;
        Delivery { name, shared, raw: if shared { delivered_to(&raw, number, domain) } else { raw } }
    };
    chosen.into_iter().enumerate().map(deliver).collect()
}

/// Takes the first mail of each message type, and the first reply, out of the corpus.
fn one_of_each(corpus: Vec<Named>) -> (Vec<Named>, Vec<Named>) {
    let mut met = HashSet::new();
    corpus.into_iter().partition(|(_, raw)| {
        let mail = parse(raw, &Limits::default()).mail;
        let is_new = met.insert(mail.message_type.as_str());
        let is_reply = !mail.in_reply_to.is_empty() && mail.message_type == MessageType::Email;
        is_new || is_reply && met.insert("reply")
    })
}

/// Delivers mails one by one, over IMAP; one that IMAP's APPEND refuses goes the way of an MTA, into the Maildir.
pub async fn deliver(dovecot: Arc<DovecotServer>, mails: Vec<Delivery>) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || {
        for mail in mails {
            let user = if mail.shared { CATCH_ALL } else { SALES };
            if dovecot.imap_append(user, "INBOX", &mail.raw, None).is_err() {
                dovecot.deliver(user, &mail.raw).with_context(|| format!("cannot deliver {}", mail.name))?;
            }
        }
        Ok(())
    })
    .await?
}

/// The set a corpus file belongs to: the folder it lies in.
fn set_of(name: &str) -> String {
    name.rsplit_once('/').map_or_else(String::new, |(folder, _)| folder.to_owned())
}

/// Orders a set so that taking from its end visits the middle, the quarters, the eighths and so on: the numbers of
/// the van der Corput sequence, which is what reversing the bits of the index gives.
fn spread<T>(set: Vec<T>) -> Vec<T> {
    let mut keyed: Vec<(u32, T)> =
        set.into_iter().zip(0u32..).map(|(item, index)| (index.reverse_bits(), item)).collect();
    keyed.sort_by(|(a, _), (b, _)| b.cmp(a));
    keyed.into_iter().map(|(_, item)| item).collect()
}

/// What the delivering server would have put on top of a mail to a catch-all.
fn delivered_to(raw: &[u8], number: usize, domain: &str) -> Vec<u8> {
    let crlf = raw.windows(2).any(|pair| pair == b"\r\n");
    let mut mail =
        format!("Delivered-To: box{number}@{domain}{}", if crlf { "\r\n" } else { "\n" }).into_bytes();
    mail.extend_from_slice(raw);
    mail
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> Vec<(String, Vec<u8>)> {
        let mail = |set: &str, n: usize| {
            (format!("{set}/{n:03}.eml"), format!("Subject: {set} {n}\n\nx").into_bytes())
        };
        let mut all: Vec<_> =
            (0..300).map(|n| mail("bounces", n)).chain((0..3).map(|n| mail("nasty", n))).collect();
        all.push(("nasty/copy.eml".into(), all[0].1.clone()));
        all.push(("nasty/empty.eml".into(), Vec::new()));
        all.push(("nasty/huge.eml".into(), vec![b'x'; MAX_BYTES + 1]));
        all
    }

    #[test]
    fn the_same_mails_are_chosen_every_time_from_every_set() {
        let chosen = choose(corpus(), 12, "acme.example");
        assert_eq!(chosen, choose(corpus(), 12, "acme.example"));
        assert_eq!(chosen.len(), 12);
        assert_eq!(chosen.iter().filter(|d| d.name.starts_with("nasty/")).count(), 3);
        let late = chosen.iter().any(|d| d.name.as_str() > "bounces/100" && d.name.starts_with("bounces"));
        assert!(
            late,
            "the picks are spread over the set: {:?}",
            chosen.iter().map(|d| &d.name).collect::<Vec<_>>()
        );
    }

    #[test]
    fn no_two_mails_are_alike_and_a_small_corpus_is_all_delivered() {
        let chosen = choose(corpus(), 10_000, "acme.example");
        assert_eq!(chosen.len(), 303);
        assert_eq!(chosen.iter().map(|d| &d.name).collect::<HashSet<_>>().len(), 303);
    }

    #[test]
    fn each_kind_that_the_corpus_has_is_delivered_and_a_reply() {
        let kinds = |mails: &[Vec<u8>]| {
            let mut kinds: Vec<&str> =
                mails.iter().map(|raw| parse(raw, &Limits::default()).mail.message_type.as_str()).collect();
            kinds.sort_unstable();
            kinds.dedup();
            kinds
        };
        let corpus = mailfleet_testkit::corpus();
        let all: Vec<Vec<u8>> = corpus
            .iter()
            .map(|(_, raw)| raw.clone())
            .filter(|raw| !raw.is_empty() && raw.len() <= MAX_BYTES)
            .collect();
        let chosen: Vec<Vec<u8>> = choose(corpus, 20, "acme.example").into_iter().map(|d| d.raw).collect();
        assert_eq!(kinds(&chosen), kinds(&all));
        assert!(kinds(&chosen).len() > 2, "{:?}", kinds(&chosen));
        let replies =
            chosen.iter().filter(|raw| !parse(raw, &Limits::default()).mail.in_reply_to.is_empty()).count();
        assert!(replies > 0);
    }

    #[test]
    fn every_mail_to_the_shared_account_names_its_domain_first() {
        for delivery in choose(corpus(), 20, "acme.example") {
            assert_eq!(delivery.shared, delivery.raw.starts_with(b"Delivered-To: box"), "{}", delivery.name);
        }
    }
}
