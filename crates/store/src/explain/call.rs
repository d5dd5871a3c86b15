//! What became of a webhook call: the row of the inbox, and how far each of its events came.

use chrono::{DateTime, Utc};
use mailfleet_model::{InboxId, StorageKey, TenantId};
use tokio_postgres::Row;

use crate::error::Result;
use crate::rows::{count, get};
use crate::store::Store;

/// Most events of one call that are read.
const MAX_EVENTS: i64 = 1_000;

/// A webhook call that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainedCall {
    /// Its number.
    pub inbox: InboxId,
    /// The name of the endpoint that took it; `None` where that is gone.
    pub endpoint: Option<String>,
    /// The endpoint's provider.
    pub provider: String,
    /// Whose endpoint it is.
    pub tenant: TenantId,
    /// When it was committed.
    pub received: DateTime<Utc>,
    /// When its events took effect; `None` while that is to come.
    pub applied: Option<DateTime<Utc>>,
    /// What it asks an operator to do.
    pub note: Option<String>,
    /// How many events it brought.
    pub brought: u64,
    /// Those events in their order, the first 1,000.
    pub events: Vec<CallEvent>,
}

/// One event of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallEvent {
    /// `w:<inbox row>:<n>`: its source once it is recorded.
    pub source: String,
    /// What happened, as the call or its record says; a newer version may say what this one does not know.
    pub kind: Option<String>,
    /// To whom.
    pub recipient: Option<String>,
    /// Message-ID of the message it is about, without brackets, where the call tells it.
    pub message_id: Option<String>,
    /// The provider's own name of that message, where the call tells it.
    pub alias: Option<String>,
    /// When it was recorded; `None` while that is to come.
    pub recorded: Option<DateTime<Utc>>,
    /// The message that has it; `None` while it waits for its message.
    pub message: Option<StorageKey>,
}

impl Store {
    /// What became of this webhook call; `None` where there is no such call.
    pub async fn explain_call(&self, inbox: InboxId) -> Result<Option<ExplainedCall>> {
        const CALL: &str = "SELECT i.provider, i.tenant_id, i.received, i.applied, i.note, e.name AS endpoint, \
             CASE jsonb_typeof(i.events) WHEN 'array' THEN jsonb_array_length(i.events) ELSE 0 END::bigint AS brought \
             FROM mailfleet.webhook_inbox i LEFT JOIN mailfleet.webhook_endpoints e ON e.id = i.endpoint_id \
             WHERE i.id = $1";
        let Some(row) = self.survey("explaining a webhook call", CALL, &[&inbox.0]).await?.pop() else {
            return Ok(None);
        };
        // Each source in full, so that its record is found by the index that makes it count once.
        let sql = format!(
            "SELECT s.source, coalesce(d.kind, s.event->>'kind') AS kind, \
             coalesce(d.recipient, s.event->>'recipient') AS recipient, \
             coalesce(d.message_id, s.event->>'message_id') AS message_id, \
             coalesce(d.alias, s.event->>'alias') AS alias, d.received AS recorded, d.storage_key \
             FROM (SELECT 'w:' || i.id || ':' || (t.n - 1) AS source, t.n, t.event FROM mailfleet.webhook_inbox i \
             CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(i.events) WHEN 'array' THEN i.events \
             ELSE '[]' END) WITH ORDINALITY AS t (event, n) WHERE i.id = $1 ORDER BY t.n LIMIT {MAX_EVENTS}) AS s \
             LEFT JOIN mailfleet.delivery_events d ON d.source = s.source ORDER BY s.n"
        );
        let events = self.survey("reading the events of a webhook call", &sql, &[&inbox.0]).await?;
        Ok(Some(ExplainedCall {
            inbox,
            endpoint: get(&row, "endpoint")?,
            provider: get(&row, "provider")?,
            tenant: TenantId(get(&row, "tenant_id")?),
            received: get(&row, "received")?,
            applied: get(&row, "applied")?,
            note: get(&row, "note")?,
            brought: count(&row, "brought")?,
            events: events.iter().map(event).collect::<Result<_>>()?,
        }))
    }
}

fn event(row: &Row) -> Result<CallEvent> {
    Ok(CallEvent {
        source: get(row, "source")?,
        kind: get(row, "kind")?,
        recipient: get(row, "recipient")?,
        message_id: get(row, "message_id")?,
        alias: get(row, "alias")?,
        recorded: get(row, "recorded")?,
        message: get::<Option<String>>(row, "storage_key")?.map(StorageKey::from_stored),
    })
}
