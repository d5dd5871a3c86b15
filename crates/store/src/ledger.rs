//! The ledger: what became of each message. Outcomes are ordered and only ever raised, so any race has one end.

use std::collections::{BTreeSet, HashSet};

use mailfleet_model::{LedgerOutcome, MailboxId, StorageKey, TenantId, Uid, UidValidity};
use tokio_postgres::types::ToSql;

use crate::error::Result;
use crate::rows::{self, get};
use crate::store::Store;

/// `mailbox_messages.policy` of a message that was expunged before mailfleet had it.
pub(crate) const VANISHED: i16 = 1;
/// Rows in one statement.
const CHUNK: usize = 10_000;

/// The stored number of a policy, as a word.
pub(crate) const fn policy_name(code: i16) -> &'static str {
    match code {
        VANISHED => "vanished",
        _ => "unknown",
    }
}

impl Store {
    /// The UIDs between `from` and `to` (both included) that have an outcome. The caller bounds the range.
    pub async fn outcomes(
        &self,
        id: MailboxId,
        epoch: UidValidity,
        from: Uid,
        to: Uid,
    ) -> Result<BTreeSet<Uid>> {
        const SQL: &str = "SELECT uid FROM mailfleet.mailbox_messages \
             WHERE mailbox_id = $1 AND uidvalidity = $2 AND uid BETWEEN $3 AND $4";
        let params: [&(dyn ToSql + Sync); 4] = [&id.0, &epoch.get(), &from.get(), &to.get()];
        let rows = self.session().await?.query("reading outcomes", SQL, &params).await?;
        rows.iter().map(|row| rows::uid(get(row, "uid")?)).collect()
    }

    /// Records messages that were expunged before mailfleet had them; returns how many had no higher outcome.
    pub async fn record_vanished(&self, id: MailboxId, epoch: UidValidity, uids: &[Uid]) -> Result<u64> {
        const SQL: &str = "INSERT INTO mailfleet.mailbox_messages AS l (mailbox_id, uidvalidity, uid, outcome, policy) \
             SELECT $1::integer, $2::oid, u, $4::smallint, $5::smallint FROM unnest($3::oid[]) u \
             ON CONFLICT (mailbox_id, uidvalidity, uid) \
             DO UPDATE SET outcome = excluded.outcome, policy = excluded.policy, recorded = excluded.recorded \
             WHERE excluded.outcome > l.outcome";
        // Sorted, so that two of these lock rows in the same order; each once, or one statement would meet itself.
        let uids: Vec<u32> = uids.iter().map(|uid| uid.get()).collect::<BTreeSet<_>>().into_iter().collect();
        let mut session = self.session().await?;
        let mut recorded = 0;
        for chunk in uids.chunks(CHUNK) {
            let params: [&(dyn ToSql + Sync); 5] =
                [&id.0, &epoch.get(), &chunk, &LedgerOutcome::Skipped.code(), &VANISHED];
            recorded += session.execute("recording vanished messages", SQL, &params).await?;
        }
        Ok(recorded)
    }

    /// Which of these keys are outbound messages that mailfleet knows, of these tenants.
    pub async fn known_outbound(
        &self,
        tenants: &BTreeSet<TenantId>,
        keys: &[StorageKey],
    ) -> Result<HashSet<StorageKey>> {
        if keys.is_empty() {
            return Ok(HashSet::new());
        }
        let sql = format!(
            "SELECT storage_key::text FROM {} WHERE storage_key = ANY($1::text[]) AND direction = 'outbound'",
            self.tables().messages
        );
        let asked: Vec<&str> = keys.iter().map(StorageKey::as_str).collect();
        let mut session = self.session().await?;
        session.begin_for(tenants).await?;
        let found = session.query("looking up outbound messages", &sql, &[&asked]).await;
        let rows = session.end(found).await?;
        rows.iter().map(|row| Ok(StorageKey::from_stored(get(row, "storage_key")?))).collect()
    }
}
