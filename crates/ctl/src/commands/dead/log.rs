//! `mailfleet dead log`.

use chrono::{DateTime, TimeDelta, Utc};
use mailfleet_store::{Action, ActionKind, ActionOutcome};
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Exit;
use crate::output::{self, OutputArgs, Rows};
use crate::text;

/// A replay notes its numbers with every step; one that has not for so long was killed.
const SILENT_AFTER: TimeDelta = TimeDelta::seconds(60);

/// Show who replayed or discarded which letters, when, and what came of it; the newest first
///
/// Of a replay: how many of its letters are stored by now, died again, or are still in the queue.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    output: OutputArgs,
}

/// Shows the book.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    let actions = context.store()?.dead_letter_actions(args.limit).await?;
    let now = context.now();
    if args.output.json {
        actions.iter().map(|action| to_json(action, now)).try_for_each(|action| output::json(&action))?;
        return Ok(Exit::Clean);
    }
    let headings = [
        "NO",
        "BEGAN",
        "WHO",
        "BY",
        "ACTION",
        "LETTERS",
        "MATCHED",
        "DONE",
        "STORED",
        "DIED AGAIN",
        "OUTCOME",
    ];
    let mut rows = Rows::new(&headings);
    for action in &actions {
        let of_replay = |count: u64| match action.kind {
            ActionKind::Replay => count.to_string(),
            ActionKind::Discard => "-".to_owned(),
        };
        rows.push([
            action.id.to_string(),
            text::time(action.began),
            text::cut(&format!("{}@{}", action.actor.os_user, action.actor.host), 40),
            text::cut(action.actor.by.as_deref().unwrap_or("-"), 40),
            action.kind.as_str().to_owned(),
            text::cut(&which(&action.filter), 60),
            action.matched.to_string(),
            action.progress.done.to_string(),
            of_replay(action.stored),
            of_replay(action.died_again),
            outcome(action, now).to_owned(),
        ]);
    }
    rows.print("nothing was replayed or discarded yet")?;
    Ok(Exit::Clean)
}

/// How it ended; of one that has not, whether it seems to run.
fn outcome(action: &Action, now: DateTime<Utc>) -> &'static str {
    match action.outcome {
        Some(outcome) => ActionOutcome::as_str(outcome),
        None if now.signed_duration_since(action.progressed) < SILENT_AFTER => "running",
        None => "interrupted",
    }
}

/// What was asked for, as one line.
fn which(filter: &Value) -> String {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = filter.as_object().into_iter().flatten();
    fields
        .map(|(name, value)| match (name.as_str(), value) {
            ("all", _) => "all".to_owned(),
            ("letters", Value::Array(ids)) => {
                format!("letters {}", ids.iter().map(word).collect::<Vec<_>>().join(", "))
            }
            _ => format!("{name} {}", word(value)),
        })
        .collect::<Vec<_>>()
        .join(", ")
}

fn to_json(action: &Action, now: DateTime<Utc>) -> Value {
    let replay = action.kind == ActionKind::Replay;
    json!({
        "id": action.id, "action": action.kind.as_str(), "user": action.actor.os_user, "host": action.actor.host,
        "login": action.login, "by": action.actor.by, "filter": action.filter, "matched": action.matched,
        "done": action.progress.done, "already_queued": action.progress.already_queued,
        "failed": action.progress.failed, "stored": replay.then_some(action.stored),
        "died_again": replay.then_some(action.died_again), "under_way": replay.then_some(action.under_way),
        "began": text::json_time(action.began), "ended": action.ended.map(text::json_time),
        "outcome": outcome(action, now),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_one_line() {
        assert_eq!(which(&json!({ "all": true })), "all");
        assert_eq!(which(&json!({ "letters": [3, 17] })), "letters 3, 17");
        assert_eq!(
            which(&json!({ "reason": "too_large", "tenant": "acme" })),
            "reason too_large, tenant acme"
        );
    }
}
