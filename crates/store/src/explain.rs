//! What became of a mail: everything known of a job, a Message-ID or a key; and of a webhook call.

mod call;

use chrono::{DateTime, Utc};
use mailfleet_model::{
    AccountId, JobId, LedgerOutcome, MailRef, MailboxId, StorageKey, TenantId, Uid, UidValidity,
    lookup_message_id,
};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::dead::DeadLetter;
use crate::delivery::Delivery;
use crate::error::{Error, Result};
use crate::ledger::policy_name;
use crate::rows::{self, count, get};
use crate::store::Store;

pub use call::{CallEvent, ExplainedCall};

/// Most mails one question returns.
const MAX_MAILS: i64 = 100;
/// Most ledger rows one question returns.
const MAX_LEDGER: i64 = 1_000;
/// The hex digits at the end of a key.
const HASH_DIGITS: usize = 32;

/// What the keys of mails without a Message-ID begin with.
const NO_MESSAGE_ID: &str = "email_none_";
/// Tells the mails whose Message-ID is the word that stands for having none from those that have none: by the header,
/// which is text, or an array where it is repeated.
const HEADER_IS_NONE: &str = "EXISTS (SELECT 1 FROM jsonb_array_elements_text( \
     CASE jsonb_typeof(c.headers->'message-id') WHEN 'array' THEN c.headers->'message-id' \
     WHEN 'string' THEN jsonb_build_array(c.headers->'message-id') ELSE '[]' END) AS h(id) \
     WHERE btrim(h.id, E' \\t\\r\\n<>') = 'none')";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Explain {
    /// The mail of this job; of a job of events its dead letter, for the rest there is [`Store::explain_call`].
    Job(JobId),
    /// All mails with this Message-ID, with or without its brackets.
    MessageId(String),
    /// The mail under this key.
    Key(StorageKey),
}

/// What is known of one mail.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// What stands in the hierarchy; `None` where it is not persisted.
    pub mail: Option<ExplainedMail>,
    /// Where it was met and what the ledger says, oldest first.
    pub ledger: Vec<LedgerEntry>,
    /// Its dead letter, without the raw mail.
    pub dead_letter: Option<DeadLetter>,
    /// How its delivery stands, for a message that we sent.
    pub delivery: Delivery,
}

/// What stands in the hierarchy.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainedMail {
    /// Key of all three tables.
    pub key: StorageKey,
    /// Whose mail it is.
    pub tenant: TenantId,
    /// The account it came to or left from.
    pub account: Option<AccountId>,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// `email`, `bounce`, `auto_reply`…
    pub message_type: String,
    /// `received`, or how far an outbound mail got.
    pub status: String,
    /// Sender's address.
    pub from: String,
    /// Recipients' addresses, joined by commas.
    pub to: String,
    /// Subject.
    pub subject: String,
    /// Number of attachments.
    pub attachments: u64,
    /// Size of the mail as fetched, in bytes.
    pub raw_size_bytes: Option<u64>,
    /// When it came.
    pub created: Option<DateTime<Utc>>,
    /// When it was stored.
    pub processed: Option<DateTime<Utc>>,
}

/// One place where a mail was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The job of this place.
    pub job: JobId,
    /// The account's name.
    pub account_name: String,
    /// The mailbox.
    pub mailbox: MailboxId,
    /// The mailbox's name.
    pub mailbox_name: String,
    /// The epoch of the UID.
    pub uidvalidity: UidValidity,
    /// The message's number.
    pub uid: Uid,
    /// What became of it.
    pub outcome: LedgerOutcome,
    /// The policy that skipped it, such as `vanished`.
    pub policy: Option<&'static str>,
    /// When that was recorded.
    pub recorded: DateTime<Utc>,
    key_hash: Option<Uuid>,
}

/// The hash at the end of a key, as the ledger keeps it; `None` for a key that was not made by mailfleet.
pub(crate) fn key_hash(key: &StorageKey) -> Option<Uuid> {
    let text = key.as_str();
    let digits = text.get(text.len().checked_sub(HASH_DIGITS)?..)?;
    // from_str_radix would also take a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(digits, 16).ok().map(Uuid::from_u128)
}

/// What all keys of a Message-ID begin with: the model's own spelling of one, without its hash.
fn key_prefix(message_id: &str) -> String {
    let id = message_id.trim().trim_start_matches('<').trim_end_matches('>');
    let mut key = StorageKey::outbound(id, TenantId(Uuid::nil())).as_str().to_owned();
    key.truncate(key.len().saturating_sub(HASH_DIGITS));
    key
}

