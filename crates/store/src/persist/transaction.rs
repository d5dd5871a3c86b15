//! The persist transaction.
//!
//! Locks are taken in one order by everybody (ledger rows by mailbox, epoch and UID; then keys), so that two writers with
//! the same mails wait for each other and do not deadlock. The ledger row is the gate: `ON CONFLICT DO UPDATE … WHERE`
//! returns it only where it is new or raised, and locks it either way, so a second run of the same job waits here until
//! the first has committed, and then sees that there is nothing to do.

use std::collections::{BTreeMap, HashMap, HashSet};

use mailfleet_model::{LedgerOutcome, MailRef, StorageKey};
use uuid::Uuid;

use super::columns::{Attachments, Contents, Ledger, Messages, hex};
use super::{MailRow, Persisted};
use crate::error::Result;
use crate::hierarchy::expected::RETENTION_DAYS;
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
    session.begin().await?;
    match effects(store, &mut session, rows).await {
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
            Err(error)
        }
    }
}

async fn effects(store: &Store, session: &mut Session, rows: &[&MailRow]) -> Result<Written> {
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
    let inserted = contents(store, session, &candidates).await?;
    let (new, known): (Vec<&MailRow>, Vec<&MailRow>) =
        candidates.into_iter().partition(|row| inserted.contains(row.key.as_str()));
    let conflicts = foreign(store, session, &known).await?;
    if !conflicts.is_empty() {
        return Ok(Written::Conflicts(conflicts));
    }
    messages(store, session, &new).await?;
    attachments(store, session, &new).await?;
    resolve_letters(session, rows).await?;
    let fates = rows.iter().enumerate().zip(passed).map(|((index, row), passed)| {
        if !passed {
            Persisted::AlreadyRecorded
        } else if first.get(&row.key) == Some(&index) && inserted.contains(row.key.as_str()) {
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

/// Inserts into `email_content`; returns the keys that are new.
async fn contents(store: &Store, session: &mut Session, rows: &[&MailRow]) -> Result<HashSet<String>> {
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = format!(
        "INSERT INTO {} (storage_key, tenant_id, content_text, content_html, headers, raw_size_bytes, content_hash, \
         compression_algorithm, created, expires, retention_days) \
         SELECT k, t, ct, ch, h::jsonb, s, x, 'none', now(), now() + make_interval(days => {RETENTION_DAYS}), \
         {RETENTION_DAYS} FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], \
         $7::text[]) AS r(k, t, ct, ch, h, s, x) ON CONFLICT DO NOTHING RETURNING storage_key::text",
        store.tables().content
    );
    let columns = Contents::of(rows);
    let Contents { keys, tenants, texts, htmls, headers, sizes, hashes } = &columns;
    let returned = session
        .query("inserting into email_content", &sql, &[keys, tenants, texts, htmls, headers, sizes, hashes])
        .await?;
    returned.iter().map(|row| get(row, "storage_key")).collect()
}

/// Zero rows inserted must mean our own duplicate. Of the mails whose key stood there already, those whose key belongs to
/// another mail. The insert waited for the owner's transaction, so the row is visible to this later statement; one that
/// is not visible is another tenant's.
async fn foreign(store: &Store, session: &mut Session, known: &[&MailRow]) -> Result<HashSet<StorageKey>> {
    if known.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = format!(
        "SELECT r.n FROM unnest($1::text[], $2::uuid[], $3::text[]) WITH ORDINALITY AS r(k, t, x, n) \
         WHERE NOT EXISTS (SELECT 1 FROM {} c \
         WHERE c.storage_key = r.k AND c.tenant_id = r.t AND c.content_hash = r.x)",
        store.tables().content
    );
    let keys: Vec<&str> = known.iter().map(|row| row.key.as_str()).collect();
    let tenants: Vec<Uuid> = known.iter().map(|row| row.tenant.0).collect();
    let hashes: Vec<String> = known.iter().map(|row| hex(&row.content_hash)).collect();
    let foreign = session.query("comparing duplicates", &sql, &[&keys, &tenants, &hashes]).await?;
    let mut conflicts = HashSet::new();
    for row in &foreign {
        let number: i64 = get(row, "n")?;
        let index = usize::try_from(number).unwrap_or(0).saturating_sub(1);
        conflicts.extend(known.get(index).map(|row| row.key.clone()));
    }
    Ok(conflicts)
}

/// A new `email_content` row has no message yet, so anything that stands in the way is refused by its constraint.
async fn messages(store: &Store, session: &mut Session, rows: &[&MailRow]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO {} (storage_key, tenant_id, email_account_id, direction, message_type, from_email, to_email, \
         subject, status, created, processed, updated) \
         SELECT k, t, a, d, y, f, r, s, st, c, now(), now() FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[], \
         $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::timestamptz[]) \
         AS r(k, t, a, d, y, f, r, s, st, c)",
        store.tables().messages
    );
    let columns = Messages::of(rows);
    let Messages {
        keys,
        tenants,
        accounts,
        directions,
        types,
        senders,
        recipients,
        subjects,
        statuses,
        created,
    } = &columns;
    session
        .execute(
            "inserting into email_messages",
            &sql,
            &[keys, tenants, accounts, directions, types, senders, recipients, subjects, statuses, created],
        )
        .await?;
    Ok(())
}

async fn attachments(store: &Store, session: &mut Session, rows: &[&MailRow]) -> Result<()> {
    let columns = Attachments::of(rows);
    if columns.parents.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO {} (parent_storage_key, tenant_id, ordinal, filename, mime_type, size_bytes, content, \
         storage_disposition, content_id, content_hash, created) \
         SELECT p, t, o, f, m, s, c, d, i, x, now() FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::text[], \
         $5::text[], $6::bigint[], $7::bytea[], $8::text[], $9::text[], $10::text[]) AS r(p, t, o, f, m, s, c, d, i, x)",
        store.tables().attachments
    );
    let Attachments {
        parents,
        tenants,
        ordinals,
        filenames,
        types,
        sizes,
        contents,
        dispositions,
        content_ids,
        hashes,
    } = &columns;
    session
        .execute(
            "inserting into attachments",
            &sql,
            &[
                parents,
                tenants,
                ordinals,
                filenames,
                types,
                sizes,
                contents,
                dispositions,
                content_ids,
                hashes,
            ],
        )
        .await?;
    Ok(())
}

/// A mail that is stored is dead no longer. Its raw bytes, kept for the replay, go.
async fn resolve_letters(session: &mut Session, rows: &[&MailRow]) -> Result<()> {
    const SQL: &str = "UPDATE mailfleet.dead_letters SET state = 'resolved', closed = now(), raw = NULL \
         WHERE job_id = ANY($1::text[]) AND state <> 'resolved'";
    let jobs: Vec<&str> = rows.iter().map(|row| row.job.as_str()).collect();
    session.execute("resolving dead letters", SQL, &[&jobs]).await?;
    Ok(())
}
