//! `mailfleet dead replay`: back into the queue.
//!
//! PostgreSQL first, Redis second: a letter is marked, then its job goes into the queue on its original lane with fresh
//! counters. The other order could mark a letter whose job has died again in between, and hide it. A run that is
//! killed between the two steps (or a Redis that loses the job) leaves a marked letter whose job is not live; every run
//! opens such letters again before it begins. A job that is live already is left alone. So nothing is lost and nothing
//! doubled, however often it is run.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use clap::ArgGroup;
use mailfleet_model::{Envelope, JobId, Work};
use mailfleet_queue::{Enqueued, NewJob, Queues};
use mailfleet_store::{DeadFilter, DeadLetter, DeadState, Store};
use serde::Serialize;

use crate::context::Context;
use crate::failure::{self, Exit};
use crate::output::{self, OutputArgs};

/// Letters replayed in one step.
const BATCH: usize = 50;
/// Raw bytes put into the queue in one step; one mail may exceed it alone.
const STEP_BYTES: usize = 16 << 20;
/// Letters of one run. What is left needs another one.
const MOST: u32 = 20_000;
/// Replayed letters read from PostgreSQL, and looked up in Redis, in one step.
const PAGE: u32 = 1_000;

/// Put dead letters back into the queue
///
/// Attempts start anew, the lane is the original one. Safe to repeat and to interrupt: what is in the queue or stored
/// already is not doubled.
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("which").required(true).args(["letters", "reason", "all"]),
    after_help = "Example:\n  mailfleet tenant domain add acme acme.example\n  mailfleet dead replay --reason unknown_tenant"
)]
pub struct Args {
    /// Ids (or jobs) of the letters
    #[arg(value_name = "ID")]
    letters: Vec<String>,
    /// All open letters with this reason
    #[arg(long)]
    reason: Option<String>,
    /// All open letters
    #[arg(long)]
    all: bool,
    /// Only say what would be replayed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// What became of the letters, by their ids.
#[derive(Debug, Default, Serialize)]
struct Tally {
    /// Would be replayed; all else is empty then.
    would_replay: Vec<i64>,
    /// In the queue now.
    replayed: Vec<i64>,
    /// Were in the queue before.
    already_queued: Vec<i64>,
    /// Cannot be replayed.
    failed: Vec<i64>,
    /// Left for another run: their lane is full.
    left: Vec<i64>,
}

impl Tally {
    /// The counts and the ids.
    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "would_replay": self.would_replay.len(), "replayed": self.replayed.len(),
            "already_queued": self.already_queued.len(), "failed": self.failed.len(), "left": self.left.len(),
            "ids": self,
        })
    }
}

/// Replays, or says what would be.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    let (store, queues) = (context.store()?, context.queues()?);
    let lost = lost(&store, &queues, Duration::ZERO).await?;
    if args.dry_run {
        let letters = chosen(&store, args).await?;
        slip(&store, args, &letters).await?;
        return dry_run(args, letters, lost);
    }
    store.reopen(&lost.iter().map(|letter| letter.id).collect::<Vec<_>>()).await?;
    let letters = chosen(&store, args).await?;
    slip(&store, args, &letters).await?;
    let mut tally = Tally::default();
    for batch in letters.chunks(BATCH) {
        replay(&store, &queues, batch, &mut tally).await?;
        if !tally.left.is_empty() {
            failure::say("a lane of the queue is full; run this again when it has drained");
            break;
        }
    }
    let Tally { replayed, already_queued, failed, .. } = &tally;
    let settled: HashSet<i64> = [replayed, already_queued, failed].into_iter().flatten().copied().collect();
    tally.left = letters.iter().map(|letter| letter.id).filter(|id| !settled.contains(id)).collect();
    let Tally { replayed, already_queued, failed, left, .. } = &tally;
    if args.output.json {
        output::json(&tally.to_json())?;
    } else {
        output::line(format_args!(
            "{} replayed, {} were in the queue already, {} cannot be replayed, {} left",
            replayed.len(),
            already_queued.len(),
            failed.len(),
            left.len()
        ))?;
    }
    Ok(Exit::clean_if(failed.is_empty() && left.is_empty()))
}

/// Says what would be replayed. A lost letter of the same choice may stand in both lists.
fn dry_run(args: &Args, mut letters: Vec<DeadLetter>, lost: Vec<DeadLetter>) -> anyhow::Result<Exit> {
    letters.extend(lost);
    if args.output.json {
        let would_replay = letters.iter().map(|letter| letter.id).collect();
        output::json(&Tally { would_replay, ..Tally::default() }.to_json())?;
        return Ok(Exit::Clean);
    }
    for letter in &letters {
        output::line(format_args!("would replay {} ({}, {})", letter.id, letter.reason, letter.job))?;
    }
    output::line(format_args!("{} would be replayed", letters.len()))?;
    Ok(Exit::Clean)
}