impl Store {
    /// Everything known of what is asked for; empty where nothing is, and for an empty Message-ID.
    pub async fn explain(&self, what: &Explain) -> Result<Vec<Explained>> {
        match what {
            Explain::Job(job) => self.explain_job(job).await,
            Explain::Key(key) => {
                let mails = self.mails("m.storage_key = $1::text", &[&key.as_str()]).await?;
                self.with_ledger(mails, Vec::new()).await
            }
            Explain::MessageId(id) if lookup_message_id(id).is_none() => Ok(Vec::new()),
            Explain::MessageId(id) => {
                let prefix = key_prefix(id);
                // In collation C the keys with a prefix are a range of the index: up to the byte after its last, `_`.
                let end = format!("{}`", prefix.trim_end_matches('_'));
                let length = i32::try_from(prefix.chars().count() + HASH_DIGITS).unwrap_or(i32::MAX);
                let condition = "m.storage_key COLLATE \"C\" >= $1::text AND m.storage_key COLLATE \"C\" < $2::text \
                     AND starts_with(m.storage_key::text, $1::text) AND length(m.storage_key) = $3::integer";
                let mails = if prefix == NO_MESSAGE_ID {
                    let condition = format!("{condition} AND {HEADER_IS_NONE}");
                    self.mails(&condition, &[&prefix, &end, &length]).await?
                } else {
                    self.mails(condition, &[&prefix, &end, &length]).await?
                };
                self.with_ledger(mails, self.dead_letters_by_message_id(id).await?).await
            }
        }
    }

    async fn explain_job(&self, job: &JobId) -> Result<Vec<Explained>> {
        let mut letter = self.dead_letter_by_job(job).await?;
        if let Some(letter) = &mut letter {
            letter.raw = None;
        }
        let here = match job.mail_ref() {
            Some(at) => self.ledger_at(&at).await?,
            None => Vec::new(),
        };
        let Some(hash) = here.iter().find_map(|entry| entry.key_hash) else {
            if here.is_empty() && letter.is_none() {
                return Ok(Vec::new());
            }
            return Ok(vec![Explained {
                mail: None,
                ledger: here,
                dead_letter: letter,
                delivery: Delivery::default(),
            }]);
        };
        let digits = hash.simple().to_string();
        let mails = self.mails("right(m.storage_key, 32) = $1::text", &[&digits]).await?;
        self.with_ledger(mails, letter.into_iter().collect()).await
    }

