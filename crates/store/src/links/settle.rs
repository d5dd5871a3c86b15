//! Threads and campaigns of what stands already, made again from the parents until nothing changes.
//!
//! Each mail's thread and campaign follow from its own row and its parent's, and parents make no circles, so that
//! whatever order the mails are taken in there is one end, the same that `place` gives to new ones.

use std::collections::{BTreeMap, BTreeSet};

use mailfleet_model::{CampaignId, LeadId};
use uuid::Uuid;

use super::Link;
use crate::error::Result;
use crate::rows::get;
use crate::session::Session;
use crate::store::Store;

/// How many answers deep a change goes. It is what each mail of a chain costs that arrives deepest first, so it must be
/// small; where References name the beginning, as they should, the thread is right without it.
const MAX_LEVELS: usize = 100;
/// Rows in one statement.
const CHUNK: usize = 10_000;

/// The rule, for the mails that `$which` selects among `c`.
macro_rules! settle_sql {
    ($which:literal) => {
        concat!(
            "UPDATE mailfleet.messages m SET thread_id = w.thread, campaign_id = w.campaign, lead_id = w.lead, \
             evidence = w.evidence, updated = now() FROM (SELECT c.storage_key, \
             COALESCE(p.thread_id, 't_' || left(encode(sha256(convert_to(c.tenant_id::text || ' ' || \
             COALESCE(c.refs[cardinality(c.refs)], c.message_id, c.storage_key), 'UTF8')), 'hex'), 32)) AS thread, \
             CASE rule.which WHEN 'own' THEN c.campaign_id WHEN 'named' THEN c.named_campaign_id \
             WHEN 'parent' THEN p.campaign_id END AS campaign, \
             CASE rule.which WHEN 'own' THEN c.lead_id WHEN 'named' THEN c.named_lead_id \
             WHEN 'parent' THEN p.lead_id END AS lead, \
             CASE WHEN rule.which = 'own' THEN 'registered' WHEN rule.which = 'named' THEN 'x_campaign_id' \
             WHEN rule.which = 'parent' THEN CASE WHEN p.direction = 'outbound' \
             AND p.message_id = ANY(c.refs[1:c.in_reply_to]) THEN 'in_reply_to' ELSE 'references' END END AS evidence \
             FROM mailfleet.messages c LEFT JOIN mailfleet.messages p ON p.storage_key = c.parent_storage_key \
             CROSS JOIN LATERAL (SELECT CASE WHEN c.evidence = 'registered' THEN 'own' \
             WHEN c.direction = 'outbound' AND c.named_campaign_id IS NOT NULL THEN 'named' \
             WHEN c.direction = 'inbound' AND EXISTS (SELECT 1 FROM mailfleet.messages o \
             WHERE o.tenant_id = c.tenant_id AND o.message_id = c.message_id AND o.direction = 'outbound') THEN 'copy' \
             WHEN p.campaign_id IS NOT NULL AND (p.direction = 'outbound' OR p.evidence IN ('in_reply_to', 'references')) \
             THEN 'parent' WHEN c.named_campaign_id IS NOT NULL THEN 'named' ELSE 'none' END AS which) rule WHERE ",
            $which,
            ") w WHERE m.storage_key = w.storage_key AND (m.thread_id, m.campaign_id, m.lead_id, m.evidence) \
             IS DISTINCT FROM (w.thread, w.campaign, w.lead, w.evidence) RETURNING m.storage_key"
        )
    };
}

/// Settles these mails and then, level by level, the answers to what changed, among which the caller's `written` ones are
/// counted. Returns the keys of what changed here.
pub(super) async fn settle(
    session: &mut Session,
    start: &BTreeSet<String>,
    written: &BTreeSet<String>,
) -> Result<BTreeSet<String>> {
    const THESE: &str = settle_sql!("c.storage_key = ANY($1::text[])");
    const ANSWERS: &str = settle_sql!("c.parent_storage_key = ANY($1::text[])");
    let mut changed = BTreeSet::new();
    let mut level: Vec<String> = start.iter().cloned().collect();
    let mut sql = THESE;
    for _ in 0..MAX_LEVELS {
        if level.is_empty() && sql == ANSWERS {
            return Ok(changed);
        }
        let rows = session.query("settling threads", sql, &[&level]).await?;
        level = rows.iter().map(|row| get(row, "storage_key")).collect::<Result<_>>()?;
        changed.extend(level.iter().cloned());
        if sql == THESE {
            level.extend(written.iter().cloned());
        }
        sql = ANSWERS;
    }
    tracing::debug!(levels = MAX_LEVELS, "a thread is deeper than a change of it is followed");
    Ok(changed)
}

/// Where these mails belong now.
pub(super) async fn links(session: &mut Session, keys: &BTreeSet<&str>) -> Result<BTreeMap<String, Link>> {
    const SQL: &str = "SELECT storage_key, thread_id, parent_storage_key, campaign_id, lead_id \
         FROM mailfleet.messages WHERE storage_key = ANY($1::text[])";
    let keys: Vec<&str> = keys.iter().copied().collect();
    let mut links = BTreeMap::new();
    for chunk in keys.chunks(CHUNK) {
        for row in session.query("reading links", SQL, &[&chunk]).await? {
            let link = Link {
                thread: get(&row, "thread_id")?,
                parent: get(&row, "parent_storage_key")?,
                campaign: get::<Option<Uuid>>(&row, "campaign_id")?.map(CampaignId),
                lead: get::<Option<Uuid>>(&row, "lead_id")?.map(LeadId),
            };
            links.insert(get(&row, "storage_key")?, link);
        }
    }
    Ok(links)
}

/// Writes links to the rows of `email_messages` that stand there.
pub(super) async fn fill(session: &mut Session, store: &Store, links: BTreeMap<&str, &Link>) -> Result<()> {
    // The keys come as parameters and not from a join: in an adopted table the column may be of another collation.
    let sql = format!(
        "UPDATE {} e SET parent_storage_key = r.p, thread_id = r.h, campaign_id = r.c, lead_id = r.l, updated = now() \
         FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::uuid[]) AS r(k, p, h, c, l) \
         WHERE e.storage_key = r.k AND (e.parent_storage_key, e.thread_id, e.campaign_id, e.lead_id) \
         IS DISTINCT FROM (r.p, r.h, r.c, r.l)",
        store.tables().messages
    );
    let links: Vec<(&str, &Link)> = links.into_iter().collect();
    for chunk in links.chunks(CHUNK) {
        let keys: Vec<&str> = chunk.iter().map(|(key, _)| *key).collect();
        let parents: Vec<Option<&str>> = chunk.iter().map(|(_, link)| link.parent.as_deref()).collect();
        let threads: Vec<&str> = chunk.iter().map(|(_, link)| link.thread.as_str()).collect();
        let campaigns: Vec<Option<Uuid>> = chunk.iter().map(|(_, link)| link.campaign.map(|c| c.0)).collect();
        let leads: Vec<Option<Uuid>> = chunk.iter().map(|(_, link)| link.lead.map(|lead| lead.0)).collect();
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&keys, &parents, &threads, &campaigns, &leads];
        session.execute("filling in links", &sql, &params).await?;
    }
    Ok(())
}
