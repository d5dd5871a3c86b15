//! Campaigns and leads: told by the platform, upserted.
//!
//! An import is one transaction, however long its file: it is seen whole or not at all. It runs behind the wall of its
//! tenant, so that an id of another tenant is never taken over.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mailfleet_model::{CampaignId, LeadId, TenantId};
use uuid::Uuid;

use crate::error::Result;
use crate::links;
use crate::rows::{count, get};
use crate::session::Session;
use crate::store::Store;
use crate::text;

/// Most campaigns that an import remembers; beyond that it looks them up again.
const REMEMBERED: usize = 10_000;

/// A campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    /// Identity.
    pub id: CampaignId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name, once per tenant.
    pub name: String,
    /// How many leads it has.
    pub leads: u64,
}

/// One line of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLead {
    /// The campaign's name, 1 to 200 characters.
    pub campaign: String,
    /// The campaign's id; the one it has, or a new one, where none is given.
    pub campaign_id: Option<CampaignId>,
    /// The lead's address in lower case, 3 to 320 characters.
    pub email: String,
    /// The lead's id; the one it has, or a new one, where none is given.
    pub lead_id: Option<LeadId>,
    /// The lead's name; the one it has stays where none is given.
    pub name: Option<String>,
}

/// What an import has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Campaigns that are new.
    pub new_campaigns: u64,
    /// Campaigns that have another name now.
    pub renamed_campaigns: u64,
    /// Leads that are new.
    pub new_leads: u64,
    /// Leads that have another name now.
    pub changed_leads: u64,
    /// Lines that told nothing new.
    pub unchanged: u64,
}

/// A line that contradicts what is known, by its place in the call, and why.
pub type RefusedLead = (usize, String);

/// An import under way. Dropped without [`LeadImport::commit`] it never was.
pub struct LeadImport {
    store: Store,
    session: Session,
    tenant: TenantId,
    campaigns: HashMap<String, CampaignId>,
    imported: Imported,
}

impl std::fmt::Debug for LeadImport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeadImport").field("imported", &self.imported).finish_non_exhaustive()
    }
}

impl Store {
    /// Begins an import for a tenant.
    pub async fn import_leads(&self, tenant: TenantId) -> Result<LeadImport> {
        let mut session = self.session().await?;
        session.begin_for(&BTreeSet::from([tenant])).await?;
        Ok(LeadImport {
            store: self.clone(),
            session,
            tenant,
            campaigns: HashMap::new(),
            imported: Imported::default(),
        })
    }

    /// The campaigns, of one tenant or of all, by tenant and name.
    pub async fn campaigns(&self, tenant: Option<TenantId>) -> Result<Vec<Campaign>> {
        const SQL: &str = "SELECT c.id, c.tenant_id, c.name, \
             (SELECT count(*) FROM mailfleet.leads l WHERE l.tenant_id = c.tenant_id AND l.campaign_id = c.id) AS leads \
             FROM mailfleet.campaigns c WHERE $1::uuid IS NULL OR c.tenant_id = $1 ORDER BY c.tenant_id, c.name";
        let rows = self.survey("listing campaigns", SQL, &[&tenant.map(|tenant| tenant.0)]).await?;
        rows.iter()
            .map(|row| {
                Ok(Campaign {
                    id: CampaignId(get(row, "id")?),
                    tenant: TenantId(get(row, "tenant_id")?),
                    name: get(row, "name")?,
                    leads: count(row, "leads")?,
                })
            })
            .collect()
    }
}

/// A lead as it stands.
struct Stands {
    id: Uuid,
    campaign: Uuid,
    email: String,
    name: Option<String>,
}

impl LeadImport {
    /// Upserts some lines (some thousand at most) and says which of them were refused; the others were taken. The same
    /// address twice for a campaign: the last one counts.
    pub async fn add(&mut self, leads: &[NewLead]) -> Result<Vec<RefusedLead>> {
        let mut refused: Vec<RefusedLead> = Vec::new();
        let mut wanted: BTreeMap<(Uuid, String), (usize, &NewLead)> = BTreeMap::new();
        for (index, lead) in leads.iter().enumerate() {
            match self.campaign(lead).await? {
                Ok(campaign) => {
                    let key = (campaign.0, text::clean(&lead.email).into_owned());
                    if wanted.insert(key, (index, lead)).is_some() {
                        self.imported.unchanged += 1;
                    }
                }
                Err(why) => refused.push((index, why)),
            }
        }
        self.leads(wanted, &mut refused).await?;
        refused.sort();
        Ok(refused)
    }

