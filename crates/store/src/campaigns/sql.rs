//! The statements about leads. Within an import the table grows by what the planner's statistics do not know of, from nothing
//! to millions: so each lead is looked up alone, by the whole of one unique index, whatever the planner believes.

use std::borrow::Cow;
use std::collections::BTreeSet;

use mailfleet_model::TenantId;
use uuid::Uuid;

use crate::error::Result;
use crate::rows::get;
use crate::session::Session;

/// A lead by what is unique of it within its tenant: campaign and address.
pub(super) type Key = (Uuid, String);

/// A lead as it stands.
#[derive(Debug)]
pub(super) struct Stands {
    pub(super) id: Uuid,
    pub(super) key: Key,
    pub(super) name: Option<String>,
    /// Whether this import has written it.
    pub(super) ours: bool,
}

/// A lead to be written.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) id: Uuid,
    pub(super) key: &'a Key,
    pub(super) name: Option<&'a str>,
}

/// Asked for in the order of the unique index, which [`PLANS`] leaves no other way to keep: of an empty table the planner thinks
/// that an index over less than the whole key does as well.
const BY_KEY: &str = "SELECT r.c AS campaign_id, r.e AS email, l.id, l.name, l.ours, r.e = lower(r.e) AS lower \
     FROM unnest($2::uuid[], $3::text[]) AS r(c, e) \
     LEFT JOIN LATERAL (SELECT k.id, k.name, k.xmin = pg_current_xact_id()::xid AS ours FROM mailfleet.leads k WHERE k.tenant_id = $1 AND k.campaign_id = r.c \
     AND k.email >= r.e AND k.email <= r.e ORDER BY k.email LIMIT 1) l ON true \
     WHERE l.id IS NOT NULL OR r.e <> lower(r.e)";

/// Like [`BY_KEY`], by the primary key. The wall keeps other tenants' leads out.
const BY_ID: &str = "SELECT l.campaign_id, l.email, l.id FROM unnest($1::uuid[]) AS r(i) \
     CROSS JOIN LATERAL (SELECT k.id, k.campaign_id, k.email FROM mailfleet.leads k \
     WHERE k.id >= r.i AND k.id <= r.i ORDER BY k.id LIMIT 1) l";

/// Holds until the transaction ends: no table is read whole, and what is asked for in an order comes out of an index that has
/// it. The tables grow under the plans that were made for them, ours and those of the foreign keys, and to read and sort
/// a small one whole seems cheap.
pub(super) async fn plans(session: &mut Session) -> Result<()> {
    session.query("beginning an import", PLANS, &[]).await.map(|_| ())
}

const PLANS: &str = "SELECT set_config(setting, 'off', true) \
     FROM unnest(ARRAY['enable_seqscan', 'enable_sort', 'enable_incremental_sort']) AS s(setting)";

/// What is known of some keys: the leads that stand, and the keys whose address PostgreSQL does not take for lower case.
/// Which letters have a lower case is a matter of the database's locale and its version of Unicode.
pub(super) async fn by_key(
    session: &mut Session,
    tenant: TenantId,
    keys: &BTreeSet<Key>,
) -> Result<(Vec<Stands>, BTreeSet<Key>)> {
    let (campaigns, emails): (Vec<Uuid>, Vec<&str>) =
        keys.iter().map(|(campaign, email)| (*campaign, email.as_str())).unzip();
    let rows = session.query("looking up leads", BY_KEY, &[&tenant.0, &campaigns, &emails]).await?;
    let (mut stand, mut odd) = (Vec::new(), BTreeSet::new());
    for row in rows {
        let key = (get(&row, "campaign_id")?, get(&row, "email")?);
        if !get::<bool>(&row, "lower")? {
            odd.insert(key);
        } else if let Some(id) = get(&row, "id")? {
            stand.push(Stands { id, key, name: get(&row, "name")?, ours: get(&row, "ours")? });
        }
    }
    Ok((stand, odd))
}

/// Whose some ids are among the tenant's leads.
pub(super) async fn by_id(session: &mut Session, ids: &BTreeSet<Uuid>) -> Result<Vec<(Uuid, Key)>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = ids.iter().copied().collect();
    let rows = session.query("looking up leads by id", BY_ID, &[&ids]).await?;
    rows.iter()
        .map(|row| {
            let key = (get(row, "campaign_id")?, get(row, "email")?);
            Ok((get(row, "id")?, key))
        })
        .collect()
}

/// Adds leads; returns the ids of those that could be added.
pub(super) async fn insert(
    session: &mut Session,
    tenant: TenantId,
    rows: &[Row<'_>],
) -> Result<BTreeSet<Uuid>> {
    const SQL: &str = "INSERT INTO mailfleet.leads (id, tenant_id, campaign_id, email, name) \
         SELECT i, $1, c, e, n FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[]) AS r(i, c, e, n) \
         ON CONFLICT DO NOTHING RETURNING id";
    if rows.is_empty() {
        return Ok(BTreeSet::new());
    }
    let (ids, campaigns, emails, names) = columns(rows);
    let rows = session.query("adding leads", SQL, &[&tenant.0, &ids, &campaigns, &emails, &names]).await?;
    rows.iter().map(|row| get(row, "id")).collect()
}

/// Gives leads that stand another name. Written as an insert that always meets its row, which finds it by the primary key
/// without a plan.
pub(super) async fn rename(session: &mut Session, tenant: TenantId, rows: &[Row<'_>]) -> Result<()> {
    const SQL: &str = "INSERT INTO mailfleet.leads (id, tenant_id, campaign_id, email, name) \
         SELECT i, $1, c, e, n FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[]) AS r(i, c, e, n) \
         ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, updated = now()";
    if rows.is_empty() {
        return Ok(());
    }
    let (ids, campaigns, emails, names) = columns(rows);
    session.execute("renaming leads", SQL, &[&tenant.0, &ids, &campaigns, &emails, &names]).await.map(|_| ())
}

/// Takes a lead away that this import has made.
pub(super) async fn take_back(session: &mut Session, id: Uuid) -> Result<()> {
    const SQL: &str = "DELETE FROM mailfleet.leads WHERE id = $1";
    session.execute("taking a lead back", SQL, &[&id]).await.map(|_| ())
}

type Columns<'a> = (Vec<Uuid>, Vec<Uuid>, Vec<&'a str>, Vec<Option<Cow<'a, str>>>);

fn columns<'a>(rows: &[Row<'a>]) -> Columns<'a> {
    let mut columns: Columns<'a> = Columns::default();
    for row in rows {
        columns.0.push(row.id);
        columns.1.push(row.key.0);
        columns.2.push(&row.key.1);
        columns.3.push(row.name.map(crate::text::clean));
    }
    columns
}
