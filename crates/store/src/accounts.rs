//! The IMAP accounts that are watched.

use std::path::PathBuf;

use mailfleet_model::{AccountId, Direction, SecretSource, TenantId, TlsMode};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::rows::{get, tls_mode};
use crate::store::Store;
use crate::text;

/// One login on one IMAP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Identity.
    pub id: AccountId,
    /// The tenant that all its mail belongs to; `None` for a shared account.
    pub tenant: Option<TenantId>,
    /// Name for people; unique.
    pub name: String,
    /// IMAP server.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: TlsMode,
    /// Login name.
    pub username: String,
    /// Where the password is found: a file or an environment variable of the process that logs in.
    pub password: SecretSource,
    /// PEM file with the certificates that sign the server's; `None` for those of the system.
    pub ca_file: Option<PathBuf>,
    /// The folders to watch.
    pub mailboxes: Vec<String>,
    /// The folders to watch whose mail we sent ourselves.
    pub sent_mailboxes: Vec<String>,
    /// Shared accounts: To and Cc may decide the tenant where no Delivered-To stands.
    pub recipient_from_to_cc: bool,
    /// Whether it is watched.
    pub enabled: bool,
}

impl Account {
    /// All folders to watch, and which way the mail in them travels; those of what came in first.
    pub fn watched(&self) -> impl Iterator<Item = (&str, Direction)> {
        let inbound = self.mailboxes.iter().map(|name| (name.as_str(), Direction::Inbound));
        inbound.chain(self.sent_mailboxes.iter().map(|name| (name.as_str(), Direction::Outbound)))
    }
}

/// An account to be added; enabled from the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// The tenant that all its mail belongs to; `None` for a shared account.
    pub tenant: Option<TenantId>,
    /// Name for people; unique.
    pub name: String,
    /// IMAP server.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: TlsMode,
    /// Login name.
    pub username: String,
    /// A file or an environment variable; a password itself is refused.
    pub password: SecretSource,
    /// PEM file with the certificates that sign the server's.
    pub ca_file: Option<PathBuf>,
    /// The folders to watch; `INBOX` where empty.
    pub mailboxes: Vec<String>,
    /// The folders to watch whose mail we sent ourselves; none of `mailboxes`.
    pub sent_mailboxes: Vec<String>,
    /// Shared accounts: To and Cc may decide the tenant where no Delivered-To stands.
    pub recipient_from_to_cc: bool,
}

const COLUMNS: &str = "id, tenant_id, name, host, port, tls, username, password_file, password_env, ca_file, \
     mailboxes, sent_mailboxes, recipient_from_to_cc, enabled";

fn account(row: &Row) -> Result<Account> {
    let port: i32 = get(row, "port")?;
    let password =
        match (get::<Option<String>>(row, "password_file")?, get::<Option<String>>(row, "password_env")?) {
            (Some(file), _) => SecretSource::File(PathBuf::from(file)),
            (None, Some(name)) => SecretSource::Env(name),
            (None, None) => {
                return Err(Error::Unreadable {
                    place: "email_accounts.password_file",
                    value: "NULL".to_owned(),
                });
            }
        };
    Ok(Account {
        id: AccountId(get(row, "id")?),
        tenant: get::<Option<Uuid>>(row, "tenant_id")?.map(TenantId),
        name: get(row, "name")?,
        host: get(row, "host")?,
        port: u16::try_from(port)
            .map_err(|_| Error::Unreadable { place: "email_accounts.port", value: port.to_string() })?,
        tls: tls_mode(get(row, "tls")?)?,
        username: get(row, "username")?,
        password,
        ca_file: get::<Option<String>>(row, "ca_file")?.map(PathBuf::from),
        mailboxes: get(row, "mailboxes")?,
        sent_mailboxes: get(row, "sent_mailboxes")?,
        recipient_from_to_cc: get(row, "recipient_from_to_cc")?,
        enabled: get(row, "enabled")?,
    })
}

