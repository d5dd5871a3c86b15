//! What people did to dead letters, as it is shown: one action for each run of a replay or a discard.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use crate::error::{Error, Result};
use crate::rows::{count, get};
use crate::store::Store;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActionKind {
    /// Letters were put back into the queue.
    Replay,
    /// Letters were given up.
    Discard,
}

impl ActionKind {
    /// The word stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Discard => "discard",
        }
    }
}

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActionOutcome {
    /// All letters were gone through.
    Completed,
    /// Too many of them died again.
    Stopped,
    /// The queue took no more.
    Refused,
    /// An error ended it.
    Broken,
}

impl ActionOutcome {
    /// The word stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::Refused => "refused",
            Self::Broken => "broken",
        }
    }
}

/// Who does something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The user of the operating system; cut at 100 characters.
    pub os_user: String,
    /// The machine; cut at 100 characters.
    pub host: String,
    /// Who asked for it, or why; cut at 200 characters.
    pub by: Option<String>,
}

/// How far an action has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Letters replayed, or discarded.
    pub done: u64,
    /// Letters whose job was in the queue already.
    pub already_queued: u64,
    /// Letters that cannot be replayed.
    pub failed: u64,
}

/// An action on dead letters.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// Number for people.
    pub id: i64,
    /// What was done.
    pub kind: ActionKind,
    /// Who did it.
    pub actor: Actor,
    /// The login that was used at PostgreSQL.
    pub login: String,
    /// Which letters were asked for.
    pub filter: serde_json::Value,
    /// Letters that were of that kind when it began.
    pub matched: u64,
    /// How far it came.
    pub progress: Progress,
    /// When it began.
    pub began: DateTime<Utc>,
    /// When its numbers were written last, by the server's clock.
    pub progressed: DateTime<Utc>,
    /// When it ended; `None` while it runs, and for good where it was killed.
    pub ended: Option<DateTime<Utc>>,
    /// How it ended.
    pub outcome: Option<ActionOutcome>,
    /// Of the letters that were replayed: stored by now, without another death.
    pub stored: u64,
    /// Of the letters that were replayed: those that died after that.
    pub died_again: u64,
    /// Of the letters that were replayed: in the queue still.
    pub under_way: u64,
}

/// What became of the letters of an action: `l` is a row of the book, `d` the letter. A letter that died again stays one
/// that died again, whatever another replay makes of it.
pub(super) const CAME: &str = "CASE WHEN d.died > l.acted THEN 'died' WHEN d.state = 'resolved' THEN 'stored' \
     WHEN d.state = 'replayed' THEN 'under_way' ELSE 'given_back' END";

impl Store {
    /// The actions on dead letters, the newest first.
    pub async fn dead_letter_actions(&self, limit: u32) -> Result<Vec<Action>> {
        let sql = format!(
            "SELECT a.*, c.stored, c.died_again, c.under_way FROM mailfleet.dead_letter_actions a \
             CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE came = 'stored') AS stored, \
             count(*) FILTER (WHERE came = 'died') AS died_again, count(*) FILTER (WHERE came = 'under_way') AS under_way \
             FROM (SELECT {CAME} AS came FROM mailfleet.dead_letter_action_letters l \
             JOIN mailfleet.dead_letters d ON d.id = l.letter_id WHERE l.action_id = a.id AND a.action = 'replay') x) c \
             ORDER BY a.id DESC LIMIT $1::bigint"
        );
        let rows = self.survey("reading the book of dead letters", &sql, &[&i64::from(limit)]).await?;
        rows.iter().map(action).collect()
    }
}

fn action(row: &Row) -> Result<Action> {
    let odd = |place, value: &str| Error::Unreadable { place, value: value.to_owned() };
    let kind: &str = get(row, "action")?;
    let outcome: Option<&str> = get(row, "outcome")?;
    let known_kinds = [ActionKind::Replay, ActionKind::Discard];
    let known_outcomes =
        [ActionOutcome::Completed, ActionOutcome::Stopped, ActionOutcome::Refused, ActionOutcome::Broken];
    let read = |word: &str| {
        let found = known_outcomes.into_iter().find(|outcome| outcome.as_str() == word);
        found.ok_or_else(|| odd("dead_letter_actions.outcome", word))
    };
    Ok(Action {
        id: get(row, "id")?,
        kind: known_kinds
            .into_iter()
            .find(|known| known.as_str() == kind)
            .ok_or_else(|| odd("dead_letter_actions.action", kind))?,
        actor: Actor { os_user: get(row, "os_user")?, host: get(row, "host")?, by: get(row, "said_by")? },
        login: get(row, "login")?,
        filter: get(row, "filter")?,
        matched: count(row, "matched")?,
        progress: Progress {
            done: count(row, "done")?,
            already_queued: count(row, "already_queued")?,
            failed: count(row, "failed")?,
        },
        began: get(row, "began")?,
        progressed: get(row, "progressed")?,
        ended: get(row, "ended")?,
        outcome: outcome.map(read).transpose()?,
        stored: count(row, "stored")?,
        died_again: count(row, "died_again")?,
        under_way: count(row, "under_way")?,
    })
}
