//! The sweep: events whose message is there although they wait. The locks leave none; what remains of a transaction that
//! had more than it would take, or of anything unforeseen, is found here.

use std::collections::BTreeSet;

use mailfleet_model::TenantId;

use super::attach::{attach, found};
use super::names::{Named, lock_named};
use super::pending::{COLUMNS, Pending};
use crate::error::Result;
use crate::store::Store;

/// What one look of the sweep found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Waiting events that were looked at.
    pub looked_at: u64,
    /// Those that got their message.
    pub matched: u64,
    /// Where the next look begins; `None` when this one reached the end.
    pub next: Option<i64>,
}

impl Store {
    /// Looks at up to `limit` waiting events, from the one after number `after` on, and attaches those whose message is
    /// there. Safe to run by several at once.
    pub async fn match_waiting(&self, after: i64, limit: u32) -> Result<Swept> {
        let page = self.waiting_page(after, limit).await?;
        let full = page.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let next = page.last().map(|last| last.id).filter(|_| full);
        let mut swept = Swept { looked_at: page.len() as u64, matched: 0, next };
        let tenants: BTreeSet<TenantId> = page.iter().map(|event| event.named.tenant).collect();
        let mut session = self.session().await?;
        session.begin_for(&tenants).await?;
        // Looked at without locks first: as a rule there is nothing to do.
        let ripe = found(&mut session, self, page).await?;
        if !ripe.is_empty() {
            let ripe: Vec<Pending> = ripe.into_iter().map(|(event, _)| event).collect();
            let named: Vec<Named> = ripe.iter().map(|event| event.named.clone()).collect();
            lock_named(&mut session, &named, BTreeSet::new()).await?;
            swept.matched = attach(&mut session, self, ripe).await?.matched.len() as u64;
        }
        session.commit().await?;
        Ok(swept)
    }

    /// Waiting events of all tenants.
    async fn waiting_page(&self, after: i64, limit: u32) -> Result<Vec<Pending>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM mailfleet.delivery_events e WHERE e.storage_key IS NULL AND e.id > $1 \
             ORDER BY e.id LIMIT $2"
        );
        let rows = self.survey("reading waiting events", &sql, &[&after, &i64::from(limit)]).await?;
        rows.iter().map(Pending::read).collect()
    }
}
