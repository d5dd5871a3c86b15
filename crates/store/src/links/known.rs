//! What is known of the Message-IDs concerned, and the lock under which it may be moved.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mailfleet_model::{CampaignId, Direction, LeadId, TenantId};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Linked, Refs, Registered};
use crate::error::{Error, Result};
use crate::rows::get;
use crate::session::Session;

/// A Message-ID within a tenant.
pub(super) type Name = (TenantId, String);

/// A message that stands already.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) key: String,
    pub(super) direction: Direction,
    pub(super) refs: Refs,
    pub(super) thread: String,
    pub(super) evidence: Option<String>,
    pub(super) campaign: Option<Uuid>,
    pub(super) lead: Option<Uuid>,
    pub(super) named: Option<(Uuid, Option<Uuid>)>,
    pub(super) bytes: i64,
}

impl Node {
    /// What it was registered with.
    pub(super) fn registered(&self) -> Option<Registered> {
        let campaign = self.campaign.filter(|_| self.evidence.as_deref() == Some("registered"))?;
        Some(Registered { campaign: CampaignId(campaign), lead: self.lead.map(LeadId) })
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The message that is chosen for a Message-ID: the one we sent, else the one of the least key.
    pub(super) best: HashMap<Name, Node>,
    /// The Message-IDs that mails wait for.
    pub(super) awaited: BTreeSet<Name>,
}

/// Of each name the first row at or behind it, where it is of this name, in the order of the index that is made for it. An
/// equality would be as right; but of a tenant of which the planner knows nothing it believes that it has a handful of rows,
/// and then takes any index with the tenant in it and sorts, or reads the whole table: for each name.
const LOOK_UP: &str = "SELECT n.t, n.m, b.storage_key, b.direction, b.refs, b.in_reply_to, b.thread_id, b.evidence, \
     b.campaign_id, b.lead_id, b.named_campaign_id, b.named_lead_id, b.bytes, w.message_id IS NOT NULL AS waits \
     FROM unnest($1::uuid[], $2::text[]) AS n(t, m) \
     LEFT JOIN LATERAL (SELECT k.* FROM mailfleet.messages k WHERE k.tenant_id >= n.t AND k.message_id >= n.m \
     ORDER BY k.tenant_id, k.message_id, k.direction DESC, k.storage_key LIMIT 1) b \
     ON (b.tenant_id, b.message_id) = (n.t, n.m) \
     LEFT JOIN LATERAL (SELECT a.tenant_id, a.message_id FROM mailfleet.awaited_parents a \
     WHERE a.tenant_id >= n.t AND a.message_id >= n.m ORDER BY a.tenant_id, a.message_id, a.storage_key LIMIT 1) w \
     ON (w.tenant_id, w.message_id) = (n.t, n.m) \
     WHERE b.storage_key IS NOT NULL OR w.message_id IS NOT NULL";

/// Looks the names up: at most one row each, through an index, however many messages share a Message-ID.
pub(super) async fn look_up(session: &mut Session, names: &BTreeSet<Name>) -> Result<Known> {
    let mut known = Known::default();
    if names.is_empty() {
        return Ok(known);
    }
    let (tenants, ids): (Vec<Uuid>, Vec<&str>) =
        names.iter().map(|(tenant, id)| (tenant.0, id.as_str())).unzip();
    for row in session.query("looking up Message-IDs", LOOK_UP, &[&tenants, &ids]).await? {
        let name = (TenantId(get(&row, "t")?), get::<String>(&row, "m")?);
        if get::<bool>(&row, "waits")? {
            known.awaited.insert(name.clone());
        }
        if let Some(key) = get::<Option<String>>(&row, "storage_key")? {
            known.best.insert(name, node(&row, key)?);
        }
    }
    Ok(known)
}

fn node(row: &Row, key: String) -> Result<Node> {
    let direction = match get::<&str>(row, "direction")? {
        "inbound" => Direction::Inbound,
        "outbound" => Direction::Outbound,
        other => return Err(Error::Unreadable { place: "messages.direction", value: other.to_owned() }),
    };
    let in_reply_to: i16 = get(row, "in_reply_to")?;
    let named: Option<Uuid> = get(row, "named_campaign_id")?;
    let named_lead = get(row, "named_lead_id")?;
    Ok(Node {
        key,
        direction,
        refs: Refs { ids: get(row, "refs")?, in_reply_to: usize::try_from(in_reply_to).unwrap_or(0) },
        thread: get(row, "thread_id")?,
        evidence: get(row, "evidence")?,
        campaign: get(row, "campaign_id")?,
        lead: get(row, "lead_id")?,
        named: named.map(|campaign| (campaign, named_lead)),
        bytes: get(row, "bytes")?,
    })
}

/// The row of this very message, where it stands already.
pub(super) fn stands<'a>(row: &Linked, known: &'a Known) -> Option<&'a Node> {
    let id = row.message_id.as_ref()?;
    known.best.get(&(row.tenant, id.clone())).filter(|node| node.key == row.key.as_str())
}

/// How the threads of a tenant are locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hold {
    /// Nothing moves while a mail is tied to what stands.
    Shared,
    /// This transaction moves what stands.
    Exclusive,
}

