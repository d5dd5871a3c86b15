//! The inbox: every webhook call that was taken, committed before it is answered, because its source cannot be asked again.

use std::collections::BTreeSet;
use std::time::Duration;

use mailfleet_model::{DeliveryEvent, InboxId};

use crate::endpoints::Endpoint;
use crate::error::{Error, Result};
use crate::rows::{count, get};
use crate::store::Store;
use crate::text;

/// What is to take effect yet: not what an operator has to look at, or has thrown away.
const WAITS: &str = "i.applied IS NULL AND NOT EXISTS (SELECT FROM mailfleet.dead_letters d \
     WHERE d.job_id = 'e:' || i.id AND d.state IN ('open', 'discarded'))";

/// A call to be kept.
#[derive(Debug, Clone)]
pub struct NewInbox<'a> {
    /// The endpoint that took it.
    pub endpoint: &'a Endpoint,
    /// What tells a repetition from a new call, 1 to 200 characters.
    pub dedupe: &'a str,
    /// The call as it came.
    pub body: &'a [u8],
    /// What it says.
    pub events: &'a [DeliveryEvent],
    /// What an operator has to do about it.
    pub note: Option<&'a str>,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// It is kept now.
    New(InboxId),
    /// It was kept before; nothing was written.
    Replay(InboxId),
}

impl Store {
    /// Keeps a call, once. When this returns, it is committed. A call without events has nothing left to be done.
    pub async fn receive(&self, call: &NewInbox<'_>) -> Result<Received> {
        const INSERT: &str = "INSERT INTO mailfleet.webhook_inbox \
             (endpoint_id, tenant_id, provider, dedupe, body, events, note, applied) \
             VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, $7, CASE WHEN $8 THEN now() END) \
             ON CONFLICT (endpoint_id, dedupe) DO NOTHING RETURNING id";
        const FIND: &str = "SELECT id FROM mailfleet.webhook_inbox WHERE endpoint_id = $1 AND dedupe = $2";
        let events = serde_json::to_value(call.events)
            .map_err(|error| Error::Driver { what: "writing events", detail: error.to_string() })?;
        let (endpoint, dedupe) = (call.endpoint, text::clean(call.dedupe));
        let mut session = self.session().await?;
        session.begin_for(&BTreeSet::from([endpoint.tenant])).await?;
        let new = session
            .query_opt(
                "keeping a webhook call",
                INSERT,
                &[
                    &endpoint.id,
                    &endpoint.tenant.0,
                    &endpoint.provider,
                    &dedupe,
                    &call.body,
                    &text::json(&events),
                    &call.note.map(text::clean),
                    &call.events.is_empty(),
                ],
            )
            .await?;
        let received = if let Some(row) = new {
            Received::New(InboxId(get(&row, "id")?))
        } else {
            // In a statement of its own: the one above does not see a row that was committed while it waited for it.
            let row = session.query_one("finding a webhook call", FIND, &[&endpoint.id, &dedupe]).await?;
            Received::Replay(InboxId(get(&row, "id")?))
        };
        session.commit().await?;
        Ok(received)
    }

    /// Calls whose events took no effect yet and are not dead, older than this, by number from `after` on: at most `limit`.
    pub async fn unapplied_inbox(
        &self,
        older_than: Duration,
        after: InboxId,
        limit: u32,
    ) -> Result<Vec<InboxId>> {
        let sql = format!(
            "SELECT i.id FROM mailfleet.webhook_inbox i WHERE {WAITS} AND i.id > $1 \
             AND i.received <= now() - make_interval(secs => $2) ORDER BY i.id LIMIT $3"
        );
        let mut session = self.session().await?;
        session.begin_maintenance().await?;
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&after.0, &older_than.as_secs_f64(), &i64::from(limit)];
        let rows = session.query("listing webhook calls without effect", &sql, &params).await?;
        session.commit().await?;
        rows.iter().map(|row| get(row, "id").map(InboxId)).collect()
    }

    /// How many calls wait for their effect, and for how long the oldest of them has (zero without any).
    pub async fn inbox_waiting(&self) -> Result<(u64, Duration)> {
        let sql = format!(
            "SELECT count(*) AS waiting, \
             GREATEST(0, 1000 * extract(epoch FROM now() - coalesce(min(i.received), now())))::bigint AS oldest_ms \
             FROM mailfleet.webhook_inbox i WHERE {WAITS}"
        );
        let mut session = self.session().await?;
        session.begin_maintenance().await?;
        let row = session.query_one("counting webhook calls without effect", &sql, &[]).await?;
        session.commit().await?;
        Ok((count(&row, "waiting")?, Duration::from_millis(count(&row, "oldest_ms")?)))
    }
}
