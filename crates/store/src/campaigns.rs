//! Campaigns and leads: told by the platform, upserted.
//!
//! An import is one transaction, however long its file: it is seen whole or not at all. It runs behind the wall of its
//! tenant, so that an id of another tenant is never taken over.

mod batch;
mod made;
mod named;
mod renamed;
mod sql;

use std::collections::BTreeSet;

use mailfleet_model::{CampaignId, LeadId, TenantId};

use self::batch::{Batch, Line};
use self::made::MadeIds;
use self::named::Named;
use self::renamed::Renamed;
use crate::error::Result;
use crate::links;
use crate::rows::{count, get};
use crate::session::Session;
use crate::store::Store;
use crate::text;

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
    /// The lead's id; the one it has, or a new one, where none is given. An import that made one takes it back where a
    /// later line gives one.
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
    /// Leads that were there before and have another name now.
    pub changed_leads: u64,
    /// Lines that told nothing new, or were the second of a lead that is counted already.
    pub unchanged: u64,
}

/// A line that contradicts what is known or a line before it, by its place in the call, and why.
pub type RefusedLead = (usize, String);

/// An import under way. Dropped without [`LeadImport::commit`] it never was.
pub struct LeadImport {
    store: Store,
    session: Session,
    tenant: TenantId,
    campaigns: Named,
    made: MadeIds,
    renamed: Renamed,
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
        sql::plans(&mut session).await?;
        Ok(LeadImport {
            store: self.clone(),
            session,
            tenant,
            campaigns: Named::default(),
            made: MadeIds::new(),
            renamed: Renamed::default(),
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

impl LeadImport {
    /// Upserts some lines (some thousand at most) and says which of them were refused; the others were taken. It makes no
    /// difference whether lines come in one call or in several: of a lead that is named twice the fields are put together,
    /// the last name counts, and an id that contradicts the one before is refused.
    pub async fn add(&mut self, leads: &[NewLead]) -> Result<Vec<RefusedLead>> {
        let mut refused: Vec<RefusedLead> = Vec::new();
        let mut lines = Vec::new();
        for (index, lead) in leads.iter().enumerate() {
            let Self { campaigns, session, tenant, imported, .. } = self;
            match campaigns.campaign(session, *tenant, imported, lead).await? {
                Ok(id) => {
                    let key = (id.0, text::clean(&lead.email).into_owned());
                    lines.push(Line { index, key, lead });
                }
                Err(why) => refused.push((index, why)),
            }
        }
        let again = self.write(lines, &mut refused).await?;
        // Without the lines whose id was taken, and with what another import has added meanwhile.
        for line in self.write(again, &mut refused).await? {
            refused.push((line.index, format!("another import adds {} now", line.key.1)));
        }
        refused.sort();
        Ok(refused)
    }

    async fn write<'a>(
        &mut self,
        lines: Vec<Line<'a>>,
        refused: &mut Vec<RefusedLead>,
    ) -> Result<Vec<Line<'a>>> {
        if lines.is_empty() {
            return Ok(lines);
        }
        let mut batch = Batch::look_up(&mut self.session, self.tenant, &lines).await?;
        for line in lines {
            let index = line.index;
            if let Err(why) = batch.take(&mut self.made, line) {
                refused.push((index, why));
            }
        }
        let counts = (&mut self.renamed, &mut self.imported);
        batch.write(&mut self.session, self.tenant, counts, refused).await
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
}
