//! What webhooks brought takes effect: from rows of the inbox to events and statuses.
//!
//! - A batch is cut into parts of bounded size, each one transaction: what the locks of their names take is bounded.
//! - A part that PostgreSQL refuses for its data is halved until the row is found; the others take effect.
//! - Rows are locked first, in their order, so a second run of the same row waits and then sees that it is done.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use mailfleet_model::{Class, Classify, DeliveryEvent, EventKind, InboxId, JobId, TenantId};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::pending::{Recorded, record};
use super::{MAX_LOCKED, NewEvent, lock};
use crate::error::{Error, Result};
use crate::repeat::Tries;
use crate::rows::get;
use crate::session::Session;
use crate::store::Store;

/// Most rows of one transaction, with events or without.
const MAX_ROWS: usize = 500;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventFate {
    /// Its message is there, and has it.
    Matched,
    /// It waits for its message.
    Waiting,
    /// It was recorded before.
    Duplicate,
}

/// What became of a row of the inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboxFate {
    /// It took effect now; what became of its events.
    Applied(Vec<(EventKind, EventFate)>),
    /// It had taken effect before; nothing was done.
    AlreadyApplied,
    /// There is no such row.
    Missing,
    /// It says what this build does not know, and is left to the newer version that wrote it.
    Newer {
        /// What is unknown, in one line.
        message: String,
    },
    /// PostgreSQL, or its own form, refuses it; nothing of it took effect but perhaps a first part.
    Refused {
        /// SQLSTATE, or `unreadable` where it holds no events.
        code: String,
        /// Why, in one line.
        message: String,
    },
}

/// What became of a row of the inbox, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The tenant whose endpoint brought it; `None` where there is no such row.
    pub tenant: Option<TenantId>,
    /// What became of it.
    pub fate: InboxFate,
}

/// Consecutive events of one row: `from..to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slice {
    inbox: InboxId,
    tenant: TenantId,
    from: usize,
    to: usize,
    /// The row is done with this one.
    last: bool,
}

type Fates = HashMap<InboxId, InboxFate>;

