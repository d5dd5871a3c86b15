//! Mailboxes and the producer's cursor in each.

use mailfleet_model::{AccountId, MailboxId, Uid, UidValidity};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::rows::{self, get};
use crate::store::Store;
use crate::text;

/// One folder of one account, with the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// Its number.
    pub id: MailboxId,
    /// The account it is a folder of.
    pub account: AccountId,
    /// The folder's name, decoded.
    pub name: String,
    /// The epoch that `last_uid` belongs to; `None` before the first contact.
    pub uidvalidity: Option<UidValidity>,
    /// The greatest UID whose enqueue was confirmed; 0 for none.
    pub last_uid: u32,
    /// UIDs below this stood there at first contact.
    pub backfill_below: u32,
}

const COLUMNS: &str = "id, account_id, name, uidvalidity, last_uid, backfill_below";

fn mailbox(row: &Row) -> Result<Mailbox> {
    Ok(Mailbox {
        id: MailboxId(get(row, "id")?),
        account: AccountId(get::<Uuid>(row, "account_id")?),
        name: get(row, "name")?,
        uidvalidity: get::<Option<u32>>(row, "uidvalidity")?.map(rows::uidvalidity).transpose()?,
        last_uid: get(row, "last_uid")?,
        backfill_below: get(row, "backfill_below")?,
    })
}

impl Store {
    /// The mailbox of this name, made where it is new.
    ///
    /// # Errors
    /// [`Error::Unknown`] without such an account, [`Error::Invalid`] for a name that is empty or longer than 1000 bytes.
    pub async fn mailbox(&self, account: AccountId, name: &str) -> Result<Mailbox> {
        let clean = text::clean(name);
        if clean.is_empty() || clean.len() > 1000 {
            let problem = "must have 1 to 1000 bytes";
            return Err(Error::Invalid {
                what: "mailbox name",
                value: text::cut(name, 100).into_owned(),
                problem,
            });
        }
        let find = format!("SELECT {COLUMNS} FROM mailfleet.mailboxes WHERE account_id = $1 AND name = $2");
        let mut session = self.session().await?;
        if let Some(row) = session.query_opt("looking up a mailbox", &find, &[&account.0, &clean]).await? {
            return mailbox(&row);
        }
        let made = session
            .execute(
                "adding a mailbox",
                "INSERT INTO mailfleet.mailboxes (account_id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                &[&account.0, &clean],
            )
            .await;
        match made {
            Err(error) if error.code() == Some("23503") => {
                return Err(Error::Unknown { what: "account", name: account.to_string() });
            }
            made => made?,
        };
        // Made by us or, between the two statements, by another: it stands now.
        mailbox(&session.query_one("looking up a mailbox", &find, &[&account.0, &clean]).await?)
    }

    /// All mailboxes of an account, by name.
    pub async fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>> {
        let sql = format!("SELECT {COLUMNS} FROM mailfleet.mailboxes WHERE account_id = $1 ORDER BY name");
        let rows = self.session().await?.query("listing mailboxes", &sql, &[&account.0]).await?;
        rows.iter().map(mailbox).collect()
    }

    /// First contact, or a change of UIDVALIDITY: the cursor starts anew in this epoch. Where the mailbox is in this epoch
    /// already nothing changes, so that a repetition never sets the cursor back.
    pub async fn begin_epoch(
        &self,
        id: MailboxId,
        epoch: UidValidity,
        backfill_below: u32,
    ) -> Result<Mailbox> {
        let begin = format!(
            "UPDATE mailfleet.mailboxes SET uidvalidity = $2, last_uid = 0, backfill_below = $3, updated = now() \
             WHERE id = $1 AND uidvalidity IS DISTINCT FROM $2 RETURNING {COLUMNS}"
        );
        let find = format!("SELECT {COLUMNS} FROM mailfleet.mailboxes WHERE id = $1");
        let mut session = self.session().await?;
        if let Some(row) =
            session.query_opt("beginning an epoch", &begin, &[&id.0, &epoch.get(), &backfill_below]).await?
        {
            return mailbox(&row);
        }
        match session.query_opt("looking up a mailbox", &find, &[&id.0]).await? {
            Some(row) => mailbox(&row),
            None => Err(Error::Unknown { what: "mailbox", name: id.to_string() }),
        }
    }

    /// Moves the cursor up, within its epoch alone; false where it stood as high already or the epoch is another.
    pub async fn advance_cursor(&self, id: MailboxId, epoch: UidValidity, last_uid: Uid) -> Result<bool> {
        const SQL: &str = "UPDATE mailfleet.mailboxes SET last_uid = $3, updated = now() \
             WHERE id = $1 AND uidvalidity = $2 AND last_uid < $3";
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&id.0, &epoch.get(), &last_uid.get()];
        Ok(self.session().await?.execute("advancing a cursor", SQL, &params).await? > 0)
    }
}
