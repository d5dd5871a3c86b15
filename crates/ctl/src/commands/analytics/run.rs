//! `mailfleet analytics run` and `rebuild`.

use std::io::IsTerminal as _;

use anyhow::bail;
use indicatif::ProgressBar;
use mailfleet_store::{Marked, RolledUp, Roller, Store};
use serde_json::json;

use crate::context::Context;
use crate::failure::Exit;
use crate::output::{self, OutputArgs};
use crate::text;

/// Bring the roll-ups up to date now
///
/// Consumers do so each minute. This takes over from the one that does; it goes on when this has ended.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Count all roll-ups anew from the messages, their recipients and events
///
/// Gives the same numbers where all is well. Of use after a restore, a change of the latency buckets, or a write past
/// mailfleet. The fleet goes on working, and a rebuild that was interrupted can be begun again.
#[derive(Debug, clap::Args)]
pub struct RebuildArgs {
    #[command(flatten)]
    output: OutputArgs,
}

const TAKEN_OVER: &str =
    "another process has taken the roll-ups over; nothing is lost and nothing counted twice, run it again";

/// Counts what waits.
pub async fn run(context: &Context, args: &RunArgs) -> anyhow::Result<Exit> {
    let store = context.store()?;
    let mut roller = store.seize_roller(&holder(context)).await?;
    count(&store, &mut roller, args.output).await
}

/// Notes every key, then counts.
pub async fn rebuild(context: &Context, args: &RebuildArgs) -> anyhow::Result<Exit> {
    let store = context.store()?;
    let mut roller = store.seize_roller(&holder(context)).await?;
    let bar = bar(None);
    let mut noted = 0;
    // The cursor only moves on, which bounds the loop.
    loop {
        match roller.mark().await? {
            Marked::Page(keys) => noted += keys,
            Marked::All => break,
            Marked::LeaseLost => bail!(TAKEN_OVER),
        }
        bar.set_message(format!("{noted} keys noted"));
        bar.tick();
    }
    bar.finish_and_clear();
    count(&store, &mut roller, args.output).await
}

/// Counts what waits at this moment; what is written meanwhile is the next run's, so that there is an end.
async fn count(store: &Store, roller: &mut Roller<'_>, output: OutputArgs) -> anyhow::Result<Exit> {
    let waiting = store.waiting_changes().await?;
    let bar = bar(Some(waiting));
    let (mut counted, mut keys) = (0, 0);
    while counted < waiting {
        match roller.page().await? {
            RolledUp::Page { changes, keys: of_page } => {
                counted += changes;
                keys += of_page;
            }
            RolledUp::Idle => break,
            RolledUp::LeaseLost => bail!(TAKEN_OVER),
        }
        bar.set_position(counted);
    }
    bar.finish_and_clear();
    // Should it have been lost by now, the work is done all the same.
    store.release_lease(roller.lease()).await?;
    let left = waiting.saturating_sub(counted);
    if output.json {
        output::json(&json!({ "changes": counted, "keys": keys, "left": left }))?;
    } else {
        let changes = text::count(counted, "change", "changes");
        output::line(format_args!("{changes} counted, {}", text::count(keys, "key", "keys")))?;
        if left > 0 {
            let left = text::count(left, "change is", "changes are");
            output::line(format_args!(
                "{left} younger than a transaction that is still open; a later run counts them"
            ))?;
        }
    }
    Ok(Exit::Clean)
}

/// This process among all that ever were.
fn holder(context: &Context) -> String {
    format!("mailfleet analytics {}-{}", std::process::id(), context.now().timestamp_micros())
}

/// A bar on a terminal, nothing elsewhere.
fn bar(total: Option<u64>) -> ProgressBar {
    match total {
        _ if !std::io::stderr().is_terminal() => ProgressBar::hidden(),
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::new_spinner(),
    }
}
