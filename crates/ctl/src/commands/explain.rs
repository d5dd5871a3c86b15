//! `mailfleet explain`: what became of a mail, or of a webhook call.

mod call;

use anyhow::anyhow;
use chrono::DateTime;
use mailfleet_model::{JobId, RecipientStatus, StorageKey, lookup_message_id};
use mailfleet_queue::{Location, Queues, State};
use mailfleet_store::{Delivery, Explain, Explained, ExplainedMail, LedgerEntry, Said, Standing};
use serde_json::{Value, json};

use crate::commands::dead::{self, Owners};
use crate::commands::queue;
use crate::context::Context;
use crate::failure::{self, Exit};
use crate::output::{self, OutputArgs};
use crate::text;

/// Ledger entries shown to people; `--json` has them all.
const LEDGER_SHOWN: usize = 10;
/// Recipients and events shown to people, each.
const DELIVERY_SHOWN: usize = 20;

/// Say what became of a mail or a webhook call: stored, applied, dead-lettered, in the queue, or unknown
///
/// A job is looked up in the queue; for a Message-ID its entries are read one after another. The job of a webhook call
/// (e:…) shows what it brought, and the message of each event. Exit code 1 when nothing is known of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    mailfleet explain '<20260801.1234@acme.example>'\n  \
    mailfleet explain m:6d0b5e4e52a44f0e9d5f8f8a6d7d0001:7:1700000000:42\n  \
    mailfleet explain e:17")]
pub struct Args {
    /// A Message-ID (with or without its brackets), a job, a storage key, or the source of an event (w:17:0)
    #[arg(value_name = "MESSAGE-ID|JOB|STORAGE-KEY", value_parser = read)]
    what: Explain,
    /// For a Message-ID: how many entries of the queue are looked at, at most
    #[arg(
        long, value_name = "ENTRIES", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..)
    )]
    search: u32,
    #[command(flatten)]
    output: OutputArgs,
}

/// What the queue says.
#[derive(Debug)]
enum Queued {
    /// It was asked.
    Known {
        /// The jobs in it and where they are.
        places: Vec<(JobId, Location)>,
        /// For a Message-ID.
        searched: Option<Searched>,
    },
    /// It could not be asked, which is not the same as "not in it".
    Unknown(String),
}

/// How far the queue was searched.
#[derive(Debug, Clone, Copy)]
struct Searched {
    looked_at: usize,
    whole: bool,
}

/// Looks in PostgreSQL and in the queue; a job that PostgreSQL does not know yet is in the queue alone.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    let store = context.store()?;
    let explained = store.explain(&args.what).await?;
    let call = match call::asked_for(&args.what) {
        Some(inbox) => store.explain_call(inbox).await?,
        None => None,
    };
    let queued = match ask(&context.queues()?, args, &explained).await {
        Ok(known) => known,
        Err(error) => Queued::Unknown(format!("Redis cannot be asked: {}", failure::one_line(&error.into()))),
    };
    if args.output.json {
        let has_letter = explained.iter().any(|explained| explained.dead_letter.is_some());
        let owners = if has_letter { Owners::read(&store).await? } else { Owners::default() };
        output::json(&json!({
            "mails": explained.iter().map(|explained| to_json(explained, &owners)).collect::<Vec<_>>(),
            "call": call.as_ref().map(call::to_json),
            "queue": queued.places_json(),
            "search": queued.search_json(),
        }))?;
    }
    if explained.is_empty() && call.is_none() && queued.places().is_empty() {
        return Err(unknown(&args.what, &queued));
    }
    if args.output.json {
        return Ok(Exit::Clean);
    }
    call.iter().try_for_each(call::print)?;
    explained.iter().try_for_each(print)?;
    for (job, place) in queued.places() {
        field("queue", &format!("{job} {}", queue::place(place)))?;
    }
    if queued.places().is_empty() {
        field("queue", &queued.absent(&args.what))?;
    }
    Ok(Exit::Clean)
}

/// What was given: a job, a key and the source of an event have shapes of their own, all else is a Message-ID.
fn read(text: &str) -> Result<Explain, String> {
    let text = text.trim();
    if let Ok(job) = JobId::parse(text) {
        return Ok(Explain::Job(job));
    }
    if is_key(text) {
        return Ok(Explain::Key(StorageKey::from_stored(text.to_owned())));
    }
    if let Some(teller) = call::teller(text) {
        return Ok(teller);
    }
    match lookup_message_id(text) {
        Some(_) => Ok(Explain::MessageId(text.to_owned())),
        None => Err("a Message-ID, a job or a storage key is wanted; this is empty".to_owned()),
    }
}