    async fn mails(&self, condition: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<ExplainedMail>> {
        let tables = self.tables();
        let sql = format!(
            "SELECT m.storage_key::text, m.tenant_id, m.email_account_id, m.direction::text, m.message_type::text, \
             m.status::text, m.from_email::text, m.to_email::text, m.subject::text, m.created, m.processed, \
             c.raw_size_bytes::bigint, \
             (SELECT count(*) FROM {} a WHERE a.parent_storage_key = m.storage_key) AS attachments \
             FROM {} m LEFT JOIN {} c ON c.storage_key = m.storage_key WHERE {condition} \
             ORDER BY m.created, m.storage_key LIMIT {MAX_MAILS}",
            tables.attachments, tables.messages, tables.content
        );
        let rows = self.survey("explaining a mail", &sql, params).await?;
        rows.iter().map(mail).collect()
    }

    async fn ledger_at(&self, at: &MailRef) -> Result<Vec<LedgerEntry>> {
        let params: [&(dyn ToSql + Sync); 3] = [&at.mailbox.0, &at.uidvalidity.get(), &at.uid.get()];
        self.ledger("l.mailbox_id = $1 AND l.uidvalidity = $2 AND l.uid = $3", &params).await
    }

    async fn ledger(&self, condition: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<LedgerEntry>> {
        let sql = format!(
            "SELECT l.mailbox_id, l.uidvalidity, l.uid, l.outcome, l.policy, l.key_hash, l.recorded, \
             b.name AS mailbox_name, a.id AS account_id, a.name AS account_name \
             FROM mailfleet.mailbox_messages l JOIN mailfleet.mailboxes b ON b.id = l.mailbox_id \
             JOIN mailfleet.email_accounts a ON a.id = b.account_id WHERE {condition} \
             ORDER BY l.recorded, l.mailbox_id, l.uidvalidity, l.uid LIMIT {MAX_LEDGER}"
        );
        let rows = self.survey("reading the ledger", &sql, params).await?;
        rows.iter().map(entry).collect()
    }

    /// Joins mails with their ledger rows and with the letters of the same places; letters of no mail stand alone.
    async fn with_ledger(
        &self,
        mails: Vec<ExplainedMail>,
        letters: Vec<DeadLetter>,
    ) -> Result<Vec<Explained>> {
        let hashes: Vec<Uuid> = mails.iter().filter_map(|mail| key_hash(&mail.key)).collect();
        let mut ledger = if hashes.is_empty() {
            Vec::new()
        } else {
            self.ledger("l.key_hash = ANY($1)", &[&hashes]).await?
        };
        let keys: Vec<&StorageKey> = mails.iter().map(|mail| &mail.key).collect();
        let mut deliveries = self.deliveries(&keys).await?;
        let mut letters = letters;
        let mut explained = Vec::with_capacity(mails.len() + letters.len());
        for mail in mails {
            let hash = key_hash(&mail.key);
            let (own, rest): (Vec<_>, Vec<_>) = ledger.into_iter().partition(|entry| entry.key_hash == hash);
            ledger = rest;
            let letter = letters.iter().position(|letter| own.iter().any(|entry| entry.job == letter.job));
            let dead_letter = letter.map(|index| letters.swap_remove(index));
            let delivery = deliveries.remove(&mail.key).unwrap_or_default();
            explained.push(Explained { mail: Some(mail), ledger: own, dead_letter, delivery });
        }
        for letter in letters {
            let ledger = match letter.at {
                Some(at) => self.ledger_at(&at).await?,
                None => Vec::new(),
            };
            let delivery = Delivery::default();
            explained.push(Explained { mail: None, ledger, dead_letter: Some(letter), delivery });
        }
        Ok(explained)
    }
}

fn mail(row: &Row) -> Result<ExplainedMail> {
    let text = |column| get::<Option<String>>(row, column).map(Option::unwrap_or_default);
    Ok(ExplainedMail {
        key: StorageKey::from_stored(get(row, "storage_key")?),
        tenant: TenantId(get(row, "tenant_id")?),
        account: get::<Option<Uuid>>(row, "email_account_id")?.map(AccountId),
        direction: text("direction")?,
        message_type: text("message_type")?,
        status: text("status")?,
        from: text("from_email")?,
        to: text("to_email")?,
        subject: text("subject")?,
        attachments: count(row, "attachments")?,
        raw_size_bytes: get::<Option<i64>>(row, "raw_size_bytes")?.and_then(|size| u64::try_from(size).ok()),
        created: get(row, "created")?,
        processed: get(row, "processed")?,
    })
}

fn entry(row: &Row) -> Result<LedgerEntry> {
    let code: i16 = get(row, "outcome")?;
    let outcome = LedgerOutcome::from_code(code)
        .map_err(|_| Error::Unreadable { place: "mailbox_messages.outcome", value: code.to_string() })?;
    let (mailbox, uidvalidity, uid) = (
        MailboxId(get(row, "mailbox_id")?),
        rows::uidvalidity(get(row, "uidvalidity")?)?,
        rows::uid(get(row, "uid")?)?,
    );
    let account = AccountId(get::<Uuid>(row, "account_id")?);
    Ok(LedgerEntry {
        job: JobId::mail(&MailRef { account, mailbox, uidvalidity, uid }),
        account_name: get(row, "account_name")?,
        mailbox,
        mailbox_name: get(row, "mailbox_name")?,
        uidvalidity,
        uid,
        outcome,
        policy: get::<Option<i16>>(row, "policy")?.map(policy_name),
        recorded: get(row, "recorded")?,
        key_hash: get(row, "key_hash")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_and_the_prefix_of_a_key_are_found_again() {
        let key = StorageKey::inbound(Some("a_b@c"), AccountId(Uuid::nil()), b"mail");
        let hash = key_hash(&key).unwrap();
        assert!(key.as_str().ends_with(&hash.simple().to_string()));
        assert_eq!(format!("{}{}", key_prefix("<a_b@c>"), hash.simple()), key.as_str());
        assert_eq!(key_hash(&StorageKey::from_stored("somebody-else's-key".to_owned())), None);
        assert_eq!(key_hash(&StorageKey::from_stored("+".repeat(32))), None);
    }
}
