//! A few letters on their way: from PostgreSQL's rows to jobs, marked there and then put into the queue.

use std::collections::HashSet;

use bytes::Bytes;
use mailfleet_model::{Envelope, JobId, Work};
use mailfleet_queue::{Enqueued, MAX_RAW_BYTES, NewJob, Queues};
use mailfleet_store::{DeadLetter, Store};

/// Raw bytes put into the queue in one step; one mail may exceed it alone.
const STEP_BYTES: usize = 16 << 20;

/// What became of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// In the queue now.
    Replayed,
    /// In the queue before, or stored meanwhile.
    AlreadyQueued,
    /// Cannot be replayed, and why.
    Failed(String),
    /// Not taken by the queue: open again.
    Refused(Enqueued),
}

/// What became of letters, by number and job.
pub type Fates = Vec<(i64, JobId, Fate)>;

/// Puts letters into the queue, in steps of bounded bytes.
pub async fn put(
    store: &Store,
    queues: &Queues,
    action: i64,
    letters: &[DeadLetter],
) -> anyhow::Result<Fates> {
    let (mut fates, mut jobs, mut bytes) = (Fates::with_capacity(letters.len()), Vec::new(), 0);
    for letter in letters {
        match job(store, letter).await? {
            Ok(job) => {
                bytes += job.raw.len();
                jobs.push((letter.id, job));
            }
            Err(why) => fates.push((letter.id, letter.job.clone(), Fate::Failed(why))),
        }
        if bytes >= STEP_BYTES {
            fates.extend(put_step(store, queues, action, std::mem::take(&mut jobs)).await?);
            bytes = 0;
        }
    }
    fates.extend(put_step(store, queues, action, jobs).await?);
    Ok(fates)
}

/// The job of a letter, as new; or why there is none.
async fn job(store: &Store, letter: &DeadLetter) -> anyhow::Result<Result<NewJob, String>> {
    // Read like one from the queue: a later version or rubbish is told apart, never guessed at.
    let envelope = match Envelope::of_letter(&letter.envelope_json, &letter.job) {
        Ok(envelope) => envelope,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let raw = match envelope.work {
        Work::Mail(_) => store.dead_letter_by_id(letter.id).await?.and_then(|letter| letter.raw),
        // What it is about lies in the inbox.
        Work::Events { .. } => Some(Bytes::new()),
    };
    let Some(raw) = raw else {
        return Ok(Err("its raw mail was not at hand when it died".to_owned()));
    };
    if raw.len() > MAX_RAW_BYTES {
        return Ok(Err(format!(
            "its raw mail has {} bytes, and the queue carries {MAX_RAW_BYTES}",
            raw.len()
        )));
    }
    Ok(Ok(NewJob { envelope, lane: letter.lane, raw }))
}

/// Marks, then enqueues, then opens again what the queue did not take.
async fn put_step(
    store: &Store,
    queues: &Queues,
    action: i64,
    jobs: Vec<(i64, NewJob)>,
) -> anyhow::Result<Fates> {
    if jobs.is_empty() {
        return Ok(Fates::new());
    }
    let ids: Vec<i64> = jobs.iter().map(|(id, _)| *id).collect();
    // What somebody else has marked is not ours to open again.
    let marked: HashSet<i64> = store.mark_replayed(&ids, Some(action)).await?.into_iter().collect();
    let (jobs, gone): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|(id, _)| marked.contains(id));
    // Somebody else was first: another run of this command, or the one that stored it.
    let mut fates: Fates =
        gone.into_iter().map(|(id, job)| (id, job.job_id(), Fate::AlreadyQueued)).collect();
    let names: Vec<(i64, JobId)> = jobs.iter().map(|(id, job)| (*id, job.job_id())).collect();
    let answers = match queues.replay(jobs.into_iter().map(|(_, job)| job).collect()).await {
        Ok(answers) => answers,
        Err(error) => {
            // Some may be in the queue all the same: an open letter whose job is live does no harm.
            store.reopen(&marked.into_iter().collect::<Vec<i64>>()).await?;
            return Err(error.into());
        }
    };
    let mut refused = Vec::new();
    for ((id, job), answer) in names.into_iter().zip(answers) {
        let fate = match answer {
            Enqueued::Queued => Fate::Replayed,
            Enqueued::AlreadyLive => Fate::AlreadyQueued,
            Enqueued::LaneFull | Enqueued::AccountFull | Enqueued::Closed => {
                refused.push(id);
                Fate::Refused(answer)
            }
        };
        fates.push((id, job, fate));
    }
    store.reopen(&refused).await?;
    Ok(fates)
}
