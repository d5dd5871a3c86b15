//! Mails that stand already and get a new parent, because it is one of the batch.

use std::collections::{BTreeMap, BTreeSet};

use mailfleet_model::Direction;
use tokio_postgres::Row;
use uuid::Uuid;

use super::Linked;
use super::known::{Known, Name, stands};
use super::place::Placed;
use super::settle;
use crate::error::Result;
use crate::rows::get;
use crate::session::Session;

/// Most mails that one batch adopts, takes over from another parent, or finds to be copies, each; a message that more have
/// waited for was written by nobody who means well.
const MAX_ADOPTED: i64 = 50_000;
/// How far up a circle is looked for; who has more ancestors than that adopts nobody. Looking up only reads, so it may go
/// farther than `settle` goes down.
const MAX_ANCESTORS: i32 = 1_000;

/// Ties what waited for the rows, and what is nearer to them than to the parent it has, to them; then moves threads and
/// campaigns. Returns the keys of all that changed. Under the exclusive thread lock.
pub(super) async fn adopt(
    session: &mut Session,
    rows: &[Linked],
    placed: &[Placed],
    known: &Known,
) -> Result<BTreeSet<String>> {
    let parents = parents(rows, known);
    let mut children = waiting(session, &parents, known).await?;
    children.extend(displaced(session, &parents, known).await?);
    // Registered before and seen now, or the other way round: they may have got references.
    let completed: BTreeSet<String> = rows
        .iter()
        .filter(|row| stands(row, known).is_some())
        .map(|row| row.key.as_str().to_owned())
        .collect();
    let mut tied = children.clone();
    tied.extend(completed.iter().cloned());
    no_circles(session, &tied).await?;
    forget(session, &children).await?;
    forget_completed(session, rows, placed, known).await?;

    let mut start = tied;
    start.extend(copies(session, &parents, known).await?);
    let changed = settle::settle(session, &start, &completed).await?;
    children.extend(changed);
    Ok(children)
}

/// The row that is chosen for each Message-ID, where it is one of the batch.
fn parents<'a>(rows: &'a [Linked], known: &Known) -> BTreeMap<Name, &'a Linked> {
    let rank = |row: &Linked| (row.direction == Direction::Inbound, row.key.clone());
    let mut parents: BTreeMap<Name, &Linked> = BTreeMap::new();
    for row in rows {
        let Some(id) = &row.message_id else { continue };
        let name = (row.tenant, id.clone());
        if let Some(node) = known.best.get(&name)
            && (node.direction == Direction::Inbound, node.key.as_str())
                < (row.direction == Direction::Inbound, row.key.as_str())
        {
            continue;
        }
        let best = parents.entry(name).or_insert(row);
        if rank(row) < rank(best) {
            *best = row;
        }
    }
    parents
}

