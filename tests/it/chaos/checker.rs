//! The total-queue checker: what was accepted against what took effect and what is dead. It knows no server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Something that was handed to the fleet, or that it made out of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// The mail of a number in an account.
    Mail(u32, String),
    /// The mail of a number that belongs to no tenant: it has to end as a dead letter.
    Stray(u32),
    /// The message of a number that was registered as sent.
    Sent(u32),
    /// What a provider told of the message of a number, by its kind.
    Event(u32, String),
    /// What nobody can have asked for.
    Other(String),
}

/// What was asked of the fleet.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Handed over, answer or not.
    pub attempted: BTreeSet<Item>,
    /// Handed over and acknowledged: in the mailbox, or answered with 2xx.
    pub accepted: BTreeSet<Item>,
}

/// One effect, as it stands in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// How often.
    pub times: u64,
    /// Whether all that belongs to it is there too: its text, its attachments, its status.
    pub whole: bool,
}

/// What there is at the end.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// What took effect.
    pub effects: BTreeMap<Item, Effect>,
    /// Dead letters, how many of each; also those that were resolved later.
    pub dead: BTreeMap<Item, u64>,
    /// The numbers of the roll-ups by name; see [`Asked::totals`].
    pub totals: BTreeMap<String, u64>,
    /// See [`Verdict::past_the_ledger`].
    pub past_the_ledger: f64,
}

/// What came of the comparison. Of all lists but `accepted` an empty one is good.
#[derive(Debug, Default, PartialEq)]
pub struct Verdict {
    /// How many items were accepted.
    pub accepted: usize,
    /// Of these, how many took effect, once and wholly.
    pub in_effect: usize,
    /// Of these, how many are dead and had to be.
    pub dead: usize,
    /// Accepted, and neither in effect nor dead, or not wholly in effect.
    pub lost: Vec<Item>,
    /// In effect or dead more than once, and in effect as well as dead.
    pub doubled: Vec<Item>,
    /// Dead without need.
    pub dead_unexpected: Vec<Item>,
    /// In effect, although nobody asked for it.
    pub unknown: Vec<Item>,
    /// Roll-ups that say something else than the rows.
    pub miscounted: Vec<String>,
    /// Runs that the ledger should have stopped and did not, as consumers say. They had no effect if `doubled` is empty, but
    /// only because the rows' own keys stood in the way.
    pub past_the_ledger: f64,
}

impl Asked {
    /// What the roll-ups have to say: mails received by tenant and mailbox, and messages sent, delivered and opened by
    /// tenant; a registration names no mailbox. `tenant` gives the tenant of an account, `sender` is that of all messages.
    pub fn totals(&self, sender: &str, tenant: impl Fn(&str) -> &'static str) -> BTreeMap<String, u64> {
        let mut totals = BTreeMap::new();
        let mut add = |name: String| *totals.entry(name).or_insert(0) += 1;
        for item in &self.accepted {
            match item {
                Item::Mail(_, account) => {
                    add(format!("received, tenant {}", tenant(account)));
                    add(format!("received, mailbox {account}"));
                }
                Item::Event(_, kind) => add(format!("{kind}, tenant {sender}")),
                Item::Stray(_) | Item::Sent(_) | Item::Other(_) => {}
            }
        }
        totals
    }
}

impl Verdict {
    /// Compares. `totals` is what the roll-ups have to say.
    pub fn of(asked: &Asked, totals: &BTreeMap<String, u64>, found: &Found) -> Self {
        let mut verdict = Self {
            accepted: asked.accepted.len(),
            past_the_ledger: found.past_the_ledger,
            ..Self::default()
        };
        for item in &asked.accepted {
            let effect = found.effects.get(item).copied();
            let dead = found.dead.get(item).copied().unwrap_or(0);
            if effect.map_or(0, |effect| effect.times) + dead > 1 {
                verdict.doubled.push(item.clone());
            }
            match (effect, item) {
                (None, _) if dead == 0 => verdict.lost.push(item.clone()),
                (None, Item::Stray(_)) => verdict.dead += 1,
                // It is listed below.
                (None, _) => {}
                (Some(effect), _) if !effect.whole => verdict.lost.push(item.clone()),
                (Some(_), _) => verdict.in_effect += 1,
            }
        }
        let asked_for = |item: &Item| asked.attempted.contains(item) && !matches!(item, Item::Stray(_));
        verdict.unknown = found.effects.keys().filter(|item| !asked_for(item)).cloned().collect();
        let may_die = |item: &Item| matches!(item, Item::Stray(_)) && asked.attempted.contains(item);
        verdict.dead_unexpected = found.dead.keys().filter(|item| !may_die(item)).cloned().collect();
        let names: BTreeSet<&String> = totals.keys().chain(found.totals.keys()).collect();
        for name in names {
            let [wanted, there] = [totals, &found.totals].map(|all| all.get(name).copied().unwrap_or(0));
            if wanted != there {
                verdict.miscounted.push(format!("{name}: {there} and not {wanted}"));
            }
        }
        verdict
    }

