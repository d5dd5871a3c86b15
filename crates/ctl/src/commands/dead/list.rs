//! `mailfleet dead list`.

use mailfleet_store::{DeadFilter, DeadLetter, DeadState};
use serde_json::json;

use super::{Owners, reasons};
use crate::commands::tenant;
use crate::context::Context;
use crate::failure::{Exit, Usage};
use crate::output::{self, OutputArgs, Rows};
use crate::text;

/// List the dead letters, the newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  mailfleet dead list --reason unknown_tenant --since 24h")]
pub struct Args {
    /// Those with this reason alone, such as unknown_tenant; an error for a word that is no reason
    #[arg(long)]
    reason: Option<String>,
    /// Those of this tenant alone, by name or id
    #[arg(long)]
    tenant: Option<String>,
    /// Those since then: an age (2h, 7d), a date or an RFC 3339 time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Those that were replayed or came through after all, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Lists.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    let store = context.store()?;
    let tenant = match &args.tenant {
        Some(name) => Some(tenant::find(&store, name).await?),
        None => None,
    };
    let since = args.since.as_deref().map(|since| text::parse_since(since, context.now())).transpose();
    let filter = DeadFilter {
        reason: args.reason.clone(),
        tenant,
        since: since.map_err(Usage::error)?,
        limit: args.limit,
        state: (!args.all).then_some(DeadState::Open),
    };
    let letters = store.dead_letters(&filter).await?;
    if let (true, Some(reason)) = (letters.is_empty(), &args.reason) {
        reasons::no_slip(&store, reason).await?;
    }
    let owners = Owners::read(&store).await?;
    if args.output.json {
        letters.iter().map(|letter| to_json(letter, &owners)).try_for_each(|letter| output::json(&letter))?;
        return Ok(Exit::Clean);
    }
    let name = |name: Option<&str>| text::cut(name.unwrap_or("-"), 30);
    let headings = ["ID", "DIED", "ACCOUNT", "TENANT", "MESSAGE-ID", "REASON", "ATTEMPTS", "STATE", "ERROR"];
    let mut rows = Rows::new(&headings);
    for letter in &letters {
        rows.push([
            letter.id.to_string(),
            text::time(letter.died),
            name(owners.account(letter)),
            name(owners.tenant(letter)),
            text::cut(letter.message_id.as_deref().unwrap_or("-"), 40),
            letter.reason.clone(),
            letter.counters.attempts.to_string(),
            letter.state.as_str().to_owned(),
            text::cut(&letter.error, 60),
        ]);
    }
    rows.print("no dead letter")?;
    if letters.len() == args.limit as usize {
        output::line(format_args!("(the newest {}; --limit shows more)", args.limit))?;
    }
    Ok(Exit::Clean)
}

/// A letter without its mail.
pub fn to_json(letter: &DeadLetter, owners: &Owners) -> serde_json::Value {
    json!({
        "id": letter.id, "job": letter.job, "state": letter.state.as_str(), "lane": letter.lane, "reason": letter.reason,
        "class": letter.class, "error": letter.error, "counters": letter.counters,
        "history": text::with_json_times(letter.history.clone()),
        "tenant_id": owners.tenant_id(letter), "tenant": owners.tenant(letter), "account_id": letter.account,
        "account": owners.account(letter), "mailbox_id": letter.at.map(|at| at.mailbox),
        "uidvalidity": letter.at.map(|at| at.uidvalidity), "uid": letter.at.map(|at| at.uid),
        "message_id": letter.message_id, "raw_size_bytes": letter.raw_size_bytes,
        "previous": text::with_json_times(letter.previous.clone()), "created": text::json_time(letter.created),
        "died": text::json_time(letter.died), "closed": letter.closed.map(text::json_time),
    })
}
