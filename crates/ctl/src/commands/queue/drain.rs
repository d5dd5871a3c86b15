//! `mailfleet queue drain`: a queue is closed and consumers empty it.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use mailfleet_model::Lane;
use mailfleet_queue::{Depth, Queue};
use serde_json::json;

use super::{Kind, Said, control};
use crate::context::Context;
use crate::failure::{self, Exit};
use crate::output::{self, OutputArgs};

/// How often the queue is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Plain lines come at most this often.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Let nothing new into a queue and wait until consumers have emptied it
///
/// New mail waits in its mailboxes meanwhile, webhook calls in PostgreSQL; nothing is lost. `queue resume` opens the queue
/// again. This is how `queue.partitions` is changed, and how Redis is moved. Exit code 0 when the queue is empty, 1 when
/// the time ended before; it stays closed in both cases.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, a change of queue.partitions:\n  \
    mailfleet queue drain --reason 'three partitions'\n  \
    (stop producers and consumers, change the configuration of all programs, start them)\n  \
    mailfleet queue resume")]
pub(super) struct Args {
    #[command(flatten)]
    said: Said,
    /// How long to wait, at most; 0 closes the queue and looks once
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    wait: u32,
    #[command(flatten)]
    output: OutputArgs,
}

/// What is left in a queue; `None` where that is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Left {
    entries: Option<u64>,
    in_flight: Option<u64>,
    delayed: Option<u64>,
}

impl Left {
    fn of(depth: &Depth) -> Self {
        let sum = |number: fn(&Depth, Lane) -> Option<u64>| {
            Lane::ALL.into_iter().try_fold(0, |sum, lane| Some(sum + number(depth, lane)?))
        };
        Self {
            entries: sum(|depth, lane| depth.lane(lane).total()),
            in_flight: sum(|depth, lane| depth.lane(lane).in_flight),
            delayed: sum(|depth, lane| depth.lane(lane).delayed),
        }
    }
}

/// Closes all of them first: each empties while the others are waited for.
pub(super) async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    let queues = context.queues()?;
    let by = args.said.who();
    for kind in args.said.which.kinds() {
        kind.of(&queues).close(&by, &args.said.reason).await?;
    }
    let end = Instant::now() + Duration::from_secs(args.wait.into());
    let mut empty = true;
    for kind in args.said.which.kinds() {
        let queue = kind.of(&queues);
        let left = watch(kind, queue, end).await?;
        empty &= left.entries == Some(0);
        if args.output.json {
            let paused = queue.paused().await?;
            let mut said = control::to_json(kind, queue, &paused);
            if let Some(said) = said.as_object_mut() {
                said.insert("left".to_owned(), json!(left.entries));
            }
            output::json(&said)?;
        } else {
            output::line(verdict(kind, left))?;
        }
    }
    if !empty {
        failure::note(
            "the queue stays closed; the same command waits on, `mailfleet queue resume` opens it again",
        );
    }
    Ok(Exit::clean_if(empty))
}

/// Looks until the queue is empty or the time is over.
async fn watch(kind: Kind, queue: &Queue, end: Instant) -> anyhow::Result<Left> {
    let mut progress = Progress::new(kind);
    loop {
        let depth = queue.depth().await?;
        let left = Left::of(&depth);
        if let Some(lane) = held_back(&depth) {
            progress.finish();
            bail!(
                "the {lane} lane of {kind} is paused, so that nobody empties it: `mailfleet queue resume --queue {kind} \
                 --lane {lane}`; the queue stays closed",
                kind = kind.as_str()
            );
        }
        progress.show(left);
        if left.entries == Some(0) || Instant::now() >= end {
            progress.finish();
            return Ok(left);
        }
        tokio::time::sleep(LOOK_EVERY.min(end.saturating_duration_since(Instant::now()))).await;
    }
}

/// A lane that holds something and gives nothing.
fn held_back(depth: &Depth) -> Option<Lane> {
    let held = |lane: &Lane| {
        let numbers = depth.lane(*lane);
        numbers.paused == Some(true) && numbers.total() != numbers.in_flight
    };
    Lane::ALL.into_iter().find(held)
}

fn verdict(kind: Kind, left: Left) -> String {
    let kind = kind.as_str();
    match left.entries {
        Some(0) => format!("{kind}: empty"),
        Some(_) => format!("{kind}: {}", words(left)),
        None => format!("{kind}: how much is left is unknown"),
    }
}

fn words(Left { entries, in_flight, delayed }: Left) -> String {
    let [entries, in_flight, delayed] = [entries, in_flight, delayed].map(output::known);
    format!("{entries} left, {in_flight} of them in hand, {delayed} wait for a retry")
}

/// A bar on a terminal, plain lines elsewhere.
#[derive(Debug)]
struct Progress {
    kind: Kind,
    bar: Option<ProgressBar>,
    most: u64,
    said: Option<(Left, Instant)>,
}

impl Progress {
    fn new(kind: Kind) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix:>8} [{bar:40}] {msg}, {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ");
            ProgressBar::new(0).with_style(style).with_prefix(kind.as_str())
        });
        Self { kind, bar, most: 0, said: None }
    }

    fn show(&mut self, left: Left) {
        let entries = left.entries.unwrap_or(self.most);
        self.most = self.most.max(entries);
        if let Some(bar) = &self.bar {
            bar.set_length(self.most);
            bar.set_position(self.most - entries);
            bar.set_message(words(left));
            return;
        }
        let due = self.said.is_none_or(|(before, at)| before != left && at.elapsed() >= PLAIN_EVERY);
        if due && left.entries != Some(0) {
            failure::note(&format!("{}: {}", self.kind.as_str(), words(left)));
            self.said = Some((left, Instant::now()));
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
