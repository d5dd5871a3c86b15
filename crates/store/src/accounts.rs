//! The IMAP accounts that are watched.

mod columns;

use std::path::PathBuf;

use mailfleet_model::{AccountId, Direction, SecretSource, TenantId, TlsMode};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use columns::Columns;

use crate::error::{Error, Result};
use crate::rows::{get, tls_mode};
use crate::session::Session;
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

impl From<Account> for NewAccount {
    fn from(account: Account) -> Self {
        Self {
            tenant: account.tenant,
            name: account.name,
            host: account.host,
            port: account.port,
            tls: account.tls,
            username: account.username,
            password: account.password,
            ca_file: account.ca_file,
            mailboxes: account.mailboxes,
            sent_mailboxes: account.sent_mailboxes,
            recipient_from_to_cc: account.recipient_from_to_cc,
        }
    }
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

async fn rewrite(
    session: &mut Session,
    id: AccountId,
    change: impl FnOnce(&mut NewAccount),
) -> Result<Option<(Account, Account)>> {
    let read = format!("SELECT {COLUMNS} FROM mailfleet.email_accounts WHERE id = $1 FOR UPDATE");
    let write = format!(
        "UPDATE mailfleet.email_accounts SET host = $2, port = $3, tls = $4, username = $5, password_file = $6, \
         password_env = $7, ca_file = $8, mailboxes = $9, sent_mailboxes = $10, recipient_from_to_cc = $11, \
         updated = now() WHERE id = $1 RETURNING {COLUMNS}"
    );
    let Some(row) = session.query_opt("reading an account", &read, &[&id.0]).await? else { return Ok(None) };
    let before = account(&row)?;
    let mut settings = NewAccount::from(before.clone());
    change(&mut settings);
    let columns = Columns::of(&settings)?;
    let after = account(&session.query_one("changing an account", &write, &columns.params(&id.0)).await?)?;
    Ok(Some((before, after)))
}

impl Store {
    /// Adds an account.
    ///
    /// # Errors
    /// [`Error::Taken`] where the name is in use, [`Error::Unknown`] without such a tenant, [`Error::Invalid`] for a
    /// password given as such and for a folder that is to be both.
    pub async fn add_account(&self, account: NewAccount) -> Result<AccountId> {
        const SQL: &str = "INSERT INTO mailfleet.email_accounts (id, host, port, tls, username, password_file, \
             password_env, ca_file, mailboxes, sent_mailboxes, recipient_from_to_cc, tenant_id, name) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (name) DO NOTHING";
        let columns = Columns::of(&account)?;
        let id = AccountId(Uuid::now_v7());
        let (tenant, name) = (account.tenant.map(|tenant| tenant.0), text::clean(&account.name));
        let mut params = columns.params(&id.0);
        params.extend([&tenant as &(dyn ToSql + Sync), &name]);
        match (self.maintain("adding an account", SQL, &params).await, account.tenant) {
            (Ok(0), _) => Err(Error::Taken { what: "account", name: account.name, owner: None }),
            (Ok(_), _) => Ok(id),
            // foreign_key_violation: the only reference is the tenant's.
            (Err(error), Some(tenant)) if error.code() == Some("23503") => {
                Err(Error::Unknown { what: "tenant", name: tenant.to_string() })
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Changes the settings of an account: `change` gets them as they stand, and nobody else changes them meanwhile. Name
    /// and tenant stay as they are, whatever it makes of them. Returns the account before and after; `None` where there is
    /// no such account. A running producer notices it as it notices a new one.
    ///
    /// # Errors
    /// [`Error::Invalid`] as [`add_account`](Self::add_account); nothing is changed then.
    pub async fn change_account(
        &self,
        id: AccountId,
        change: impl FnOnce(&mut NewAccount),
    ) -> Result<Option<(Account, Account)>> {
        let mut session = self.session().await?;
        session.begin_maintenance().await?;
        let changed = rewrite(&mut session, id, change).await;
        session.end(changed).await
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
