//! `mailfleet queue pause` and `resume`.

use mailfleet_model::Lane;
use mailfleet_queue::{Pause, Paused, Queue};
use serde_json::{Value, json};

use super::{Kind, Said, Which, pause_json, since};
use crate::context::Context;
use crate::failure::Exit;
use crate::output::{self, OutputArgs};

/// Let consumers take nothing new of a queue, or of one of its lanes
///
/// What consumers have in hand is finished; producers and webhooks go on filling the queue. Every consumer heeds it
/// within a second. A pause lies in Redis: FLUSHALL lifts it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    mailfleet queue pause --queue mails --lane low --reason 'backfill waits for the night'\n  \
    mailfleet queue pause --reason 'bad release'      both queues, all lanes")]
pub(super) struct PauseArgs {
    #[command(flatten)]
    said: Said,
    /// The lane: high, normal or low; without it, all
    #[arg(long, value_name = "LANE")]
    lane: Option<Lane>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Let consumers go on: after `queue pause`, and after `queue drain`, which closed the queue
///
/// Without --lane all lanes go on and a closed queue is open again. With it that lane goes on, and nothing else changes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    mailfleet queue resume --queue mails --lane low\n  \
    mailfleet queue resume      both queues, all lanes")]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    which: Which,
    /// The lane: high, normal or low; without it, all
    #[arg(long, value_name = "LANE")]
    lane: Option<Lane>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Pauses, then says what is paused.
pub(super) async fn pause(context: &Context, args: &PauseArgs) -> anyhow::Result<Exit> {
    let queues = context.queues()?;
    let by = args.said.who();
    for kind in args.said.which.kinds() {
        let queue = kind.of(&queues);
        queue.pause(args.lane, &by, &args.said.reason).await?;
        say(kind, queue, args.output).await?;
    }
    Ok(Exit::Clean)
}

/// Resumes, then says what still is paused.
pub(super) async fn resume(context: &Context, args: &ResumeArgs) -> anyhow::Result<Exit> {
    let queues = context.queues()?;
    for kind in args.which.kinds() {
        let queue = kind.of(&queues);
        queue.resume(args.lane).await?;
        say(kind, queue, args.output).await?;
    }
    Ok(Exit::Clean)
}

/// Says what is paused of a queue.
async fn say(kind: Kind, queue: &Queue, output: OutputArgs) -> anyhow::Result<()> {
    let paused = queue.paused().await?;
    if output.json {
        return output::json(&to_json(kind, queue, &paused));
    }
    let lines = lines(kind, &paused);
    if lines.is_empty() {
        return output::line(format_args!("{}: all lanes go on", kind.as_str()));
    }
    lines.iter().try_for_each(output::line)
}

/// What is paused of a queue as one object.
pub(super) fn to_json(kind: Kind, queue: &Queue, paused: &Paused) -> Value {
    let lanes: serde_json::Map<String, Value> = Lane::ALL
        .into_iter()
        .map(|lane| (lane.to_string(), json!({ "paused": pause_json(paused.lane(lane)) })))
        .collect();
    json!({
        "kind": kind.as_str(), "queue": queue.config().queue, "lanes": lanes,
        "closed": pause_json(paused.closed.as_ref()),
    })
}

/// What is paused of a queue for people, a line for each; none where nothing is.
pub(super) fn lines(kind: Kind, paused: &Paused) -> Vec<String> {
    let lane = |lane| {
        let pause = paused.lane(lane)?;
        Some(format!("{}: the {lane} lane is paused {}", kind.as_str(), since(pause)))
    };
    let closed = paused.closed.iter().map(|closed| closed_line(kind, closed));
    Lane::ALL.into_iter().filter_map(lane).chain(closed).collect()
}

/// That a queue is closed, for people.
pub(in crate::commands) fn closed_line(kind: Kind, closed: &Pause) -> String {
    format!("{}: closed {}; nothing new enters", kind.as_str(), since(closed))
}
