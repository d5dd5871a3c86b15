//! `mailfleet analytics run` and `rebuild`.

use std::io::IsTerminal as _;

use anyhow::bail;
use indicatif::ProgressBar;
use mailfleet_store::{Marked, RolledUp, Roller, Store};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Exit;
use crate::output::{self, OutputArgs};
use crate::text;

/// Bring the roll-ups up to date now
///
/// Consumers do so each minute. This takes over from the one that does; it goes on when this has ended. What consumers have
/// put off, because counting it took too long, is tried again; a higher `postgres.statement_timeout_ms` gives it more time.
/// The exit code is 1 where something is put off even so.
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

/// Most pages after what waited at the beginning is counted: keys may be set aside as fast as they are counted.
const MOST_APART: u32 = 1_000;

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

/// Counts what waits at this moment, also what had been put off; what is written meanwhile is the next run's, so that there
/// is an end.
async fn count(store: &Store, roller: &mut Roller<'_>, output: OutputArgs) -> anyhow::Result<Exit> {
    if !roller.try_again().await? {
        bail!(TAKEN_OVER);
    }
    let waiting = store.waiting_changes().await?;
    let bar = bar(Some(waiting));
    let (mut counted, mut keys, mut apart) = (0, 0, 0);
    let idle = loop {
        // What was set aside comes last, a tenant's day at a time.
        if counted >= waiting {
            if apart == MOST_APART || store.set_aside_changes().await?.due == 0 {
                break false;
            }
            apart += 1;
        }
        match roller.page().await? {
            RolledUp::Page { changes, keys: of_page } => {
                counted += changes;
                keys += of_page;
            }
            RolledUp::PutOff => {}
            RolledUp::Idle => break true,
            RolledUp::LeaseLost => bail!(TAKEN_OVER),
        }
        bar.set_position(counted.min(waiting));
    };
    bar.finish_and_clear();
    let aside = store.set_aside_changes().await?;
    let aside = aside.due + aside.put_off;
    // Otherwise others may have come meanwhile, but what waited at the beginning is counted.
    let left = if idle { store.waiting_changes().await?.saturating_sub(aside) } else { 0 };
    // Should it have been lost by now, the work is done all the same.
    store.release_lease(roller.lease()).await?;
    report(output, Counted { changes: counted, keys, left, put_off: aside })
}

/// What a run says at its end.
#[derive(Debug, Clone, Copy, Serialize)]
struct Counted {
    changes: u64,
    keys: u64,
    left: u64,
    put_off: u64,
}

/// Not well where something was put off: the numbers lack it until it is counted.
fn report(output: OutputArgs, counted: Counted) -> anyhow::Result<Exit> {
    let Counted { changes, keys, left, put_off } = counted;
    if output.json {
        output::json(&counted)?;
    } else {
        let changes = text::count(changes, "change", "changes");
        output::line(format_args!("{changes} counted, {}", text::count(keys, "key", "keys")))?;
        if left > 0 {
            let left = text::count(left, "change is", "changes are");
            output::line(format_args!(
                "{left} younger than a transaction that is still open; a later run counts them"
            ))?;
        }
        if put_off > 0 {
            let put_off = text::count(put_off, "key", "keys");
            output::line(format_args!(
                "{put_off} put off: counting took too long; run this again with a higher postgres.statement_timeout_ms"
            ))?;
        }
    }
    Ok(Exit::clean_if(put_off == 0))
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