/// What waited for these Message-IDs; each takes the nearest of those it waited for.
async fn waiting(
    session: &mut Session,
    parents: &BTreeMap<Name, &Linked>,
    known: &Known,
) -> Result<BTreeSet<String>> {
    const SQL: &str = "WITH nearest AS (SELECT DISTINCT ON (c.storage_key) c.storage_key, r.k \
         FROM unnest($1::uuid[], $2::text[], $3::text[]) AS r(t, m, k) \
         JOIN mailfleet.awaited_parents a ON a.tenant_id = r.t AND a.message_id = r.m \
         JOIN mailfleet.messages c ON c.storage_key = a.storage_key AND c.storage_key <> r.k \
         ORDER BY c.storage_key, array_position(c.refs, r.m) LIMIT $4) \
         UPDATE mailfleet.messages m SET parent_storage_key = nearest.k, updated = now() FROM nearest \
         WHERE m.storage_key = nearest.storage_key RETURNING m.storage_key";
    let awaited = parents.iter().filter(|(name, _)| known.awaited.contains(name));
    let (mut tenants, mut ids, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for ((tenant, id), row) in awaited {
        tenants.push(tenant.0);
        ids.push(id.as_str());
        keys.push(row.key.as_str());
    }
    if keys.is_empty() {
        return Ok(BTreeSet::new());
    }
    let rows = session.query("adopting", SQL, &[&tenants, &ids, &keys, &MAX_ADOPTED]).await?;
    rows.iter().map(key).collect()
}

/// The children of messages in whose place a better one with the same Message-ID has come.
async fn displaced(
    session: &mut Session,
    parents: &BTreeMap<Name, &Linked>,
    known: &Known,
) -> Result<BTreeSet<String>> {
    const SQL: &str = "WITH children AS (SELECT c.storage_key, r.new FROM unnest($1::text[], $2::text[]) AS r(old, new) \
         JOIN mailfleet.messages c ON c.parent_storage_key = r.old AND c.storage_key <> r.new LIMIT $3) \
         UPDATE mailfleet.messages m SET parent_storage_key = children.new, updated = now() FROM children \
         WHERE m.storage_key = children.storage_key RETURNING m.storage_key";
    let (olds, news): (Vec<&str>, Vec<&str>) = parents
        .iter()
        .filter_map(|(name, row)| {
            let old = known.best.get(name)?.key.as_str();
            (old != row.key.as_str()).then_some((old, row.key.as_str()))
        })
        .unzip();
    if olds.is_empty() {
        return Ok(BTreeSet::new());
    }
    let rows = session.query("taking a parent's place", SQL, &[&olds, &news, &MAX_ADOPTED]).await?;
    rows.iter().map(key).collect()
}

/// The copies, in inboxes, of messages that turn out to be ours.
async fn copies(
    session: &mut Session,
    parents: &BTreeMap<Name, &Linked>,
    known: &Known,
) -> Result<BTreeSet<String>> {
    const SQL: &str = "SELECT m.storage_key FROM unnest($1::uuid[], $2::text[]) AS r(t, i) \
         JOIN mailfleet.messages m ON m.tenant_id = r.t AND m.message_id = r.i AND m.direction = 'inbound' LIMIT $3";
    let (tenants, ids): (Vec<Uuid>, Vec<&str>) = parents
        .iter()
        .filter(|(name, row)| {
            row.direction == Direction::Outbound
                && known.best.get(name).is_some_and(|node| node.direction == Direction::Inbound)
        })
        .map(|((tenant, id), _)| (tenant.0, id.as_str()))
        .unzip();
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let rows = session.query("looking for copies", SQL, &[&tenants, &ids, &MAX_ADOPTED]).await?;
    rows.iter().map(key).collect()
}

/// Cuts the new ties that would make a circle: every circle has one of them.
async fn no_circles(session: &mut Session, tied: &BTreeSet<String>) -> Result<()> {
    const SQL: &str = "WITH RECURSIVE tied AS (SELECT c.storage_key, c.parent_storage_key AS parent \
         FROM mailfleet.messages c WHERE c.storage_key = ANY($1::text[]) AND c.parent_storage_key IS NOT NULL), \
         up(start, key, level) AS (SELECT DISTINCT parent, parent, 0 FROM tied UNION ALL \
         SELECT up.start, m.parent_storage_key, up.level + 1 FROM up \
         JOIN mailfleet.messages m ON m.storage_key = up.key \
         WHERE m.parent_storage_key IS NOT NULL AND up.level < $2), \
         circles AS (SELECT DISTINCT t.storage_key FROM tied t JOIN up ON up.start = t.parent \
         WHERE up.key = t.storage_key OR up.level >= $2) \
         UPDATE mailfleet.messages m SET parent_storage_key = NULL, updated = now() FROM circles \
         WHERE m.storage_key = circles.storage_key";
    if tied.is_empty() {
        return Ok(());
    }
    let keys: Vec<&str> = tied.iter().map(String::as_str).collect();
    let cut = session.execute("cutting circles", SQL, &[&keys, &MAX_ANCESTORS]).await?;
    if cut > 0 {
        tracing::debug!(mails = cut, "mails that answer each other in a circle were left without a parent");
    }
    Ok(())
}

/// An adopted mail waits on for what is nearer than its parent alone; one whose tie was cut for nobody.
async fn forget(session: &mut Session, children: &BTreeSet<String>) -> Result<()> {
    // Materialized, so that each wait is one probe by the whole key: joined earlier, all waits of the tenant would be read
    // for each mail.
    const SQL: &str = "WITH gone AS MATERIALIZED (SELECT c.tenant_id, c.storage_key, w.id \
         FROM mailfleet.messages c LEFT JOIN mailfleet.messages p ON p.storage_key = c.parent_storage_key \
         CROSS JOIN LATERAL unnest(c.refs) WITH ORDINALITY AS w(id, at) \
         WHERE c.storage_key = ANY($1::text[]) AND w.at >= COALESCE(array_position(c.refs, p.message_id), 1)) \
         DELETE FROM mailfleet.awaited_parents a USING gone \
         WHERE a.tenant_id = gone.tenant_id AND a.message_id = gone.id AND a.storage_key = gone.storage_key";
    if children.is_empty() {
        return Ok(());
    }
    let keys: Vec<&str> = children.iter().map(String::as_str).collect();
    session.execute("ending waits", SQL, &[&keys]).await.map(|_| ())
}

/// What a completed message waited for and does not any more.
async fn forget_completed(
    session: &mut Session,
    rows: &[Linked],
    placed: &[Placed],
    known: &Known,
) -> Result<()> {
    const SQL: &str = "DELETE FROM mailfleet.awaited_parents a USING unnest($1::uuid[], $2::text[], $3::text[]) \
         AS r(t, m, k) WHERE a.tenant_id = r.t AND a.message_id = r.m AND a.storage_key = r.k";
    let (mut tenants, mut ids, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for (row, placed) in rows.iter().zip(placed) {
        let before = stands(row, known).map(|node| node.refs.ids.as_slice()).unwrap_or_default();
        for id in before.iter().filter(|id| !placed.awaited().contains(id)) {
            tenants.push(row.tenant.0);
            ids.push(id.as_str());
            keys.push(row.key.as_str());
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    session.execute("ending waits", SQL, &[&tenants, &ids, &keys]).await.map(|_| ())
}

fn key(row: &Row) -> Result<String> {
    get(row, "storage_key")
}
