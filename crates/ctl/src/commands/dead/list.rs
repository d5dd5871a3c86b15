//! `mailfleet dead list`.

use mailfleet_store::{DeadFilter, DeadLetter, DeadState, Letters, UnreadLetter};
use serde_json::json;

use super::{Kind, Owners, reasons};
use crate::context::Context;
use crate::failure::{self, Exit};
use crate::output::{self, OutputArgs, Rows};
use crate::text;

/// List the dead letters, the newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  mailfleet dead list --reason unknown_tenant --since 24h")]
pub struct Args {
    #[command(flatten)]
    kind: Kind,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Those that were replayed or discarded or came through after all, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Lists.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    let store = context.store()?;
    let filter = DeadFilter {
        limit: args.limit,
        state: (!args.all).then_some(DeadState::Open),
        ..args.kind.filter(&store, context.now()).await?
    };
    let Letters { letters, unread, highest } = store.dead_letters(&filter).await?;
    if let (None, Some(reason)) = (highest, &args.kind.reason) {
        reasons::no_slip(&store, reason).await?;
    }
    if let Some(unread) = unread_line(&unread) {
        failure::note(&unread);
    }
    let owners = Owners::read(&store).await?;
    if args.output.json {
        letters.iter().map(|letter| to_json(letter, &owners)).try_for_each(|letter| output::json(&letter))?;
        return Ok(Exit::Clean);
    }
    let name = |name: Option<&str>| text::cut(name.unwrap_or("-"), 30);
    let headings = [
        "ID",
        "DIED",
        "ACCOUNT",
        "TENANT",
        "MESSAGE-ID",
        "REASON",
        "CLASS",
        "GROUP",
        "ATTEMPTS",
        "SIZE",
        "STATE",
        "ERROR",
    ];
    let mut rows = Rows::new(&headings);
    for letter in &letters {
        rows.push([
            letter.id.to_string(),
            text::time(letter.died),
            name(owners.account(letter)),
            name(owners.tenant(letter)),
            text::cut(letter.message_id.as_deref().unwrap_or("-"), 40),
            letter.reason.clone(),
            letter.class.to_string(),
            letter.fingerprint.clone(),
            letter.counters.attempts.to_string(),
            letter.raw_size_bytes.map_or_else(|| "-".to_owned(), text::size),
            letter.state.as_str().to_owned(),
            text::cut(&letter.error, 60),
        ]);
    }
    rows.print("no dead letter")?;
    if letters.len() + unread.len() == args.limit as usize {
        output::line(format_args!("(the newest {}; --limit shows more)", args.limit))?;
    }
    Ok(Exit::Clean)
}

/// Which letters this version cannot read, and why; `None` where it can read them all.
fn unread_line(unread: &[UnreadLetter]) -> Option<String> {
    let UnreadLetter { id, job, place, value } = unread.first()?;
    let letters = text::count(unread.len() as u64, "letter is", "letters are");
    let why = format!("{id} ({job}): {place} holds `{value}`; is a newer version running?");
    Some(text::cut(&format!("{letters} left out that this version cannot read, the first is {why}"), 300))
}

/// A letter without its mail.
pub fn to_json(letter: &DeadLetter, owners: &Owners) -> serde_json::Value {
    json!({
        "id": letter.id, "job": letter.job, "state": letter.state.as_str(), "lane": letter.lane, "reason": letter.reason,
        "class": letter.class, "group": letter.fingerprint, "error": letter.error, "counters": letter.counters,
        "history": text::with_json_times(letter.history.clone()),
        "tenant_id": owners.tenant_id(letter), "tenant": owners.tenant(letter), "account_id": letter.account,
        "account": owners.account(letter), "mailbox_id": letter.at.map(|at| at.mailbox),
        "uidvalidity": letter.at.map(|at| at.uidvalidity), "uid": letter.at.map(|at| at.uid),
        "message_id": letter.message_id, "raw_size_bytes": letter.raw_size_bytes,
        "previous": text::with_json_times(letter.previous.clone()), "created": text::json_time(letter.created),
        "died": text::json_time(letter.died), "closed": letter.closed.map(text::json_time),
    })
}
