//! The audit: which messages on the servers are neither accounted for nor on their way.
//!
//! The order of the questions decides what the answer is worth. UIDs are listed on the server first: what comes in
//! later is not looked at. The ledger is read next and the live jobs after it, so that a job that ends in between is
//! found neither live nor with an outcome rather than overlooked; those few are looked up in the ledger once more.

mod server;

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use mailfleet_model::{JobId, MailRef, MailboxId, Uid, UidValidity, unaccounted};
use mailfleet_queue::Queue;
use mailfleet_store::{Account, Store};
use serde::Serialize;
use tokio::task::JoinSet;

pub use server::Listed;

/// Accounts asked at once.
const ACCOUNTS_AT_ONCE: usize = 8;
/// Jobs looked up in one question to Redis.
const JOBS_AT_ONCE: usize = 1_000;

/// What is known about one mailbox.
#[derive(Debug, Clone, Serialize)]
pub struct Audited {
    /// The account's name.
    pub account: String,
    /// The folder.
    pub mailbox: String,
    /// How it stands.
    #[serde(flatten)]
    pub state: State,
}

/// How a mailbox stands.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum State {
    /// Looked at.
    Known {
        /// The epoch of the UIDs.
        uidvalidity: UidValidity,
        /// Messages on the server.
        on_server: u64,
        /// Of these, messages that have no outcome yet and are live jobs.
        live: u64,
        /// Of these, messages without outcome or job that came in a moment ago.
        young: u64,
        /// What is unaccounted for.
        unaccounted: Vec<Missing>,
    },
    /// Could not be looked at, which is never the same as clean.
    Unknown {
        /// Why.
        error: String,
    },
}

/// One message that is unaccounted for.
#[derive(Debug, Clone, Serialize)]
pub struct Missing {
    /// Its UID.
    pub uid: Uid,
    /// The job it should be.
    pub job: JobId,
    /// Its size in bytes.
    pub size: u64,
    /// When the server took it in, where the server says so.
    #[serde(serialize_with = "time")]
    pub internal_date: Option<DateTime<Utc>>,
}

#[expect(clippy::ref_option, reason = "the shape that serde asks for")]
fn time<S: serde::Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(crate::text::json_time).serialize(serializer)
}

impl Audited {
    /// Looked at, and nothing is missing.
    pub fn is_clean(&self) -> bool {
        matches!(&self.state, State::Known { unaccounted, .. } if unaccounted.is_empty())
    }
}

/// What an audit needs.
#[derive(Debug, Clone)]
pub struct Auditor {
    /// The ledger.
    pub store: Store,
    /// The live jobs.
    pub queue: Queue,
    /// How accounts are connected to.
    pub imap: mailfleet_imap::Config,
    /// Messages younger than this are given time.
    pub older_than: Duration,
    /// Now.
    pub now: DateTime<Utc>,
}

impl Auditor {
    /// Audits the accounts, some at once; in the order of the accounts.
    pub async fn run(&self, accounts: Vec<Account>) -> Vec<Audited> {
        let mut waiting = accounts.into_iter().enumerate();
        let mut running = JoinSet::new();
        let mut done = Vec::new();
        loop {
            while running.len() < ACCOUNTS_AT_ONCE {
                let Some((number, account)) = waiting.next() else { break };
                let auditor = self.clone();
                running.spawn(async move { (number, auditor.account(account).await) });
            }
            match running.join_next().await {
                Some(Ok(audited)) => done.push(audited),
                Some(Err(crash)) => std::panic::resume_unwind(crash.into_panic()),
                None => break,
            }
        }
        done.sort_by_key(|(number, _)| *number);
        done.into_iter().flat_map(|(_, audited)| audited).collect()
    }

    async fn account(&self, account: Account) -> Vec<Audited> {
        let listed = server::list(account.clone(), self.imap.clone()).await;
        let mut audited = Vec::with_capacity(listed.len());
        for (mailbox, listed) in listed {
            let state = match listed {
                Err(error) => State::Unknown { error },
                Ok(listed) => match self.mailbox(&account, &mailbox, listed).await {
                    Ok(state) => state,
                    Err(error) => State::Unknown { error: crate::failure::one_line(&error) },
                },
            };
            audited.push(Audited { account: account.name.clone(), mailbox, state });
        }
        audited
    }

    async fn mailbox(&self, account: &Account, name: &str, listed: Listed) -> anyhow::Result<State> {
        let id = self.store.mailbox(account.id, name).await?.id;
        let uidvalidity = listed.uidvalidity;
        let on_server: Vec<Uid> = listed.messages.iter().map(|message| message.uid).collect();
        let outcomes = self.outcomes(id, uidvalidity, &on_server).await?;
        let candidates = unaccounted(&on_server, &outcomes);
        let at = |uid| MailRef { account: account.id, mailbox: id, uidvalidity, uid };
        let live = self.live(&candidates, at).await?;
        let dark: Vec<Uid> = candidates.into_iter().filter(|uid| !live.contains(uid)).collect();
        let late = self.outcomes(id, uidvalidity, &dark).await?;
        let dark: BTreeSet<Uid> = unaccounted(&dark, &late).into_iter().collect();

        let newest = self.now - self.older_than;
        let (mut young, mut missing) = (0, Vec::new());
        for message in listed.messages.into_iter().filter(|message| dark.contains(&message.uid)) {
            // A message without a date is taken as old: unknown is not clean.
            if message.internal_date.is_some_and(|date| date > newest) {
                young += 1;
            } else {
                let job = JobId::mail(&at(message.uid));
                missing.push(Missing {
                    uid: message.uid,
                    job,
                    size: message.size,
                    internal_date: message.internal_date,
                });
            }
        }
        Ok(State::Known {
            uidvalidity,
            on_server: on_server.len() as u64,
            live: live.len() as u64,
            young,
            unaccounted: missing,
        })
    }

    /// The outcomes of a range that covers `uids`.
    async fn outcomes(
        &self,
        id: MailboxId,
        epoch: UidValidity,
        uids: &[Uid],
    ) -> anyhow::Result<BTreeSet<Uid>> {
        match (uids.iter().min(), uids.iter().max()) {
            (Some(first), Some(last)) => Ok(self.store.outcomes(id, epoch, *first, *last).await?),
            _ => Ok(BTreeSet::new()),
        }
    }

    async fn live(&self, uids: &[Uid], at: impl Fn(Uid) -> MailRef) -> anyhow::Result<HashSet<Uid>> {
        let mut live = HashSet::new();
        for chunk in uids.chunks(JOBS_AT_ONCE) {
            let jobs: Vec<JobId> = chunk.iter().map(|uid| JobId::mail(&at(*uid))).collect();
            let answers = self.queue.live(&jobs).await?;
            live.extend(chunk.iter().zip(answers).filter(|(_, live)| *live).map(|(uid, _)| *uid));
        }
        Ok(live)
    }
}
