//! `mailfleet queue`: what is waiting.

use std::time::Duration;

use chrono::DateTime;
use clap::Subcommand;
use mailfleet_model::Lane;
use mailfleet_queue::{Depth, Location, State};
use serde_json::json;

use crate::context::Context;
use crate::failure::Exit;
use crate::output::{self, OutputArgs, Rows, known};
use crate::text;

/// The queue between producer and consumers
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// How much waits, is being worked on, waits for a retry, in each lane
    ///
    /// high: bounces, replies to our mails. normal: new mail. low: what was in a mailbox before the fleet first saw it.
    Depth {
        /// The queue of delivery events instead of that of mails
        #[arg(long)]
        events: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// Runs a `queue` command.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    match args.command {
        Command::Depth { events, output } => {
            let queues = context.queues()?;
            let depth = if events { queues.events } else { queues.mails }.depth().await?;
            if output.json { output::json(&to_json(&depth))? } else { print(&depth)? }
        }
    }
    Ok(Exit::Clean)
}

/// The depth as one object; what is not known is null.
fn to_json(depth: &Depth) -> serde_json::Value {
    let lanes: serde_json::Map<String, serde_json::Value> = Lane::ALL
        .into_iter()
        .map(|lane| {
            let numbers = depth.lane(lane);
            let value = json!({
                "waiting": numbers.waiting, "in_flight": numbers.in_flight, "delayed": numbers.delayed,
                "released": numbers.released, "oldest_age_ms": numbers.oldest_age_ms,
            });
            (lane.to_string(), value)
        })
        .collect();
    json!({ "lanes": lanes, "dead": depth.dead })
}

/// The depth for people.
pub fn print(depth: &Depth) -> anyhow::Result<()> {
    let mut rows = Rows::new(&["LANE", "WAITING", "IN FLIGHT", "RETRY", "HANDED BACK", "OLDEST"]);
    for lane in Lane::ALL {
        let numbers = depth.lane(lane);
        rows.push([
            lane.to_string(),
            known(numbers.waiting),
            known(numbers.in_flight),
            known(numbers.delayed),
            known(numbers.released),
            match numbers.oldest_age_ms {
                None => "unknown".to_owned(),
                Some(0) => "-".to_owned(),
                Some(ms) => text::age(Duration::from_millis(ms)),
            },
        ]);
    }
    rows.print("no lane")?;
    output::line(format_args!("dead letters in the index: {}", known(depth.dead)))
}

/// Where a job is, in one line for people.
pub fn place(location: &Location) -> String {
    let Location { lane, state, counters, .. } = location;
    let place = match state {
        State::Waiting => format!("waits in the {lane} lane"),
        State::InFlight { consumer, idle_ms } => {
            let age = text::age(Duration::from_millis(*idle_ms));
            format!("is in the hands of {consumer} ({lane} lane, last sign of life {age} ago)")
        }
        State::Delayed { due_ms } => {
            let due = DateTime::from_timestamp_millis(*due_ms).map_or_else(|| due_ms.to_string(), text::time);
            format!("waits for its retry at {due} ({lane} lane)")
        }
        State::Dead => format!("is in the index of dead letters ({lane} lane)"),
    };
    format!(
        "{place}; {} attempts, {} crashes, {} drains",
        counters.attempts, counters.crashes, counters.drains
    )
}
