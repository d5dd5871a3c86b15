//! Tenants and the domains that are theirs.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use mailfleet_model::TenantId;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::rows::get;
use crate::session::Session;
use crate::store::Store;
use crate::text;

/// A customer of the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// The platform's id.
    pub id: TenantId,
    /// Name for people; unique.
    pub name: String,
    /// The domains it owns, lower case, sorted.
    pub domains: Vec<String>,
    /// When it was added.
    pub created: DateTime<Utc>,
}

/// A domain as it is compared: lower case, without a trailing dot.
fn normalised(domain: &str) -> String {
    domain.trim().trim_end_matches('.').to_lowercase()
}

fn checked(domain: &str) -> Result<String> {
    let name = normalised(domain);
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '<' | '>' | ',' | '/');
    if name.is_empty() || name.chars().count() > 253 || name.contains(odd) {
        let problem = "give the part after the @, such as acme.example";
        return Err(Error::Invalid { what: "domain", value: text::cut(domain, 100).into_owned(), problem });
    }
    Ok(name)
}

impl Store {
    /// Adds a tenant with its domains, all or nothing. Without an id one is made (UUID v7).
    ///
    /// # Errors
    /// [`Error::Taken`] where the name or id is in use, or a domain belongs to another tenant.
    pub async fn add_tenant(&self, id: Option<TenantId>, name: &str, domains: &[String]) -> Result<TenantId> {
        let id = id.unwrap_or_else(|| TenantId(Uuid::now_v7()));
        let mut session = self.session().await?;
        session.begin_maintenance().await?;
        let added = session
            .execute(
                "adding a tenant",
                "INSERT INTO mailfleet.tenants (id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                &[&id.0, &text::clean(name)],
            )
            .await?;
        if added == 0 {
            session.rollback().await?;
            return Err(Error::Taken { what: "tenant", name: name.to_owned(), owner: None });
        }
        insert_domains(&mut session, id, domains).await?;
        session.commit().await?;
        Ok(id)
    }

    /// Adds domains to a tenant, all or nothing; those it owns already are fine.
    ///
    /// # Errors
    /// [`Error::Taken`] where a domain belongs to another tenant, [`Error::Unknown`] without such a tenant.
    pub async fn add_domains(&self, tenant: TenantId, domains: &[String]) -> Result<()> {
        let mut session = self.session().await?;
        session.begin_maintenance().await?;
        let known = session
            .query_opt("looking up a tenant", "SELECT 1 FROM mailfleet.tenants WHERE id = $1", &[&tenant.0])
            .await?;
        if known.is_none() {
            session.rollback().await?;
            return Err(Error::Unknown { what: "tenant", name: tenant.to_string() });
        }
        insert_domains(&mut session, tenant, domains).await?;
        session.commit().await
    }

    /// All tenants, by name.
    pub async fn tenants(&self) -> Result<Vec<Tenant>> {
        const SQL: &str = "SELECT t.id, t.name, t.created, \
             ARRAY(SELECT d.domain FROM mailfleet.tenant_domains d WHERE d.tenant_id = t.id ORDER BY d.domain) AS domains \
             FROM mailfleet.tenants t ORDER BY t.name";
        let rows = self.session().await?.query("listing tenants", SQL, &[]).await?;
        rows.iter()
            .map(|row| {
                Ok(Tenant {
                    id: TenantId(get(row, "id")?),
                    name: get(row, "name")?,
                    domains: get(row, "domains")?,
                    created: get(row, "created")?,
                })
            })
            .collect()
    }

    /// The tenants that own these domains, each under the spelling it was asked by. What nobody owns is absent; a
    /// subdomain belongs to nobody unless it was added itself.
    pub async fn tenants_by_domain(&self, domains: &[String]) -> Result<HashMap<String, TenantId>> {
        const SQL: &str = "SELECT domain, tenant_id FROM mailfleet.tenant_domains WHERE domain = ANY($1)";
        let mut asked: Vec<String> =
            domains.iter().map(|domain| text::clean(&normalised(domain)).into_owned()).collect();
        asked.sort_unstable();
        asked.dedup();
        if asked.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = self.session().await?.query("looking up domains", SQL, &[&asked]).await?;
        let mut owners = HashMap::with_capacity(rows.len());
        for row in &rows {
            owners.insert(get::<String>(row, "domain")?, TenantId(get(row, "tenant_id")?));
        }
        Ok(domains
            .iter()
            .filter_map(|domain| owners.get(&normalised(domain)).map(|tenant| (domain.clone(), *tenant)))
            .collect())
    }
}

/// A domain that another tenant owns ends the caller's transaction with an error.
async fn insert_domains(session: &mut Session, tenant: TenantId, domains: &[String]) -> Result<()> {
    const INSERT: &str = "INSERT INTO mailfleet.tenant_domains (domain, tenant_id) \
         SELECT DISTINCT d, $2::uuid FROM unnest($1::text[]) d ORDER BY d ON CONFLICT DO NOTHING";
    const FOREIGN: &str = "SELECT d.domain, t.name FROM mailfleet.tenant_domains d \
         JOIN mailfleet.tenants t ON t.id = d.tenant_id WHERE d.domain = ANY($1) AND d.tenant_id <> $2 LIMIT 1";
    let domains = domains.iter().map(|domain| checked(domain)).collect::<Result<Vec<String>>>()?;
    session.execute("adding domains", INSERT, &[&domains, &tenant.0]).await?;
    match session.query_opt("adding domains", FOREIGN, &[&domains, &tenant.0]).await? {
        None => Ok(()),
        Some(row) => {
            let (name, owner) = (get(&row, "domain")?, get::<String>(&row, "name")?);
            session.rollback().await?;
            Err(Error::Taken { what: "domain", name, owner: Some(format!("tenant {owner}")) })
        }
    }
}
