//! What registrations refer to: accounts, campaigns and leads of one tenant, by id or by name.

use std::collections::BTreeSet;

use mailfleet_model::{AccountId, CampaignId, LeadId, TenantId};
use uuid::Uuid;

use crate::error::Result;
use crate::rows::get;
use crate::store::Store;
use crate::text;

/// A lead of a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownLead {
    /// Identity.
    pub id: LeadId,
    /// Its campaign.
    pub campaign: CampaignId,
    /// Its address, in lower case.
    pub email: String,
}

/// The words that could be ids, as ids.
fn ids(words: &BTreeSet<String>) -> Vec<Uuid> {
    words.iter().filter_map(|word| Uuid::parse_str(word).ok()).collect()
}

fn names(words: &BTreeSet<String>) -> Vec<String> {
    words.iter().map(|word| text::clean(word).into_owned()).collect()
}

impl Store {
    /// The tenant's accounts among these names and ids; shared accounts are nobody's.
    pub async fn accounts_named(
        &self,
        tenant: TenantId,
        words: &BTreeSet<String>,
    ) -> Result<Vec<(AccountId, String)>> {
        const SQL: &str = "SELECT id, name FROM mailfleet.email_accounts \
             WHERE tenant_id = $1 AND (id = ANY($2) OR name = ANY($3))";
        let named = self.named(tenant, "looking up accounts", SQL, words).await?;
        Ok(named.into_iter().map(|(id, name)| (AccountId(id), name)).collect())
    }

    /// The tenant's campaigns among these names and ids.
    pub async fn campaigns_named(
        &self,
        tenant: TenantId,
        words: &BTreeSet<String>,
    ) -> Result<Vec<(CampaignId, String)>> {
        const SQL: &str = "SELECT id, name FROM mailfleet.campaigns WHERE tenant_id = $1 AND (id = ANY($2) OR name = ANY($3))";
        let named = self.named(tenant, "looking up campaigns", SQL, words).await?;
        Ok(named.into_iter().map(|(id, name)| (CampaignId(id), name)).collect())
    }

    async fn named(
        &self,
        tenant: TenantId,
        what: &'static str,
        sql: &str,
        words: &BTreeSet<String>,
    ) -> Result<Vec<(Uuid, String)>> {
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let mut session = self.session().await?;
        session.begin_for(&BTreeSet::from([tenant])).await?;
        let rows = session.query(what, sql, &[&tenant.0, &ids(words), &names(words)]).await?;
        session.commit().await?;
        rows.iter().map(|row| Ok((get(row, "id")?, get(row, "name")?))).collect()
    }

    /// The tenant's leads among these ids, and among these addresses (in lower case) of a campaign.
    pub async fn leads_named(
        &self,
        tenant: TenantId,
        leads: &BTreeSet<LeadId>,
        addresses: &BTreeSet<(CampaignId, String)>,
    ) -> Result<Vec<KnownLead>> {
        // Two look-ups by key; with OR in one of them the whole tenant would be read.
        const SQL: &str = "SELECT l.id, l.campaign_id, l.email FROM mailfleet.leads l \
             WHERE l.tenant_id = $1 AND l.id = ANY($2) \
             UNION SELECT l.id, l.campaign_id, l.email FROM unnest($3::uuid[], $4::text[]) AS a(c, e) \
             JOIN mailfleet.leads l ON l.tenant_id = $1 AND l.campaign_id = a.c AND l.email = a.e";
        if leads.is_empty() && addresses.is_empty() {
            return Ok(Vec::new());
        }
        let leads: Vec<Uuid> = leads.iter().map(|lead| lead.0).collect();
        let (campaigns, emails): (Vec<Uuid>, Vec<String>) =
            addresses.iter().map(|(campaign, email)| (campaign.0, text::clean(email).into_owned())).unzip();
        let mut session = self.session().await?;
        session.begin_for(&BTreeSet::from([tenant])).await?;
        let rows = session.query("looking up leads", SQL, &[&tenant.0, &leads, &campaigns, &emails]).await?;
        session.commit().await?;
        rows.iter()
            .map(|row| {
                Ok(KnownLead {
                    id: LeadId(get(row, "id")?),
                    campaign: CampaignId(get(row, "campaign_id")?),
                    email: get(row, "email")?,
                })
            })
            .collect()
    }
}
