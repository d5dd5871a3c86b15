//! The index of dead letters. The truth about them is in PostgreSQL; what is here only says that a job is dead.

use std::collections::HashMap;

use mailfleet_model::{JobId, Lane};

use crate::error::Result;
use crate::job::{Enqueued, NewJob};
use crate::keys::lane_number;
use crate::queue::{Queue, script};
use crate::scripts::SCRIPTS;

/// Names and values of an entry, which need not be text.
type Fields = HashMap<Vec<u8>, Vec<u8>>;

/// One line of the index, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexLine {
    /// The job.
    pub job: JobId,
    /// The line's id in the dead stream.
    entry: String,
}

/// A place in the index; the first by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexPlace {
    partition: u16,
    after: String,
}

impl Default for IndexPlace {
    fn default() -> Self {
        Self { partition: 0, after: "0-0".to_owned() }
    }
}

impl Queue {
    /// Puts dead jobs back into their lanes with fresh counters, and takes them off the index in the same step. Each has one
    /// attempt: [`Delivery::attempts_left`](crate::Delivery::attempts_left) says so, and crashes have their own budget.
    /// Idempotent, so that a replay that was killed half-way is simply run again.
    pub async fn replay(&self, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>> {
        self.put(jobs, true).await
    }

    /// Makes the index again from PostgreSQL: job, lane and reason of each open dead letter. Jobs that live, or stand in the
    /// index already, are left alone. Returns the number of lines added. Letters that were closed between the look into
    /// PostgreSQL and this have a line now that nobody takes off: [`Self::index_page`] shows them all, to be looked at again.
    pub async fn rebuild_dead_index(&self, jobs: &[(JobId, Lane, String)]) -> Result<u64> {
        let mut added = 0;
        for (partition, keys) in (0u16..).zip(self.partitions()) {
            let ours: Vec<_> = jobs.iter().filter(|(job, ..)| self.partition_of(job) == partition).collect();
            for chunk in ours.chunks(500) {
                let mut script = script(&SCRIPTS.rebuild_dead, keys);
                for (job, lane, reason) in chunk {
                    script.arg(job.as_str()).arg(lane_number(*lane)).arg(reason);
                }
                added += self.link().run::<u64>("rebuild the index of dead letters", &script).await?;
            }
        }
        Ok(added)
    }

    /// The lines of the index from `place` on, the oldest first: at most `limit`, and the place of the next page, until there
    /// is none. What stands in the dead stream without being the line of a job is left out.
    pub async fn index_page(
        &self,
        place: &IndexPlace,
        limit: usize,
    ) -> Result<(Vec<IndexLine>, Option<IndexPlace>)> {
        const DOING: &str = "read the index of dead letters";
        let Some(keys) = self.partitions().get(usize::from(place.partition)) else {
            return Ok((Vec::new(), None));
        };
        let mut command = redis::cmd("XRANGE");
        command.arg(keys.dead()).arg(format!("({}", place.after)).arg("+").arg("COUNT").arg(limit);
        // By bytes: an earlier version moved here what another program wrote into a lane, as it was.
        let rows: Vec<(String, Fields)> = self.link().command(DOING, &command).await?;
        let next = match rows.last() {
            Some((entry, _)) if rows.len() >= limit => IndexPlace { after: entry.clone(), ..*place },
            _ => IndexPlace { partition: place.partition + 1, ..IndexPlace::default() },
        };
        let line = |(entry, mut fields): (String, Fields)| {
            let job = JobId::parse(&String::from_utf8(fields.remove(b"j".as_slice())?).ok()?).ok()?;
            Some(IndexLine { job, entry })
        };
        let is_last = usize::from(next.partition) >= self.partitions().len();
        Ok((rows.into_iter().filter_map(line).collect(), (!is_last).then_some(next)))
    }

    /// Takes these very lines off the index, where they still stand: not those of jobs that have died again since. Returns
    /// the number of lines removed.
    pub async fn forget_lines(&self, lines: &[IndexLine]) -> Result<u64> {
        let lines: Vec<_> = lines.iter().map(|line| (&line.job, line.entry.as_str())).collect();
        self.forget(&lines).await
    }

    /// Takes discarded or resolved dead letters off the index. Returns the number of lines removed.
    pub async fn forget_dead(&self, jobs: &[JobId]) -> Result<u64> {
        let jobs: Vec<_> = jobs.iter().map(|job| (job, "")).collect();
        self.forget(&jobs).await
    }

    async fn forget(&self, lines: &[(&JobId, &str)]) -> Result<u64> {
        let mut removed = 0;
        for (partition, keys) in (0u16..).zip(self.partitions()) {
            let ours: Vec<_> = lines.iter().filter(|(job, _)| self.partition_of(job) == partition).collect();
            for chunk in ours.chunks(500) {
                let mut script = script(&SCRIPTS.forget_dead, keys);
                for (job, entry) in chunk {
                    script.arg(job.as_str()).arg(*entry);
                }
                removed += self.link().run::<u64>("forget dead letters", &script).await?;
            }
        }
        Ok(removed)
    }
}