impl Store {
    /// Lets rows of the inbox take effect: records their events, raises the recipients of the messages that are there,
    /// and marks the rows. Answers in the order of `rows`; safe to repeat.
    ///
    /// # Errors
    /// Never of class Data: rows that are refused are [`InboxFate::Refused`]. After an error nothing or a part took
    /// effect; the same call again is right in every case.
    pub async fn apply_inbox(&self, rows: &[InboxId]) -> Result<Vec<Applied>> {
        let heads = self.inbox_heads(rows).await?;
        let mut fates = Fates::new();
        // The next part is at the end. Each turn settles a part or halves it.
        let mut parts = parts(&heads);
        parts.reverse();
        while let Some(mut part) = parts.pop() {
            part.retain(|slice| {
                !matches!(fates.get(&slice.inbox), Some(InboxFate::Refused { .. } | InboxFate::Newer { .. }))
            });
            if part.is_empty() {
                continue;
            }
            match self.apply_part(&part).await {
                Ok(applied) => applied.into_iter().for_each(|(inbox, fate)| note(&mut fates, inbox, fate)),
                Err(error) if error.class() == Class::Data => {
                    if let [slice] = part.as_slice() {
                        note(&mut fates, slice.inbox, refusal(&error));
                    } else {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.push(second.to_vec());
                        parts.push(first.to_vec());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let missing: Vec<InboxId> = rows.iter().filter(|inbox| !heads.contains_key(inbox)).copied().collect();
        if !missing.is_empty() {
            self.resolve_missing(&missing).await?;
        }
        let applied = rows.iter().map(|inbox| Applied {
            tenant: heads.get(inbox).map(|(tenant, _)| *tenant),
            fate: fates.get(inbox).cloned().unwrap_or(InboxFate::Missing),
        });
        Ok(applied.collect())
    }

    /// Closes the letters of rows that are not there: a replay of them has nothing left to do.
    async fn resolve_missing(&self, rows: &[InboxId]) -> Result<()> {
        let mut session = self.session().await?;
        session.begin_for(&BTreeSet::new()).await?;
        let resolved = resolve(&mut session, rows).await;
        session.end(resolved).await
    }

    /// Whose these rows are, and how many events they hold. Without the wall: a job names a row and no tenant.
    pub(crate) async fn inbox_heads(&self, rows: &[InboxId]) -> Result<BTreeMap<InboxId, (TenantId, usize)>> {
        const SQL: &str = "SELECT id, tenant_id, CASE jsonb_typeof(events) WHEN 'array' THEN jsonb_array_length(events) \
             ELSE 0 END AS events FROM mailfleet.webhook_inbox WHERE id = ANY($1)";
        let ids: Vec<i64> = rows.iter().map(|inbox| inbox.0).collect();
        let rows = self.survey("looking at the inbox", SQL, &[&ids]).await?;
        let head = |row: &Row| {
            let events: i32 = get(row, "events")?;
            let tenant = TenantId(get::<Uuid>(row, "tenant_id")?);
            Ok((InboxId(get(row, "id")?), (tenant, usize::try_from(events).unwrap_or(0))))
        };
        rows.iter().map(head).collect()
    }

    /// One part, repeated while it loses against other transactions.
    async fn apply_part(&self, part: &[Slice]) -> Result<Vec<(InboxId, InboxFate)>> {
        let tenants: BTreeSet<TenantId> = part.iter().map(|slice| slice.tenant).collect();
        let mut tries = Tries::default();
        loop {
            let mut session = self.session().await?;
            session.begin_for(&tenants).await?;
            let fates = effects(&mut session, self, part).await;
            match session.end(fates).await {
                Err(error) if tries.again(&error).await => {}
                outcome => return outcome,
            }
        }
    }
}

async fn effects(session: &mut Session, store: &Store, part: &[Slice]) -> Result<Vec<(InboxId, InboxFate)>> {
    let mut fates: Vec<(InboxId, InboxFate)> = Vec::new();
    let (mut events, mut said): (Vec<NewEvent>, BTreeMap<InboxId, Vec<usize>>) =
        (Vec::new(), BTreeMap::new());
    let mut rows = open_rows(session, part).await?;
    for slice in part {
        match rows.remove(&slice.inbox) {
            None => fates.push((slice.inbox, InboxFate::Missing)),
            Some(Open { applied: true, .. }) => fates.push((slice.inbox, InboxFate::AlreadyApplied)),
            Some(Open { events: Err(fate), .. }) => fates.push((slice.inbox, fate)),
            Some(Open { events: Ok(list), received, .. }) => {
                let numbered = list.into_iter().enumerate().skip(slice.from).take(slice.to - slice.from);
                let said = said.entry(slice.inbox).or_default();
                for (number, event) in numbered {
                    said.push(events.len());
                    events.push(NewEvent::from_webhook(slice.inbox, number, slice.tenant, event, received));
                }
            }
        }
    }
    lock(session, &events, BTreeSet::new()).await?;
    let recorded = record(session, store, &events).await?;
    for (inbox, indexes) in said {
        let events = indexes.into_iter().filter_map(|index| events.get(index));
        let fate = |event: &NewEvent| (event.event.kind, fate(&recorded, &event.source));
        fates.push((inbox, InboxFate::Applied(events.map(fate).collect())));
    }
    let done: BTreeSet<InboxId> = part.iter().filter(|slice| slice.last).map(|slice| slice.inbox).collect();
    let done: Vec<InboxId> = fates
        .iter()
        .filter(|(inbox, fate)| matches!(fate, InboxFate::Applied(_)) && done.contains(inbox))
        .map(|(inbox, _)| *inbox)
        .collect();
    mark(session, &done).await?;
    // Also of those that were done before: a letter may have been written, or replayed, after that.
    let settled =
        fates.iter().filter(|(_, fate)| matches!(fate, InboxFate::AlreadyApplied | InboxFate::Missing));
    let settled: Vec<InboxId> = settled.map(|(inbox, _)| *inbox).chain(done).collect();
    resolve(session, &settled).await?;
    Ok(fates)
}

fn fate(recorded: &Recorded, source: &str) -> EventFate {
    match recorded.get(source) {
        Some(true) => EventFate::Matched,
        Some(false) => EventFate::Waiting,
        None => EventFate::Duplicate,
    }
}

/// A row that is locked now.
struct Open {
    applied: bool,
    events: std::result::Result<Vec<DeliveryEvent>, InboxFate>,
    received: DateTime<Utc>,
}

async fn open_rows(session: &mut Session, part: &[Slice]) -> Result<HashMap<InboxId, Open>> {
    const SQL: &str = "SELECT id, events, received, applied IS NOT NULL AS applied FROM mailfleet.webhook_inbox \
         WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";
    let ids: BTreeSet<i64> = part.iter().map(|slice| slice.inbox.0).collect();
    let ids: Vec<i64> = ids.into_iter().collect();
    let rows = session.query("opening rows of the inbox", SQL, &[&ids]).await?;
    let open = |row: &Row| {
        let open = Open {
            applied: get(row, "applied")?,
            events: read_events(get(row, "events")?),
            received: get(row, "received")?,
        };
        Ok((InboxId(get(row, "id")?), open))
    };
    rows.iter().map(open).collect()
}

/// The events of a row; why there are none.
fn read_events(events: Value) -> std::result::Result<Vec<DeliveryEvent>, InboxFate> {
    let newer = newer(&events);
    serde_json::from_value(events).map_err(|error| match newer {
        Some(message) => InboxFate::Newer { message },
        None => InboxFate::Refused {
            code: "unreadable".to_owned(),
            message: format!("not a list of events: {error}"),
        },
    })
}

/// What of a list of events this build does not know, though it has the form: only our own doors write here, so a newer
/// version of them has.
fn newer(events: &Value) -> Option<String> {
    let unknown = |event: &Value| {
        let kind = event.get("kind")?.as_str()?;
        kind.parse::<EventKind>().err().map(|error| error.to_string())
    };
    events.as_array()?.iter().find_map(unknown)
}

/// Marks rows that have taken effect.
async fn mark(session: &mut Session, rows: &[InboxId]) -> Result<()> {
    const SQL: &str =
        "UPDATE mailfleet.webhook_inbox SET applied = now() WHERE id = ANY($1) AND applied IS NULL";
    if rows.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = rows.iter().map(|inbox| inbox.0).collect();
    session.execute("marking rows of the inbox", SQL, &[&ids]).await.map(|_| ())
}

/// Closes the dead letters of rows with which nothing is left to do.
pub(crate) async fn resolve(session: &mut Session, rows: &[InboxId]) -> Result<()> {
    const SQL: &str = "SELECT mailfleet.resolve_letters($1::text[])";
    if rows.is_empty() {
        return Ok(());
    }
    let jobs: Vec<JobId> = rows.iter().map(|inbox| JobId::events(*inbox)).collect();
    let jobs: Vec<&str> = jobs.iter().map(JobId::as_str).collect();
    session.execute("resolving dead letters", SQL, &[&jobs]).await.map(|_| ())
}

/// The rows in their order, cut into parts; a row with more events than a part may hold is in several.
fn parts(heads: &BTreeMap<InboxId, (TenantId, usize)>) -> Vec<Vec<Slice>> {
    let mut parts: Vec<Vec<Slice>> = Vec::new();
    let (mut part, mut events): (Vec<Slice>, usize) = (Vec::new(), 0);
    for (&inbox, &(tenant, count)) in heads {
        let mut from = 0;
        loop {
            let to = count.min(from + MAX_LOCKED);
            if !part.is_empty() && (part.len() >= MAX_ROWS || events + (to - from) > MAX_LOCKED) {
                parts.push(std::mem::take(&mut part));
                events = 0;
            }
            events += to - from;
            part.push(Slice { inbox, tenant, from, to, last: to == count });
            from = to;
            if from >= count {
                break;
            }
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// Of a row in several parts the events add up, and a refusal is the last word.
fn note(fates: &mut Fates, inbox: InboxId, fate: InboxFate) {
    match (fates.get_mut(&inbox), fate) {
        (Some(InboxFate::Applied(events)), InboxFate::Applied(more)) => events.extend(more),
        (_, fate) => drop(fates.insert(inbox, fate)),
    }
}

fn refusal(error: &Error) -> InboxFate {
    InboxFate::Refused { code: error.code().unwrap_or("invalid").to_owned(), message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_in_one_part_and_no_part_is_too_large() {
        let tenant = TenantId(Uuid::nil());
        let counts = [0usize, 1, 199, 200, 201, 0, 1_250, 3];
        let heads = (1..).map(InboxId).zip(counts.map(|count| (tenant, count))).collect();
        let parts = parts(&heads);
        for part in &parts {
            assert!(part.iter().map(|slice| slice.to - slice.from).sum::<usize>() <= MAX_LOCKED);
        }
        for (inbox, (_, count)) in heads {
            let slices: Vec<&Slice> = parts.iter().flatten().filter(|slice| slice.inbox == inbox).collect();
            let covered: Vec<usize> = slices.iter().flat_map(|slice| slice.from..slice.to).collect();
            assert_eq!(covered, (0..count).collect::<Vec<_>>());
            assert!(slices.iter().rev().skip(1).all(|slice| !slice.last));
            assert!(slices.last().is_some_and(|slice| slice.last), "also a row without events is marked");
        }
    }
}
