//! The steps of a link: look up, lock, place, write, adopt.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use mailfleet_model::{CampaignId, LeadId};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::known::{self, Known};
use super::place::{self, Placed};
use super::{Link, Linked, Named, adopt, hints, names, settle};
use crate::error::Result;
use crate::session::Session;
use crate::store::Store;
use crate::text::{clamp, cut};

/// Longest word kept in `messages.message_type`.
const TYPE_MAX_CHARS: usize = 20;

pub(super) async fn write(session: &mut Session, store: &Store, rows: &[Linked]) -> Result<Vec<Link>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let asked: Vec<_> = rows.iter().map(|row| (row.tenant, row.named.as_ref())).collect();
    hints::hold(
        session,
        &asked.iter().filter(|(_, named)| named.is_some()).map(|(tenant, _)| *tenant).collect(),
    )
    .await?;
    let by_header = hints::resolve(session, &asked).await?;
    let mut names = names(rows);
    let mut known = known::look_up(session, &names).await?;
    let holds = known::holds(rows, &known);
    if !holds.is_empty() {
        known::hold(session, &holds).await?;
        // Read again: until the lock was there, threads and campaigns could still be moved. With what the completed rows
        // answer, which a registration does not tell: whoever brings one of those moves them after this.
        for row in rows {
            let stands = known::stands(row, &known).map(|node| node.refs.ids.clone()).unwrap_or_default();
            names.extend(stands.into_iter().map(|id| (row.tenant, id)));
        }
        known = known::look_up(session, &names).await?;
    }
    let placed = place::place(rows, &by_header, &known);
    upsert(session, rows, &placed).await?;
    wait(session, rows, &placed).await?;
    let moved = if holds.values().any(|how| *how == known::Hold::Exclusive) {
        adopt::adopt(session, rows, &placed, &known).await?
    } else {
        BTreeSet::new()
    };
    finish(session, store, rows, placed, &known, moved).await
}

/// A time of which nothing is known stays NULL: `GREATEST` would make it 0. An account that a registration told (it comes
/// without a folder) counts for more than that of the copy, in either order.
const UPSERT: &str = "INSERT INTO mailfleet.messages AS m (storage_key, tenant_id, account_id, mailbox_id, direction, \
     message_type, message_id, refs, in_reply_to, thread_id, parent_storage_key, evidence, campaign_id, lead_id, \
     named_campaign_id, named_lead_id, bytes, latency_ms, created, account_told, named_campaign, named_address) \
     SELECT k, t, a, b, d, y, i, string_to_array(f, E'\\n'), n, h, p, e, c, l, nc, nl, s, \
     CASE WHEN q IS NOT NULL \
     THEN LEAST(GREATEST(extract(epoch FROM clock_timestamp() - q) * 1000, 0), 2147483647)::integer END, w, \
     a IS NOT NULL AND b IS NULL, hc, ha \
     FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::text[], \
     $9::smallint[], $10::text[], $11::text[], $12::text[], $13::uuid[], $14::uuid[], $15::uuid[], $16::uuid[], \
     $17::bigint[], $18::timestamptz[], $19::timestamptz[], $20::text[], $21::text[]) \
     AS r(k, t, a, b, d, y, i, f, n, h, p, e, c, l, nc, nl, s, q, w, hc, ha) \
     ON CONFLICT (storage_key) DO UPDATE SET account_id = CASE WHEN excluded.account_told AND NOT m.account_told \
     THEN excluded.account_id ELSE COALESCE(m.account_id, excluded.account_id) END, \
     account_told = m.account_told OR excluded.account_told, \
     mailbox_id = COALESCE(m.mailbox_id, excluded.mailbox_id), \
     message_type = CASE WHEN excluded.bytes > 0 THEN excluded.message_type ELSE m.message_type END, \
     refs = excluded.refs, in_reply_to = excluded.in_reply_to, thread_id = excluded.thread_id, \
     parent_storage_key = excluded.parent_storage_key, evidence = excluded.evidence, \
     campaign_id = excluded.campaign_id, lead_id = excluded.lead_id, \
     named_campaign_id = excluded.named_campaign_id, named_lead_id = excluded.named_lead_id, \
     named_campaign = COALESCE(excluded.named_campaign, m.named_campaign), \
     named_address = COALESCE(excluded.named_address, m.named_address), \
     bytes = GREATEST(m.bytes, excluded.bytes), latency_ms = COALESCE(m.latency_ms, excluded.latency_ms), \
     created = LEAST(m.created, excluded.created), updated = now()";

