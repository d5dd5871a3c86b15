//! The persist transaction.
//!
//! Locks are taken in one order by everybody (ledger rows by mailbox, epoch and UID; the match locks; then keys), so that
//! two writers with the same mails wait for each other and do not deadlock. The ledger row is the gate: `ON CONFLICT DO UPDATE … WHERE`
//! returns it only where it is new or raised, and locks it either way, so a second run of the same job waits here until
//! the first has committed, and then sees that there is nothing to do.

use std::collections::{BTreeMap, HashMap, HashSet};

use mailfleet_model::{LedgerOutcome, MailRef, StorageKey};
use tokio_postgres::Row;
use uuid::Uuid;

use super::columns::{Ledger, hex};
use super::{MailRow, Persisted, effects, insert, outbound};
use crate::error::Result;
use crate::rows::get;
use crate::session::Session;
use crate::store::Store;

/// How the transaction ended.
pub(super) enum Written {
    /// Committed; one fate a row, in their order.
    Committed(Vec<Persisted>),
    /// Rolled back: these keys belong to other mails. Nothing was written.
    Conflicts(HashSet<StorageKey>),
}

/// Writes a batch that is sorted by key, in which rows of one key are the same mail.
pub(super) async fn write(store: &Store, rows: &[&MailRow]) -> Result<Written> {
    let mut session = store.session().await?;
    session.begin_for(&rows.iter().map(|row| row.tenant).collect()).await?;
    match run(store, &mut session, rows).await {
        Ok(Written::Committed(fates)) => {
            session.commit().await?;
            Ok(Written::Committed(fates))
        }
        Ok(conflicts) => {
            session.rollback().await?;
            Ok(conflicts)
        }
        Err(error) => {
            // The error is what counts; where this fails too the session throws the connection away.
            let _ = session.rollback().await;
            if error.code() != Some(REFUSED) {
                return Err(error);
            }
            let walled = walled(&mut session, rows).await?;
            if walled.is_empty() { Err(error) } else { Ok(Written::Conflicts(walled)) }
        }
    }
}

/// What the wall says to whoever would write over a row of another tenant (insufficient_privilege): and what the server
/// says where a right is missing.
const REFUSED: &str = "42501";

/// Of the mails, those under whose key `mailfleet.messages` has a row of another tenant: content that retention has removed,
/// of an account that has changed hands since. Such a row cannot be seen; but nothing can be put in its place either. Asked
/// in a transaction of its own, of which nothing stays.
async fn walled(session: &mut Session, rows: &[&MailRow]) -> Result<HashSet<StorageKey>> {
    const TRY: &str = "INSERT INTO mailfleet.messages (storage_key, tenant_id, direction, message_type, thread_id, created) \
         SELECT k, t, 'inbound', '', '', now() FROM unnest($1::text[], $2::uuid[]) AS r(k, t) ON CONFLICT DO NOTHING";
    const MISSING: &str = "SELECT r.n FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS r(k, t, n) \
         WHERE NOT EXISTS (SELECT 1 FROM mailfleet.messages m WHERE m.storage_key = r.k AND m.tenant_id = r.t)";
    let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
    let tenants: Vec<Uuid> = rows.iter().map(|row| row.tenant.0).collect();
    session.begin_for(&rows.iter().map(|row| row.tenant).collect()).await?;
    let missing = async {
        session.execute("trying keys", TRY, &[&keys, &tenants]).await?;
        session.query("comparing keys", MISSING, &[&keys, &tenants]).await
    }
    .await;
    session.rollback().await?;
    numbered(&missing?, rows)
}

/// The keys of the mails whose numbers, from 1, these rows hold in `n`.
fn numbered(numbers: &[Row], of: &[&MailRow]) -> Result<HashSet<StorageKey>> {
    let mut keys = HashSet::new();
    for row in numbers {
        let number: i64 = get(row, "n")?;
        let index = usize::try_from(number).unwrap_or(0).saturating_sub(1);
        keys.extend(of.get(index).map(|row| row.key.clone()));
    }
    Ok(keys)
}

