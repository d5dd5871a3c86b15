//! `mailfleet dead replay`: back into the queue.
//!
//! PostgreSQL first, Redis second: a letter is marked, then its job goes into the queue on its original lane with fresh
//! counters. The other order could mark a letter whose job has died again in between, and hide it. A run that is
//! killed between the two steps (or a Redis that loses the job) leaves a marked letter whose job is not live; every run
//! opens such letters of its kind again before it begins, and the producer puts them back by itself. A job that is live
//! already is left alone. So nothing is lost and nothing doubled, however often it is run.

mod pace;
mod put;
mod run;
mod tell;
mod watch;

use mailfleet_queue::Queues;
use mailfleet_store::{ActionOutcome, DeadFilter, DeadState, Store};
use serde_json::json;

use super::{groups, lost::lost_of, which::Chosen, which::Which};
use crate::context::Context;
use crate::failure::{self, Exit};
use crate::output::{self, OutputArgs};
use crate::text;

use pace::Rate;
use run::{Run, Tally};

/// Groups that a dry run shows.
const SHOWN: u32 = 20;

/// Put dead letters back into the queue
///
/// Attempts start anew, the lane is the original one, and what was tried before stays with the letter. Safe to repeat and to
/// interrupt: what is in the queue or stored already is not doubled.
///
/// A replayed letter has one attempt: what fails dies again at once. It is watched how the letters fare while others are still
/// to come: once ten have run and more than half died again the replay stops by itself. What it has put into the queue by then
/// goes on. The last ones are waited for a moment. Exit code 1 where letters are left, or most of those that have run died
/// again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  mailfleet tenant domain add acme acme.example\n  mailfleet dead replay --reason unknown_tenant --rate 50/s"
)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Only say what would be replayed
    #[arg(long)]
    dry_run: bool,
    /// At most so many a second, 1 to 10000
    #[arg(long, value_name = "N/s", value_parser = pace::rate)]
    rate: Option<Rate>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Replays, or says what would be.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    let (store, queues) = (context.store()?, context.queues()?);
    if args.dry_run {
        return dry_run(context, args, &store, &queues).await;
    }
    let (chosen, _) = choose(context, args, &store, &queues, true).await?;
    let matched = store.dead_letters_count(&chosen.filter).await?;
    chosen.no_slip(&store, matched).await?;
    if matched == 0 {
        return said(
            args,
            &Ended { action: None, outcome: ActionOutcome::Completed, matched },
            &Tally::default(),
        );
    }
    let action = store.begin_replay(&args.which.actor(), &chosen.said, matched).await?;
    let mut run = Run::new(&store, &queues, action, matched, args.rate, args.output.json);
    let went = run.go(&chosen.filter).await;
    let tally = run.into_tally();
    let outcome = went.as_ref().copied().unwrap_or(ActionOutcome::Broken);
    let ended = store.end_replay(action, tally.progress(), outcome).await;
    went?;
    ended?;
    said(args, &Ended { action: Some(action), outcome, matched }, &tally)
}

/// The letters to be replayed, and how many of that kind were replayed before and lost by Redis; those are opened again
/// where `reopen`, and so are among the letters.
async fn choose(
    context: &Context,
    args: &Args,
    store: &Store,
    queues: &Queues,
    reopen: bool,
) -> anyhow::Result<(Chosen, u64)> {
    let now = context.now();
    let all = args.which.chosen(store, now, &EVERY_STATE).await?;
    let again = lost_of(store, queues, &all.filter, reopen).await?;
    let chosen = if args.which.are_named() {
        args.which.chosen(store, now, &[DeadState::Open, DeadState::Discarded]).await?
    } else {
        all
    };
    Ok((chosen, again))
}

const EVERY_STATE: [DeadState; 4] =
    [DeadState::Open, DeadState::Replayed, DeadState::Resolved, DeadState::Discarded];

/// A run that is over.
struct Ended {
    action: Option<i64>,
    outcome: ActionOutcome,
    matched: u64,
}

fn said(args: &Args, ended: &Ended, tally: &Tally) -> anyhow::Result<Exit> {
    let left = tally.left(ended.matched);
    let died = format!(
        "{} of the {} that have run died again; `mailfleet dead groups --since 1h` says why",
        tally.died,
        tally.ran()
    );
    match ended.outcome {
        ActionOutcome::Stopped => failure::say(&format!("stopped: {died}")),
        ActionOutcome::Refused => {
            failure::say("the queue takes no more (a lane is full, or it is closed); run this again later");
        }
        ActionOutcome::Completed if left > 0 => {
            failure::say(
                "some accounts have their share of the queue already; run this again when it has drained",
            );
        }
        ActionOutcome::Completed if tally.most_died() => failure::say(&died),
        ActionOutcome::Completed | ActionOutcome::Broken => {}
    }
    if args.output.json {
        output::json(&json!({
            "action": ended.action, "outcome": ended.outcome.as_str(), "matched": ended.matched,
            "replayed": tally.replayed, "already_queued": tally.already_queued, "failed": tally.failed, "left": left,
            "stored": tally.stored, "died_again": tally.died,
        }))?;
    } else {
        let ran = match tally.ran() {
            0 => String::new(),
            ran => format!("; {ran} of them have run, {} died again", tally.died),
        };
        output::line(format_args!(
            "{} replayed, {} were in the queue already, {} cannot be replayed, {left} left{ran}",
            tally.replayed, tally.already_queued, tally.failed,
        ))?;
    }
    let gone_well = tally.failed == 0 && left == 0 && !tally.most_died();
    Ok(Exit::clean_if(gone_well && ended.outcome == ActionOutcome::Completed))
}

/// Says what would be replayed: by group, and how many.
async fn dry_run(context: &Context, args: &Args, store: &Store, queues: &Queues) -> anyhow::Result<Exit> {
    let (chosen, again) = choose(context, args, store, queues, false).await?;
    let open = store.dead_letters_count(&chosen.filter).await?;
    chosen.no_slip(store, open + again).await?;
    let would_replay = open + again;
    if args.output.json {
        let line = json!({ "would_replay": would_replay, "of_them_lost_by_redis": again, "replayed": 0 });
        output::json(&line)?;
        return Ok(Exit::Clean);
    }
    let groups = store.dead_groups(&DeadFilter { limit: SHOWN, ..chosen.filter }).await?;
    if !groups.is_empty() {
        groups::table(&groups).print("")?;
    }
    if again > 0 {
        let letters = text::count(again, "letter was", "letters were");
        output::line(format_args!("{letters} replayed before and lost by Redis"))?;
    }
    output::line(format_args!("{would_replay} would be replayed"))?;
    Ok(Exit::Clean)
}
