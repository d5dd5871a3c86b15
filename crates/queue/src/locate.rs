//! Where one job is, and what it has been through: the question behind `explain`.

use mailfleet_model::{Counters, Envelope, EnvelopeError, JobId, Lane};
use redis::Value;

use crate::error::{Error, Result};
use crate::pause::Pause;
use crate::queue::{Queue, script};
use crate::record::{Attempt, Record};
use crate::reply;
use crate::scripts::SCRIPTS;

const DOING: &str = "look up a job";

/// What a job is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// In its lane, to be taken.
    Waiting,
    /// In a consumer's hands.
    InFlight {
        /// The consumer.
        consumer: String,
        /// Time since its last sign of life, in milliseconds; beyond the lease it will be taken over.
        idle_ms: u64,
    },
    /// Waits for its due time.
    Delayed {
        /// When it may be taken, in milliseconds since 1970 by the clock of Redis.
        due_ms: i64,
    },
    /// Dead-lettered; PostgreSQL says why.
    Dead,
}

/// When a job that waits is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Turn {
    /// After what came into its lane before it; nobody has had it yet.
    #[default]
    New,
    /// Before all that is new: it was handed back, its time came, or its consumer died.
    Next,
    /// The same, but it runs alone, since a consumer died with it in hand.
    Alone,
}

/// Where a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Its lane.
    pub lane: Lane,
    /// What it is doing.
    pub state: State,
    /// When it is taken, for one that waits.
    pub turn: Turn,
    /// The version of its envelope where this build does not know it: only a newer consumer can work on it.
    pub unknown_version: Option<u16>,
    /// What it has been through; zeros for a dead job, whose story is in PostgreSQL.
    pub counters: Counters,
    /// Its failed attempts so far.
    pub history: Vec<Attempt>,
    /// The id of its stream entry (of its line in the index, for a dead job).
    pub entry_id: String,
    /// Set where its lane is paused: nothing of it is begun. `None` for a dead job.
    pub paused: Option<Pause>,
}

impl Queue {
    /// Where this job is; `None` where the queue does not know it (done, or never enqueued).
    pub async fn locate(&self, job: &JobId) -> Result<Option<Location>> {
        let keys = self.keys(self.partition_of(job));
        let mut script = script(&SCRIPTS.locate, keys);
        script.arg(job.as_str());
        let answer: Value = self.link().run(DOING, &script).await?;
        if answer == Value::Nil {
            return Ok(None);
        }
        let odd = |found: &str| Error::Answer { doing: DOING, found: found.to_owned() };
        let [record, state, detail, idle, envelope, paused]: [Value; 6] =
            reply::array(DOING, answer)?.try_into().map_err(|_| odd("not six parts"))?;
        let record = Record::parse(&reply::text(DOING, record)?).ok_or_else(|| odd("not a record"))?;
        let mut turn = Turn::New;
        let state = match reply::text(DOING, state)?.as_str() {
            "waiting" => {
                turn = match reply::text(DOING, detail)?.as_str() {
                    "released" => Turn::Next,
                    "alone" => Turn::Alone,
                    _ => Turn::New,
                };
                State::Waiting
            }
            "in_flight" => State::InFlight {
                consumer: reply::text(DOING, detail)?,
                idle_ms: u64::try_from(reply::number(DOING, &idle)?).unwrap_or(0),
            },
            "delayed" => State::Delayed { due_ms: reply::number(DOING, &detail)? },
            "dead" => State::Dead,
            other => return Err(odd(other)),
        };
        let Record { lane, entry_id, counters, history, .. } = record;
        let paused = match paused {
            Value::Nil => None,
            said => Some(Pause::read(&reply::text(DOING, said)?)),
        };
        let unknown_version = match Envelope::decode(&reply::bytes(DOING, envelope)?) {
            Err(EnvelopeError::UnknownVersion { found }) => Some(found),
            Ok(_) | Err(EnvelopeError::Malformed(_)) => None,
        };
        Ok(Some(Location { lane, state, turn, unknown_version, counters, history, entry_id, paused }))
    }
}