async fn upsert(session: &mut Session, rows: &[Linked], placed: &[Placed]) -> Result<()> {
    // By key, like every writer.
    let mut sorted: Vec<(&Linked, &Placed)> = rows.iter().zip(placed).collect();
    sorted.sort_by_key(|(row, _)| &row.key);
    let of = |pick: fn(&(&Linked, &Placed)) -> Option<Uuid>| -> Vec<Option<Uuid>> {
        sorted.iter().map(pick).collect()
    };
    let keys: Vec<&str> = sorted.iter().map(|(row, _)| row.key.as_str()).collect();
    let tenants: Vec<Uuid> = sorted.iter().map(|(row, _)| row.tenant.0).collect();
    let accounts = of(|(row, _)| row.account.map(|account| account.0));
    let mailboxes: Vec<Option<i32>> = sorted.iter().map(|(row, _)| row.mailbox.map(|id| id.0)).collect();
    let directions: Vec<&str> = sorted.iter().map(|(row, _)| row.direction.as_str()).collect();
    let types: Vec<_> = sorted.iter().map(|(row, _)| cut(&row.message_type, TYPE_MAX_CHARS)).collect();
    let ids: Vec<Option<&str>> = sorted.iter().map(|(row, _)| row.message_id.as_deref()).collect();
    // An array of arrays cannot be unnested row by row; a Message-ID holds no line end.
    let refs: Vec<String> = sorted.iter().map(|(_, placed)| placed.refs.ids.join("\n")).collect();
    let answered: Vec<i16> =
        sorted.iter().map(|(_, placed)| i16::try_from(placed.refs.in_reply_to).unwrap_or(0)).collect();
    let threads: Vec<&str> = sorted.iter().map(|(_, placed)| placed.thread.as_str()).collect();
    let parents: Vec<Option<&str>> = sorted.iter().map(|(_, placed)| placed.parent.as_deref()).collect();
    let evidence: Vec<Option<&str>> = sorted.iter().map(|(_, placed)| placed.evidence).collect();
    let campaigns = of(|(_, placed)| placed.campaign.map(|(campaign, _)| campaign));
    let leads = of(|(_, placed)| placed.campaign.and_then(|(_, lead)| lead));
    let named = of(|(_, placed)| placed.named.map(|(campaign, _)| campaign));
    let named_leads = of(|(_, placed)| placed.named.and_then(|(_, lead)| lead));
    let bytes: Vec<i64> =
        sorted.iter().map(|(row, _)| i64::try_from(row.bytes).unwrap_or(i64::MAX)).collect();
    let enqueued: Vec<Option<DateTime<Utc>>> =
        sorted.iter().map(|(row, _)| row.enqueued.map(clamp)).collect();
    let created: Vec<DateTime<Utc>> = sorted.iter().map(|(row, _)| clamp(row.created)).collect();
    let of_named = |pick: fn(&Named) -> &str| -> Vec<Option<&str>> {
        sorted.iter().map(|(row, _)| row.named.as_ref().map(pick)).collect()
    };
    let (hints, addresses) = (of_named(|named| &named.campaign), of_named(|named| &named.address));
    let params: [&(dyn ToSql + Sync); 21] = [
        &keys,
        &tenants,
        &accounts,
        &mailboxes,
        &directions,
        &types,
        &ids,
        &refs,
        &answered,
        &threads,
        &parents,
        &evidence,
        &campaigns,
        &leads,
        &named,
        &named_leads,
        &bytes,
        &enqueued,
        &created,
        &hints,
        &addresses,
    ];
    session.execute("writing messages", UPSERT, &params).await.map(|_| ())
}

/// Notes whom the rows still wait for: every message that would be nearer than the parent they have.
async fn wait(session: &mut Session, rows: &[Linked], placed: &[Placed]) -> Result<()> {
    const SQL: &str = "INSERT INTO mailfleet.awaited_parents (tenant_id, message_id, storage_key) \
         SELECT t, m, k FROM unnest($1::uuid[], $2::text[], $3::text[]) AS r(t, m, k) ON CONFLICT DO NOTHING";
    let mut waits: Vec<(Uuid, &str, &str)> = rows
        .iter()
        .zip(placed)
        .flat_map(|(row, placed)| {
            placed.awaited().iter().map(|id| (row.tenant.0, id.as_str(), row.key.as_str()))
        })
        .collect();
    if waits.is_empty() {
        return Ok(());
    }
    waits.sort_unstable();
    let tenants: Vec<Uuid> = waits.iter().map(|(tenant, ..)| *tenant).collect();
    let ids: Vec<&str> = waits.iter().map(|(_, id, _)| *id).collect();
    let keys: Vec<&str> = waits.iter().map(|(.., key)| *key).collect();
    session.execute("awaiting parents", SQL, &[&tenants, &ids, &keys]).await.map(|_| ())
}

/// Fills `email_messages` of everything that stands there already, and says what the rows' own are to hold.
async fn finish(
    session: &mut Session,
    store: &Store,
    rows: &[Linked],
    placed: Vec<Placed>,
    known: &Known,
    moved: BTreeSet<String>,
) -> Result<Vec<Link>> {
    let mut links: Vec<Link> = placed.into_iter().map(Link::from).collect();
    let mut stand = moved;
    stand.extend(
        rows.iter().filter(|row| known::stands(row, known).is_some()).map(|row| row.key.as_str().to_owned()),
    );
    if stand.is_empty() {
        return Ok(links);
    }
    // Adoption may also have moved the rows themselves: a mail of this batch that answers one that was moved.
    let mut read: BTreeSet<&str> = stand.iter().map(String::as_str).collect();
    read.extend(rows.iter().map(|row| row.key.as_str()));
    let now = settle::links(session, &read).await?;
    for (row, link) in rows.iter().zip(&mut links) {
        if let Some(settled) = now.get(row.key.as_str()) {
            link.clone_from(settled);
        }
    }
    let changed = stand.iter().filter_map(|key| Some((key.as_str(), now.get(key)?))).collect();
    settle::fill(session, store, changed).await?;
    Ok(links)
}

impl From<Placed> for Link {
    fn from(placed: Placed) -> Self {
        Self {
            thread: placed.thread,
            parent: placed.parent,
            campaign: placed.campaign.map(|(campaign, _)| CampaignId(campaign)),
            lead: placed.campaign.and_then(|(_, lead)| lead).map(LeadId),
        }
    }
}
