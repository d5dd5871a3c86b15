//! The index of dead letters. The truth about them is in PostgreSQL; what is here only says that a job is dead.

use mailfleet_model::{JobId, Lane};

use crate::error::Result;
use crate::job::{Enqueued, NewJob};
use crate::keys::lane_number;
use crate::queue::{Queue, script};
use crate::scripts::SCRIPTS;

impl Queue {
    /// Puts dead jobs back into their lanes with fresh counters, and takes them off the index in the same step. Each has one
    /// attempt: [`Delivery::attempts_left`](crate::Delivery::attempts_left) says so, and crashes have their own budget.
    /// Idempotent, so that a replay that was killed half-way is simply run again.
    pub async fn replay(&self, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>> {
        self.put(jobs, true).await
    }

    /// Makes the index again from PostgreSQL: job, lane and reason of each open dead letter. Jobs that Redis knows
    /// anything about are left alone. Returns the number of lines added.
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

    /// Takes discarded or resolved dead letters off the index. Returns the number of lines removed.
    pub async fn forget_dead(&self, jobs: &[JobId]) -> Result<u64> {
        let mut removed = 0;
        for (partition, keys) in (0u16..).zip(self.partitions()) {
            let ours: Vec<_> = jobs.iter().filter(|job| self.partition_of(job) == partition).collect();
            for chunk in ours.chunks(500) {
                let mut script = script(&SCRIPTS.forget_dead, keys);
                for job in chunk {
                    script.arg(job.as_str());
                }
                removed += self.link().run::<u64>("forget dead letters", &script).await?;
            }
        }
        Ok(removed)
    }
}
