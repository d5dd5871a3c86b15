//! The addresses under which providers report delivery events.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use mailfleet_model::{Secret, SecretSource, TenantId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::rows::get;
use crate::store::Store;
use crate::text;
use crate::token::{TokenHash, WEBHOOK_TOKEN, new_token};

/// Most endpoints in one listing.
const LIST_MAX: i64 = 10_000;
/// Longest note, in characters; what is longer is cut.
const NOTE_MAX_CHARS: usize = 1_000;

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Identity.
    pub id: Uuid,
    /// The tenant whose messages are reported on.
    pub tenant: TenantId,
    /// Which form and signature its calls have.
    pub provider: String,
    /// Name for people; unique.
    pub name: String,
    /// Where the producer finds the secret or public key that calls are verified with.
    pub secret: SecretSource,
    /// Amazon SNS: the only topic whose messages are taken.
    pub topic: Option<String>,
    /// Whether calls are taken.
    pub enabled: bool,
    /// When it was added.
    pub created: DateTime<Utc>,
    /// Why its calls cannot be verified and what an operator has to do; gone with the next call that is verified by whoever
    /// left it, or within a minute of such calls by another producer.
    pub note: Option<String>,
}

/// An endpoint and what came in lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedEndpoint {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// When its last call was taken; `None` while there was none.
    pub last_call: Option<DateTime<Utc>>,
    /// What an operator has to do: about calls that cannot be verified, else what the last call asks for. That is gone when
    /// another one has come, which shows that it was done.
    pub note: Option<String>,
}

/// An endpoint to be added; enabled from the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEndpoint {
    /// The tenant whose messages are reported on.
    pub tenant: TenantId,
    /// Which form and signature its calls have, 1 to 40 characters.
    pub provider: String,
    /// Name for people; unique.
    pub name: String,
    /// A file or an environment variable; a secret itself is refused.
    pub secret: SecretSource,
    /// Amazon SNS: the only topic whose messages are taken.
    pub topic: Option<String>,
}

const COLUMNS: &str = "e.id, e.tenant_id, e.provider, e.name, e.secret_file, e.secret_env, e.topic_arn, e.enabled, \
     e.created, e.note";

fn endpoint(row: &Row) -> Result<Endpoint> {
    let secret = match (get::<Option<String>>(row, "secret_file")?, get::<Option<String>>(row, "secret_env")?)
    {
        (Some(file), _) => SecretSource::File(PathBuf::from(file)),
        (None, Some(name)) => SecretSource::Env(name),
        (None, None) => {
            return Err(Error::Unreadable {
                place: "webhook_endpoints.secret_file",
                value: "NULL".to_owned(),
            });
        }
    };
    Ok(Endpoint {
        id: get(row, "id")?,
        tenant: TenantId(get(row, "tenant_id")?),
        provider: get(row, "provider")?,
        name: get(row, "name")?,
        secret,
        topic: get(row, "topic_arn")?,
        enabled: get(row, "enabled")?,
        created: get(row, "created")?,
        note: get(row, "note")?,
    })
}