/// An error for a reason that no letter ever had: a slip, not a job that is done already.
async fn slip(store: &Store, args: &Args, letters: &[DeadLetter]) -> anyhow::Result<()> {
    match &args.reason {
        Some(reason) if letters.is_empty() => super::reasons::had_by_a_letter(store, reason).await,
        _ => Ok(()),
    }
}

/// The letters asked for, without their raw mails.
async fn chosen(store: &Store, args: &Args) -> anyhow::Result<Vec<DeadLetter>> {
    if args.letters.is_empty() {
        let filter = DeadFilter { reason: args.reason.clone(), limit: MOST, ..DeadFilter::default() };
        return Ok(store.dead_letters(&filter).await?);
    }
    let mut letters = Vec::with_capacity(args.letters.len());
    for name in &args.letters {
        let mut letter = super::show::find(store, name).await?;
        letter.raw = None;
        match letter.state {
            DeadState::Open | DeadState::Discarded => letters.push(letter),
            DeadState::Replayed => failure::note(&format!("{name} is in the queue already")),
            DeadState::Resolved => {
                failure::note(&format!("{name} is stored already; there is nothing to replay"));
            }
        }
    }
    Ok(letters)
}

/// Letters replayed for at least `since` whose job the queue does not hold, page by page. Read before the queue is asked:
/// one that is stored or dies again in between has left the state by then, and `Store::reopen` passes over it.
pub async fn lost(store: &Store, queues: &Queues, since: Duration) -> anyhow::Result<Vec<DeadLetter>> {
    let (mut lost, mut after) = (Vec::new(), 0);
    loop {
        let page = store.replayed_letters(since, after, PAGE).await?;
        // Ids ascend from page to page, which bounds the loop.
        let Some(end) = page.last().map(|letter| letter.id) else { return Ok(lost) };
        let jobs: Vec<JobId> = page.iter().map(|letter| letter.job.clone()).collect();
        let live = queues.live(&jobs).await?;
        lost.extend(page.into_iter().zip(live).filter(|(_, live)| !live).map(|(letter, _)| letter));
        if lost.len() >= MOST as usize {
            return Ok(lost);
        }
        after = end;
    }
}

/// Replays one batch, in steps of bounded bytes.
async fn replay(
    store: &Store,
    queues: &Queues,
    batch: &[DeadLetter],
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let (mut ids, mut jobs, mut bytes) = (Vec::new(), Vec::new(), 0);
    for letter in batch {
        let job = match job(store, letter).await? {
            Ok(job) => job,
            Err(why) => {
                tally.failed.push(letter.id);
                failure::say(&format!("{} cannot be replayed: {why}", letter.id));
                continue;
            }
        };
        bytes += job.raw.len();
        ids.push(letter.id);
        jobs.push(job);
        if bytes >= STEP_BYTES {
            put(store, queues, std::mem::take(&mut ids), std::mem::take(&mut jobs), tally).await?;
            bytes = 0;
        }
    }
    put(store, queues, ids, jobs, tally).await
}

/// The job of a letter, as new; or why there is none.
async fn job(store: &Store, letter: &DeadLetter) -> anyhow::Result<Result<NewJob, String>> {
    // Read like one from the queue: a later version or rubbish is told apart, never guessed at.
    let envelope = serde_json::to_vec(&letter.envelope_json).context("envelope")?;
    let envelope = match Envelope::decode(&envelope) {
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
    Ok(Ok(NewJob { envelope, lane: letter.lane, raw }))
}

/// Marks, then enqueues, then opens again what the queue did not take.
async fn put(
    store: &Store,
    queues: &Queues,
    ids: Vec<i64>,
    jobs: Vec<NewJob>,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    store.mark_replayed(&ids).await?;
    let answers = match queues.replay(jobs).await {
        Ok(answers) => answers,
        Err(error) => {
            // Some may be in the queue all the same: an open letter whose job is live does no harm.
            store.reopen(&ids).await?;
            return Err(error.into());
        }
    };
    let mut refused = Vec::new();
    for (id, answer) in ids.iter().zip(answers) {
        match answer {
            Enqueued::Queued => tally.replayed.push(*id),
            Enqueued::AlreadyLive => tally.already_queued.push(*id),
            Enqueued::LaneFull => refused.push(*id),
        }
    }
    if !refused.is_empty() {
        store.reopen(&refused).await?;
        tally.left.extend(refused);
    }
    Ok(())
}
