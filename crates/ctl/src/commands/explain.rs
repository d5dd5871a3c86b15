//! `mailfleet explain`: what became of a mail.

use anyhow::bail;
use mailfleet_model::{JobId, StorageKey};
use mailfleet_queue::{Location, Queue, State};
use mailfleet_store::{Explain, Explained, ExplainedMail, LedgerEntry};
use serde_json::{Value, json};

use crate::commands::{dead, queue};
use crate::context::Context;
use crate::failure::Exit;
use crate::output::{self, OutputArgs};
use crate::text;

/// Ledger entries shown to people; `--json` has them all.
const LEDGER_SHOWN: usize = 10;

/// Say what became of a mail: stored, dead-lettered, in the queue, or unknown
///
/// Exit code 1 when nothing is known of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    mailfleet explain '<20260801.1234@acme.example>'\n  \
    mailfleet explain m:6d0b5e4e52a44f0e9d5f8f8a6d7d0001:7:1700000000:42")]
pub struct Args {
    /// A Message-ID (with or without its brackets), a job, or a storage key
    #[arg(value_name = "MESSAGE-ID|JOB|STORAGE-KEY")]
    what: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Looks in PostgreSQL and in the queue; a job that PostgreSQL does not know yet is in the queue alone.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    let what = read(&args.what);
    let explained = context.store()?.explain(&what).await?;
    let mut jobs: Vec<JobId> = explained.iter().flat_map(jobs_of).collect();
    if let Explain::Job(job) = &what {
        jobs.push(job.clone());
    }
    jobs.sort();
    jobs.dedup();
    let places = locate(&context.queue()?, jobs).await?;
    if explained.is_empty() && places.is_empty() {
        bail!(
            "nothing is known of {}: not stored, not dead-lettered, not in the queue; `mailfleet audit` says whether it \
             still is in its mailbox",
            args.what
        );
    }
    if args.output.json {
        output::json(&json!({
            "mails": explained.iter().map(to_json).collect::<Vec<_>>(),
            "queue": places.iter().map(|(job, place)| place_json(job, place)).collect::<Vec<_>>(),
        }))?;
        return Ok(Exit::Clean);
    }
    explained.iter().try_for_each(print)?;
    if places.is_empty() {
        output::line("queue       nothing of it is in the queue")?;
    }
    for (job, place) in &places {
        output::line(format_args!("queue       {job} {}", queue::place(place)))?;
    }
    Ok(Exit::Clean)
}

/// What was given: a job and a key have shapes of their own, all else is a Message-ID.
fn read(text: &str) -> Explain {
    let text = text.trim();
    if let Ok(job) = JobId::parse(text) {
        return Explain::Job(job);
    }
    let hash = text.rsplit_once('_').map(|(_, hash)| hash).unwrap_or_default();
    if text.starts_with("email_") && hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Explain::Key(StorageKey::from_stored(text.to_owned()));
    }
    Explain::MessageId(text.to_owned())
}

fn jobs_of(explained: &Explained) -> impl Iterator<Item = JobId> + '_ {
    let letters = explained.dead_letter.iter().map(|letter| letter.job.clone());
    explained.ledger.iter().map(|entry| entry.job.clone()).chain(letters)
}

async fn locate(queue: &Queue, jobs: Vec<JobId>) -> anyhow::Result<Vec<(JobId, Location)>> {
    let mut places = Vec::new();
    for job in jobs {
        if let Some(place) = queue.locate(&job).await? {
            places.push((job, place));
        }
    }
    Ok(places)
}

fn print(explained: &Explained) -> anyhow::Result<()> {
    if let Some(mail) = &explained.mail {
        print_mail(mail)?;
    }
    for entry in explained.ledger.iter().take(LEDGER_SHOWN) {
        field("ledger", &ledger_line(entry))?;
    }
    if explained.ledger.len() > LEDGER_SHOWN {
        field("", &format!("and {} more places (--json lists all)", explained.ledger.len() - LEDGER_SHOWN))?;
    }
    if let Some(letter) = &explained.dead_letter {
        let died = text::time(letter.died);
        field(
            "dead letter",
            &format!("{} ({}), {}, died {died}", letter.id, letter.state.as_str(), letter.reason),
        )?;
        field("", &letter.error)?;
        field("", &format!("more: mailfleet dead show {}", letter.id))?;
    }
    Ok(())
}