impl Store {
    /// Adds an endpoint and returns the token that its address ends with. It is not kept and cannot be shown again.
    ///
    /// # Errors
    /// [`Error::Taken`] where the name is in use, [`Error::Unknown`] without such a tenant, [`Error::Invalid`] for a secret
    /// given as such.
    pub async fn add_endpoint(&self, endpoint: &NewEndpoint) -> Result<Secret> {
        let (file, env) = match &endpoint.secret {
            SecretSource::File(file) => {
                let path =
                    file.to_str().filter(|path| !path.contains('\0')).ok_or_else(|| Error::Invalid {
                        what: "secret file",
                        value: file.display().to_string(),
                        problem: "must be UTF-8",
                    })?;
                (Some(path), None)
            }
            SecretSource::Env(name) => (None, Some(text::clean(name))),
            SecretSource::Value(_) => {
                let problem = "secrets are not stored: name a file or an environment variable";
                return Err(Error::Invalid { what: "secret", value: "[redacted]".to_owned(), problem });
            }
        };
        let (token, hash) = new_token(WEBHOOK_TOKEN);
        let topic = endpoint.topic.as_deref().map(text::clean);
        let mut session = self.session().await?;
        session.begin_maintenance().await?;
        let added = session
            .execute(
                "adding an endpoint",
                "INSERT INTO mailfleet.webhook_endpoints \
                 (id, tenant_id, provider, name, token_hash, secret_file, secret_env, topic_arn) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (name) DO NOTHING",
                &[
                    &Uuid::now_v7(),
                    &endpoint.tenant.0,
                    &text::clean(&endpoint.provider),
                    &text::clean(&endpoint.name),
                    &hash.bytes(),
                    &file,
                    &env,
                    &topic,
                ],
            )
            .await;
        match added {
            Ok(0) => {
                session.rollback().await?;
                Err(Error::Taken { what: "endpoint", name: endpoint.name.clone(), owner: None })
            }
            Ok(_) => {
                session.commit().await?;
                Ok(token)
            }
            // foreign_key_violation: the only reference is the tenant's.
            Err(error) if error.code() == Some("23503") => {
                Err(Error::Unknown { what: "tenant", name: endpoint.tenant.to_string() })
            }
            Err(error) => Err(error),
        }
    }

    /// The endpoint with this token, enabled or not. Asked before the tenant is known: a policy of its own lets it through
    /// the wall.
    pub async fn endpoint_by_token(&self, hash: TokenHash) -> Result<Option<Endpoint>> {
        let sql = format!("SELECT {COLUMNS} FROM mailfleet.webhook_endpoints e WHERE e.token_hash = $1");
        let row = self.session().await?.query_opt("looking up an endpoint", &sql, &[&hash.bytes()]).await?;
        row.as_ref().map(endpoint).transpose()
    }

    /// All endpoints by name, for operators.
    pub async fn endpoints(&self) -> Result<Vec<ListedEndpoint>> {
        let sql = format!(
            "SELECT {COLUMNS}, last.received AS last_call, last.note AS asked FROM mailfleet.webhook_endpoints e \
             LEFT JOIN LATERAL (SELECT i.received, i.note FROM mailfleet.webhook_inbox i \
             WHERE i.endpoint_id = e.id ORDER BY i.id DESC LIMIT 1) AS last ON true ORDER BY e.name LIMIT $1"
        );
        let mut session = self.session().await?;
        session.begin_maintenance().await?;
        let rows = session.query("listing endpoints", &sql, &[&LIST_MAX]).await?;
        session.commit().await?;
        rows.iter()
            .map(|row| {
                let (endpoint, asked) = (endpoint(row)?, get::<Option<String>>(row, "asked")?);
                let note = endpoint.note.clone().or(asked);
                Ok(ListedEndpoint { endpoint, last_call: get(row, "last_call")?, note })
            })
            .collect()
    }

    /// Notes why the calls of an endpoint cannot be verified, at most 1,000 characters of it, or that they can. Where that
    /// is known already nothing is written, so that many calls at once are one write.
    pub async fn note_endpoint(&self, endpoint: &Endpoint, note: Option<&str>) -> Result<()> {
        const SQL: &str =
            "UPDATE mailfleet.webhook_endpoints SET note = $2 WHERE id = $1 AND note IS DISTINCT FROM $2";
        let note = note.map(|note| text::cut(note, NOTE_MAX_CHARS));
        if endpoint.note.as_deref() == note.as_deref() {
            return Ok(());
        }
        let mut session = self.session().await?;
        session.begin_for(&BTreeSet::from([endpoint.tenant])).await?;
        session.execute("noting what is wrong with an endpoint", SQL, &[&endpoint.id, &note]).await?;
        session.commit().await
    }

    /// Opens or closes the endpoint of this name; false where there is none.
    pub async fn set_endpoint_enabled(&self, name: &str, enabled: bool) -> Result<bool> {
        const SQL: &str = "UPDATE mailfleet.webhook_endpoints SET enabled = $2 WHERE name = $1";
        let mut session = self.session().await?;
        session.begin_maintenance().await?;
        let touched = session.execute("switching an endpoint", SQL, &[&text::clean(name), &enabled]).await?;
        session.commit().await?;
        Ok(touched > 0)
    }
}
