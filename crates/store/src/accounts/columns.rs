//! The settings of an account as PostgreSQL has them, and what must not be stored.

use mailfleet_model::SecretSource;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::NewAccount;
use crate::error::{Error, Result};
use crate::text;

/// A path as it is stored; one that is not UTF-8 could not be read back.
fn path(what: &'static str, path: &std::path::Path) -> Result<String> {
    path.to_str().filter(|path| !path.contains('\0')).map(str::to_owned).ok_or_else(|| Error::Invalid {
        what,
        value: path.display().to_string(),
        problem: "must be UTF-8",
    })
}

/// The settings of an account as they are stored: what can be changed later.
pub(super) struct Columns {
    host: String,
    port: i32,
    tls: &'static str,
    username: String,
    password_file: Option<String>,
    password_env: Option<String>,
    ca_file: Option<String>,
    mailboxes: Vec<String>,
    sent_mailboxes: Vec<String>,
    recipient_from_to_cc: bool,
}

impl Columns {
    /// Refuses what must not be stored, whether the account is new or changed.
    pub(super) fn of(account: &NewAccount) -> Result<Self> {
        let (password_file, password_env) = match &account.password {
            SecretSource::File(file) => (Some(path("password file", file)?), None),
            SecretSource::Env(name) => (None, Some(text::clean(name).into_owned())),
            SecretSource::Value(_) => {
                let problem = "passwords are not stored: name a file or an environment variable";
                return Err(Error::Invalid { what: "password", value: "[redacted]".to_owned(), problem });
            }
        };
        let clean =
            |names: &[String]| names.iter().map(|name| text::clean(name).into_owned()).collect::<Vec<_>>();
        let mut mailboxes = clean(&account.mailboxes);
        if mailboxes.is_empty() {
            mailboxes.push("INBOX".to_owned());
        }
        let sent_mailboxes = clean(&account.sent_mailboxes);
        if let Some(both) = sent_mailboxes.iter().find(|name| mailboxes.contains(name)) {
            let problem = "a folder holds either what came in or what was sent";
            return Err(Error::Invalid { what: "Sent folder", value: both.clone(), problem });
        }
        Ok(Self {
            host: text::clean(&account.host).into_owned(),
            port: i32::from(account.port),
            tls: account.tls.as_str(),
            username: text::clean(&account.username).into_owned(),
            password_file,
            password_env,
            ca_file: account.ca_file.as_deref().map(|file| path("CA file", file)).transpose()?,
            mailboxes,
            sent_mailboxes,
            recipient_from_to_cc: account.recipient_from_to_cc,
        })
    }

    /// The parameters `$2` to `$11`, after the account's id.
    pub(super) fn params<'a>(&'a self, id: &'a Uuid) -> Vec<&'a (dyn ToSql + Sync)> {
        vec![
            id,
            &self.host,
            &self.port,
            &self.tls,
            &self.username,
            &self.password_file,
            &self.password_env,
            &self.ca_file,
            &self.mailboxes,
            &self.sent_mailboxes,
            &self.recipient_from_to_cc,
        ]
    }
}
