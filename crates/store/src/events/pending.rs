//! Events in their rows: recorded once, read while they wait.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use mailfleet_model::{DIAGNOSTIC_MAX_CHARS, DeliveryEvent, EventKind, Permanence, TenantId, recipient_key};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::attach::{Attached, attach};
use super::names::{Named, Target, tell};
use super::{FROM_MAIL, NewEvent};
use crate::error::{Error, Result};
use crate::recipients::{RECIPIENT_MAX_CHARS, Raise};
use crate::rows::get;
use crate::session::Session;
use crate::store::Store;
use crate::text::{clamp, cut};

/// Longest code kept (`5.1.1`), in characters.
const CODE_MAX_CHARS: usize = 40;
/// Longest reason kept, in characters.
const REASON_MAX_CHARS: usize = 100;
/// Events that waited are read in pages of so many.
const PAGE: i64 = 1_000;
/// One transaction attaches no more pages that waited; what is left is the sweep's.
const MAX_PAGES: usize = 10;

/// The columns that [`Pending::read`] reads.
pub(super) const COLUMNS: &str = "e.id, e.source, e.tenant_id, e.kind, e.message_id, e.alias, e.recipient, \
     e.original_recipient, e.permanence, e.enhanced_status, e.smtp_code, e.diagnostic, e.reason, e.occurred";

/// A recorded event that has no message yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pending {
    pub(super) id: i64,
    pub(super) named: Named,
    pub(super) recipient: String,
    /// The address it was sent to, where that is another.
    pub(super) original: Option<String>,
    /// Believed only where the recipient is one of the message's.
    pub(super) strict: bool,
    /// What it raises its recipient to; `None` for an event beside the status.
    pub(super) raise: Option<Raise>,
}

impl Pending {
    pub(super) fn read(row: &Row) -> Result<Self> {
        let odd = |place, value: &str| Error::Unreadable { place, value: value.to_owned() };
        let (kind, source): (&str, &str) = (get(row, "kind")?, get(row, "source")?);
        let permanence = match get::<Option<&str>>(row, "permanence")? {
            None => None,
            Some("soft") => Some(Permanence::Soft),
            Some("hard") => Some(Permanence::Hard),
            Some(other) => return Err(odd("delivery_events.permanence", other)),
        };
        let kind: EventKind = kind.parse().map_err(|_| odd("delivery_events.kind", kind))?;
        let event = DeliveryEvent { permanence, ..DeliveryEvent::new(kind, get(row, "recipient")?) };
        let raise = match event.status() {
            None => None,
            Some(status) => Some(Raise {
                rank: status.rank(),
                happened: get(row, "occurred")?,
                enhanced_status: get(row, "enhanced_status")?,
                smtp_code: get(row, "smtp_code")?,
                diagnostic: get(row, "diagnostic")?,
                reason: get(row, "reason")?,
            }),
        };
        Ok(Self {
            id: get(row, "id")?,
            named: Named {
                tenant: TenantId(get(row, "tenant_id")?),
                message_id: get(row, "message_id")?,
                alias: get(row, "alias")?,
            },
            recipient: event.recipient,
            original: get(row, "original_recipient")?,
            strict: source.starts_with(FROM_MAIL),
            raise,
        })
    }
}

/// Waiting events, as far as this build knows what they say: what a newer one has written waits for the newer one. With
/// the number of the last row, read or not.
pub(super) fn read_known(rows: &[Row]) -> Result<(Vec<Pending>, Option<i64>)> {
    let mut known = Vec::with_capacity(rows.len());
    for row in rows {
        match Pending::read(row) {
            Ok(event) => known.push(event),
            Err(error @ Error::Unreadable { .. }) => {
                tracing::debug!(%error, "an event is left to a newer version");
            }
            Err(error) => return Err(error),
        }
    }
    Ok((known, rows.last().map(|row| get(row, "id")).transpose()?))
}

/// What became of recorded events, by their sources: those that are not here were recorded before.
pub(crate) type Recorded = HashMap<String, bool>;

/// Records events and brings those whose message is there to their recipients. The caller holds the locks of
/// [`lock`](super::lock) for them. For each event that is new, whether its message is there.
pub(crate) async fn record(session: &mut Session, store: &Store, events: &[NewEvent]) -> Result<Recorded> {
    let new = insert(session, events).await?;
    if new.is_empty() {
        return Ok(Recorded::new());
    }
    let both: Vec<_> = events
        .iter()
        .filter(|event| new.contains_key(event.source.as_str()))
        .filter_map(|event| {
            let named = Named::by(event);
            let Target { tenant, key, message_id } = named.direct()?;
            Some((tenant, named.alias?, key, message_id))
        })
        .collect();
    let taught = tell(session, store, &both).await?;
    let ids: Vec<i64> = new.values().copied().collect();
    let rows = by_ids(session, &ids).await?;
    let mut attached = attach(session, store, rows).await?;
    attached.merge(waiting_for_aliases(session, store, &taught).await?);
    waiting_for_recipients(session, store, &attached.grown).await?;
    Ok(new.into_iter().map(|(source, id)| (source.to_owned(), attached.matched.contains(&id))).collect())
}

