//! `mailfleet queue depth`.

use std::time::Duration;

use mailfleet_model::Lane;
use mailfleet_queue::{Depth, Paused, Queues};
use serde_json::{Value, json};

use super::{Kind, pause_json};
use crate::commands::queue::control;
use crate::context::Context;
use crate::failure::Exit;
use crate::output::{self, OutputArgs, Rows, known};
use crate::text;

/// How much waits, is being worked on, waits for a retry, in each lane of both queues
///
/// mails: what came into the mailboxes. events: what webhooks brought, a call each.
///
/// high: bounces, replies to our mails; of events, all. normal: new mail. low: what was in a mailbox before the fleet
/// first saw it.
///
/// With --json each queue is a line, first the mails, then the events. `kind` (mails or events) tells them apart;
/// `queue` is the name as it is configured, which metrics show too. A lane's `paused`, and the queue's `closed`, say by
/// whom, since when and why; they are null where that is not so.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    mailfleet queue depth --json | jq 'select(.kind == \"events\") | .lanes.high.waiting'")]
pub(super) struct Args {
    #[command(flatten)]
    output: OutputArgs,
}

/// A queue that was asked.
#[derive(Debug)]
struct Asked {
    kind: Kind,
    /// Its name in the configuration.
    name: String,
    depth: Depth,
    paused: Paused,
}

/// Runs it.
pub(super) async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    let queues = context.queues()?;
    if args.output.json {
        ask(&queues).await?.iter().map(to_json).try_for_each(|queue| output::json(&queue))?;
    } else {
        print(&queues).await?;
    }
    Ok(Exit::Clean)
}

/// Asks both queues.
async fn ask(queues: &Queues) -> anyhow::Result<[Asked; 2]> {
    let asked = async |kind: Kind| -> anyhow::Result<Asked> {
        let queue = kind.of(queues);
        let (depth, paused) = (queue.depth().await?, queue.paused().await?);
        Ok(Asked { kind, name: queue.config().queue.clone(), depth, paused })
    };
    Ok([asked(Kind::Mails).await?, asked(Kind::Events).await?])
}

/// A queue as one object; what is not known is null.
fn to_json(Asked { kind, name, depth, paused }: &Asked) -> Value {
    let lanes: serde_json::Map<String, Value> = Lane::ALL
        .into_iter()
        .map(|lane| {
            let numbers = depth.lane(lane);
            let value = json!({
                "waiting": numbers.waiting, "in_flight": numbers.in_flight, "delayed": numbers.delayed,
                "released": numbers.released, "oldest_age_ms": numbers.oldest_age_ms,
                "paused": pause_json(paused.lane(lane)),
            });
            (lane.to_string(), value)
        })
        .collect();
    json!({
        "kind": kind.as_str(), "queue": name, "lanes": lanes, "dead": depth.dead,
        "closed": pause_json(paused.closed.as_ref()),
    })
}

/// Both queues for people.
pub async fn print(queues: &Queues) -> anyhow::Result<()> {
    let asked = ask(queues).await?;
    let mut rows = Rows::new(&["QUEUE", "LANE", "WAITING", "IN FLIGHT", "RETRY", "HANDED BACK", "OLDEST"]);
    for Asked { kind, depth, .. } in &asked {
        for lane in Lane::ALL {
            let numbers = depth.lane(lane);
            rows.push([
                kind.as_str().to_owned(),
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
    for Asked { kind, paused, .. } in &asked {
        control::lines(*kind, paused).iter().try_for_each(output::line)?;
    }
    let [mails, events] = asked.map(|asked| known(asked.depth.dead));
    output::line(format_args!("dead letters in the index: {mails} of mails, {events} of events"))
}
