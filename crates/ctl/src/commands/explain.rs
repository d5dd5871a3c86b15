//! `mailfleet explain`: what became of a mail, or of a webhook call.

mod call;
mod door;
mod place;
mod queued;
mod stored;

use mailfleet_model::{Class, Classify as _, JobId, StorageKey, lookup_message_id};
use mailfleet_store::{DeadState, Explain, Explained, ExplainedCall, Store};
use serde_json::{Value, json};

use self::queued::Queued;
use crate::commands::dead::Owners;
use crate::context::Context;
use crate::failure::{self, Exit};
use crate::output::{self, OutputArgs};
use crate::text;

/// Recipients and events shown to people, each.
const DELIVERY_SHOWN: usize = 20;

/// Say what became of a mail or a webhook call: stored, applied, dead-lettered, in the queue, or unknown
///
/// A job is looked up in the queue; for a Message-ID its entries are read one after another. The job of a webhook call
/// (e:…) shows what it brought, and the message of each event. Of what is in the queue it is said why it does not run, of
/// what is not in it whether a lane refuses what is new or the queue is closed. Exit code 1 when nothing is known of it.
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

/// What PostgreSQL knows.
#[derive(Debug, Default)]
struct Stored {
    mails: Vec<Explained>,
    call: Option<ExplainedCall>,
    /// Why it could not be asked, which is not the same as knowing nothing.
    unknown: Option<String>,
}

/// Looks in PostgreSQL and in the queue; a job that PostgreSQL does not know yet is in the queue alone. While one of the
/// two is away the other still answers.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    let store = context.store()?;
    let stored = match stored(&store, &args.what).await {
        Ok(stored) => stored,
        Err(error) if error.class() == Class::Outage => {
            Stored { unknown: Some(failure::one_line(&error.into())), ..Stored::default() }
        }
        Err(error) => return Err(error.into()),
    };
    let queued = queued::ask(&context.queues()?, args, &stored.mails).await;
    if args.output.json {
        output::json(&to_json(&store, &stored, &queued).await?)?;
    }
    if stored.mails.is_empty() && stored.call.is_none() && queued.places().is_empty() {
        return Err(unknown(&args.what, &stored, &queued));
    }
    if args.output.json {
        return Ok(Exit::Clean);
    }
    stored.call.iter().try_for_each(call::print)?;
    stored.mails.iter().try_for_each(stored::print)?;
    for (label, line) in queued.lines(context.now().timestamp_millis()) {
        field(label, &line)?;
    }
    if queued.places().is_empty() {
        field("queue", &queued.absent(&args.what))?;
        let kept_out = if stored.is_to_come() { queued.kept_out() } else { Vec::new() };
        kept_out.iter().try_for_each(|why| field("", why))?;
    }
    if let Some(why) = &stored.unknown {
        field("stored", &format!("not known, {why}"))?;
    }
    Ok(Exit::Clean)
}

async fn stored(store: &Store, what: &Explain) -> mailfleet_store::Result<Stored> {
    let mails = store.explain(what).await?;
    let call = match call::asked_for(what) {
        Some(inbox) => store.explain_call(inbox).await?,
        None => None,
    };
    Ok(Stored { mails, call, unknown: None })
}

impl Stored {
    /// Whether it may still have to go through the queue, as far as is known here.
    fn is_to_come(&self) -> bool {
        let replayed = |mail: &Explained| {
            mail.dead_letter.as_ref().is_some_and(|letter| letter.state == DeadState::Replayed)
        };
        match &self.call {
            Some(call) => call.applied.is_none(),
            None => self.mails.is_empty() || self.mails.iter().any(replayed),
        }
    }
}

async fn to_json(store: &Store, stored: &Stored, queued: &Queued) -> anyhow::Result<Value> {
    let has_letter = stored.mails.iter().any(|mail| mail.dead_letter.is_some());
    let owners = if has_letter { Owners::read(store).await? } else { Owners::default() };
    let mails: Vec<Value> = stored.mails.iter().map(|mail| stored::to_json(mail, &owners)).collect();
    Ok(json!({
        "mails": stored.unknown.is_none().then_some(mails), "stored_error": stored.unknown,
        "call": stored.call.as_ref().map(call::to_json),
        "queue": queued.places_json(), "doors": queued.doors_json(), "search": queued.search_json(),
    }))
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
    if is_like_a_job(text) {
        return Err(format!("`{text}` is like a job and none: a digit too many or too few?"));
    }
    match lookup_message_id(text) {
        Some(_) => Ok(Explain::MessageId(text.to_owned())),
        None => Err("a Message-ID, a job or a storage key is wanted; this is empty".to_owned()),
    }
}

/// Whether it begins as a job does and goes on in digits alone: a slip, and no Message-ID.
fn is_like_a_job(text: &str) -> bool {
    let of_digits = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b == b':');
    match text.split_once(':') {
        Some(("e", rest)) => of_digits(rest),
        Some(("m", rest)) => rest.split_once(':').is_some_and(|(account, rest)| {
            account.bytes().all(|b| b.is_ascii_hexdigit()) && account.len() >= 24 && of_digits(rest)
        }),
        _ => false,
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
fn unknown(what: &Explain, stored: &Stored, queued: &Queued) -> anyhow::Error {
    if let Some(why) = &stored.unknown {
        return queued::unknown(what, &format!("may be stored or not, {why}"), queued, "");
    }
    let (is_none, hint) = if call::asked_for(what).is_some() {
        (
            "is no webhook call that was taken",
            "; `mailfleet webhook list` shows the endpoints and their last calls",
        )
    } else {
        ("is neither stored nor dead-lettered", "; `mailfleet audit` says whether it still is in its mailbox")
    };
    queued::unknown(what, is_none, queued, hint)
}

fn field(label: &str, value: &str) -> anyhow::Result<()> {
    output::line(format_args!("{label:<11} {}", text::cut(value, 300)))
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
        for slip in [
            "e:0",
            "e:07",
            "e:1:2",
            "m:6d0b5e4e52a44f0e9d5f8f8a6d7d0001:7:1700000000:99999999999",
            "m:6d0b5e4e52a44f0e9d5f8f8a6d7d0001:7:1700000000",
            "m:6d0b5e4e52a44f0e9d5f8f8a6d7d000:7:1700000000:42",
        ] {
            assert!(read(slip).is_err_and(|error| error.contains(slip)), "{slip}");
        }
        for nothing in ["", "  ", "<>", " <\u{0}> "] {
            assert!(read(nothing).is_err_and(|error| error.contains("empty")), "{nothing:?}");
        }
    }
}