/// Inserts the events that are not there; returns their ids by source.
async fn insert<'a>(session: &mut Session, events: &'a [NewEvent]) -> Result<HashMap<&'a str, i64>> {
    const SQL: &str = "INSERT INTO mailfleet.delivery_events (source, tenant_id, kind, message_id, alias, recipient, \
         original_recipient, permanence, enhanced_status, smtp_code, diagnostic, reason, occurred) \
         SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
         $8::text[], $9::text[], $10::integer[], $11::text[], $12::text[], $13::timestamptz[]) \
         ON CONFLICT (source) DO NOTHING RETURNING source, id";
    // By source, and each once: all writers lock in one order.
    let sorted: BTreeMap<&str, &NewEvent> =
        events.iter().map(|event| (event.source.as_str(), event)).collect();
    if sorted.is_empty() {
        return Ok(HashMap::new());
    }
    let sources: Vec<&str> = sorted.keys().copied().collect();
    let events: Vec<&NewEvent> = sorted.values().copied().collect();
    let tenants: Vec<Uuid> = events.iter().map(|event| event.tenant.0).collect();
    let named: Vec<Named> = events.iter().map(|event| Named::by(event)).collect();
    let ids: Vec<Option<&str>> = named.iter().map(|named| named.message_id.as_deref()).collect();
    let aliases: Vec<Option<&str>> = named.iter().map(|named| named.alias.as_deref()).collect();
    let said: Vec<&DeliveryEvent> = events.iter().map(|event| &event.event).collect();
    let kinds: Vec<&str> = said.iter().map(|said| said.kind.as_str()).collect();
    let recipients: Vec<String> = said.iter().map(|said| address(&said.recipient)).collect();
    let originals: Vec<Option<String>> = said
        .iter()
        .map(|said| said.original_recipient.as_deref().map(address).filter(|address| !address.is_empty()))
        .collect();
    let permanences: Vec<Option<&str>> =
        said.iter().map(|said| said.permanence.map(Permanence::as_str)).collect();
    let short = |text: &'a Option<String>, max| text.as_deref().map(|text| cut(text, max));
    let enhanced: Vec<_> = events.iter().map(|e| short(&e.event.enhanced_status, CODE_MAX_CHARS)).collect();
    let codes: Vec<Option<i32>> = said.iter().map(|said| said.smtp_code.map(i32::from)).collect();
    let diagnostics: Vec<_> =
        events.iter().map(|e| short(&e.event.diagnostic, DIAGNOSTIC_MAX_CHARS)).collect();
    let reasons: Vec<_> = events.iter().map(|e| short(&e.event.reason, REASON_MAX_CHARS)).collect();
    let times: Vec<DateTime<Utc>> = events
        .iter()
        .map(|event| {
            let told = event.event.occurred_ms.and_then(DateTime::from_timestamp_millis);
            clamp(told.unwrap_or(event.received))
        })
        .collect();
    let params: [&(dyn ToSql + Sync); 13] = [
        &sources,
        &tenants,
        &kinds,
        &ids,
        &aliases,
        &recipients,
        &originals,
        &permanences,
        &enhanced,
        &codes,
        &diagnostics,
        &reasons,
        &times,
    ];
    let rows = session.query("recording events", SQL, &params).await?;
    let mut new = HashMap::new();
    for row in &rows {
        if let Some((source, _)) = sorted.get_key_value(get::<&str>(row, "source")?) {
            new.insert(*source, get(row, "id")?);
        }
    }
    Ok(new)
}

/// An address as recipients are kept and compared.
pub(crate) fn address(text: &str) -> String {
    cut(&recipient_key(text), RECIPIENT_MAX_CHARS).into_owned()
}

async fn by_ids(session: &mut Session, ids: &[i64]) -> Result<Vec<Pending>> {
    let sql = format!("SELECT {COLUMNS} FROM mailfleet.delivery_events e WHERE e.id = ANY($1) ORDER BY e.id");
    let rows = session.query("reading events", &sql, &[&ids]).await?;
    rows.iter().map(Pending::read).collect()
}

/// Attaches what waited for these Message-IDs.
pub(super) async fn waiting_for_messages(
    session: &mut Session,
    store: &Store,
    names: &[(TenantId, String)],
) -> Result<Attached> {
    waiting(session, store, names, "e.message_id = r.n").await
}

/// Attaches what waited for these aliases.
pub(super) async fn waiting_for_aliases(
    session: &mut Session,
    store: &Store,
    names: &[(TenantId, String)],
) -> Result<Attached> {
    waiting(session, store, names, "e.alias = r.n").await
}

/// Attaches what waited for a recipient of these messages. Such an event makes no recipients, so this is the end of it.
pub(super) async fn waiting_for_recipients(
    session: &mut Session,
    store: &Store,
    grown: &HashSet<Target>,
) -> Result<()> {
    let names: BTreeSet<(TenantId, String)> =
        grown.iter().map(|target| (target.tenant, target.message_id.clone())).collect();
    let names: Vec<_> = names.into_iter().collect();
    let condition = format!("e.message_id = r.n AND starts_with(e.source, '{FROM_MAIL}')");
    waiting(session, store, &names, &condition).await.map(|_| ())
}

async fn waiting(
    session: &mut Session,
    store: &Store,
    names: &[(TenantId, String)],
    condition: &str,
) -> Result<Attached> {
    let mut attached = Attached::default();
    if names.is_empty() {
        return Ok(attached);
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM mailfleet.delivery_events e JOIN unnest($1::uuid[], $2::text[]) AS r(t, n) \
         ON e.tenant_id = r.t AND {condition} WHERE e.storage_key IS NULL AND e.id > $3 ORDER BY e.id LIMIT $4"
    );
    let (tenants, names): (Vec<Uuid>, Vec<&str>) =
        names.iter().map(|(tenant, name)| (tenant.0, name.as_str())).unzip();
    let mut after = 0i64;
    for _ in 0..MAX_PAGES {
        let rows = session.query("reading waiting events", &sql, &[&tenants, &names, &after, &PAGE]).await?;
        let (page, last) = read_known(&rows)?;
        let Some(last) = last else { break };
        after = last;
        attached.merge(attach(session, store, page).await?);
    }
    Ok(attached)
}
