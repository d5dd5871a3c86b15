//! Keeping the book of what people do to dead letters, and doing what is done in PostgreSQL alone.

use std::time::Duration;

use mailfleet_model::JobId;
use tokio_postgres::types::ToSql;

use super::actions::CAME;
use super::filter::MATCHES;
use super::{ActionKind, ActionOutcome, Actor, DeadFilter, Progress};
use crate::error::{Error, Result};
use crate::rows::get;
use crate::session::Session;
use crate::store::Store;
use crate::text;

/// Longest name of a user or a machine, in characters.
const NAME_MAX_CHARS: usize = 100;
/// Longest word of who asked for it, in characters.
const BY_MAX_CHARS: usize = 200;
/// A discard is one transaction, however many letters it is of.
const DISCARD_WITHIN: Duration = Duration::from_secs(300);

/// What became of a letter after it was replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Came {
    /// In the queue still.
    UnderWay,
    /// Stored.
    Stored,
    /// It died again.
    DiedAgain,
    /// It did not run: it was opened again, or discarded.
    GivenBack,
}

/// What a discard did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Discarded {
    /// All are discarded, under this number in the book.
    Done {
        /// The action.
        action: i64,
    },
    /// There are not as many as was said, but so many: nothing was done.
    Otherwise {
        /// How many there are.
        found: u64,
    },
}

impl Store {
    /// Writes down that a replay begins; returns its number.
    pub async fn begin_replay(&self, actor: &Actor, which: &serde_json::Value, matched: u64) -> Result<i64> {
        let mut session = self.session().await?;
        session.begin_maintenance().await?;
        let begun = begin(&mut session, ActionKind::Replay, actor, which, matched).await;
        session.end(begun).await
    }

    /// Writes down how far a replay has come.
    pub async fn note_replay(&self, action: i64, progress: Progress) -> Result<()> {
        self.write_progress(action, progress, None).await
    }

    /// Writes down how a replay ended. The first end stays.
    pub async fn end_replay(&self, action: i64, progress: Progress, outcome: ActionOutcome) -> Result<()> {
        self.write_progress(action, progress, Some(outcome)).await
    }

    async fn write_progress(
        &self,
        action: i64,
        progress: Progress,
        outcome: Option<ActionOutcome>,
    ) -> Result<()> {
        const SQL: &str = "UPDATE mailfleet.dead_letter_actions SET done = $2, already_queued = $3, failed = $4, \
             progressed = now(), ended = CASE WHEN $5::text IS NULL THEN NULL ELSE now() END, outcome = $5 \
             WHERE id = $1 AND ended IS NULL";
        let Progress { done, already_queued, failed } = progress;
        let (done, already, failed) = (signed(done), signed(already_queued), signed(failed));
        let outcome = outcome.map(ActionOutcome::as_str);
        let params: [&(dyn ToSql + Sync); 5] = [&action, &done, &already, &failed, &outcome];
        self.maintain("noting a replay", SQL, &params).await.map(|_| ())
    }

    /// What became of these letters since this action replayed them; those it did not are left out.
    pub async fn came(&self, action: i64, letters: &[i64]) -> Result<Vec<(i64, Came)>> {
        let sql = format!(
            "SELECT l.letter_id, {CAME} AS came FROM mailfleet.dead_letter_action_letters l \
             JOIN mailfleet.dead_letters d ON d.id = l.letter_id \
             WHERE l.action_id = $1 AND l.letter_id = ANY($2)"
        );
        let rows = self.survey("following a replay", &sql, &[&action, &letters]).await?;
        rows.iter()
            .map(|row| {
                let came = match get(row, "came")? {
                    "under_way" => Came::UnderWay,
                    "stored" => Came::Stored,
                    "died" => Came::DiedAgain,
                    _ => Came::GivenBack,
                };
                Ok((get(row, "letter_id")?, came))
            })
            .collect()
    }

