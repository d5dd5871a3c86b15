//! `mailfleet queue`: what is waiting.

use std::time::Duration;

use chrono::DateTime;
use clap::Subcommand;
use mailfleet_model::Lane;
use mailfleet_queue::{Depth, Location, Queue, Queues, State};
use serde_json::json;

use crate::context::Context;
use crate::failure::Exit;
use crate::output::{self, OutputArgs, Rows, known};
use crate::text;

/// The queues between producer and consumers: of mails, and of what webhooks brought
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// How much waits, is being worked on, waits for a retry, in each lane of both queues
    ///
    /// mails: what came into the mailboxes. events: what webhooks brought, a call each.
    ///
    /// high: bounces, replies to our mails; of events, all. normal: new mail. low: what was in a mailbox before the fleet
    /// first saw it.
    ///
    /// With --json each queue is a line, first the mails, then the events. `kind` (mails or events) tells them apart;
    /// `queue` is the name as it is configured, which metrics show too.
    #[command(after_help = "Example:\n  \
        mailfleet queue depth --json | jq 'select(.kind == \"events\") | .lanes.high.waiting'")]
    Depth {
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// A queue that was asked.
#[derive(Debug)]
struct Asked {
    /// What is in it: `mails` or `events`.
    kind: &'static str,
    /// Its name in the configuration.
    name: String,
    depth: Depth,
}

/// Runs a `queue` command.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    match args.command {
        Command::Depth { output } if output.json => {
            ask(&context.queues()?).await?.iter().map(to_json).try_for_each(|queue| output::json(&queue))?;
        }
        Command::Depth { .. } => print(&context.queues()?).await?,
    }
    Ok(Exit::Clean)
}

/// Asks both queues.
async fn ask(queues: &Queues) -> anyhow::Result<[Asked; 2]> {
    let asked = async |kind, queue: &Queue| -> anyhow::Result<Asked> {
        Ok(Asked { kind, name: queue.config().queue.clone(), depth: queue.depth().await? })
    };
    Ok([asked("mails", &queues.mails).await?, asked("events", &queues.events).await?])
}

/// A queue as one object; what is not known is null.
fn to_json(Asked { kind, name, depth }: &Asked) -> serde_json::Value {
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
    json!({ "kind": kind, "queue": name, "lanes": lanes, "dead": depth.dead })
}

/// Both queues for people.
pub async fn print(queues: &Queues) -> anyhow::Result<()> {
    let asked = ask(queues).await?;
    let mut rows = Rows::new(&["QUEUE", "LANE", "WAITING", "IN FLIGHT", "RETRY", "HANDED BACK", "OLDEST"]);
    for Asked { kind, depth, .. } in &asked {
        for lane in Lane::ALL {
            let numbers = depth.lane(lane);
            rows.push([
                (*kind).to_owned(),
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
    }
    rows.print("no lane")?;
    let [mails, events] = asked.map(|asked| known(asked.depth.dead));
    output::line(format_args!("dead letters in the index: {mails} of mails, {events} of events"))
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
