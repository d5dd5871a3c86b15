//! A rebuild: every key that the base tables or the roll-ups know is noted as changed, page by page. The runs that follow
//! count them anew, and remove the rows of keys that no message has any more.

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::measures;
use super::rollups::{Registry, RollUp};
use super::run::{Roller, finish};
use crate::error::Result;
use crate::rows::{count, get};
use crate::session::Session;

/// Messages looked at in one transaction.
const PAGE: i64 = 10_000;

/// How far the marking has come.
#[derive(Debug, Clone)]
pub(super) enum Cursor {
    /// In the messages, after this tenant, time and storage_key: in this order a key's messages are beside each other, and
    /// it is noted once or twice however many they are.
    Messages(Uuid, DateTime<Utc>, String),
    /// In the roll-up of this number, after this day.
    RollUp(usize, Option<NaiveDate>),
}

impl Cursor {
    /// Before every message: no tenant has this id.
    pub(super) const BEGIN: Self = Self::Messages(Uuid::nil(), DateTime::UNIX_EPOCH, String::new());
}

/// What one step of marking did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marked {
    /// So many keys were noted; there is more to look at.
    Page(u64),
    /// Everything has been noted.
    All,
    /// Another took the lease; nothing was written.
    LeaseLost,
}

impl Roller<'_> {
    /// Notes a page of keys, in one transaction. Call it until it says that all are noted: each call goes on behind the
    /// one before. One that failed, or was dropped, is repeated by the next.
    pub async fn mark(&mut self) -> Result<Marked> {
        let mut session = self.store.session().await?;
        session.begin_maintenance().await?;
        let step = async {
            let (marked, next) = step(&mut session, &self.cursor).await?;
            let held = self.still_held(&mut session, marked).await?;
            Ok(held.map(|marked| (marked, next)))
        }
        .await;
        let lost = (Marked::LeaseLost, self.cursor.clone());
        let (marked, next) = finish(&mut session, step, lost).await?;
        self.cursor = next;
        Ok(marked)
    }
}

async fn step(session: &mut Session, cursor: &Cursor) -> Result<(Marked, Cursor)> {
    let registry = Registry::read(session).await?;
    let (noted, next) = match cursor {
        Cursor::Messages(tenant, created, key) => {
            mark_messages(session, &registry, *tenant, *created, key).await?
        }
        Cursor::RollUp(number, after) => match registry.roll_ups().get(*number) {
            Some(rollup) => mark_day(session, rollup, *number, *after).await?,
            None => return Ok((Marked::All, cursor.clone())),
        },
    };
    Ok((Marked::Page(noted), next))
}

async fn mark_messages(
    session: &mut Session,
    registry: &Registry,
    tenant: Uuid,
    created: DateTime<Utc>,
    key: &str,
) -> Result<(u64, Cursor)> {
    let sql = format!(
        "WITH page AS ( \
             SELECT m.storage_key, m.created, {of_messages} FROM mailfleet.messages m \
             WHERE (m.tenant_id, m.created, m.storage_key) > ($1, $2, $3) \
             ORDER BY m.tenant_id, m.created, m.storage_key LIMIT $4), \
         noted AS ( \
             INSERT INTO mailfleet.analytics_changes ({columns}) SELECT DISTINCT {columns} FROM page RETURNING 1) \
         SELECT tenant_id, created, storage_key, (SELECT count(*) FROM noted) AS noted FROM page \
         ORDER BY tenant_id DESC, created DESC, storage_key DESC LIMIT 1",
        of_messages = registry.key_of_messages("m"),
        columns = registry.columns(),
    );
    let last =
        session.query_opt("noting the keys of messages", &sql, &[&tenant, &created, &key, &PAGE]).await?;
    let Some(last) = last else { return Ok((0, Cursor::RollUp(0, None))) };
    let next = Cursor::Messages(get(&last, "tenant_id")?, get(&last, "created")?, get(&last, "storage_key")?);
    Ok((count(&last, "noted")?, next))
}

/// Notes those keys of a roll-up's next day that no message has any more; the others are noted by their messages.
async fn mark_day(
    session: &mut Session,
    rollup: &RollUp,
    number: usize,
    after: Option<NaiveDate>,
) -> Result<(u64, Cursor)> {
    let (table, owner, belongs) = (rollup.table(), rollup.owner(), rollup.belongs("m", "d"));
    let same_day = measures::same_day("m", "d");
    let sql = format!(
        "WITH next AS (SELECT min(day) AS day FROM {table} WHERE $1::date IS NULL OR day > $1), \
         noted AS ( \
             INSERT INTO mailfleet.analytics_changes ({owner}, day) \
             SELECT {owner}, day FROM {table} d JOIN next USING (day) \
             WHERE NOT EXISTS (SELECT FROM mailfleet.messages m WHERE {belongs} AND {same_day}) RETURNING 1) \
         SELECT day, (SELECT count(*) FROM noted) AS noted FROM next"
    );
    let row = session.query_one("noting the keys of a roll-up", &sql, &[&after]).await?;
    let next = match get::<Option<NaiveDate>>(&row, "day")? {
        Some(day) => Cursor::RollUp(number, Some(day)),
        None => Cursor::RollUp(number + 1, None),
    };
    Ok((count(&row, "noted")?, next))
}
