//! One page, in one transaction: notes are taken, and the keys that they stand for are counted anew.

use std::time::Duration;

use chrono::NaiveDate;
use uuid::Uuid;

use super::keys::Keys;
use super::measures;
use super::rollups::Registry;
use super::run::{RolledUp, Roller, finish};
use crate::error::Result;
use crate::rows::count;
use crate::session::Session;

/// The notes behind the horizon that nothing is known against.
pub(super) const TAKEABLE: &str = "mailfleet.analytics_changes \
     WHERE not_before IS NULL AND xid < pg_snapshot_xmin(pg_current_snapshot())";

/// Which notes to take.
#[derive(Debug, Clone, Copy)]
pub(super) enum Take {
    /// So many of the oldest that nothing is known against.
    Oldest(i64),
    /// All that were set aside of a tenant and day, with more time than usual for each statement.
    Apart(Uuid, NaiveDate, Duration),
}

/// The part of a statement that removes the oldest notes behind the horizon ($1: how many) as `taken`, and has the keys that
/// they stand for as `keys`, each once. A note that names messages stands for the keys that these have in this
/// transaction's snapshot; should one change later, that change is noted with both keys. `aside` are the tenants and days
/// that are set aside.
pub(super) fn take_oldest(registry: &Registry) -> String {
    format!(
        "taken AS ( \
             DELETE FROM mailfleet.analytics_changes WHERE id IN (SELECT id FROM {TAKEABLE} ORDER BY id LIMIT $1) \
             RETURNING {columns}, storage_keys, created), \
         keys AS ( \
             SELECT {of_note} FROM taken t WHERE t.day IS NOT NULL \
             UNION \
             SELECT {of_message} FROM taken t CROSS JOIN unnest(t.storage_keys) AS named (storage_key) \
             JOIN mailfleet.messages m ON m.storage_key = named.storage_key AND m.tenant_id = t.tenant_id), \
         aside AS MATERIALIZED ( \
             SELECT tenant_id, day, max(not_before) AS not_before FROM mailfleet.analytics_changes \
             WHERE not_before IS NOT NULL GROUP BY tenant_id, day)",
        columns = registry.columns(),
        of_note = registry.key("t"),
        of_message = registry.key_of_messages("m"),
    )
}

/// Takes the oldest notes. Keys of a tenant and day that are set aside join these, each once: they would take as long.
fn oldest(registry: &Registry) -> String {
    format!(
        "WITH {take}, \
         late AS ( \
             SELECT {key} FROM keys k JOIN aside USING (tenant_id, day) \
             EXCEPT SELECT {columns} FROM mailfleet.analytics_changes WHERE not_before IS NOT NULL), \
         joined AS ( \
             INSERT INTO mailfleet.analytics_changes ({columns}, not_before) \
             SELECT {of_late}, a.not_before FROM late l JOIN aside a USING (tenant_id, day)) \
         SELECT (SELECT count(*) FROM taken) AS changes, {arrays} FROM keys k \
         WHERE NOT EXISTS (SELECT FROM aside a WHERE a.tenant_id = k.tenant_id AND a.day = k.day)",
        take = take_oldest(registry),
        key = registry.key("k"),
        columns = registry.columns(),
        of_late = registry.key("l"),
        arrays = Keys::arrays(registry),
    )
}

/// Takes what was set aside of a tenant ($1) and day ($2). It was behind the horizon when it was set aside.
fn apart(registry: &Registry) -> String {
    format!(
        "WITH taken AS ( \
             DELETE FROM mailfleet.analytics_changes WHERE not_before IS NOT NULL AND tenant_id = $1 AND day = $2 \
             RETURNING {columns}), \
         keys AS (SELECT DISTINCT {columns} FROM taken) \
         SELECT (SELECT count(*) FROM taken) AS changes, {arrays} FROM keys",
        columns = registry.columns(),
        arrays = Keys::arrays(registry),
    )
}

impl Roller<'_> {
    /// Takes notes and counts their keys, in a transaction of its own.
    pub(super) async fn count(&self, take: Take) -> Result<RolledUp> {
        let mut session = self.store.session().await?;
        session.begin_maintenance().await?;
        let counted = self.count_in(&mut session, take).await;
        finish(&mut session, counted, RolledUp::LeaseLost).await
    }

    async fn count_in(&self, session: &mut Session, take: Take) -> Result<Option<RolledUp>> {
        // All roll-ups of a page count the same state, so that they agree with each other.
        const SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
        // A page has a few keys or thousands: no plan is right for all.
        const PLANS: &str = "SELECT set_config('plan_cache_mode', 'force_custom_plan', true)";
        session.execute("beginning a page of the roll-ups", SNAPSHOT, &[]).await?;
        session.query("beginning a page of the roll-ups", PLANS, &[]).await?;
        let registry = Registry::read(session).await?;
        let taken = match &take {
            Take::Oldest(most) => session.query_one("taking changes", &oldest(&registry), &[most]).await?,
            Take::Apart(tenant, day, longer) => {
                session.take_longer(*longer).await?;
                session.query_one("taking changes", &apart(&registry), &[tenant, day]).await?
            }
        };
        let changes = count(&taken, "changes")?;
        if changes == 0 {
            return Ok(Some(RolledUp::Idle));
        }
        let keys = Keys::read(&registry, &taken)?;
        if keys.len() > 0 {
            let params = keys.params();
            for rollup in registry.roll_ups() {
                let (clear, fill) = (measures::clear(rollup, &keys), measures::fill(rollup, &keys));
                session.execute("clearing keys of a roll-up", &clear, &params).await?;
                session.execute("counting keys of a roll-up", &fill, &params).await?;
            }
        }
        let keys = u64::try_from(keys.len()).unwrap_or(u64::MAX);
        self.still_held(session, RolledUp::Page { changes, keys }).await
    }
}
