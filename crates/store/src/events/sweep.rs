//! The sweep: events whose message is there although they wait. The locks leave none; what remains of a transaction that
//! had more than it would take, or of anything unforeseen, is found here.
//!
//! Anybody can write returned mails that name a message of ours and a recipient that it never had: such events wait for
//! ever. So it is looked without locks which events can be attached at all, and only for those locks are taken, for a
//! bounded number in one transaction. What fails but for an outage is left to the next round, so that it does not keep
//! what stands behind it.

use std::collections::BTreeSet;

use mailfleet_model::{Class, Classify, TenantId};

use super::MAX_LOCKED;
use super::attach::{attach, ripe};
use super::names::{Named, lock_named};
use super::pending::{COLUMNS, Pending, read_known};
use crate::error::Result;
use crate::repeat::Tries;
use crate::store::Store;

/// What one look of the sweep found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Waiting events that were looked at.
    pub looked_at: u64,
    /// Those that got their message.
    pub matched: u64,
    /// Those that could have it and could not be written, or of which that could not be found out; the log says why.
    pub failed: u64,
    /// Where the next look begins; `None` when this one reached the end.
    pub next: Option<i64>,
}

impl Store {
    /// Looks at up to `limit` waiting events, from the one after number `after` on, and attaches those whose message is
    /// there. Safe to run by several at once.
    ///
    /// # Errors
    /// Outages, and a page that cannot be read at all. Any other trouble is counted as [`Swept::failed`].
    pub async fn match_waiting(&self, after: i64, limit: u32) -> Result<Swept> {
        let sql = format!(
            "SELECT {COLUMNS} FROM mailfleet.delivery_events e WHERE e.storage_key IS NULL AND e.id > $1 \
             ORDER BY e.id LIMIT $2"
        );
        let rows = self.survey("reading waiting events", &sql, &[&after, &i64::from(limit)]).await?;
        let (page, last) = read_known(&rows)?;
        let full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let mut swept =
            Swept { looked_at: rows.len() as u64, next: last.filter(|_| full), ..Swept::default() };

        let Some(ripe) = swept.note(page.len(), self.ripe(page).await)? else { return Ok(swept) };
        // The next part is at the end. Each turn settles a part or halves it.
        let mut parts: Vec<&[Pending]> = ripe.chunks(MAX_LOCKED).rev().collect();
        while let Some(part) = parts.pop() {
            match self.attach_part(part).await {
                Err(error) if error.class() == Class::Data && part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                attached => swept.matched += swept.note(part.len(), attached)?.unwrap_or_default(),
            }
        }
        Ok(swept)
    }

    /// Those that can be attached; as a rule none.
    async fn ripe(&self, page: Vec<Pending>) -> Result<Vec<Pending>> {
        let tenants = tenants(&page);
        let mut tries = Tries::default();
        loop {
            let mut session = self.session().await?;
            session.begin_for(&tenants).await?;
            let found = ripe(&mut session, self, page.clone()).await;
            match session.end(found).await {
                Err(error) if tries.again(&error).await => {}
                outcome => return outcome,
            }
        }
    }

    /// One part, repeated while it loses against other transactions; returns how many were attached.
    async fn attach_part(&self, part: &[Pending]) -> Result<u64> {
        let tenants = tenants(part);
        let named: Vec<Named> = part.iter().map(|event| event.named.clone()).collect();
        let mut tries = Tries::default();
        loop {
            let mut session = self.session().await?;
            session.begin_for(&tenants).await?;
            let attached = async {
                lock_named(&mut session, &named, BTreeSet::new()).await?;
                Ok(attach(&mut session, self, part.to_vec()).await?.matched.len() as u64)
            }
            .await;
            match session.end(attached).await {
                Err(error) if tries.again(&error).await => {}
                outcome => return outcome,
            }
        }
    }
}

impl Swept {
    /// What became of so many events: an outage is the caller's, any other error is noted here.
    fn note<T>(&mut self, events: usize, outcome: Result<T>) -> Result<Option<T>> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.class() == Class::Outage => Err(error),
            Err(error) => {
                tracing::warn!(%error, events, "waiting events could not be attached; the next round tries again");
                self.failed += events as u64;
                Ok(None)
            }
        }
    }
}

fn tenants(events: &[Pending]) -> BTreeSet<TenantId> {
    events.iter().map(|event| event.named.tenant).collect()
}
