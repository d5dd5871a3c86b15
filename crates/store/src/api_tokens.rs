//! Who may register outbound messages over HTTP.

use chrono::{DateTime, Utc};
use mailfleet_model::{Secret, TenantId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::rows::get;
use crate::store::Store;
use crate::text;
use crate::token::{API_TOKEN, TokenHash, new_token};

/// Most tokens in one listing.
const LIST_MAX: i64 = 10_000;

/// One token; what it looks like is known to its owner alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Identity.
    pub id: Uuid,
    /// The tenant that its messages belong to.
    pub tenant: TenantId,
    /// Name for people; unique.
    pub name: String,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// Since when it is refused.
    pub revoked: Option<DateTime<Utc>>,
}

fn token(row: &Row) -> Result<ApiToken> {
    Ok(ApiToken {
        id: get(row, "id")?,
        tenant: TenantId(get(row, "tenant_id")?),
        name: get(row, "name")?,
        created: get(row, "created")?,
        revoked: get(row, "revoked")?,
    })
}

impl Store {
    /// Makes a token for a tenant and returns it. It is not kept and cannot be shown again.
    ///
    /// # Errors
    /// [`Error::Taken`] where the name is in use, [`Error::Unknown`] without such a tenant.
    pub async fn add_api_token(&self, tenant: TenantId, name: &str) -> Result<Secret> {
        let (token, hash) = new_token(API_TOKEN);
        let mut session = self.session().await?;
        session.begin_maintenance().await?;
        let added = session
            .execute(
                "adding a token",
                "INSERT INTO mailfleet.api_tokens (id, tenant_id, name, token_hash) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (name) DO NOTHING",
                &[&Uuid::now_v7(), &tenant.0, &text::clean(name), &hash.bytes()],
            )
            .await;
        match added {
            Ok(0) => {
                session.rollback().await?;
                Err(Error::Taken { what: "token", name: name.to_owned(), owner: None })
            }
            Ok(_) => {
                session.commit().await?;
                Ok(token)
            }
            // foreign_key_violation: the only reference is the tenant's.
            Err(error) if error.code() == Some("23503") => {
                Err(Error::Unknown { what: "tenant", name: tenant.to_string() })
            }
            Err(error) => Err(error),
        }
    }

    /// The token with this hash, revoked or not. Asked before the tenant is known: a policy of its own lets it through the
    /// wall.
    pub async fn api_token(&self, hash: TokenHash) -> Result<Option<ApiToken>> {
        const SQL: &str =
            "SELECT id, tenant_id, name, created, revoked FROM mailfleet.api_tokens WHERE token_hash = $1";
        let row = self.session().await?.query_opt("looking up a token", SQL, &[&hash.bytes()]).await?;
        row.as_ref().map(token).transpose()
    }

    /// All tokens by name, for operators.
    pub async fn api_tokens(&self) -> Result<Vec<ApiToken>> {
        const SQL: &str =
            "SELECT id, tenant_id, name, created, revoked FROM mailfleet.api_tokens ORDER BY name LIMIT $1";
        let mut session = self.session().await?;
        session.begin_maintenance().await?;
        let rows = session.query("listing tokens", SQL, &[&LIST_MAX]).await?;
        session.commit().await?;
        rows.iter().map(token).collect()
    }

    /// Revokes the token of this name for good; false where there is none. One that was revoked before stays as it is.
    pub async fn revoke_api_token(&self, name: &str) -> Result<bool> {
        const SQL: &str =
            "UPDATE mailfleet.api_tokens SET revoked = coalesce(revoked, now()) WHERE name = $1";
        let mut session = self.session().await?;
        session.begin_maintenance().await?;
        let touched = session.execute("revoking a token", SQL, &[&text::clean(name)]).await?;
        session.commit().await?;
        Ok(touched > 0)
    }
}
