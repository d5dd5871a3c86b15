//! The recipients of our messages and how delivery to each stands. Whoever writes here holds the match lock of the
//! message, so that reading and writing in two statements is safe.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use mailfleet_model::{RecipientStatus, StorageKey, TenantId};
use uuid::Uuid;

use crate::error::Result;
use crate::rows::get;
use crate::session::Session;
use crate::store::Store;

/// Longest address kept, in characters (RFC 5321 §4.5.3.1: 64 and 255, and the `@`).
pub(crate) const RECIPIENT_MAX_CHARS: usize = 320;

/// A recipient of a message.
pub(crate) type Recipient = (StorageKey, String);

/// What raises a recipient: the event's rank and its details. Ordered so that the greatest is the one to keep: the higher
/// rank; of one rank what happened first; of one moment the first by its details, so that the end never depends on the
/// order of arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raise {
    pub(crate) rank: i16,
    pub(crate) happened: DateTime<Utc>,
    pub(crate) enhanced_status: Option<String>,
    pub(crate) smtp_code: Option<i32>,
    pub(crate) diagnostic: Option<String>,
    pub(crate) reason: Option<String>,
}

impl Raise {
    /// The same comparison as in [`RAISE`].
    fn outdoes(&self, other: &Self) -> bool {
        fn details(raise: &Raise) -> (DateTime<Utc>, &str, i32, &str, &str) {
            (
                raise.happened,
                raise.enhanced_status.as_deref().unwrap_or_default(),
                raise.smtp_code.unwrap_or_default(),
                raise.diagnostic.as_deref().unwrap_or_default(),
                raise.reason.as_deref().unwrap_or_default(),
            )
        }
        self.rank > other.rank || (self.rank == other.rank && details(self) < details(other))
    }

    /// The one to keep of all that happened to each recipient.
    pub(crate) fn best(of: impl IntoIterator<Item = (Recipient, Self)>) -> BTreeMap<Recipient, Self> {
        let mut best: BTreeMap<Recipient, Self> = BTreeMap::new();
        for (recipient, raise) in of {
            match best.get_mut(&recipient) {
                Some(known) if !raise.outdoes(known) => {}
                Some(known) => *known = raise,
                None => drop(best.insert(recipient, raise)),
            }
        }
        best
    }
}

/// Which of these keys are outbound messages that are there.
pub(crate) async fn outbound(
    session: &mut Session,
    store: &Store,
    keys: &BTreeSet<&StorageKey>,
) -> Result<HashSet<StorageKey>> {
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = format!(
        "SELECT storage_key::text AS storage_key FROM {} WHERE storage_key = ANY($1::text[]) AND direction = 'outbound'",
        store.tables().messages
    );
    let keys: Vec<&str> = keys.iter().map(|key| key.as_str()).collect();
    let rows = session.query("looking up outbound messages", &sql, &[&keys]).await?;
    rows.iter().map(|row| Ok(StorageKey::from_stored(get(row, "storage_key")?))).collect()
}

/// Adds recipients, queued, where they are not known; returns those that are new.
pub(crate) async fn create(
    session: &mut Session,
    recipients: &BTreeMap<Recipient, TenantId>,
) -> Result<Vec<Recipient>> {
    const SQL: &str = "INSERT INTO mailfleet.message_recipients (storage_key, recipient, tenant_id, status) \
         SELECT k, a, t, $4 FROM unnest($1::text[], $2::text[], $3::uuid[]) AS r(k, a, t) \
         ON CONFLICT (storage_key, recipient) DO NOTHING RETURNING storage_key, recipient";
    if recipients.is_empty() {
        return Ok(Vec::new());
    }
    let (keys, addresses) = columns(recipients.keys());
    let tenants: Vec<Uuid> = recipients.values().map(|tenant| tenant.0).collect();
    let queued = RecipientStatus::Queued.rank();
    let rows = session.query("adding recipients", SQL, &[&keys, &addresses, &tenants, &queued]).await?;
    rows.iter().map(read).collect()
}

/// Which of these are recipients of their message.
pub(crate) async fn known(
    session: &mut Session,
    recipients: &BTreeSet<Recipient>,
) -> Result<HashSet<Recipient>> {
    const SQL: &str = "SELECT m.storage_key, m.recipient FROM mailfleet.message_recipients m \
         JOIN unnest($1::text[], $2::text[]) AS r(k, a) ON m.storage_key = r.k AND m.recipient = r.a";
    if recipients.is_empty() {
        return Ok(HashSet::new());
    }
    let (keys, addresses) = columns(recipients);
    let rows = session.query("looking up recipients", SQL, &[&keys, &addresses]).await?;
    rows.iter().map(read).collect()
}

