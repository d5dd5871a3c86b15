//! Replays that got lost: a dead letter that was put back into the queue, and that Redis then forgot.
//!
//! The ledger says `dead` of such a mail, so that no sweep of its mailbox fetches it; the letter says `replayed`, so that
//! nobody looks at it. Yet PostgreSQL has all that is needed: the job is put into the queue again, on its lane, as the
//! operator wanted. Where that cannot be (its raw mail was never at hand), the letter is opened again for a person.
//!
//! When Redis may have lost something, its index of the open letters is made anew as well; it is what depths count.
//!
//! Putting in is idempotent, so a replay that is just being made, by whomever, is at worst met halfway: one of the two
//! finds the job live already.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mailfleet_model::{AccountId, Class, Classify, Envelope, JobId, Lane, Work};
use mailfleet_queue::{Enqueued, NewJob, Queues};
use mailfleet_runtime::Shutdown;
use mailfleet_store::{DeadFilter, DeadLetter, DeadState};

use crate::plan::Range;
use crate::problem::Problem;
use crate::services::Services;

/// A younger replay may be half-way: it is marked in PostgreSQL first and put into the queue second.
const GRACE: Duration = Duration::from_secs(60);
/// How soon a loss of Redis is noticed here.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A look that met a full lane is repeated after this.
const REPEAT_AFTER: Duration = Duration::from_secs(30);
/// Letters looked at in one step.
const PAGE: u32 = 1_000;

/// What became of the lost replays of one page.
#[derive(Debug, Default)]
struct Tally {
    requeued: u64,
    reopened: u64,
    waiting: u64,
}

/// What became of one letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// In the queue again.
    Requeued,
    /// It cannot be put in again: a person must look at it.
    Reopened,
    /// It belongs to what is full: it was not asked for.
    Full,
    /// The queue did not take it.
    Refused(Full),
    /// It was not lost after all: somebody settled or replayed it meanwhile.
    Settled,
}

/// What had no room, so that the next letter of it need not be read from PostgreSQL to hear the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Full {
    /// Of the queue of mails, not of events.
    mails: bool,
    lane: Lane,
    /// This account alone; `None` for the whole lane, or a closed queue.
    account: Option<AccountId>,
}

/// Runs until the process stops: looks at the start, whenever Redis may have lost something, and with every sweep.
pub async fn watch(services: Arc<Services>, shutdown: Shutdown) -> anyhow::Result<()> {
    let queues = Queues::connect(&services.config.queue)?;
    let mut generation = None;
    let mut due = Instant::now();
    loop {
        // Read before the work: what is lost in the middle of it makes the next look due.
        let now = services.generation();
        let lost = generation != Some(now);
        if lost || due <= Instant::now() {
            let work = Box::pin(async {
                let full = restore(&services, &queues).await?;
                if lost {
                    index(&services, &queues).await?;
                }
                Ok::<bool, Problem>(full)
            });
            let Some(outcome) = shutdown.unless_stopping(work).await else {
                return Ok(());
            };
            // What was too young after a loss is not any more when its grace is over.
            let every = services.config.producer.sweep_every();
            let every = if lost { every.min(GRACE) } else { every };
            match outcome {
                Ok(full) => {
                    generation = Some(now);
                    due = Instant::now() + if full { every.min(REPEAT_AFTER) } else { every };
                }
                Err(problem) if matches!(problem.class(), Class::Outage | Class::Transient) => {
                    if let Some(suppressed) = services.outage_log.open() {
                        tracing::warn!(suppressed, "{problem}; waiting to look for lost replays");
                    }
                }
                Err(problem) => {
                    tracing::error!("cannot look for lost replays of dead letters: {problem}");
                    generation = Some(now);
                    due = Instant::now() + every;
                }
            }
        }
        if !shutdown.sleep(LOOK_EVERY).await {
            return Ok(());
        }
    }
}

/// Looks at every replayed letter; true when some wait for room in a lane.
async fn restore(services: &Services, queues: &Queues) -> Result<bool, Problem> {
    let mut full = HashSet::new();
    let mut after = 0;
    loop {
        // Letters first, queue second: what is settled in between has left the state by the time it is read again.
        let page = services.store.replayed_letters(GRACE, after, PAGE).await?;
        let Some(highest) = page.last() else { return Ok(!full.is_empty()) };
        after = highest.id;
        let jobs: Vec<JobId> = page.iter().map(|letter| letter.job.clone()).collect();
        let live = queues.live(&jobs).await?;
        let lost: Vec<&DeadLetter> =
            page.iter().zip(live).filter_map(|(letter, live)| (!live).then_some(letter)).collect();
        let mut tally = Tally::default();
        let outcome = restore_page(services, queues, &lost, &mut full, &mut tally).await;
        // Told also where the page was not finished.
        tell(services, &tally);
        outcome?;
    }
}