    /// Whether nothing is lost, doubled, dead without need, unknown or miscounted, and no run got past the ledger.
    pub fn is_good(&self) -> bool {
        self.lost.is_empty()
            && self.doubled.is_empty()
            && self.dead_unexpected.is_empty()
            && self.unknown.is_empty()
            && self.miscounted.is_empty()
            && self.past_the_ledger <= 0.0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, in_effect, dead, .. } = self;
        writeln!(f, "accepted {accepted}, in effect {in_effect}, dead as they had to be {dead}")?;
        let lists = [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("dead without need", &self.dead_unexpected),
            ("unknown", &self.unknown),
        ];
        for (name, items) in lists {
            let some: Vec<String> = items.iter().take(20).map(|item| format!("{item:?}")).collect();
            writeln!(f, "{name} {} {}", items.len(), some.join(" "))?;
        }
        writeln!(f, "roll-ups wrong {} {}", self.miscounted.len(), self.miscounted.join("; "))?;
        write!(f, "runs that got past the ledger {}", self.past_the_ledger)
    }
}

#[test]
fn the_checker_finds_what_is_lost_doubled_dead_without_need_unknown_and_miscounted() {
    let mail = |number| Item::Mail(number, "inbox".to_owned());
    let event = |number| Item::Event(number, "opened".to_owned());
    let all: BTreeSet<Item> = [mail(1), mail(2), Item::Stray(1), Item::Sent(1), event(1)].into();
    let asked = Asked { attempted: all.clone(), accepted: all };
    let totals = asked.totals("acme", |_| "acme");
    let once = Effect { times: 1, whole: true };
    let good = Found {
        effects: [mail(1), mail(2), Item::Sent(1), event(1)].map(|item| (item, once)).into(),
        dead: [(Item::Stray(1), 1)].into(),
        totals: totals.clone(),
        past_the_ledger: 0.0,
    };
    let verdict = |found: &Found| Verdict::of(&asked, &totals, found);
    let expected = Verdict { accepted: 5, in_effect: 4, dead: 1, ..Verdict::default() };
    assert_eq!(verdict(&good), expected);
    assert!(expected.is_good());

    // Each by itself spoils it, and is named.
    let spoilt = |spoil: &dyn Fn(&mut Found)| {
        let mut found = good.clone();
        spoil(&mut found);
        let verdict = verdict(&found);
        assert!(!verdict.is_good(), "{verdict}");
        verdict
    };
    let with = |item: &Item, effect| {
        spoilt(&|found| {
            found.effects.insert(item.clone(), effect);
        })
    };
    let with_dead = |item: &Item, times| {
        spoilt(&|found| {
            found.dead.insert(item.clone(), times);
        })
    };
    for item in [mail(2), Item::Sent(1), event(1)] {
        let verdict = spoilt(&|found| found.effects.retain(|there, _| *there != item));
        assert_eq!(verdict.lost, std::slice::from_ref(&item));
        let twice = Effect { times: 2, whole: true };
        let verdict = with(&item, twice);
        assert_eq!(verdict.doubled, std::slice::from_ref(&item));
        let torn = Effect { times: 1, whole: false };
        let verdict = with(&item, torn);
        assert_eq!(verdict.lost, std::slice::from_ref(&item));
        let verdict = with_dead(&item, 1);
        assert_eq!((&verdict.doubled, &verdict.dead_unexpected), (&vec![item.clone()], &vec![item.clone()]));
        let verdict = spoilt(&|found| {
            found.effects.remove(&item);
            found.dead.insert(item.clone(), 1);
        });
        assert_eq!((&verdict.lost, &verdict.dead_unexpected), (&vec![], &vec![item]));
    }
    assert_eq!(spoilt(&|found| found.dead.clear()).lost, [Item::Stray(1)]);
    assert_eq!(with_dead(&Item::Stray(1), 2).doubled, [Item::Stray(1)]);
    let elsewhere = Item::Mail(1, "sales".to_owned());
    let verdict = with(&elsewhere, once);
    assert_eq!(verdict.unknown, [elsewhere]);
    let verdict = with(&Item::Stray(1), once);
    assert_eq!((verdict.unknown, verdict.doubled), (vec![Item::Stray(1)], vec![Item::Stray(1)]));
    let verdict = spoilt(&|found| {
        found.totals.insert("received, mailbox inbox".to_owned(), 3);
    });
    assert_eq!(verdict.miscounted, ["received, mailbox inbox: 3 and not 2"]);
    let verdict = spoilt(&|found| {
        found.totals.remove("opened, tenant acme");
    });
    assert_eq!(verdict.miscounted, ["opened, tenant acme: 0 and not 1"]);
    assert!(spoilt(&|found| found.past_the_ledger = 1.0).past_the_ledger > 0.0);

    // A call that got no answer may have taken effect, and need not.
    let mut unanswered = asked.clone();
    unanswered.accepted.remove(&event(1));
    assert!(Verdict::of(&unanswered, &totals, &good).is_good());
}