/// Whether it has the shape of a storage key.
fn is_key(text: &str) -> bool {
    let hash = text.rsplit_once('_').map(|(_, hash)| hash).unwrap_or_default();
    text.starts_with("email_") && hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What was asked for, as it is named.
fn asked(what: &Explain) -> &str {
    match what {
        Explain::Job(job) => job.as_str(),
        Explain::MessageId(id) => id,
        Explain::Key(key) => key.as_str(),
    }
}

/// The error where neither PostgreSQL nor the queue has anything of it.
fn unknown(what: &Explain, queued: &Queued) -> anyhow::Error {
    let (is_none, hint) = if call::asked_for(what).is_some() {
        (
            "is no webhook call that was taken",
            "; `mailfleet webhook list` shows the endpoints and their last calls",
        )
    } else {
        ("is neither stored nor dead-lettered", "; `mailfleet audit` says whether it still is in its mailbox")
    };
    let hint = if matches!(queued, Queued::Known { .. }) { hint } else { "" };
    anyhow!("{} {is_none}; the queue: {}{hint}", asked(what), queued.absent(what))
}

/// Asks the queue: about the jobs that are known, and for a Message-ID about the entries that PostgreSQL does not know.
async fn ask(queues: &Queues, args: &Args, explained: &[Explained]) -> mailfleet_queue::Result<Queued> {
    let mut jobs: Vec<JobId> = explained.iter().flat_map(jobs_of).collect();
    let (mut places, mut searched) = (Vec::new(), None);
    match &args.what {
        Explain::Job(job) => jobs.push(job.clone()),
        Explain::MessageId(id) => {
            let most = usize::try_from(args.search).unwrap_or(usize::MAX);
            let found = queues.mails.find_message(id, most).await?;
            searched = Some(Searched { looked_at: found.looked_at, whole: found.whole });
            places = found.jobs;
        }
        Explain::Key(_) => {}
    }
    jobs.sort();
    jobs.dedup();
    jobs.retain(|job| places.iter().all(|(found, _)| found != job));
    for job in jobs {
        if let Some(place) = queues.of_job(&job).locate(&job).await? {
            places.push((job, place));
        }
    }
    Ok(Queued::Known { places, searched })
}

impl Queued {
    fn places(&self) -> &[(JobId, Location)] {
        match self {
            Self::Known { places, .. } => places,
            Self::Unknown(_) => &[],
        }
    }

    /// In words, where nothing of it was found.
    fn absent(&self, what: &Explain) -> String {
        match self {
            Self::Known { searched: None, .. } if matches!(what, Explain::Key(_)) => {
                "no job of this key is known; asked for its Message-ID, the queue is searched".to_owned()
            }
            Self::Unknown(why) => format!("not known, {why}"),
            Self::Known { searched: None, .. } => "no job of it is there".to_owned(),
            Self::Known { searched: Some(Searched { looked_at: 0, whole: true }), .. } => {
                "not in it, it is empty".to_owned()
            }
            Self::Known { searched: Some(Searched { looked_at, whole: true }), .. } => {
                format!("not in it, all {looked_at} entries were looked at")
            }
            Self::Known { searched: Some(Searched { looked_at, whole: false }), .. } => {
                format!(
                    "not among the {looked_at} entries looked at, and there are more (--search looks at more)"
                )
            }
        }
    }

    /// The places; null where they are not known.
    fn places_json(&self) -> Value {
        match self {
            Self::Known { places, .. } => places.iter().map(|(job, place)| place_json(job, place)).collect(),
            Self::Unknown(_) => Value::Null,
        }
    }

    fn search_json(&self) -> Value {
        match self {
            Self::Known { searched: None, .. } => Value::Null,
            Self::Known { searched: Some(Searched { looked_at, whole }), .. } => {
                json!({ "looked_at": looked_at, "whole": whole })
            }
            Self::Unknown(why) => json!({ "error": why }),
        }
    }
}

fn jobs_of(explained: &Explained) -> impl Iterator<Item = JobId> + '_ {
    let letters = explained.dead_letter.iter().map(|letter| letter.job.clone());
    explained.ledger.iter().map(|entry| entry.job.clone()).chain(letters)
}

