//! The steps of a link: look up, lock, place, write, adopt.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use mailfleet_model::{CampaignId, LeadId};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::known::{self, Known};
use super::place::{self, Campaign, Placed};
use super::{Link, Linked, adopt, names, settle};
use crate::error::Result;
use crate::rows::get;
use crate::session::Session;
use crate::store::Store;
use crate::text::{clamp, cut};

/// Longest word kept in `messages.message_type`.
const TYPE_MAX_CHARS: usize = 20;

pub(super) async fn write(session: &mut Session, store: &Store, rows: &[Linked]) -> Result<Vec<Link>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let by_header = resolve(session, rows).await?;
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

/// The campaign and the lead that each row's X-Campaign-ID means; one statement, and none where no row has one.
async fn resolve(session: &mut Session, rows: &[Linked]) -> Result<Vec<Option<Campaign>>> {
    const SQL: &str = "SELECT r.n, c.id AS campaign, l.id AS lead \
         FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::uuid[], $5::text[]) AS r(n, t, name, id, address) \
         JOIN mailfleet.campaigns c ON c.tenant_id = r.t AND (c.id = r.id OR c.name = r.name) \
         LEFT JOIN mailfleet.leads l ON l.tenant_id = r.t AND l.campaign_id = c.id AND l.email = r.address \
         ORDER BY r.n, c.id = r.id DESC NULLS LAST";
    let mut found: Vec<Option<Campaign>> = vec![None; rows.len()];
    let (mut numbers, mut tenants, mut words, mut ids, mut addresses) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (number, row) in (0i64..).zip(rows) {
        let Some(named) = &row.named else { continue };
        numbers.push(number);
        tenants.push(row.tenant.0);
        words.push(cut(&named.campaign, CAMPAIGN_MAX_CHARS));
        ids.push(Uuid::parse_str(&named.campaign).ok());
        addresses.push(cut(&named.address, ADDRESS_MAX_CHARS));
    }
    if numbers.is_empty() {
        return Ok(found);
    }
    let params: [&(dyn ToSql + Sync); 5] = [&numbers, &tenants, &words, &ids, &addresses];
    for row in session.query("looking up campaigns", SQL, &params).await? {
        let number: i64 = get(&row, "n")?;
        // Where one campaign's name is another's id, the id comes first.
        if let Some(slot) = usize::try_from(number).ok().and_then(|index| found.get_mut(index)) {
            slot.get_or_insert((get(&row, "campaign")?, get(&row, "lead")?));
        }
    }
    Ok(found)
}

/// A longer name names no campaign.
const CAMPAIGN_MAX_CHARS: usize = 201;
/// A longer address is no lead's.
const ADDRESS_MAX_CHARS: usize = 321;

const UPSERT: &str = "INSERT INTO mailfleet.messages AS m (storage_key, tenant_id, account_id, mailbox_id, direction, \
     message_type, message_id, refs, in_reply_to, thread_id, parent_storage_key, evidence, campaign_id, lead_id, \
     named_campaign_id, named_lead_id, bytes, latency_ms, created) \
     SELECT k, t, a, b, d, y, i, string_to_array(f, E'\\n'), n, h, p, e, c, l, nc, nl, s, \
     LEAST(GREATEST(extract(epoch FROM clock_timestamp() - q) * 1000, 0), 2147483647)::integer, w \
     FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::text[], \
     $9::smallint[], $10::text[], $11::text[], $12::text[], $13::uuid[], $14::uuid[], $15::uuid[], $16::uuid[], \
     $17::bigint[], $18::timestamptz[], $19::timestamptz[]) \
     AS r(k, t, a, b, d, y, i, f, n, h, p, e, c, l, nc, nl, s, q, w) \
     ON CONFLICT (storage_key) DO UPDATE SET account_id = COALESCE(m.account_id, excluded.account_id), \
     mailbox_id = COALESCE(m.mailbox_id, excluded.mailbox_id), \
     message_type = CASE WHEN excluded.bytes > 0 THEN excluded.message_type ELSE m.message_type END, \
     refs = excluded.refs, in_reply_to = excluded.in_reply_to, thread_id = excluded.thread_id, \
     parent_storage_key = excluded.parent_storage_key, evidence = excluded.evidence, \
     campaign_id = excluded.campaign_id, lead_id = excluded.lead_id, \
     named_campaign_id = excluded.named_campaign_id, named_lead_id = excluded.named_lead_id, \
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
    let params: [&(dyn ToSql + Sync); 19] = [
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
