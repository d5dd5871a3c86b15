//! What X-Campaign-ID means: asked when a mail comes, and again, of those that found nothing, when an import has ended.
//!
//! A mail and an import that are committed at one moment do not see each other. So whoever asks for a mail holds the
//! tenant's hint lock, shared, until it ends, and an import that was committed waits once for all who hold it: those that
//! asked before it are visible then, those that ask later find it.

use std::collections::{BTreeMap, BTreeSet};

use mailfleet_model::TenantId;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::known::{self, Hold};
use super::place::Campaign;
use super::{Named, settle};
use crate::error::Result;
use crate::repeat::Tries;
use crate::rows::get;
use crate::session::Session;
use crate::store::Store;
use crate::text::cut;

/// Longest name of a campaign; what is longer names none.
const CAMPAIGN_MAX_CHARS: usize = 200;
/// A longer address is no lead's.
const ADDRESS_MAX_CHARS: usize = 321;
/// Mails that are settled in one transaction after an import.
const PAGE: i64 = 500;

impl Named {
    /// What a header says, in the form in which it is looked up and kept; `None` where it can name no campaign. An id is
    /// written in one way, so that it is found however it was spelled.
    pub(crate) fn of(header: &str, address: &str) -> Option<Self> {
        let campaign = match Uuid::parse_str(header) {
            Ok(id) => id.to_string(),
            Err(_) if header.chars().count() > CAMPAIGN_MAX_CHARS => return None,
            Err(_) => cut(header, CAMPAIGN_MAX_CHARS).into_owned(),
        };
        Some(Self { campaign, address: cut(address, ADDRESS_MAX_CHARS).into_owned() })
    }
}

/// Takes the hint lock, shared, of each tenant that is asked for; before [`resolve`], until the transaction ends.
pub(super) async fn hold(session: &mut Session, tenants: &BTreeSet<TenantId>) -> Result<()> {
    const SQL: &str = "SELECT pg_advisory_xact_lock_shared(name) FROM (SELECT hashtextextended('hints ' || t, 0) AS name \
         FROM unnest($1::text[]) AS r(t) ORDER BY 1) AS sorted";
    if tenants.is_empty() {
        return Ok(());
    }
    let tenants: Vec<String> = tenants.iter().map(ToString::to_string).collect();
    session.query("locking hints", SQL, &[&tenants]).await.map(|_| ())
}

