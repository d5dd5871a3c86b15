//! Finding a mail that waits by its Message-ID: a question of operators, asked seldom.
//!
//! There is no index for it. Keeping one would cost every enqueue and every done a write, for a question that somebody
//! asks once a day; so the lanes are read page by page instead. That happens outside of scripts: Redis serves others
//! between two pages.

use mailfleet_model::{Envelope, JobId, Lane, lookup_message_id};
use redis::Value;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::keys::Keys;
use crate::locate::Location;
use crate::queue::Queue;
use crate::reply;

const DOING: &str = "look for a Message-ID in the queue";

/// At most this many jobs are returned for one Message-ID; the search ends with the last of them.
pub const FOUND_MAX: usize = 100;

/// One page is of about this many bytes: entries carry small mails with them.
const PAGE_BYTES: usize = 4 << 20;
/// One page has no more entries than this.
const PAGE_MAX: usize = 500;

/// What a search came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The jobs with that Message-ID, by lane and then in the order of their entries, and where each of them is.
    pub jobs: Vec<(JobId, Location)>,
    /// Entries looked at.
    pub looked_at: usize,
    /// Whether that was all of the queue: every entry that stood in a lane from the search's begin to its end.
    pub whole: bool,
}

/// A search on its way.
struct Search<'a> {
    id: &'a str,
    most: usize,
    looked_at: usize,
    jobs: Vec<JobId>,
}

impl Queue {
    /// Looks for mail with this Message-ID (with or without its angle brackets) in the lanes, whatever its state, among
    /// no more than `most` entries. Dead letters are not looked at: PostgreSQL finds those.
    ///
    /// Entries of producers that wrote no Message-ID, and mail without one, are not found.
    pub async fn find_message(&self, message_id: &str, most: usize) -> Result<Found> {
        let Some(id) = lookup_message_id(message_id) else {
            return Ok(Found { whole: true, ..Found::default() });
        };
        let mut search = Search { id: &id, most, looked_at: 0, jobs: Vec::new() };
        let mut whole = true;
        for keys in self.partitions() {
            for lane in Lane::ALL {
                whole = whole && self.search_lane(keys, lane, &mut search).await?;
            }
        }
        let Search { looked_at, jobs, .. } = search;
        let mut found = Found { jobs: Vec::new(), looked_at, whole };
        for job in jobs {
            // One that has ended since is no longer in the queue.
            if let Some(location) = self.locate(&job).await? {
                found.jobs.push((job, location));
            }
        }
        Ok(found)
    }

    /// Reads one lane; true where it was read to its end.
    async fn search_lane(&self, keys: &Keys, lane: Lane, search: &mut Search<'_>) -> Result<bool> {
        let page = page(self.config());
        let mut from = "-".to_owned();
        loop {
            // With nothing left to look at, one more entry is asked for, unread: whether there is one is the answer.
            let left = search.most - search.looked_at;
            let count = page.min(left.max(1));
            let mut command = redis::cmd("XRANGE");
            command.arg(keys.lane(lane)).arg(&from).arg("+").arg("COUNT").arg(count);
            let answer: Value = self.link().command(DOING, &command).await?;
            let entries = reply::array(DOING, answer)?;
            if left == 0 {
                return Ok(entries.is_empty());
            }
            let ended = entries.len() < count;
            for entry in entries {
                from = format!("({}", search.look(entry)?);
                if search.jobs.len() >= FOUND_MAX {
                    return Ok(false);
                }
            }
            if ended {
                return Ok(true);
            }
        }
    }
}

/// How many entries are read at once.
pub(crate) fn page(config: &Config) -> usize {
    (PAGE_BYTES / config.inline_bytes.max(1)).clamp(1, PAGE_MAX)
}

impl Search<'_> {
    /// Looks at one entry and gives its id.
    fn look(&mut self, entry: Value) -> Result<String> {
        let odd = |_| Error::Answer { doing: DOING, found: "not an entry".to_owned() };
        let [entry_id, fields]: [Value; 2] = reply::array(DOING, entry)?.try_into().map_err(odd)?;
        self.looked_at += 1;
        let mut flat = reply::array(DOING, fields)?.into_iter();
        while let (Some(name), Some(value)) = (flat.next(), flat.next()) {
            if reply::bytes(DOING, name)? != b"e" {
                continue;
            }
            // What cannot be read is not what is looked for.
            let envelope = Envelope::decode(&reply::bytes(DOING, value)?).ok();
            let same = |envelope: &Envelope| envelope.message_id.as_deref() == Some(self.id);
            if let Some(job) = envelope.filter(same).map(|envelope| envelope.job_id())
                && !self.jobs.contains(&job)
            {
                self.jobs.push(job);
            }
        }
        reply::text(DOING, entry_id)
    }
}