    /// What was done so far.
    #[must_use]
    pub const fn imported(&self) -> Imported {
        self.imported
    }

    /// Makes it true, and then ties the mails to it that named one of the tenant's campaigns, or came from one of its leads,
    /// before that was known.
    ///
    /// # Errors
    /// After an error it may be true already, with a part of those mails tied: the same import again changes nothing more,
    /// and ties the rest.
    pub async fn commit(mut self) -> Result<Imported> {
        self.session.commit().await?;
        let tied = links::settle_waiting(&mut self.session, &self.store, self.tenant).await?;
        tracing::debug!(tenant = %self.tenant, mails = tied, "mails that had named a campaign before were tied to it");
        Ok(self.imported)
    }

    /// Undoes all of it.
    pub async fn abandon(mut self) -> Result<Imported> {
        self.session.rollback().await?;
        Ok(self.imported)
    }

    async fn campaign(&mut self, lead: &NewLead) -> Result<std::result::Result<CampaignId, String>> {
        if let Some(known) = self.campaigns.get(&lead.campaign).copied()
            && lead.campaign_id.is_none_or(|id| id == known)
        {
            return Ok(Ok(known));
        }
        let name = text::clean(&lead.campaign).into_owned();
        let found = self.find_campaign(&name, lead.campaign_id).await?;
        let by_name = found.iter().find(|(_, found)| *found == name).map(|(id, _)| *id);
        let id = match (by_name, lead.campaign_id) {
            (Some(known), Some(given)) if known != given => {
                return Ok(Err(format!("the campaign `{name}` has the id {known}, not {given}")));
            }
            (Some(known), _) => known,
            (None, Some(given)) if !found.is_empty() => {
                const SQL: &str = "UPDATE mailfleet.campaigns SET name = $2, updated = now() WHERE id = $1";
                self.session.execute("renaming a campaign", SQL, &[&given.0, &name]).await?;
                self.campaigns.retain(|_, known| *known != given);
                self.imported.renamed_campaigns += 1;
                given
            }
            (None, given) => {
                const SQL: &str = "INSERT INTO mailfleet.campaigns (id, tenant_id, name) VALUES ($1, $2, $3) \
                     ON CONFLICT DO NOTHING";
                let id = given.unwrap_or_else(|| CampaignId(Uuid::now_v7()));
                if self.session.execute("adding a campaign", SQL, &[&id.0, &self.tenant.0, &name]).await? == 0
                {
                    return Ok(Err(format!(
                        "the campaign_id {id} is taken, or another import adds `{name}` now"
                    )));
                }
                self.imported.new_campaigns += 1;
                id
            }
        };
        if self.campaigns.len() >= REMEMBERED {
            self.campaigns.clear();
        }
        self.campaigns.insert(lead.campaign.clone(), id);
        Ok(Ok(id))
    }

    /// The campaign of this name, and that of this id; at most two.
    async fn find_campaign(
        &mut self,
        name: &str,
        id: Option<CampaignId>,
    ) -> Result<Vec<(CampaignId, String)>> {
        const SQL: &str =
            "SELECT id, name FROM mailfleet.campaigns WHERE tenant_id = $1 AND (name = $2 OR id = $3)";
        let id = id.map(|id| id.0);
        let rows = self.session.query("looking up campaigns", SQL, &[&self.tenant.0, &name, &id]).await?;
        rows.iter().map(|row| Ok((CampaignId(get(row, "id")?), get(row, "name")?))).collect()
    }

