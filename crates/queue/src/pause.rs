//! Pausing lanes and closing a queue: words of operators that every process heeds at once.
//!
//! They lie in Redis beside the data, so FLUSHALL lifts them. A paused lane gives nothing new: what is in hand is finished,
//! retries fall due and wait, entries whose consumer died wait as well, and enqueues go on. Claims read the words in the
//! same step in which they take, so a pause holds from the moment on at which it was written; a resume rings the doorbell.
//! A closed queue is the opposite: nothing new enters, and consumers empty it.

use mailfleet_model::Lane;
use redis::Value;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::keys::Keys;
use crate::queue::{Queue, script};
use crate::reply;
use crate::scripts::SCRIPTS;

const DOING: &str = "read what is paused";
/// At most this many characters are kept of a name and of a reason.
const WORD_MAX_CHARS: usize = 300;
/// The fields of the hash: the lanes, then what stands for all of them, then the door.
const FIELDS: [&str; 5] = ["high", "normal", "low", "all", "closed"];

/// Who paused a lane, or closed a queue, since when, and why. What was not said, or was written by hand, is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Pause {
    /// By whom.
    pub by: Option<String>,
    /// Since when, in milliseconds since 1970 by the clock of Redis.
    pub at_ms: Option<i64>,
    /// Why.
    pub reason: Option<String>,
}

/// What of a queue is paused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Paused {
    /// The lanes, most urgent first.
    pub lanes: [Option<Pause>; Lane::ALL.len()],
    /// Set where enqueues are refused.
    pub closed: Option<Pause>,
}

impl Pause {
    /// Reads what a script wrote; anything else is a pause of which nothing is known.
    pub(crate) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
}

impl Paused {
    /// The pause of one lane.
    #[must_use]
    pub const fn lane(&self, lane: Lane) -> Option<&Pause> {
        match lane {
            Lane::High => self.lanes[0].as_ref(),
            Lane::Normal => self.lanes[1].as_ref(),
            Lane::Low => self.lanes[2].as_ref(),
        }
    }

    /// Whether nothing is paused and the queue is open.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.closed.is_none() && self.lanes.iter().all(Option::is_none)
    }
}

impl Queue {
    /// Pauses a lane, or with `None` all of them: no consumer takes anything new of it from here on. A later pause of the
    /// same replaces the earlier one.
    pub async fn pause(&self, lane: Option<Lane>, by: &str, reason: &str) -> Result<()> {
        self.write("pause", lane.map_or("all", Lane::as_str), by, reason).await
    }

    /// Closes the queue: enqueues (and replays) are refused with [`Enqueued::Closed`](crate::Enqueued::Closed) until
    /// [`Self::resume`], while consumers go on. This is how a queue is emptied.
    pub async fn close(&self, by: &str, reason: &str) -> Result<()> {
        self.write("close the queue", "closed", by, reason).await
    }

    /// Resumes a lane; with `None` everything: all lanes, and a closed queue is open again. Returns whether anything of it
    /// was paused or closed.
    pub async fn resume(&self, lane: Option<Lane>) -> Result<bool> {
        let mut lifted = 0;
        for keys in self.partitions() {
            let mut script = script(&SCRIPTS.resume, keys);
            script.arg(&keys.bell).arg(lane.map_or("", Lane::as_str));
            lifted += self.link().run::<u64>("resume", &script).await?;
        }
        Ok(lifted > 0)
    }

    /// What is paused at this moment. With several partitions, what is paused in any of them.
    pub async fn paused(&self) -> Result<Paused> {
        let mut paused = Paused::default();
        for keys in self.partitions() {
            let [high, normal, low, all, closed] = self.words(keys).await?;
            for (lane, word) in paused.lanes.iter_mut().zip([high, normal, low]) {
                *lane = lane.take().or(word).or_else(|| all.clone());
            }
            paused.closed = paused.closed.take().or(closed);
        }
        Ok(paused)
    }

    async fn words(&self, keys: &Keys) -> Result<[Option<Pause>; FIELDS.len()]> {
        let mut command = redis::cmd("HMGET");
        command.arg(keys.paused()).arg(&FIELDS);
        let answer: Value = self.link().command(DOING, &command).await?;
        let word = |value| match value {
            Value::Nil => Ok(None),
            value => Ok(Some(Pause::read(&reply::text(DOING, value)?))),
        };
        let words: Vec<_> = reply::array(DOING, answer)?.into_iter().map(word).collect::<Result<_>>()?;
        words.try_into().map_err(|_| Error::Answer { doing: DOING, found: "not five parts".to_owned() })
    }

    async fn write(&self, doing: &'static str, field: &str, by: &str, reason: &str) -> Result<()> {
        for keys in self.partitions() {
            let mut script = script(&SCRIPTS.pause, keys);
            script.arg(field).arg(word(by)).arg(word(reason));
            let _: i64 = self.link().run(doing, &script).await?;
        }
        Ok(())
    }
}

/// Fit to be shown in one line.
fn word(text: &str) -> String {
    let one_line = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(one_line).take(WORD_MAX_CHARS).collect()
}