const RAISE: &str = "UPDATE mailfleet.message_recipients AS m SET status = r.s, enhanced_status = r.e, smtp_code = r.c, \
     diagnostic = r.d, reason = r.w, changed = r.h, updated = now() \
     FROM unnest($1::text[], $2::text[], $3::smallint[], $4::text[], $5::integer[], $6::text[], $7::text[], \
     $8::timestamptz[]) AS r(k, a, s, e, c, d, w, h) \
     WHERE m.storage_key = r.k AND m.recipient = r.a AND (r.s > m.status OR (r.s = m.status AND (m.changed IS NULL OR \
     (r.h, COALESCE(r.e, '') COLLATE \"C\", COALESCE(r.c, 0), COALESCE(r.d, '') COLLATE \"C\", \
     COALESCE(r.w, '') COLLATE \"C\") < (m.changed, COALESCE(m.enhanced_status, '') COLLATE \"C\", \
     COALESCE(m.smtp_code, 0), COALESCE(m.diagnostic, '') COLLATE \"C\", COALESCE(m.reason, '') COLLATE \"C\"))))";

/// Raises recipients; who is further already stays there.
pub(crate) async fn raise(session: &mut Session, raises: &BTreeMap<Recipient, Raise>) -> Result<()> {
    if raises.is_empty() {
        return Ok(());
    }
    let (keys, addresses) = columns(raises.keys());
    let ranks: Vec<i16> = raises.values().map(|raise| raise.rank).collect();
    let enhanced: Vec<Option<&str>> = raises.values().map(|raise| raise.enhanced_status.as_deref()).collect();
    let codes: Vec<Option<i32>> = raises.values().map(|raise| raise.smtp_code).collect();
    let diagnostics: Vec<Option<&str>> = raises.values().map(|raise| raise.diagnostic.as_deref()).collect();
    let reasons: Vec<Option<&str>> = raises.values().map(|raise| raise.reason.as_deref()).collect();
    let times: Vec<DateTime<Utc>> = raises.values().map(|raise| raise.happened).collect();
    session
        .execute(
            "raising recipients",
            RAISE,
            &[&keys, &addresses, &ranks, &enhanced, &codes, &diagnostics, &reasons, &times],
        )
        .await
        .map(|_| ())
}

/// All recipients of these messages are with the sending server, if not further.
pub(crate) async fn at_least_sent(session: &mut Session, keys: &[&str]) -> Result<()> {
    // No event did it, so `changed` and the details stay as they are.
    const SQL: &str = "UPDATE mailfleet.message_recipients SET status = $2, updated = now() \
         WHERE storage_key = ANY($1::text[]) AND status < $2";
    if keys.is_empty() {
        return Ok(());
    }
    session.execute("raising recipients", SQL, &[&keys, &RecipientStatus::Sent.rank()]).await.map(|_| ())
}

/// Sets `email_messages.status` to the worst of the recipients. The order of badness is the model's: it travels as two
/// arrays, from a recipient's rank to its badness, and from there to the word.
pub(crate) async fn roll_up(session: &mut Session, store: &Store, keys: &BTreeSet<&str>) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "WITH worst AS (SELECT r.storage_key, ($3::text[])[max(($2::smallint[])[r.status + 1]) + 1] AS word \
         FROM mailfleet.message_recipients r WHERE r.storage_key = ANY($1::text[]) GROUP BY r.storage_key) \
         UPDATE {} AS m SET status = worst.word, updated = now() FROM worst \
         WHERE m.storage_key = worst.storage_key AND m.direction = 'outbound' AND m.status IS DISTINCT FROM worst.word",
        store.tables().messages
    );
    let keys: Vec<&str> = keys.iter().copied().collect();
    let badness: Vec<i16> = RecipientStatus::ALL.iter().map(|status| status.badness()).collect();
    let mut by_badness = RecipientStatus::ALL;
    by_badness.sort_by_key(|status| status.badness());
    let words: Vec<&str> = by_badness.iter().map(|status| status.as_str()).collect();
    session.execute("rolling statuses up", &sql, &[&keys, &badness, &words]).await.map(|_| ())
}

fn columns<'a>(of: impl IntoIterator<Item = &'a Recipient>) -> (Vec<&'a str>, Vec<&'a str>) {
    of.into_iter().map(|(key, recipient)| (key.as_str(), recipient.as_str())).unzip()
}

fn read(row: &tokio_postgres::Row) -> Result<Recipient> {
    Ok((StorageKey::from_stored(get(row, "storage_key")?), get(row, "recipient")?))
}