    async fn leads(
        &mut self,
        mut wanted: BTreeMap<(Uuid, String), (usize, &NewLead)>,
        refused: &mut Vec<RefusedLead>,
    ) -> Result<()> {
        let known = self.find_leads(&wanted).await?;
        let by_key: HashMap<(Uuid, &str), &Stands> =
            known.iter().map(|lead| ((lead.campaign, lead.email.as_str()), lead)).collect();
        let mut by_id: HashMap<Uuid, (Uuid, String)> =
            known.iter().map(|lead| (lead.id, (lead.campaign, lead.email.clone()))).collect();
        let (mut new, mut changed) = (Vec::new(), Vec::new());
        wanted.retain(|key, (index, lead)| {
            let stands = by_key.get(&(key.0, key.1.as_str()));
            if let (Some(stands), Some(given)) = (stands, lead.lead_id)
                && stands.id != given.0
            {
                refused.push((*index, format!("the lead {} has the id {}, not {given}", key.1, stands.id)));
                return false;
            }
            if let Some(given) = lead.lead_id {
                let owner = by_id.entry(given.0).or_insert_with(|| key.clone());
                if owner != key {
                    refused.push((*index, format!("the lead_id {given} belongs to {}", owner.1)));
                    return false;
                }
            }
            match (stands, &lead.name) {
                (None, name) => {
                    let id = lead.lead_id.map_or_else(Uuid::now_v7, |id| id.0);
                    new.push((id, key.0, key.1.clone(), name.as_deref().map(text::clean)));
                }
                (Some(stands), Some(name)) if stands.name.as_deref() != Some(&*text::clean(name)) => {
                    changed.push((stands.id, text::clean(name)));
                }
                (Some(_), _) => self.imported.unchanged += 1,
            }
            true
        });
        let added = self.insert(&new).await?;
        for (id, campaign, email, _) in &new {
            if !added.contains(id)
                && let Some((index, _)) = wanted.get(&(*campaign, email.clone()))
            {
                refused
                    .push((*index, format!("the lead_id {id} is taken, or another import adds {email} now")));
            }
        }
        self.imported.new_leads += added.len() as u64;
        self.imported.changed_leads += self.rename(&changed).await?;
        Ok(())
    }

    async fn find_leads(
        &mut self,
        wanted: &BTreeMap<(Uuid, String), (usize, &NewLead)>,
    ) -> Result<Vec<Stands>> {
        const SQL: &str = "SELECT l.id, l.campaign_id, l.email, l.name FROM mailfleet.leads l \
             JOIN unnest($2::uuid[], $3::text[]) AS r(c, e) \
             ON l.tenant_id = $1 AND l.campaign_id = r.c AND l.email = r.e \
             UNION SELECT l.id, l.campaign_id, l.email, l.name FROM mailfleet.leads l \
             WHERE l.tenant_id = $1 AND l.id = ANY($4::uuid[])";
        let (campaigns, emails): (Vec<Uuid>, Vec<&str>) =
            wanted.keys().map(|(campaign, email)| (*campaign, email.as_str())).unzip();
        let ids: Vec<Uuid> = wanted.values().filter_map(|(_, lead)| lead.lead_id).map(|id| id.0).collect();
        let rows =
            self.session.query("looking up leads", SQL, &[&self.tenant.0, &campaigns, &emails, &ids]).await?;
        rows.iter()
            .map(|row| {
                Ok(Stands {
                    id: get(row, "id")?,
                    campaign: get(row, "campaign_id")?,
                    email: get(row, "email")?,
                    name: get(row, "name")?,
                })
            })
            .collect()
    }

    /// Adds leads; returns the ids of those that could be added.
    async fn insert(
        &mut self,
        new: &[(Uuid, Uuid, String, Option<std::borrow::Cow<'_, str>>)],
    ) -> Result<BTreeSet<Uuid>> {
        const SQL: &str = "INSERT INTO mailfleet.leads (id, tenant_id, campaign_id, email, name) \
             SELECT i, $1, c, e, n FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[]) AS r(i, c, e, n) \
             ON CONFLICT DO NOTHING RETURNING id";
        if new.is_empty() {
            return Ok(BTreeSet::new());
        }
        let ids: Vec<Uuid> = new.iter().map(|(id, ..)| *id).collect();
        let campaigns: Vec<Uuid> = new.iter().map(|(_, campaign, ..)| *campaign).collect();
        let emails: Vec<&str> = new.iter().map(|(_, _, email, _)| email.as_str()).collect();
        let names: Vec<Option<&str>> = new.iter().map(|(.., name)| name.as_deref()).collect();
        let rows = self
            .session
            .query("adding leads", SQL, &[&self.tenant.0, &ids, &campaigns, &emails, &names])
            .await?;
        rows.iter().map(|row| get(row, "id")).collect()
    }

    async fn rename(&mut self, changed: &[(Uuid, std::borrow::Cow<'_, str>)]) -> Result<u64> {
        const SQL: &str = "UPDATE mailfleet.leads l SET name = r.n, updated = now() \
             FROM unnest($1::uuid[], $2::text[]) AS r(i, n) WHERE l.id = r.i";
        if changed.is_empty() {
            return Ok(0);
        }
        let (ids, names): (Vec<Uuid>, Vec<&str>) = changed.iter().map(|(id, name)| (*id, &**name)).unzip();
        self.session.execute("renaming leads", SQL, &[&ids, &names]).await
    }
}
