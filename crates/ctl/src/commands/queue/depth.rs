//! `mailfleet queue depth`.

use std::collections::BTreeMap;
use std::time::Duration;

use mailfleet_model::Lane;
use mailfleet_queue::{Depth, Paused, Queues, Refuses};
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
/// `queue` is the name as it is configured, which metrics show too. `bytes` is what a lane's entries store; `oldest_ms` is
/// the age of the oldest of each state, `oldest_age_ms` of those that could be taken now; 0 is none, null is unknown.
/// `refuses` says why a lane refuses what is new: its `entries`, the `memory` of Redis. A lane's `paused`, and the queue's
/// `closed`, say by whom, since when and why; they are null where that is not so. `dead` counts the index of dead letters,
/// of a lane those whose jobs had it (null with more than 1,000). `backlog` is what autoscalers go by.
///
/// For people, an age stands behind the number of entries that it is the oldest of.
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
            let ages: BTreeMap<&str, Option<u64>> = numbers.oldest.states().into_iter().collect();
            let value = json!({
                "waiting": numbers.waiting, "in_flight": numbers.in_flight, "delayed": numbers.delayed,
                "released": numbers.released, "bytes": numbers.bytes,
                "oldest_age_ms": numbers.oldest_age_ms(), "oldest_ms": ages,
                "refuses": numbers.refuses.map(words), "paused": pause_json(paused.lane(lane)),
                "dead": numbers.dead,
            });
            (lane.to_string(), value)
        })
        .collect();
    json!({
        "kind": kind.as_str(), "queue": name, "lanes": lanes, "dead": depth.dead,
        "oldest_dead_ms": depth.oldest_dead_ms, "backlog": depth.backlog(),
        "closed": pause_json(paused.closed.as_ref()),
    })
}

/// Both queues for people.
pub async fn print(queues: &Queues) -> anyhow::Result<()> {
    let asked = ask(queues).await?;
    let mut rows = Rows::new(&[
        "QUEUE",
        "LANE",
        "WAITING",
        "IN FLIGHT",
        "RETRY",
        "HANDED BACK",
        "DEAD",
        "BYTES",
        "REFUSES",
    ]);
    for Asked { kind, depth, .. } in &asked {
        for lane in Lane::ALL {
            let numbers = depth.lane(lane);
            let oldest = &numbers.oldest;
            rows.push([
                kind.as_str().to_owned(),
                lane.to_string(),
                aged(numbers.waiting, oldest.waiting),
                aged(numbers.in_flight, oldest.in_flight),
                aged(numbers.delayed, oldest.delayed),
                aged(numbers.released, oldest.released),
                known(numbers.dead),
                known(numbers.bytes),
                match numbers.refuses {
                    None => "unknown".to_owned(),
                    Some(why) if why.any() => words(why).join("+"),
                    Some(_) => "-".to_owned(),
                },
            ]);
        }
    }
    rows.print("no lane")?;
    for Asked { kind, paused, .. } in &asked {
        control::lines(*kind, paused).iter().try_for_each(output::line)?;
    }
    let [mails, events] = asked.map(|asked| aged(asked.depth.dead, asked.depth.oldest_dead_ms));
    output::line(format_args!("dead letters in the index: {mails} of mails, {events} of events"))
}

/// A number of entries, with the age of the oldest behind it.
fn aged(entries: Option<u64>, oldest_ms: Option<u64>) -> String {
    match (entries, oldest_ms) {
        (Some(0), _) => "0".to_owned(),
        (_, Some(0)) => known(entries),
        (_, None) => format!("{} (age unknown)", known(entries)),
        (_, Some(ms)) => format!("{} ({})", known(entries), text::age(Duration::from_millis(ms))),
    }
}

/// Why a lane refuses.
pub(in crate::commands) fn words(why: Refuses) -> Vec<&'static str> {
    let words = [(why.by_entries, "entries"), (why.by_memory, "memory")];
    words.into_iter().filter_map(|(holds, word)| holds.then_some(word)).collect()
}