fn print(explained: &Explained) -> anyhow::Result<()> {
    if let Some(mail) = &explained.mail {
        print_mail(mail)?;
    }
    print_delivery(&explained.delivery)?;
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

fn print_delivery(delivery: &Delivery) -> anyhow::Result<()> {
    for standing in delivery.recipients.iter().take(DELIVERY_SHOWN) {
        field("recipient", &standing_line(standing))?;
    }
    let more = delivery.recipients.len().saturating_sub(DELIVERY_SHOWN);
    if more > 0 {
        field("", &format!("and {more} more recipients (--json lists them)"))?;
    }
    let earlier = delivery.events.len().saturating_sub(DELIVERY_SHOWN);
    if earlier > 0 {
        field("event", &format!("{earlier} earlier ones (--json lists them)"))?;
    }
    for said in delivery.events.iter().skip(earlier) {
        let Said { kind, recipient, occurred, source, .. } = said;
        let permanence = said.permanence.as_deref().map(|word| format!(" ({word})")).unwrap_or_default();
        let teller = told_by(source);
        field(
            "event",
            &format!("{kind}{permanence} {}, told by {teller}: {recipient}", text::time(*occurred)),
        )?;
    }
    Ok(())
}

/// Who told an event, as `explain` takes it.
fn told_by(source: &str) -> String {
    call::teller(source).map_or_else(|| source.to_owned(), |teller| asked(&teller).to_owned())
}

fn standing_line(standing: &Standing) -> String {
    let mut line = format!("{}: {}", standing.recipient, word(standing.status));
    if let Some(changed) = standing.changed {
        line = format!("{line} {}", text::time(changed));
    }
    let code = standing.smtp_code.map(|code| code.to_string());
    for detail in
        [&code, &standing.enhanced_status, &standing.reason, &standing.diagnostic].into_iter().flatten()
    {
        line = format!("{line}, {detail}");
    }
    line
}

/// The status as a word that tells soft bounces from hard ones.
const fn word(status: RecipientStatus) -> &'static str {
    match status {
        RecipientStatus::BouncedSoft => "bounced (soft)",
        RecipientStatus::BouncedHard => "bounced (hard)",
        _ => status.as_str(),
    }
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

fn to_json(explained: &Explained, owners: &Owners) -> Value {
    let mail = explained.mail.as_ref().map(|mail| {
        json!({
            "storage_key": mail.key, "tenant_id": mail.tenant, "account_id": mail.account, "direction": mail.direction,
            "message_type": mail.message_type, "status": mail.status, "from": mail.from, "to": mail.to,
            "subject": mail.subject, "attachments": mail.attachments, "raw_size_bytes": mail.raw_size_bytes,
            "created": mail.created.map(text::json_time), "processed": mail.processed.map(text::json_time),
        })
    });
    let ledger: Vec<Value> = explained.ledger.iter().map(entry_json).collect();
    let letter = explained.dead_letter.as_ref().map(|letter| dead::to_json(letter, owners));
    let recipients: Vec<Value> = explained.delivery.recipients.iter().map(standing_json).collect();
    let events: Vec<Value> = explained.delivery.events.iter().map(said_json).collect();
    json!({
        "mail": mail, "ledger": ledger, "dead_letter": letter, "recipients": recipients, "events": events,
    })
}

fn standing_json(standing: &Standing) -> Value {
    json!({
        "recipient": standing.recipient, "status": standing.status, "enhanced_status": standing.enhanced_status,
        "smtp_code": standing.smtp_code, "diagnostic": standing.diagnostic, "reason": standing.reason,
        "changed": standing.changed.map(text::json_time),
    })
}

fn said_json(said: &Said) -> Value {
    json!({
        "kind": said.kind, "recipient": said.recipient, "permanence": said.permanence,
        "occurred": text::json_time(said.occurred), "received": text::json_time(said.received), "source": said.source,
        "told_by": told_by(&said.source),
    })
}

fn entry_json(entry: &LedgerEntry) -> Value {
    json!({
        "job": entry.job, "account": entry.account_name, "mailbox": entry.mailbox_name,
        "uidvalidity": entry.uidvalidity, "uid": entry.uid, "outcome": entry.outcome, "policy": entry.policy,
        "recorded": text::json_time(entry.recorded),
    })
}

fn place_json(job: &JobId, place: &Location) -> Value {
    let mut value = json!({
        "job": job, "lane": place.lane, "counters": place.counters,
        "history": text::with_json_times(json!(place.history)), "entry": place.entry_id,
        "paused": queue::pause_json(place.paused.as_ref()),
    });
    let (state, more) = match &place.state {
        State::Waiting => ("waiting", json!({})),
        State::InFlight { consumer, idle_ms } => {
            ("in_flight", json!({ "consumer": consumer, "idle_ms": idle_ms }))
        }
        State::Delayed { due_ms } => {
            ("delayed", json!({ "due": DateTime::from_timestamp_millis(*due_ms).map(text::json_time) }))
        }
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
        assert!(matches!(read("m:6d0b5e4e52a44f0e9d5f8f8a6d7d0001:7:1:42"), Ok(Explain::Job(_))));
        assert!(matches!(read("email_a@b_0123456789abcdef0123456789abcdef"), Ok(Explain::Key(_))));
        for id in
            ["<a@b>", "a@b", "email_a@b", "m:not:a:job:id", "email_a@b_0123456789abcdef0123456789abcdeg"]
        {
            assert!(matches!(read(id), Ok(Explain::MessageId(_))), "{id}");
        }
        assert!(matches!(read("w:7:0"), Ok(Explain::Job(_))));
        for nothing in ["", "  ", "<>", " <\u{0}> "] {
            assert!(read(nothing).is_err_and(|error| error.contains("empty")), "{nothing:?}");
        }
    }

    #[test]
    fn not_in_the_queue_is_said_only_where_the_whole_queue_was_looked_at() {
        let known = |looked_at, whole| Queued::Known {
            places: Vec::new(),
            searched: Some(Searched { looked_at, whole }),
        };
        let id = Explain::MessageId("a@b".to_owned());
        assert!(known(7, true).absent(&id).starts_with("not in it, all 7"));
        assert!(known(7, false).absent(&id).starts_with("not among the 7"));
        assert!(Queued::Unknown("Redis is away".to_owned()).absent(&id).starts_with("not known"));
    }
}
