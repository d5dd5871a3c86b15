//! Which letters a command is about: by what they are, or by their numbers.

use chrono::{DateTime, Utc};
use clap::ArgGroup;
use mailfleet_model::Class;
use mailfleet_store::{Actor, DeadFilter, DeadState, Store};
use serde_json::{Value, json};

use super::{actor::actor, reasons, show};
use crate::commands::tenant;
use crate::failure::{self, Usage};
use crate::text;

const CLASSES: [Class; 6] =
    [Class::Outage, Class::Transient, Class::Data, Class::Policy, Class::Hostile, Class::Fault];

/// What the letters have in common; several of these together narrow it down.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Kind {
    /// Those with this reason alone, such as unknown_tenant; an error for a word that is no reason
    #[arg(long)]
    pub reason: Option<String>,
    /// Those of this tenant alone, by name or id
    #[arg(long)]
    tenant: Option<String>,
    /// Those that came through this account alone, by name
    #[arg(long)]
    account: Option<String>,
    /// Those whose last error was of this class alone: outage, transient, data, policy, hostile or fault
    #[arg(long, value_parser = class)]
    class: Option<Class>,
    /// Those of this group alone, as `dead groups` names it
    #[arg(long, value_name = "GROUP", value_parser = group)]
    group: Option<String>,
    /// Those since then: an age (2h, 7d), a date or an RFC 3339 time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

/// Which letters something is done to, and who asks for it.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true)
    .args(["letters", "reason", "tenant", "account", "class", "group", "since", "all"]))]
pub struct Which {
    /// Ids (or jobs) of the letters
    #[arg(value_name = "ID", conflicts_with_all = ["reason", "tenant", "account", "class", "group", "since", "all"])]
    letters: Vec<String>,
    #[command(flatten)]
    kind: Kind,
    /// All open letters
    #[arg(long)]
    all: bool,
    /// Who asks for it, or why: a name, a ticket; for `dead log`
    #[arg(long, value_name = "TEXT")]
    by: Option<String>,
}

impl Which {
    /// Whether they are told one by one.
    pub fn are_named(&self) -> bool {
        !self.letters.is_empty()
    }

    /// The letters: those of a kind that are open, or those that were named, as far as they are in one of these states.
    pub async fn chosen(
        &self,
        store: &Store,
        now: DateTime<Utc>,
        states: &[DeadState],
    ) -> anyhow::Result<Chosen> {
        if self.are_named() {
            Chosen::named(&self.letters, store, states).await
        } else {
            Ok(Chosen { filter: self.kind.filter(store, now).await?, said: self.kind.to_json(now)? })
        }
    }

    /// Who does it, for the book.
    pub fn actor(&self) -> Actor {
        actor(self.by.as_deref())
    }
}

fn class(word: &str) -> Result<Class, String> {
    CLASSES
        .into_iter()
        .find(|class| class.as_str() == word)
        .ok_or_else(|| format!("`{word}` is no class: {}", CLASSES.map(Class::as_str).join(", ")))
}

fn group(word: &str) -> Result<String, String> {
    let is_one = word.len() == 12 && word.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if is_one {
        Ok(word.to_owned())
    } else {
        Err(format!("`{word}` is no group; `mailfleet dead groups` shows them"))
    }
}

impl Kind {
    /// The filter, of open letters.
    pub async fn filter(&self, store: &Store, now: DateTime<Utc>) -> anyhow::Result<DeadFilter> {
        let tenant = match &self.tenant {
            Some(name) => Some(tenant::find(store, name).await?),
            None => None,
        };
        let account = match &self.account {
            Some(name) => Some(account(store, name).await?),
            None => None,
        };
        Ok(DeadFilter {
            reason: self.reason.clone(),
            tenant,
            account,
            class: self.class,
            fingerprint: self.group.clone(),
            since: self.since(now)?,
            ..DeadFilter::default()
        })
    }

    fn since(&self, now: DateTime<Utc>) -> anyhow::Result<Option<DateTime<Utc>>> {
        self.since.as_deref().map(|since| text::parse_since(since, now)).transpose().map_err(Usage::error)
    }

    /// For the book: what was asked for, with an age as the time it was.
    fn to_json(&self, now: DateTime<Utc>) -> anyhow::Result<Value> {
        let mut said = serde_json::Map::new();
        let mut say = |name: &str, word: Option<String>| {
            if let Some(word) = word {
                said.insert(name.to_owned(), word.into());
            }
        };
        say("reason", self.reason.clone());
        say("tenant", self.tenant.clone());
        say("account", self.account.clone());
        say("class", self.class.map(|class| class.to_string()));
        say("group", self.group.clone());
        say("since", self.since(now)?.map(text::json_time));
        if said.is_empty() {
            return Ok(json!({ "all": true }));
        }
        Ok(Value::Object(said))
    }
}

async fn account(store: &Store, name: &str) -> anyhow::Result<mailfleet_model::AccountId> {
    let account = store.account_by_name(name).await?;
    account.map(|account| account.id).ok_or_else(|| {
        anyhow::anyhow!("there is no account `{name}`; `mailfleet account list` shows those there are")
    })
}

/// The letters that something is done to, and how the book puts it.
#[derive(Debug)]
pub struct Chosen {
    /// Which they are.
    pub filter: DeadFilter,
    /// What was asked for.
    pub said: Value,
}

impl Chosen {
    /// Those that were named, by id or job, in one of these states; of the others it is said why they are not.
    async fn named(names: &[String], store: &Store, states: &[DeadState]) -> anyhow::Result<Self> {
        let mut ids = Vec::with_capacity(names.len());
        for name in names {
            let letter = show::find(store, name).await?;
            if states.contains(&letter.state) {
                ids.push(letter.id);
                continue;
            }
            failure::note(&match letter.state {
                DeadState::Open => format!("{name} is open"),
                DeadState::Replayed => format!("{name} is in the queue already"),
                DeadState::Resolved => format!("{name} is stored already; there is nothing to replay"),
                DeadState::Discarded => format!("{name} is discarded already"),
            });
        }
        ids.sort_unstable();
        ids.dedup();
        let said = json!({ "letters": ids });
        Ok(Self { filter: DeadFilter { ids: Some(ids), state: None, ..DeadFilter::default() }, said })
    }

    /// An error for a reason that no letter ever had: a slip, not a job that is done already.
    pub async fn no_slip(&self, store: &Store, matched: u64) -> anyhow::Result<()> {
        match &self.filter.reason {
            Some(reason) if matched == 0 => reasons::had_by_a_letter(store, reason).await,
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_class_or_group_is_told_so() {
        assert_eq!(class("policy"), Ok(Class::Policy));
        assert!(class("polity").unwrap_err().contains("hostile"));
        assert!(group("0123456789ab").is_ok());
        assert!(["", "0123456789AB", "0123456789abc", "unknown"].iter().all(|word| group(word).is_err()));
    }

    #[test]
    fn the_book_has_the_time_of_an_age() {
        let now = "2026-08-02T12:00:00Z".parse().unwrap();
        let kind = Kind { since: Some("2h".to_owned()), class: Some(Class::Data), ..Kind::default() };
        let want = json!({ "class": "data", "since": "2026-08-02T10:00:00.000Z" });
        assert_eq!(kind.to_json(now).unwrap(), want);
        assert_eq!(Kind::default().to_json(now).unwrap(), json!({ "all": true }));
    }
}