async fn run(store: &Store, session: &mut Session, rows: &[&MailRow]) -> Result<Written> {
    let mut open = ledger(session, rows).await?;
    // The rows that passed the gate. The same message twice in one batch passes once.
    let passed: Vec<bool> = rows.iter().map(|row| open.remove(&position(&row.at))).collect();
    let mut first: HashMap<&StorageKey, usize> = HashMap::new();
    for (index, row) in rows.iter().enumerate().filter(|(index, _)| passed.get(*index) == Some(&true)) {
        first.entry(&row.key).or_insert(index);
    }
    let candidates: Vec<&MailRow> = rows
        .iter()
        .enumerate()
        .filter(|(i, row)| first.get(&row.key) == Some(i))
        .map(|(_, row)| *row)
        .collect();
    effects::lock(session, &candidates).await?;
    let inserted = insert::contents(store, session, &candidates).await?;
    let (new, known): (Vec<&MailRow>, Vec<&MailRow>) =
        candidates.iter().partition(|row| inserted.contains(row.key.as_str()));
    let filled = outbound::fill_contents(store, session, &known).await?;
    let (filled, known): (Vec<&MailRow>, Vec<&MailRow>) =
        known.into_iter().partition(|row| filled.contains(row.key.as_str()));
    let conflicts = foreign(store, session, &known).await?;
    if !conflicts.is_empty() {
        return Ok(Written::Conflicts(conflicts));
    }
    for second in known.iter().filter(|row| row.is_ours()) {
        tracing::debug!(job = %second.job, key = %second.key, "another copy of a message that we sent; the first one stays");
    }
    effects::write(store, session, &new, &filled).await?;
    resolve_letters(session, rows).await?;
    let written: HashSet<&str> = new.iter().chain(&filled).map(|row| row.key.as_str()).collect();
    let fates = rows.iter().enumerate().zip(passed).map(|((index, row), passed)| {
        if !passed {
            Persisted::AlreadyRecorded
        } else if first.get(&row.key) == Some(&index) && written.contains(row.key.as_str()) {
            Persisted::New
        } else {
            Persisted::Duplicate
        }
    });
    Ok(Written::Committed(fates.collect()))
}

type Position = (i32, u32, u32);

const fn position(at: &MailRef) -> Position {
    (at.mailbox.0, at.uidvalidity.get(), at.uid.get())
}

/// Writes the ledger rows; returns the positions that are persisted by this transaction and were not before.
async fn ledger(session: &mut Session, rows: &[&MailRow]) -> Result<HashSet<Position>> {
    const SQL: &str = "INSERT INTO mailfleet.mailbox_messages AS l (mailbox_id, uidvalidity, uid, outcome, key_hash) \
         SELECT m, v, u, $5::smallint, h FROM unnest($1::integer[], $2::oid[], $3::oid[], $4::uuid[]) AS r(m, v, u, h) \
         ON CONFLICT (mailbox_id, uidvalidity, uid) DO UPDATE SET outcome = excluded.outcome, policy = NULL, \
         key_hash = excluded.key_hash, recorded = excluded.recorded WHERE excluded.outcome > l.outcome \
         RETURNING mailbox_id, uidvalidity, uid";
    // By position, and each once: a statement must not meet its own rows.
    let sorted: BTreeMap<Position, &MailRow> =
        rows.iter().rev().map(|row| (position(&row.at), *row)).collect();
    let columns = Ledger::of(&sorted.into_values().collect::<Vec<_>>());
    let Ledger { mailboxes, epochs, uids, hashes } = &columns;
    let outcome = LedgerOutcome::Persisted.code();
    let returned =
        session.query("writing the ledger", SQL, &[mailboxes, epochs, uids, hashes, &outcome]).await?;
    returned
        .iter()
        .map(|row| Ok((get(row, "mailbox_id")?, get(row, "uidvalidity")?, get(row, "uid")?)))
        .collect()
}

/// Zero rows inserted must mean our own duplicate. Of the mails whose key stood there already, those whose key belongs to
/// another mail. The insert waited for the owner's transaction, so the row is visible to this later statement; one that
/// is not visible is another tenant's. A message that we sent is itself whatever its copy says, so its key is enough.
async fn foreign(store: &Store, session: &mut Session, known: &[&MailRow]) -> Result<HashSet<StorageKey>> {
    if known.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = format!(
        "SELECT r.n FROM unnest($1::text[], $2::uuid[], $3::text[]) WITH ORDINALITY AS r(k, t, x, n) \
         WHERE NOT EXISTS (SELECT 1 FROM {} c \
         WHERE c.storage_key = r.k AND c.tenant_id = r.t AND (r.x IS NULL OR c.content_hash = r.x))",
        store.tables().content
    );
    let keys: Vec<&str> = known.iter().map(|row| row.key.as_str()).collect();
    let tenants: Vec<Uuid> = known.iter().map(|row| row.tenant.0).collect();
    let hashes: Vec<Option<String>> =
        known.iter().map(|row| (!row.is_ours()).then(|| hex(&row.content_hash))).collect();
    let foreign = session.query("comparing duplicates", &sql, &[&keys, &tenants, &hashes]).await?;
    numbered(&foreign, known)
}

/// A mail that is stored is dead no longer. Its raw bytes, kept for the replay, go.
async fn resolve_letters(session: &mut Session, rows: &[&MailRow]) -> Result<()> {
    // By the function, because the job may have died while its mail was another tenant's.
    const SQL: &str = "SELECT mailfleet.resolve_letters($1::text[])";
    let jobs: Vec<&str> = rows.iter().map(|row| row.job.as_str()).collect();
    session.execute("resolving dead letters", SQL, &[&jobs]).await?;
    Ok(())
}
