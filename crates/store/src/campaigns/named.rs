//! Which campaign a line of an import is about.

use std::collections::{HashMap, HashSet};

use mailfleet_model::{CampaignId, TenantId};
use uuid::Uuid;

use super::{Imported, NewLead};
use crate::error::Result;
use crate::rows::get;
use crate::session::Session;
use crate::text;

/// Most campaigns that one import may name. All are remembered, so that one of them is not called by two names.
const CAMPAIGNS_MAX: usize = 100_000;

/// Each by its own unique index, as the leads are looked up.
const FIND: &str = "(SELECT id, name FROM mailfleet.campaigns \
     WHERE tenant_id = $1 AND name >= $2 AND name <= $2 ORDER BY name LIMIT 1) \
     UNION ALL (SELECT id, name FROM mailfleet.campaigns WHERE id >= $3 AND id <= $3 AND name <> $2 ORDER BY id LIMIT 1)";

const RENAME: &str = "UPDATE mailfleet.campaigns SET name = $2, updated = now() WHERE id = $1";

/// The campaigns that an import has named.
#[derive(Debug, Default)]
pub(super) struct Named {
    by_name: HashMap<String, CampaignId>,
    ids: HashSet<CampaignId>,
}

impl Named {
    /// The campaign of a line, which is added or renamed where it has to be; or why the line contradicts what is known.
    pub(super) async fn campaign(
        &mut self,
        session: &mut Session,
        tenant: TenantId,
        imported: &mut Imported,
        lead: &NewLead,
    ) -> Result<std::result::Result<CampaignId, String>> {
        let name = text::clean(&lead.campaign);
        if let Some(known) = self.by_name.get(&*name).copied()
            && lead.campaign_id.is_none_or(|id| id == known)
        {
            return Ok(Ok(known));
        }
        if self.by_name.len() >= CAMPAIGNS_MAX {
            return Ok(Err(format!(
                "a file may name {CAMPAIGNS_MAX} campaigns and this line names one more: import it in parts"
            )));
        }
        let found = find(session, tenant, &name, lead.campaign_id).await?;
        let by_name = found.iter().find(|(_, found)| *found == name).map(|(id, _)| *id);
        let id = match (by_name, lead.campaign_id) {
            (Some(known), Some(given)) if known != given => {
                return Ok(Err(format!("the campaign `{name}` has the id {known}, not {given}")));
            }
            (Some(known), _) => known,
            (None, Some(given)) if let Some((_, other)) = found.first() => {
                // A name that changes from line to line would change again with every import of the same file.
                if self.ids.contains(&given) {
                    return Ok(Err(format!("the campaign {given} is `{other}` in a line before")));
                }
                session.execute("renaming a campaign", RENAME, &[&given.0, &name]).await?;
                imported.renamed_campaigns += 1;
                given
            }
            (None, given) => {
                let id = given.unwrap_or_else(|| CampaignId(Uuid::now_v7()));
                if !add(session, tenant, id, &name).await? {
                    return Ok(Err(format!(
                        "the campaign_id {id} is taken, or another import adds `{name}` now"
                    )));
                }
                imported.new_campaigns += 1;
                id
            }
        };
        self.by_name.insert(name.into_owned(), id);
        self.ids.insert(id);
        Ok(Ok(id))
    }
}

/// The campaign of this name, and that of this id; at most two.
async fn find(
    session: &mut Session,
    tenant: TenantId,
    name: &str,
    id: Option<CampaignId>,
) -> Result<Vec<(CampaignId, String)>> {
    let id = id.map(|id| id.0);
    let rows = session.query("looking up campaigns", FIND, &[&tenant.0, &name, &id]).await?;
    rows.iter().map(|row| Ok((CampaignId(get(row, "id")?), get(row, "name")?))).collect()
}

async fn add(session: &mut Session, tenant: TenantId, id: CampaignId, name: &str) -> Result<bool> {
    const SQL: &str =
        "INSERT INTO mailfleet.campaigns (id, tenant_id, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    Ok(session.execute("adding a campaign", SQL, &[&id.0, &tenant.0, &name]).await? > 0)
}