/// What has to be held to write these rows. Which messages there are cannot change under the match locks; where they
/// belong can.
pub(super) fn holds(rows: &[Linked], known: &Known) -> BTreeMap<TenantId, Hold> {
    let mut holds: BTreeMap<TenantId, Hold> = BTreeMap::new();
    let mut hold = |tenant: TenantId, how: Hold| {
        let held = holds.entry(tenant).or_insert(how);
        *held = how.max(*held);
    };
    for row in rows {
        if row.refs.ids.iter().any(|id| known.best.contains_key(&(row.tenant, id.clone()))) {
            hold(row.tenant, Hold::Shared);
        }
        if let Some(id) = &row.message_id {
            let name = (row.tenant, id.clone());
            // An inbound mail beside one of the same Message-ID only matters where it takes its place.
            let moves = known.best.get(&name).is_some_and(|best| {
                row.direction == Direction::Outbound
                    || (best.direction == Direction::Inbound && row.key.as_str() < best.key.as_str())
            });
            if moves || known.awaited.contains(&name) {
                hold(row.tenant, Hold::Exclusive);
            }
        }
    }
    holds
}

/// Takes the thread locks, in the order of the tenants; held until the transaction ends.
pub(super) async fn hold(session: &mut Session, holds: &BTreeMap<TenantId, Hold>) -> Result<()> {
    // The sub-select is sorted before the outer one takes the first lock.
    const SQL: &str = "SELECT CASE WHEN e THEN pg_advisory_xact_lock(name) ELSE pg_advisory_xact_lock_shared(name) END \
         FROM (SELECT hashtextextended('threads ' || t, 0) AS name, bool_or(x) AS e \
         FROM unnest($1::text[], $2::boolean[]) AS r(t, x) GROUP BY 1 ORDER BY 1) AS sorted";
    let (tenants, exclusive): (Vec<String>, Vec<bool>) =
        holds.iter().map(|(tenant, how)| (tenant.to_string(), *how == Hold::Exclusive)).unzip();
    session.query("locking threads", SQL, &[&tenants, &exclusive]).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use mailfleet_testkit::PostgresServer;

    use super::*;
    use crate::{Config, Store};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_name_is_looked_up_by_the_index_that_is_made_for_it_on_tables_of_which_nothing_is_known() {
        let server = PostgresServer::shared();
        let url = server.fresh_database().unwrap();
        let database = url.rsplit('/').next().unwrap().to_owned();
        let config = Config { url: mailfleet_model::Secret::new(url), pool_size: 1, ..Config::default() };
        let store = Store::connect(&config).unwrap();
        store.migrate().await.unwrap();
        let tenant = TenantId(Uuid::from_u128(1));
        // Half of the mails wait for one Message-ID, the others each for one of its own.
        let fill = format!(
            "ALTER TABLE mailfleet.messages SET (autovacuum_enabled = false); \
             ALTER TABLE mailfleet.awaited_parents SET (autovacuum_enabled = false); \
             INSERT INTO mailfleet.messages (storage_key, tenant_id, direction, message_type, message_id, thread_id, created) \
             SELECT 'k' || n, '{0}', 'inbound', 'email', n || '@example.org', 't_' || n, now() FROM generate_series(1, 20000) n; \
             INSERT INTO mailfleet.awaited_parents (tenant_id, message_id, storage_key) \
             SELECT '{0}', CASE WHEN n % 2 = 0 THEN 'hub@example.org' ELSE n || '@example.com' END, 'k' || n \
             FROM generate_series(1, 20000) n",
            tenant.0
        );
        server.psql(&database, &fill).unwrap();
        let prepare = format!("PREPARE look_up (uuid[], text[]) AS {LOOK_UP}");
        for analysed in [false, true] {
            if analysed {
                server.psql(&database, "ANALYZE mailfleet.messages, mailfleet.awaited_parents").unwrap();
            }
            for (mode, names) in ["force_custom_plan", "force_generic_plan"]
                .into_iter()
                .flat_map(|mode| [(mode, 1), (mode, 150)])
            {
                let ids: Vec<String> = (1..=names).map(|n| format!("{}@example.org", 20_000 - n)).collect();
                let explain = format!(
                    "SET ROLE mailfleet_writer; SET mailfleet.tenants = '{{{0}}}'; SET plan_cache_mode = {mode}; {prepare}; \
                     EXPLAIN (ANALYZE, BUFFERS) EXECUTE look_up(array_fill('{0}'::uuid, ARRAY[{names}]), '{{{1}}}')",
                    tenant.0,
                    ids.join(",")
                );
                let plan = server.psql(&database, &explain).unwrap();
                let told = format!("analysed: {analysed}, {mode}, {names} names\n{plan}");
                for index in ["messages_message_id_idx", "awaited_parents_pkey"] {
                    assert!(plan.contains(index), "{told}");
                }
                assert!(!plan.contains("Seq Scan") && !plan.contains("Sort"), "{told}");
                // The first line of it is of the whole: a few pages of each index and table a name.
                let pages = plan.split("shared hit=").nth(1).and_then(|rest| rest.split_whitespace().next());
                assert!(pages.unwrap().parse::<u32>().unwrap() <= 12 * names, "{told}");
            }
        }
    }
}
