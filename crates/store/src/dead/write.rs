//! Writing dead letters. This path must not fail on what it is given: a letter that cannot be written would come back for
//! ever. So every text is made storable, and nothing refers to a row that may be gone.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use mailfleet_model::{Class, Classify, InboxId, LedgerOutcome, MailRef, TenantId, Work, lookup_message_id};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{DeadOutcome, NewDeadLetter};
use crate::error::Result;
use crate::events;
use crate::rows::get;
use crate::session::Session;
use crate::store::Store;
use crate::text;

/// Most letters of one transaction.
const MAX_ROWS: usize = 500;
/// Most raw bytes of one transaction.
const MAX_BYTES: usize = 64 << 20;
/// How often a transaction is tried that met a deadlock.
const TRIES: u32 = 5;
const REST: std::time::Duration = std::time::Duration::from_millis(5);
/// Longest reason, in characters.
const REASON_MAX_CHARS: usize = 100;
/// Longest error kept, in characters.
const ERROR_MAX_CHARS: usize = 500;

type Position = (i32, u32, u32);

const fn position(at: &MailRef) -> Position {
    (at.mailbox.0, at.uidvalidity.get(), at.uid.get())
}

impl Store {
    /// Writes dead letters with the ledger's outcome, in one transaction (a large batch in several); answers in the order
    /// of `letters`. A job that stands there already is opened again. Safe to repeat.
    pub async fn dead_letter(&self, letters: &[NewDeadLetter]) -> Result<Vec<DeadOutcome>> {
        let mut outcomes = Vec::with_capacity(letters.len());
        let mut rest = letters;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(batch_len(rest));
            outcomes.extend(self.dead_letter_batch(batch).await?);
            rest = later;
        }
        Ok(outcomes)
    }

    async fn dead_letter_batch(&self, letters: &[NewDeadLetter]) -> Result<Vec<DeadOutcome>> {
        let rows: Vec<InboxId> = letters.iter().filter_map(inbox).collect();
        let mut tenants: BTreeSet<TenantId> = letters.iter().filter_map(|letter| letter.tenant).collect();
        if !rows.is_empty() {
            // A row of the inbox stands behind its tenant's wall, which its letter need not know.
            tenants.extend(self.inbox_heads(&rows).await?.into_values().map(|(tenant, _)| tenant));
        }
        let mut tries = 0;
        loop {
            let mut session = self.session().await?;
            session.begin_for(&tenants).await?;
            let written = effects(&mut session, letters).await;
            match session.end(written).await {
                Err(error) if error.class() == Class::Transient && tries + 1 < TRIES => {
                    tokio::time::sleep(REST * 2u32.saturating_pow(tries)).await;
                    tries += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// Marks open or discarded letters as back in the queue, before they are put into it, and writes them down under the
    /// action that does it; returns those that were still to be marked, in no order.
    pub async fn mark_replayed(&self, ids: &[i64], action: Option<i64>) -> Result<Vec<i64>> {
        const SQL: &str = "WITH marked AS (UPDATE mailfleet.dead_letters SET state = 'replayed', closed = now() \
             WHERE id = ANY($1) AND state IN ('open', 'discarded') RETURNING id), \
             noted AS (INSERT INTO mailfleet.dead_letter_action_letters (action_id, letter_id) \
             SELECT $2, id FROM marked WHERE $2::bigint IS NOT NULL \
             ON CONFLICT (action_id, letter_id) DO UPDATE SET acted = excluded.acted) \
             SELECT id FROM marked";
        let rows = self.survey("marking letters as replayed", SQL, &[&ids, &action]).await?;
        rows.iter().map(|row| get(row, "id")).collect()
    }

    /// Opens replayed letters again whose job the queue has lost (their mail has an outcome, `dead`, so that no sweep
    /// would fetch it); returns how many were still replayed.
    pub async fn reopen(&self, ids: &[i64]) -> Result<u64> {
        const SQL: &str = "UPDATE mailfleet.dead_letters SET state = 'open', closed = NULL \
             WHERE id = ANY($1) AND state = 'replayed'";
        self.maintain("opening letters again", SQL, &[&ids]).await
    }
}

fn batch_len(letters: &[NewDeadLetter]) -> usize {
    let mut bytes = 0usize;
    let fitting = letters.iter().take(MAX_ROWS).take_while(|letter| {
        bytes = bytes.saturating_add(letter.raw.as_ref().map_or(0, bytes::Bytes::len));
        bytes <= MAX_BYTES
    });
    // One that is too large for any batch goes alone.
    fitting.count().max(1)
}

async fn effects(session: &mut Session, letters: &[NewDeadLetter]) -> Result<Vec<DeadOutcome>> {
    let persisted = ledger(session, letters).await?;
    let applied = applied(session, letters).await?;
    let is_persisted = |letter: &NewDeadLetter| {
        letter.at.is_some_and(|at| persisted.contains(&position(&at)))
            || inbox(letter).is_some_and(|row| applied.contains(&row))
    };
    // By job, and each once (the last): a statement must not meet its own rows, and all writers lock in the same order.
    let dying: BTreeMap<&str, &NewDeadLetter> = letters
        .iter()
        .filter(|letter| !is_persisted(letter))
        .map(|letter| (letter.job.as_str(), letter))
        .collect();
    insert(session, &dying.into_values().collect::<Vec<_>>()).await?;
    let outcome =
        |letter| if is_persisted(letter) { DeadOutcome::AlreadyPersisted } else { DeadOutcome::Recorded };
    Ok(letters.iter().map(outcome).collect())
}

/// Writes the outcome `dead` where nothing higher stands; returns the positions that are persisted. The rows are locked
/// whether they are raised or not, so what is read after holds until the end of the transaction.
async fn ledger(session: &mut Session, letters: &[NewDeadLetter]) -> Result<HashSet<Position>> {
    const WRITE: &str = "INSERT INTO mailfleet.mailbox_messages AS l (mailbox_id, uidvalidity, uid, outcome) \
         SELECT m, v, u, $4::smallint FROM unnest($1::integer[], $2::oid[], $3::oid[]) AS r(m, v, u) \
         ON CONFLICT (mailbox_id, uidvalidity, uid) DO UPDATE SET outcome = excluded.outcome \
         WHERE excluded.outcome > l.outcome";
    const READ: &str = "SELECT l.mailbox_id, l.uidvalidity, l.uid FROM mailfleet.mailbox_messages l \
         JOIN unnest($1::integer[], $2::oid[], $3::oid[]) AS r(m, v, u) \
         ON l.mailbox_id = r.m AND l.uidvalidity = r.v AND l.uid = r.u WHERE l.outcome = $4::smallint";
    let mut positions: Vec<Position> =
        letters.iter().filter_map(|letter| letter.at.as_ref().map(position)).collect();
    positions.sort_unstable();
    positions.dedup();
    if positions.is_empty() {
        return Ok(HashSet::new());
    }
    let mailboxes: Vec<i32> = positions.iter().map(|position| position.0).collect();
    let epochs: Vec<u32> = positions.iter().map(|position| position.1).collect();
    let uids: Vec<u32> = positions.iter().map(|position| position.2).collect();
    let (dead, persisted) = (LedgerOutcome::Dead.code(), LedgerOutcome::Persisted.code());
    session.execute("writing the ledger", WRITE, &[&mailboxes, &epochs, &uids, &dead]).await?;
    let rows = session.query("reading the ledger", READ, &[&mailboxes, &epochs, &uids, &persisted]).await?;
    rows.iter().map(|row| Ok((get(row, "mailbox_id")?, get(row, "uidvalidity")?, get(row, "uid")?))).collect()
}

/// Which of the rows of the inbox that these jobs name have taken effect; closes what letters they had. The rows are
/// locked, so one that is not applied stays so until the end of the transaction.
async fn applied(session: &mut Session, letters: &[NewDeadLetter]) -> Result<HashSet<InboxId>> {
    const SQL: &str = "SELECT id, applied IS NOT NULL AS applied FROM mailfleet.webhook_inbox WHERE id = ANY($1) \
         ORDER BY id FOR NO KEY UPDATE";
    let ids: Vec<i64> = letters.iter().filter_map(inbox).map(|row| row.0).collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let mut applied = HashSet::new();
    for row in &session.query("looking at the inbox", SQL, &[&ids]).await? {
        if get(row, "applied")? {
            applied.insert(InboxId(get(row, "id")?));
        }
    }
    events::resolve(session, &applied.iter().copied().collect::<Vec<_>>()).await?;
    Ok(applied)
}

/// The row of the inbox that a job names.
fn inbox(letter: &NewDeadLetter) -> Option<InboxId> {
    match letter.job.work()? {
        Work::Events { inbox } => Some(inbox),
        Work::Mail(_) => None,
    }
}

/// A letter that was closed and dies again keeps its former death in `previous` (the last 20); one that is open was
/// written by a run that died before the entry left its lane, and is simply written again.
const INSERT: &str = "INSERT INTO mailfleet.dead_letters AS d (job_id, tenant_id, account_id, mailbox_id, uidvalidity, \
     uid, message_id, lane, envelope, raw, raw_size_bytes, reason, class, error, attempts, crashes, drains, history) \
     SELECT j, t, a, m, v, u, i, l, e::jsonb, r, length(r), n, c, x, at, cr, dr, h::jsonb \
     FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::integer[], $5::oid[], $6::oid[], $7::text[], $8::text[], \
     $9::text[], $10::bytea[], $11::text[], $12::text[], $13::text[], $14::integer[], $15::integer[], $16::integer[], \
     $17::text[]) AS z(j, t, a, m, v, u, i, l, e, r, n, c, x, at, cr, dr, h) \
     ON CONFLICT (job_id) DO UPDATE SET \
     tenant_id = COALESCE(excluded.tenant_id, d.tenant_id), account_id = COALESCE(excluded.account_id, d.account_id), \
     message_id = COALESCE(excluded.message_id, d.message_id), lane = excluded.lane, envelope = excluded.envelope, \
     raw = COALESCE(excluded.raw, d.raw), raw_size_bytes = COALESCE(excluded.raw_size_bytes, d.raw_size_bytes), \
     reason = excluded.reason, class = excluded.class, error = excluded.error, attempts = excluded.attempts, \
     crashes = excluded.crashes, drains = excluded.drains, history = excluded.history, \
     previous = CASE WHEN d.state = 'open' THEN d.previous ELSE \
     COALESCE((SELECT jsonb_agg(p ORDER BY k) FROM jsonb_array_elements(d.previous) WITH ORDINALITY AS o(p, k) \
     WHERE k > jsonb_array_length(d.previous) - 19), '[]') || jsonb_build_array(jsonb_build_object('reason', d.reason, \
     'class', d.class, 'error', d.error, 'history', d.history, 'died', d.died, 'state', d.state, 'closed', d.closed)) END, \
     state = 'open', died = now(), closed = NULL";

/// The tenants under which these jobs died before are declared as well: an insert that met a row behind the wall would be
/// refused, again and again.
const DECLARE: &str = "SELECT set_config('mailfleet.tenants', \
     (mailfleet.declared_tenants() || mailfleet.tenants_of_letters($1::text[]))::text, true)";

fn column<'a, T>(letters: &[&'a NewDeadLetter], value: impl Fn(&'a NewDeadLetter) -> T) -> Vec<T> {
    letters.iter().map(|letter| value(letter)).collect()
}

async fn insert(session: &mut Session, letters: &[&NewDeadLetter]) -> Result<()> {
    if letters.is_empty() {
        return Ok(());
    }
    let reason = |letter: &NewDeadLetter| {
        let reason = text::cut(letter.reason.trim(), REASON_MAX_CHARS).into_owned();
        if reason.is_empty() { "unnamed".to_owned() } else { reason }
    };
    let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    let message_id = |letter: &NewDeadLetter| letter.message_id.as_deref().and_then(lookup_message_id);
    let jobs = column(letters, |letter| letter.job.as_str());
    session.query_one("declaring the tenants of dead letters", DECLARE, &[&jobs]).await?;
    let tenants: Vec<Option<Uuid>> = column(letters, |letter| letter.tenant.map(|tenant| tenant.0));
    let accounts: Vec<Option<Uuid>> =
        column(letters, |letter| letter.account.or(letter.at.map(|at| at.account)).map(|account| account.0));
    let mailboxes = column(letters, |letter| letter.at.map(|at| at.mailbox.0));
    let epochs = column(letters, |letter| letter.at.map(|at| at.uidvalidity.get()));
    let uids = column(letters, |letter| letter.at.map(|at| at.uid.get()));
    let message_ids = column(letters, message_id);
    let lanes = column(letters, |letter| letter.lane.as_str());
    let envelopes = column(letters, |letter| text::json(&letter.envelope_json));
    let raws: Vec<Option<&[u8]>> = column(letters, |letter| letter.raw.as_deref());
    let reasons = column(letters, reason);
    let classes = column(letters, |letter| letter.class.as_str());
    let errors: Vec<String> =
        column(letters, |letter| text::cut(&text::line(&letter.error), ERROR_MAX_CHARS).into_owned());
    let attempts = column(letters, |letter| number(letter.counters.attempts));
    let crashes = column(letters, |letter| number(letter.counters.crashes));
    let drains = column(letters, |letter| number(letter.counters.drains));
    let histories = column(letters, |letter| text::json(&letter.history));
    let params: [&(dyn ToSql + Sync); 17] = [
        &jobs,
        &tenants,
        &accounts,
        &mailboxes,
        &epochs,
        &uids,
        &message_ids,
        &lanes,
        &envelopes,
        &raws,
        &reasons,
        &classes,
        &errors,
        &attempts,
        &crashes,
        &drains,
        &histories,
    ];
    session.execute("writing dead letters", INSERT, &params).await?;
    Ok(())
}