/// The campaign and the lead that each means; one statement, and none where nothing is asked.
pub(super) async fn resolve(
    session: &mut Session,
    asked: &[(TenantId, Option<&Named>)],
) -> Result<Vec<Option<Campaign>>> {
    const SQL: &str = "SELECT r.n, c.id AS campaign, l.id AS lead \
         FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::uuid[], $5::text[]) AS r(n, t, name, id, address) \
         JOIN mailfleet.campaigns c ON c.tenant_id = r.t AND (c.id = r.id OR c.name = r.name) \
         LEFT JOIN mailfleet.leads l ON l.tenant_id = r.t AND l.campaign_id = c.id AND l.email = r.address \
         ORDER BY r.n, c.id = r.id DESC NULLS LAST";
    let mut found: Vec<Option<Campaign>> = vec![None; asked.len()];
    let (mut numbers, mut tenants, mut words, mut ids, mut addresses) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (number, (tenant, named)) in (0i64..).zip(asked) {
        let Some(named) = named else { continue };
        numbers.push(number);
        tenants.push(tenant.0);
        words.push(named.campaign.as_str());
        ids.push(Uuid::parse_str(&named.campaign).ok());
        addresses.push(named.address.as_str());
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

/// A mail that an import may have told something, and its place in the order of the pages.
struct Waiting {
    at: (Uuid, String),
    named: Named,
}

/// Ties the mails of a tenant that named a campaign or came from a lead before that was known, page by page, and moves what
/// answers them. Call it when the import is committed, outside a transaction; safe to repeat. Returns how many mails were
/// told something.
pub(crate) async fn settle_waiting(session: &mut Session, store: &Store, tenant: TenantId) -> Result<u64> {
    const BARRIER: &str = "SELECT pg_advisory_xact_lock(hashtextextended('hints ' || $1::text, 0))";
    let tenants = BTreeSet::from([tenant]);
    session.begin_for(&tenants).await?;
    let waited = session.query("waiting for mails on their way", BARRIER, &[&tenant.to_string()]).await;
    session.end(waited).await?;
    let (mut told, mut after, mut tries) = (0, (Uuid::nil(), String::new()), Tries::default());
    // Each turn goes on behind the last mail, ends, or uses up a try.
    loop {
        session.begin_for(&tenants).await?;
        let page = page(session, store, tenant, &after).await;
        match session.end(page).await {
            Ok(Some((count, last))) => (told, after, tries) = (told + count, last, Tries::default()),
            Ok(None) => return Ok(told),
            Err(error) if tries.again(&error).await => {}
            Err(error) => return Err(error),
        }
    }
}

async fn page(
    session: &mut Session,
    store: &Store,
    tenant: TenantId,
    after: &(Uuid, String),
) -> Result<Option<(u64, (Uuid, String))>> {
    const TELL: &str = "UPDATE mailfleet.messages m SET named_campaign_id = r.c, named_lead_id = r.l, updated = now() \
         FROM unnest($1::text[], $2::uuid[], $3::uuid[]) AS r(k, c, l) WHERE m.storage_key = r.k \
         AND m.named_lead_id IS NULL AND (m.named_campaign_id IS NULL OR m.named_campaign_id = r.c)";
    let waiting = waiting(session, tenant, after).await?;
    let Some(last) = waiting.last().map(|mail| mail.at.clone()) else { return Ok(None) };
    known::hold(session, &BTreeMap::from([(tenant, Hold::Exclusive)])).await?;
    let asked: Vec<(TenantId, Option<&Named>)> =
        waiting.iter().map(|mail| (tenant, Some(&mail.named))).collect();
    let found = resolve(session, &asked).await?;
    let mut told: BTreeMap<&str, Campaign> = BTreeMap::new();
    for (mail, campaign) in waiting.iter().zip(found) {
        told.extend(campaign.map(|campaign| (mail.at.1.as_str(), campaign)));
    }
    let keys: Vec<&str> = told.keys().copied().collect();
    let (campaigns, leads): (Vec<Uuid>, Vec<Option<Uuid>>) = told.values().copied().unzip();
    let count = session.execute("telling campaigns", TELL, &[&keys, &campaigns, &leads]).await?;
    let start = keys.into_iter().map(str::to_owned).collect();
    let changed = settle::settle(session, &start, &BTreeSet::new()).await?;
    let links = settle::links(session, &changed.iter().map(String::as_str).collect()).await?;
    settle::fill(session, store, links.iter().map(|(key, link)| (key.as_str(), link)).collect()).await?;
    Ok(Some((count, last)))
}

/// The next mails that name a campaign which there is: those tied to none yet, and those of which the lead is new.
async fn waiting(session: &mut Session, tenant: TenantId, after: &(Uuid, String)) -> Result<Vec<Waiting>> {
    // From the campaigns to the mails: most of what waits names a campaign of somebody else's.
    const SQL: &str = "SELECT c.id, w.storage_key, w.named_campaign, w.named_address \
         FROM (SELECT id, name FROM mailfleet.campaigns WHERE tenant_id = $1 AND id >= $2 ORDER BY id) c \
         CROSS JOIN LATERAL (SELECT m.storage_key, m.named_campaign, m.named_address FROM mailfleet.messages m \
         WHERE m.tenant_id = $1 AND m.named_campaign IN (c.name, c.id::text) AND m.named_lead_id IS NULL \
         AND (c.id > $2 OR m.storage_key > $3) AND (m.named_campaign_id IS NULL OR (m.named_campaign_id = c.id \
         AND EXISTS (SELECT FROM mailfleet.leads l WHERE l.tenant_id = $1 AND l.campaign_id = c.id \
         AND l.email = m.named_address))) ORDER BY m.storage_key LIMIT $4) w ORDER BY c.id, w.storage_key LIMIT $4";
    let rows =
        session.query("looking for mails that wait", SQL, &[&tenant.0, &after.0, &after.1, &PAGE]).await?;
    rows.iter()
        .map(|row| {
            let named = Named { campaign: get(row, "named_campaign")?, address: get(row, "named_address")? };
            Ok(Waiting { at: (get(row, "id")?, get(row, "storage_key")?), named })
        })
        .collect()
}
