//! Which jobs the queue knows to be live: what sweeps ask before they enqueue a mail again.

use std::time::Instant;

use mailfleet_model::JobId;

use crate::error::{Error, Result};
use crate::log_gate::LogGate;
use crate::queue::{Queue, script};
use crate::scripts::SCRIPTS;

const DOING: &str = "look up live jobs";
/// One script looks at no more jobs.
const CHUNK_JOBS: usize = 500;

/// For the warning that something was put right: whatever it was, it may have come to any number of entries.
static PUT_RIGHT: LogGate = LogGate::new();

/// What was put right on the way.
#[derive(Debug, Default)]
struct PutRight {
    /// Entries that nobody would have taken.
    stuck: usize,
    /// Records whose entries are gone.
    without_entry: usize,
}

impl Queue {
    /// Which of these jobs are in a lane, held or delayed, in the order asked. A dead job is not live.
    ///
    /// An entry that nobody would ever take is made ripe by the question, and a record whose entry is gone is removed; both
    /// come from hands or other programs in Redis, or from a fault, so there is a warning in the log.
    pub async fn live(&self, jobs: &[JobId]) -> Result<Vec<bool>> {
        let mut results = vec![false; jobs.len()];
        let mut put_right = PutRight::default();
        for (partition, keys) in (0u16..).zip(self.partitions()) {
            let ours = |(_, job): &(usize, &JobId)| self.partition_of(job) == partition;
            let indexed: Vec<(usize, &JobId)> = jobs.iter().enumerate().filter(ours).collect();
            for chunk in indexed.chunks(CHUNK_JOBS) {
                let mut script = script(&SCRIPTS.live, keys);
                for (_, job) in chunk {
                    script.arg(job.as_str());
                }
                let replies: Vec<i64> = self.link().run(DOING, &script).await?;
                for ((index, _), reply) in chunk.iter().zip(replies) {
                    let live = put_right.read(reply)?;
                    if let Some(result) = results.get_mut(*index) {
                        *result = live;
                    }
                }
            }
        }
        put_right.tell(&self.config().queue);
        Ok(results)
    }
}

impl PutRight {
    /// Reads the answer for one job: whether it is live.
    fn read(&mut self, reply: i64) -> Result<bool> {
        match reply {
            0 => Ok(false),
            1 => Ok(true),
            2 => {
                self.stuck += 1;
                Ok(true)
            }
            3 => {
                self.without_entry += 1;
                Ok(false)
            }
            other => Err(Error::Answer { doing: DOING, found: other.to_string() }),
        }
    }

    fn tell(&self, queue: &str) {
        let Self { stuck, without_entry } = *self;
        if stuck + without_entry > 0
            && let Some(held_back) = PUT_RIGHT.pass(Instant::now())
        {
            tracing::warn!(
                stuck,
                without_entry,
                queue,
                held_back,
                "the queue was put right: entries that nobody would have taken go next, records whose entries are gone went"
            );
        }
    }
}