/// Writes the open letters into the dead streams, where they are not.
async fn index(services: &Services, queues: &Queues) -> Result<(), Problem> {
    let open = DeadFilter { limit: PAGE, ..DeadFilter::default() };
    let mut after = 0;
    loop {
        let page = services.store.dead_letters_page(&open, after).await?;
        // Numbers ascend from page to page, which bounds the loop.
        let Some(highest) = page.last() else { return Ok(()) };
        after = highest.id;
        let (mails, events): (Vec<DeadLetter>, Vec<DeadLetter>) =
            page.into_iter().partition(|letter| letter.job.mail_ref().is_some());
        for (queue, letters) in [(&queues.mails, mails), (&queues.events, events)] {
            let lines: Vec<_> =
                letters.into_iter().map(|letter| (letter.job, letter.lane, letter.reason)).collect();
            queue.rebuild_dead_index(&lines).await?;
        }
    }
}

async fn restore_page(
    services: &Services,
    queues: &Queues,
    lost: &[&DeadLetter],
    full: &mut HashSet<Full>,
    tally: &mut Tally,
) -> Result<(), Problem> {
    for letter in lost {
        let fate = if full.contains(&lane_of(letter)) || full.contains(&share_of(letter)) {
            Fate::Full
        } else {
            restore_one(services, queues, letter).await?
        };
        match fate {
            Fate::Requeued => tally.requeued += 1,
            Fate::Reopened => tally.reopened += 1,
            Fate::Settled => {}
            Fate::Full => tally.waiting += 1,
            Fate::Refused(what) => {
                full.insert(what);
                tally.waiting += 1;
            }
        }
    }
    Ok(())
}

async fn restore_one(services: &Services, queues: &Queues, listed: &DeadLetter) -> Result<Fate, Problem> {
    let store = &services.store;
    let _room = services.room_when_free(listed.raw_size_bytes.unwrap_or(0), Range::History).await?;
    // Read again, after the queue was asked: a consumer writes here before it lets go of a job there, so one that is
    // still replayed and was not live is lost.
    let letter = store.dead_letter_by_id(listed.id).await?;
    let Some(letter) = letter.filter(|letter| letter.state == DeadState::Replayed) else {
        return Ok(Fate::Settled);
    };
    let answer = match job(letter) {
        Ok(job) => queues.replay(vec![job]).await,
        Err(why) => {
            tracing::debug!(letter = listed.id, why, "cannot be put into the queue again");
            store.reopen(&[listed.id]).await?;
            return Ok(Fate::Reopened);
        }
    };
    match answer.map(|answers| answers.first().copied()) {
        Ok(Some(Enqueued::Queued)) => Ok(Fate::Requeued),
        Ok(Some(Enqueued::AlreadyLive) | None) => Ok(Fate::Settled),
        Ok(Some(Enqueued::LaneFull | Enqueued::Closed)) => Ok(Fate::Refused(lane_of(listed))),
        Ok(Some(Enqueued::AccountFull)) => Ok(Fate::Refused(share_of(listed))),
        // The letter's own fault (too large for the queue): it must not keep the others from being looked at.
        Err(error) if matches!(error.class(), Class::Data | Class::Policy | Class::Hostile) => {
            store.reopen(&[listed.id]).await?;
            Ok(Fate::Reopened)
        }
        Err(error) => Err(error.into()),
    }
}

/// Its lane.
fn lane_of(letter: &DeadLetter) -> Full {
    Full { mails: letter.job.mail_ref().is_some(), lane: letter.lane, account: None }
}

/// Its account's share of its lane.
fn share_of(letter: &DeadLetter) -> Full {
    let account = letter.job.mail_ref().map(|at| at.account);
    Full { account, ..lane_of(letter) }
}

/// The job of a letter, as new; or why there is none.
fn job(letter: DeadLetter) -> Result<NewJob, String> {
    // Read like one from the queue: a later version or rubbish is told apart, never guessed at.
    let envelope = Envelope::decode(letter.envelope_json.to_string().as_bytes());
    let envelope = envelope.map_err(|error| error.to_string())?;
    let raw = match envelope.work {
        Work::Mail(_) => letter.raw.ok_or("its raw mail was not at hand when it died")?,
        // What it is about lies in the inbox.
        Work::Events { .. } => letter.raw.unwrap_or_default(),
    };
    Ok(NewJob { envelope, lane: letter.lane, raw })
}

fn tell(services: &Services, tally: &Tally) {
    let &Tally { requeued, reopened, waiting } = tally;
    services.metrics.lost_replays.inc_by(requeued + reopened);
    if requeued + reopened > 0 {
        tracing::warn!(
            requeued,
            reopened,
            waiting,
            "Redis had lost replayed dead letters: they were put into the queue again, or opened again where there is no \
             raw mail (`mailfleet dead list`)"
        );
    } else if waiting > 0 {
        tracing::info!(waiting, "replayed dead letters that Redis had lost wait for room in their lane");
    }
}