fn print_mail(mail: &ExplainedMail) -> anyhow::Result<()> {
    let unknown = || "unknown".to_owned();
    output::line(text::printable(mail.key.as_str()))?;
    field("what", &format!("{} {}, {}", mail.direction, mail.message_type, mail.status))?;
    field("from", &mail.from)?;
    field("to", &mail.to)?;
    field("subject", &mail.subject)?;
    field("attachments", &mail.attachments.to_string())?;
    field("size", &mail.raw_size_bytes.map_or_else(unknown, text::size))?;
    field("tenant", &mail.tenant.to_string())?;
    field("account", &mail.account.map_or_else(unknown, |id| id.to_string()))?;
    field("created", &mail.created.map_or_else(unknown, text::time))?;
    field("processed", &mail.processed.map_or_else(unknown, text::time))
}

fn field(label: &str, value: &str) -> anyhow::Result<()> {
    output::line(format_args!("{label:<11} {}", text::cut(value, 300)))
}

fn ledger_line(entry: &LedgerEntry) -> String {
    let policy = entry.policy.map(|policy| format!(" ({policy})")).unwrap_or_default();
    format!(
        "{}{policy} {}: UID {} of {} in {} (UIDVALIDITY {}), job {}",
        entry.outcome,
        text::time(entry.recorded),
        entry.uid,
        entry.mailbox_name,
        entry.account_name,
        entry.uidvalidity,
        entry.job
    )
}

fn to_json(explained: &Explained) -> Value {
    let mail = explained.mail.as_ref().map(|mail| {
        json!({
            "storage_key": mail.key, "tenant_id": mail.tenant, "account_id": mail.account, "direction": mail.direction,
            "message_type": mail.message_type, "status": mail.status, "from": mail.from, "to": mail.to,
            "subject": mail.subject, "attachments": mail.attachments, "raw_size_bytes": mail.raw_size_bytes,
            "created": mail.created, "processed": mail.processed,
        })
    });
    let ledger: Vec<Value> = explained.ledger.iter().map(entry_json).collect();
    json!({ "mail": mail, "ledger": ledger, "dead_letter": explained.dead_letter.as_ref().map(dead::to_json) })
}

fn entry_json(entry: &LedgerEntry) -> Value {
    json!({
        "job": entry.job, "account": entry.account_name, "mailbox": entry.mailbox_name,
        "uidvalidity": entry.uidvalidity, "uid": entry.uid, "outcome": entry.outcome, "policy": entry.policy,
        "recorded": entry.recorded,
    })
}

fn place_json(job: &JobId, place: &Location) -> Value {
    let mut value = json!({
        "job": job, "lane": place.lane, "counters": place.counters, "history": place.history, "entry": place.entry_id,
    });
    let (state, more) = match &place.state {
        State::Waiting => ("waiting", json!({})),
        State::InFlight { consumer, idle_ms } => {
            ("in_flight", json!({ "consumer": consumer, "idle_ms": idle_ms }))
        }
        State::Delayed { due_ms } => ("delayed", json!({ "due_ms": due_ms })),
        State::Dead => ("dead", json!({})),
    };
    if let (Some(object), Value::Object(more)) = (value.as_object_mut(), more) {
        object.insert("state".to_owned(), state.into());
        object.extend(more);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_told_by_its_shape() {
        assert!(matches!(read("m:6d0b5e4e52a44f0e9d5f8f8a6d7d0001:7:1:42"), Explain::Job(_)));
        assert!(matches!(read("email_a@b_0123456789abcdef0123456789abcdef"), Explain::Key(_)));
        for id in
            ["<a@b>", "a@b", "email_a@b", "m:not:a:job:id", "email_a@b_0123456789abcdef0123456789abcdeg"]
        {
            assert!(matches!(read(id), Explain::MessageId(_)), "{id}");
        }
    }
}
