//! How delivery of an outbound message stands, for people: its recipients, and what was said of it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use mailfleet_model::{EventKind, RecipientStatus, StorageKey};
use tokio_postgres::Row;

use crate::error::{Error, Result};
use crate::rows::get;
use crate::store::Store;

/// Most recipients of one message that are read.
const MAX_RECIPIENTS: i64 = 1_000;
/// Most events of one message that are read, the latest.
const MAX_EVENTS: i64 = 200;

/// How delivery to one recipient stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The recipient's address.
    pub recipient: String,
    /// How far it came.
    pub status: RecipientStatus,
    /// Enhanced status code of the event that set it.
    pub enhanced_status: Option<String>,
    /// SMTP reply code of that event.
    pub smtp_code: Option<i32>,
    /// What the remote server said in it.
    pub diagnostic: Option<String>,
    /// Why it bounced, where that is known.
    pub reason: Option<String>,
    /// When that event happened.
    pub changed: Option<DateTime<Utc>>,
}

/// One thing that was said of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Where it comes from: `w:<inbox row>:<n>` of a webhook, `m:<storage_key>:<n>` of a returned mail.
    pub source: String,
    /// What happened.
    pub kind: EventKind,
    /// To whom.
    pub recipient: String,
    /// `soft` or `hard`, of a bounce.
    pub permanence: Option<String>,
    /// When it happened.
    pub occurred: DateTime<Utc>,
    /// When it was recorded.
    pub received: DateTime<Utc>,
}

/// What is known of the delivery of a message; empty for mail that came in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivery {
    /// Its recipients, by address; at most 1,000.
    pub recipients: Vec<Standing>,
    /// What was said of it, in the order in which it happened; the last 200.
    pub events: Vec<Said>,
}

impl Store {
    /// The delivery of these messages, by their keys.
    pub(crate) async fn deliveries(&self, keys: &[&StorageKey]) -> Result<HashMap<StorageKey, Delivery>> {
        // Each message within its own bound.
        let recipients = format!(
            "SELECT k AS storage_key, r.* FROM unnest($1::text[]) AS k CROSS JOIN LATERAL (SELECT recipient, status, \
             enhanced_status, smtp_code, diagnostic, reason, changed FROM mailfleet.message_recipients m \
             WHERE m.storage_key = k ORDER BY recipient LIMIT {MAX_RECIPIENTS}) AS r ORDER BY k, r.recipient"
        );
        let events = format!(
            "SELECT k AS storage_key, e.* FROM unnest($1::text[]) AS k CROSS JOIN LATERAL (SELECT id, source, kind, \
             recipient, permanence, occurred, received FROM mailfleet.delivery_events d WHERE d.storage_key = k \
             ORDER BY occurred DESC, id DESC LIMIT {MAX_EVENTS}) AS e ORDER BY k, e.occurred, e.id"
        );
        let mut deliveries: HashMap<StorageKey, Delivery> = HashMap::new();
        if keys.is_empty() {
            return Ok(deliveries);
        }
        let keys: Vec<&str> = keys.iter().map(|key| key.as_str()).collect();
        for row in &self.survey("reading recipients", &recipients, &[&keys]).await? {
            deliveries.entry(key(row)?).or_default().recipients.push(standing(row)?);
        }
        for row in &self.survey("reading events", &events, &[&keys]).await? {
            deliveries.entry(key(row)?).or_default().events.push(said(row)?);
        }
        Ok(deliveries)
    }
}

fn key(row: &Row) -> Result<StorageKey> {
    Ok(StorageKey::from_stored(get(row, "storage_key")?))
}

fn standing(row: &Row) -> Result<Standing> {
    let rank: i16 = get(row, "status")?;
    let status = RecipientStatus::from_rank(rank)
        .map_err(|_| Error::Unreadable { place: "message_recipients.status", value: rank.to_string() })?;
    Ok(Standing {
        recipient: get(row, "recipient")?,
        status,
        enhanced_status: get(row, "enhanced_status")?,
        smtp_code: get(row, "smtp_code")?,
        diagnostic: get(row, "diagnostic")?,
        reason: get(row, "reason")?,
        changed: get(row, "changed")?,
    })
}

fn said(row: &Row) -> Result<Said> {
    let kind: &str = get(row, "kind")?;
    Ok(Said {
        source: get(row, "source")?,
        kind: kind
            .parse()
            .map_err(|_| Error::Unreadable { place: "delivery_events.kind", value: kind.to_owned() })?,
        recipient: get(row, "recipient")?,
        permanence: get(row, "permanence")?,
        occurred: get(row, "occurred")?,
        received: get(row, "received")?,
    })
}