    /// Gives the open letters of a kind up, all in one transaction with its line in the book, if there are `expected` of
    /// them; else does nothing. They stay listed as discarded, with their raw mail, and can be replayed by their number.
    pub async fn discard(
        &self,
        filter: &DeadFilter,
        expected: u64,
        actor: &Actor,
        which: &serde_json::Value,
    ) -> Result<Discarded> {
        let mut session = self.session().await?;
        session.begin_maintenance().await?;
        let discarded = discard(&mut session, filter, expected, actor, which).await;
        match discarded {
            Ok(Discarded::Otherwise { found }) => {
                session.rollback().await?;
                Ok(Discarded::Otherwise { found })
            }
            outcome => session.end(outcome).await,
        }
    }

    /// The jobs of the letters of an action, by ascending letter above `after`: a page of at most `limit`. The next page
    /// begins after the last one's letter. `None` is a job of a kind that this build does not know.
    pub async fn action_jobs(
        &self,
        action: i64,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, Option<JobId>)>> {
        const SQL: &str = "SELECT d.id, d.job_id FROM mailfleet.dead_letter_action_letters l \
             JOIN mailfleet.dead_letters d ON d.id = l.letter_id \
             WHERE l.action_id = $1 AND l.letter_id > $2 ORDER BY l.letter_id LIMIT $3::bigint";
        let params: [&(dyn ToSql + Sync); 3] = [&action, &after, &i64::from(limit)];
        let rows = self.survey("reading the letters of an action", SQL, &params).await?;
        rows.iter().map(|row| Ok((get(row, "id")?, JobId::parse(get(row, "job_id")?).ok()))).collect()
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

async fn begin(
    session: &mut Session,
    kind: ActionKind,
    actor: &Actor,
    which: &serde_json::Value,
    matched: u64,
) -> Result<i64> {
    const SQL: &str = "INSERT INTO mailfleet.dead_letter_actions (action, os_user, host, said_by, filter, matched) \
         VALUES ($1, $2, $3, $4, $5::text::jsonb, $6) RETURNING id";
    let (user, host) = (text::cut(&actor.os_user, NAME_MAX_CHARS), text::cut(&actor.host, NAME_MAX_CHARS));
    let by = actor.by.as_deref().map(|by| text::cut(by, BY_MAX_CHARS));
    let params: [&(dyn ToSql + Sync); 6] =
        [&kind.as_str(), &user, &host, &by, &text::json(which), &signed(matched)];
    get(&session.query_one("writing into the book of dead letters", SQL, &params).await?, "id")
}

async fn discard(
    session: &mut Session,
    filter: &DeadFilter,
    expected: u64,
    actor: &Actor,
    which: &serde_json::Value,
) -> Result<Discarded> {
    const END: &str = "UPDATE mailfleet.dead_letter_actions SET done = matched, progressed = now(), ended = now(), \
         outcome = 'completed' WHERE id = $1";
    let action = begin(session, ActionKind::Discard, actor, which, expected).await?;
    session.take_longer(DISCARD_WITHIN).await?;
    let sql = format!(
        "WITH given_up AS (UPDATE mailfleet.dead_letters d SET state = 'discarded', closed = now() \
         WHERE {MATCHES} AND d.state = 'open' RETURNING d.id) \
         INSERT INTO mailfleet.dead_letter_action_letters (action_id, letter_id) SELECT $9, id FROM given_up"
    );
    let values = filter.values();
    let mut params = values.params();
    params.push(&action);
    let found = session.execute("discarding letters", &sql, &params).await?;
    if found != expected {
        return Ok(Discarded::Otherwise { found });
    }
    match session.execute("writing into the book of dead letters", END, &[&action]).await? {
        1 => Ok(Discarded::Done { action }),
        _ => Err(Error::Driver {
            what: "writing into the book of dead letters",
            detail: "its line is gone".to_owned(),
        }),
    }
}
