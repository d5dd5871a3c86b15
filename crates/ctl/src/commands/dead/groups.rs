//! `mailfleet dead groups`.

use mailfleet_store::{DeadFilter, DeadGroup};
use serde_json::json;

use super::Kind;
use crate::context::Context;
use crate::failure::Exit;
use crate::output::{self, OutputArgs, Rows};
use crate::text;

/// The open dead letters by cause: reason, class and error without what differs from mail to mail
///
/// The largest group comes first. `dead list`, `dead replay` and `dead discard` take a group with --group.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  mailfleet dead groups --since 24h\n  mailfleet dead replay --group 3f9c2a7b10de --dry-run"
)]
pub struct Args {
    #[command(flatten)]
    kind: Kind,
    /// At most so many groups
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    output: OutputArgs,
}

/// Lists the groups.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    let store = context.store()?;
    let filter = DeadFilter { limit: args.limit, ..args.kind.filter(&store, context.now()).await? };
    let groups = store.dead_groups(&filter).await?;
    if let (true, Some(reason)) = (groups.is_empty(), &args.kind.reason) {
        super::reasons::no_slip(&store, reason).await?;
    }
    if args.output.json {
        groups.iter().map(to_json).try_for_each(|group| output::json(&group))?;
        return Ok(Exit::Clean);
    }
    table(&groups).print("no dead letter")?;
    if groups.len() == args.limit as usize {
        output::line(format_args!("(the largest {}; --limit shows more)", args.limit))?;
    }
    Ok(Exit::Clean)
}

/// Groups as people read them.
pub(super) fn table(groups: &[DeadGroup]) -> Rows {
    let mut rows = Rows::new(&["GROUP", "LETTERS", "FIRST", "LAST", "REASON", "CLASS", "EXAMPLE", "ERROR"]);
    for group in groups {
        rows.push([
            group.fingerprint.clone(),
            group.count.to_string(),
            text::time(group.first),
            text::time(group.last),
            group.reason.clone(),
            group.class.to_string(),
            group.example.to_string(),
            text::cut(&group.error, 80),
        ]);
    }
    rows
}

fn to_json(group: &DeadGroup) -> serde_json::Value {
    json!({
        "group": group.fingerprint, "letters": group.count, "first": text::json_time(group.first),
        "last": text::json_time(group.last), "reason": group.reason, "class": group.class, "example": group.example,
        "error": group.error,
    })
}
