//! The producer's side: jobs enter their lanes, once.

use mailfleet_model::JobId;

use crate::codec::{self, Stored};
use crate::error::{Error, Result};
use crate::job::{Enqueued, MAX_RAW_BYTES, NewJob};
use crate::keys::lane_number;
use crate::queue::{Queue, script};
use crate::scripts::SCRIPTS;

/// One script carries at most this many jobs and, unless a single job is larger, this many bytes: Redis does nothing
/// else while it runs.
const CHUNK_JOBS: usize = 200;
const CHUNK_BYTES: usize = 4 << 20;

impl Queue {
    /// Enqueues jobs; the answers are in the order of the jobs. Idempotent: a job that is in a lane, held or delayed is
    /// left as it is; one that was dead enters its lane again.
    ///
    /// After an error some of the jobs may be in and some not: enqueue all of them again. With OOM (an outage by its
    /// class) Redis is at its memory limit; what is in goes on, the mail waits in its mailbox.
    pub async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>> {
        self.put(jobs, false).await
    }

    /// Enqueues; `once`: their first error is their last.
    pub(crate) async fn put(&self, jobs: Vec<NewJob>, once: bool) -> Result<Vec<Enqueued>> {
        for job in &jobs {
            if job.raw.len() > MAX_RAW_BYTES {
                let (job, bytes) = (job.job_id(), job.raw.len());
                return Err(Error::TooLarge { job, bytes, limit: MAX_RAW_BYTES });
            }
        }
        let raws = jobs.iter().map(|job| job.raw.clone()).collect();
        let stored = codec::store_all(raws, self.config().inline_bytes).await?;
        let mut batch: Vec<Prepared> = Vec::with_capacity(jobs.len());
        for (index, (mut job, stored)) in jobs.into_iter().zip(stored).enumerate() {
            job.envelope.encoding = stored.encoding;
            let id = job.job_id();
            batch.push(Prepared { index, partition: self.partition_of(&id), id, job, stored });
        }
        // A stable sort: within a partition the order in which jobs were handed in is the order in their lane.
        batch.sort_by_key(|prepared| prepared.partition);
        let mut results = vec![Enqueued::AlreadyLive; batch.len()];
        let mut rest = batch.as_slice();
        while !rest.is_empty() {
            let (chunk, later) = rest.split_at(chunk_len(rest));
            let answers = self.enqueue_chunk(chunk, once).await?;
            if let Some(first) = chunk.first().filter(|_| answers.contains(&Enqueued::AccountFull)) {
                self.doubt_counts(first.partition).await;
            }
            for (prepared, enqueued) in chunk.iter().zip(answers) {
                if let Some(result) = results.get_mut(prepared.index) {
                    *result = enqueued;
                }
            }
            rest = later;
        }
        Ok(results)
    }

    async fn enqueue_chunk(&self, chunk: &[Prepared], once: bool) -> Result<Vec<Enqueued>> {
        const DOING: &str = "enqueue";
        let Some(first) = chunk.first() else { return Ok(Vec::new()) };
        let keys = self.keys(first.partition);
        let mut script = script(&SCRIPTS.enqueue, keys);
        script.arg(&keys.bell);
        script.arg(self.config().account_max_entries).arg(u8::from(once));
        self.marks().await.write(&mut script);
        for Prepared { id, job, stored, .. } in chunk {
            if stored.inline {
                script.arg(lane_number(job.lane));
            } else {
                script.key(keys.blob(id)).arg(format!("{}:{}", lane_number(job.lane), job.raw.len()));
            }
            script.arg(id.as_str()).arg(job.envelope.encode()).arg(stored.bytes.as_ref());
        }
        let replies: Vec<i64> = self.link().run(DOING, &script).await?;
        if replies.len() != chunk.len() {
            return Err(Error::Answer { doing: DOING, found: format!("{} answers", replies.len()) });
        }
        let enqueued = |reply| match reply {
            1 => Ok(Enqueued::Queued),
            2 => Ok(Enqueued::AlreadyLive),
            3 => Ok(Enqueued::LaneFull),
            4 => Ok(Enqueued::AccountFull),
            5 => Ok(Enqueued::Closed),
            other => Err(Error::Answer { doing: DOING, found: other.to_string() }),
        };
        replies.into_iter().map(enqueued).collect()
    }
}

struct Prepared {
    index: usize,
    partition: u16,
    id: JobId,
    job: NewJob,
    stored: Stored,
}

/// How many of the first jobs go into one script: of one partition, within the bounds, and at least one.
fn chunk_len(jobs: &[Prepared]) -> usize {
    let partition = jobs.first().map(|first| first.partition);
    let mut bytes = 0;
    let fits = |prepared: &&Prepared| {
        bytes += prepared.stored.bytes.len();
        Some(prepared.partition) == partition && bytes <= CHUNK_BYTES
    };
    jobs.iter().take(CHUNK_JOBS).take_while(fits).count().max(1)
}
