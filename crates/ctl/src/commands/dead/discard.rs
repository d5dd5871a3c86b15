//! `mailfleet dead discard`: letters are given up, on purpose and by the count.

use std::io::{IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};
use mailfleet_model::JobId;
use mailfleet_queue::Queues;
use mailfleet_store::{DeadFilter, DeadState, Discarded, Store};
use serde_json::json;

use super::{groups, which::Which};
use crate::context::Context;
use crate::failure::{self, Exit, Usage};
use crate::output::{self, OutputArgs};
use crate::text;

/// Groups shown before the question.
const SHOWN: u32 = 10;
/// Lines taken off the index in Redis in one step.
const PAGE: u32 = 500;

/// Give dead letters up: they count as open no more
///
/// How many they are has to be typed, or said with --yes. Where there are not as many (any more), nothing is discarded.
/// They stay in PostgreSQL with their mails, `dead list --all` shows them, and `dead replay ID` takes a discard back.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  mailfleet dead discard --reason unknown_tenant --since 24h --by 'ticket 4711'"
)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// How many letters they are: in place of the question, for scripts
    #[arg(long, value_name = "COUNT")]
    yes: Option<u64>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Discards.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    let store = context.store()?;
    let mut chosen = args.which.chosen(&store, context.now(), &[DeadState::Open]).await?;
    chosen.filter.state = Some(DeadState::Open);
    let count = store.dead_letters_count(&chosen.filter).await?;
    chosen.no_slip(&store, count).await?;
    if count == 0 {
        // Perhaps they were discarded by a run that was ended before it came to the index.
        off_the_index(&context.queues()?, |after| discarded(&store, &chosen.filter, after))
            .await
            .unwrap_or_else(|error| note(&error));
        return said(args, None, 0);
    }
    confirm(&store, &chosen.filter, count, args.yes).await?;
    match store.discard(&chosen.filter, count, &args.which.actor(), &chosen.said).await? {
        Discarded::Otherwise { found } => {
            bail!("nothing was discarded: there are {found} of them now, not {count}; look again")
        }
        Discarded::Done { action } => {
            // PostgreSQL has it; what stands in Redis is an index, without which nothing is wrong.
            let jobs = |after| store.action_jobs(action, after, PAGE);
            off_the_index(&context.queues()?, jobs).await.unwrap_or_else(|error| note(&error));
            said(args, Some(action), count)
        }
    }
}

fn said(args: &Args, action: Option<i64>, count: u64) -> anyhow::Result<Exit> {
    if args.output.json {
        output::json(&json!({ "action": action, "discarded": count }))?;
    } else {
        output::line(format_args!("{} discarded", text::count(count, "letter", "letters")))?;
    }
    Ok(Exit::Clean)
}

/// An error unless somebody has said how many letters they are.
async fn confirm(store: &Store, filter: &DeadFilter, count: u64, yes: Option<u64>) -> anyhow::Result<()> {
    if let Some(yes) = yes {
        if yes != count {
            bail!("nothing was discarded: there are {count} of them, not {yes}");
        }
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Usage::error(format!(
            "nothing was discarded: {}; where there is no terminal to ask, say so with --yes {count}",
            text::count(count, "letter is meant", "letters are meant")
        )));
    }
    let groups = store.dead_groups(&DeadFilter { limit: SHOWN, ..filter.clone() }).await?;
    let mut out = std::io::stderr().lock();
    let table = groups::table(&groups).render(true);
    write!(out, "{table}\n\nType {count} to discard {}: ", text::count(count, "letter", "letters"))
        .and_then(|()| out.flush())
        .context("cannot ask")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    if !agrees(&answer, count) {
        bail!("nothing was discarded");
    }
    Ok(())
}

fn agrees(answer: &str, count: u64) -> bool {
    answer.trim().parse() == Ok(count)
}

fn note(error: &anyhow::Error) {
    failure::note(&format!("they still stand in the index of the queue: {}", failure::one_line(error)));
}

/// A page of discarded letters of a kind, by ascending number above `after`.
async fn discarded(
    store: &Store,
    kind: &DeadFilter,
    after: i64,
) -> Result<Vec<(i64, Option<JobId>)>, mailfleet_store::Error> {
    let filter = DeadFilter { state: Some(DeadState::Discarded), limit: PAGE, ..kind.clone() };
    let page = store.dead_letters_page(&filter, after).await?;
    let read = page.letters.into_iter().map(|letter| (letter.id, Some(letter.job)));
    let mut jobs: Vec<_> = read.chain(page.unread.iter().map(|letter| (letter.id, None))).collect();
    jobs.sort_unstable_by_key(|(id, _)| *id);
    Ok(jobs)
}

/// Takes letters off the dead streams, page by page. A job of a kind that only a newer version knows stays there: its line is
/// that version's to find.
async fn off_the_index<F>(queues: &Queues, page_after: impl Fn(i64) -> F) -> anyhow::Result<()>
where
    F: Future<Output = Result<Vec<(i64, Option<JobId>)>, mailfleet_store::Error>>,
{
    let mut after = 0;
    loop {
        let page = page_after(after).await?;
        // Numbers ascend from page to page, which bounds the loop.
        let Some((end, _)) = page.last() else { return Ok(()) };
        after = *end;
        let (mails, events): (Vec<JobId>, Vec<JobId>) =
            page.into_iter().filter_map(|(_, job)| job).partition(|job| job.mail_ref().is_some());
        queues.mails.forget_dead(&mails).await?;
        queues.events.forget_dead(&events).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_count_itself_is_a_yes() {
        assert!(agrees("12\n", 12) && agrees(" 12 ", 12));
        assert!(["", "\n", "y", "yes", "1", "12 letters", "-12"].iter().all(|answer| !agrees(answer, 12)));
    }
}