/// A path as it is stored; one that is not UTF-8 could not be read back.
fn path(what: &'static str, path: &std::path::Path) -> Result<String> {
    path.to_str().filter(|path| !path.contains('\0')).map(str::to_owned).ok_or_else(|| Error::Invalid {
        what,
        value: path.display().to_string(),
        problem: "must be UTF-8",
    })
}

impl Store {
    /// Adds an account.
    ///
    /// # Errors
    /// [`Error::Taken`] where the name is in use, [`Error::Unknown`] without such a tenant, [`Error::Invalid`] for a
    /// password given as such and for a folder that is to be both.
    pub async fn add_account(&self, account: NewAccount) -> Result<AccountId> {
        let (file, env) = match &account.password {
            SecretSource::File(file) => (Some(path("password file", file)?), None),
            SecretSource::Env(name) => (None, Some(text::clean(name).into_owned())),
            SecretSource::Value(_) => {
                let problem = "passwords are not stored: name a file or an environment variable";
                return Err(Error::Invalid { what: "password", value: "[redacted]".to_owned(), problem });
            }
        };
        let ca_file = account.ca_file.as_deref().map(|file| path("CA file", file)).transpose()?;
        let mut mailboxes: Vec<String> =
            account.mailboxes.iter().map(|name| text::clean(name).into_owned()).collect();
        if mailboxes.is_empty() {
            mailboxes.push("INBOX".to_owned());
        }
        let sent: Vec<String> =
            account.sent_mailboxes.iter().map(|name| text::clean(name).into_owned()).collect();
        if let Some(both) = sent.iter().find(|name| mailboxes.contains(name)) {
            let problem = "a folder holds either what came in or what was sent";
            return Err(Error::Invalid { what: "Sent folder", value: both.clone(), problem });
        }
        let id = AccountId(Uuid::now_v7());
        let tenant = account.tenant.map(|tenant| tenant.0);
        let added = self
            .maintain(
                "adding an account",
                "INSERT INTO mailfleet.email_accounts (id, tenant_id, name, host, port, tls, username, password_file, \
                 password_env, ca_file, mailboxes, sent_mailboxes, recipient_from_to_cc) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (name) DO NOTHING",
                &[
                    &id.0,
                    &tenant,
                    &text::clean(&account.name),
                    &text::clean(&account.host),
                    &i32::from(account.port),
                    &account.tls.as_str(),
                    &text::clean(&account.username),
                    &file,
                    &env,
                    &ca_file,
                    &mailboxes,
                    &sent,
                    &account.recipient_from_to_cc,
                ],
            )
            .await;
        match (added, account.tenant) {
            (Ok(0), _) => Err(Error::Taken { what: "account", name: account.name, owner: None }),
            (Ok(_), _) => Ok(id),
            // foreign_key_violation: the only reference is the tenant's.
            (Err(error), Some(tenant)) if error.code() == Some("23503") => {
                Err(Error::Unknown { what: "tenant", name: tenant.to_string() })
            }
            (Err(error), _) => Err(error),
        }
    }

    /// All accounts, or the enabled ones alone, by name.
    pub async fn accounts(&self, enabled_only: bool) -> Result<Vec<Account>> {
        let sql =
            format!("SELECT {COLUMNS} FROM mailfleet.email_accounts WHERE enabled OR NOT $1 ORDER BY name");
        let rows = self.session().await?.query("listing accounts", &sql, &[&enabled_only]).await?;
        rows.iter().map(account).collect()
    }

    /// The account of this name.
    pub async fn account_by_name(&self, name: &str) -> Result<Option<Account>> {
        let sql = format!("SELECT {COLUMNS} FROM mailfleet.email_accounts WHERE name = $1");
        let row =
            self.session().await?.query_opt("looking up an account", &sql, &[&text::clean(name)]).await?;
        row.as_ref().map(account).transpose()
    }

    /// Starts or stops the watching of an account; false where there is no such account.
    pub async fn set_account_enabled(&self, id: AccountId, enabled: bool) -> Result<bool> {
        const SQL: &str = "UPDATE mailfleet.email_accounts SET enabled = $2, updated = now() WHERE id = $1";
        let touched = self.maintain("switching an account", SQL, &[&id.0, &enabled]).await?;
        Ok(touched > 0)
    }
}
