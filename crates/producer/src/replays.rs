//! Replays that got lost: a dead letter that was put back into the queue, and that Redis then forgot.
//!
//! The ledger says `dead` of such a mail, so that no sweep of its mailbox fetches it; the letter says `replayed`, so that
//! nobody looks at it. Yet PostgreSQL has all that is needed: the job is put into the queue again, on its lane, as the
//! operator wanted. Where that cannot be (its raw mail was never at hand), the letter is opened again for a person.
//!
//! When Redis may have lost something, its index of the open letters is made anew as well; it is what depths count. What is
//! closed for good is taken off it with every look.
//!
//! Putting in is idempotent, so a replay that is just being made, by whomever, is at worst met halfway: one of the two
//! finds the job live already.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mailfleet_model::{AccountId, Class, Classify, Envelope, JobId, Lane, Work};
use mailfleet_queue::{Enqueued, IndexPlace, NewJob, Queue, Queues};
use mailfleet_runtime::Shutdown;
use mailfleet_store::{DeadFilter, DeadLetter, DeadState, Store, UnreadLetter};

use crate::looks::{self, Found, Look, Pace};
use crate::plan::Range;
use crate::problem::Problem;
use crate::services::Services;

/// A younger replay may be half-way: it is marked in PostgreSQL first and put into the queue second.
const GRACE: Duration = Duration::from_secs(60);
/// Letters looked at in one step.
const PAGE: u32 = 1_000;
/// Lines of the index looked at in one step.
const LINES: usize = 500;

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
    let pace = Pace::new(services.config.producer.sweep_every(), GRACE, Instant::now());
    let replayed = Replayed { services: Arc::clone(&services), queues, index_due: false };
    looks::watch(&services, replayed, pace, shutdown).await
}

/// The look at the dead letters.
struct Replayed {
    services: Arc<Services>,
    queues: Queues,
    /// The index may lack letters, until it was gone through.
    index_due: bool,
}

impl Look for Replayed {
    const WHAT: &'static str = "lost replays of dead letters";

    async fn look(&mut self, lost: bool) -> Result<Found, Problem> {
        self.index_due |= lost;
        // Neither keeps the other from being done.
        let restored = restore(&self.services, &self.queues).await;
        let store = &self.services.store;
        if self.index_due {
            add_lines(store, &self.queues).await?;
            self.index_due = false;
        }
        // With every look: a discard may have been killed before it came to the index.
        for queue in [&self.queues.mails, &self.queues.events] {
            prune(store, queue).await?;
        }
        restored
    }
}

/// Looks at every replayed letter.
async fn restore(services: &Services, queues: &Queues) -> Result<Found, Problem> {
    let mut full = HashSet::new();
    let mut after = 0;
    loop {
        // Letters first, queue second: what is settled in between has left the state by the time it is read again.
        let page = services.store.replayed_letters(GRACE, after, PAGE).await?;
        let Some(highest) = page.highest else {
            return Ok(if full.is_empty() { Found::Complete } else { Found::Full });
        };
        after = highest;
        tell_unread(&page.unread);
        let jobs: Vec<JobId> = page.letters.iter().map(|letter| letter.job.clone()).collect();
        let live = queues.live(&jobs).await?;
        let lost: Vec<&DeadLetter> =
            page.letters.iter().zip(live).filter_map(|(letter, live)| (!live).then_some(letter)).collect();
        let mut tally = Tally::default();
        let outcome = restore_page(services, queues, &lost, &mut full, &mut tally).await;
        // Told also where the page was not finished.
        tell(services, &tally);
        outcome?;
    }
}

/// Writes the open letters into the dead streams, where they are not.
async fn add_lines(store: &Store, queues: &Queues) -> Result<(), Problem> {
    let mut after = 0;
    // Numbers ascend from page to page, which bounds the loop.
    while let Some(page) = open_page(store, after).await? {
        after = page.highest;
        queues.mails.rebuild_dead_index(&page.mails).await?;
        queues.events.rebuild_dead_index(&page.events).await?;
    }
    Ok(())
}

/// What the index says of some open letters.
struct Page {
    highest: i64,
    mails: Vec<(JobId, Lane, String)>,
    events: Vec<(JobId, Lane, String)>,
}

async fn open_page(store: &Store, after: i64) -> Result<Option<Page>, Problem> {
    let open = DeadFilter { limit: PAGE, ..DeadFilter::default() };
    let letters = store.dead_letters_page(&open, after).await?;
    let Some(highest) = letters.highest else { return Ok(None) };
    tell_unread(&letters.unread);
    // What named no job is none that the queue could know anything about.
    let jobs = letters.letters.into_iter().filter(|letter| !letter.job.is_unnamed());
    let lines = jobs.map(|letter| (letter.job, letter.lane, letter.reason));
    let (mails, events) = lines.partition(|(job, ..)| job.mail_ref().is_some());
    Ok(Some(Page { highest, mails, events }))
}

/// A newer version's letters, or somebody's hand: that version's producers look after them. A line for each page.
fn tell_unread(unread: &[UnreadLetter]) {
    if let Some(first) = unread.first() {
        let UnreadLetter { id, job, place, value } = first;
        tracing::warn!(letters = unread.len(), first = id, %job, %place, %value, "some dead letters cannot be read here");
    }
}

/// Takes off lines of letters that are closed for good. A letter that was discarded after its page was read, and before its
/// line was added, had no line to be taken off; nor had it one if whoever made the index died in between. Whoever closes a
/// letter after this look finds its line, since PostgreSQL comes first. What is replayed loses its line as it enters the
/// queue, or is open again; and what has died again since has another line, which stays.
async fn prune(store: &Store, queue: &Queue) -> Result<(), Problem> {
    let mut place = Some(IndexPlace::default());
    // Places ascend. What is added meanwhile comes at the end, slower than it is read.
    while let Some(from) = place {
        let (mut lines, next) = queue.index_page(&from, LINES).await?;
        place = next;
        let jobs: Vec<JobId> = lines.iter().map(|line| line.job.clone()).collect();
        let unsettled = store.unsettled_jobs(&jobs).await?;
        lines.retain(|line| !unsettled.contains(&line.job));
        queue.forget_lines(&lines).await?;
    }
    Ok(())
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
    let envelope =
        Envelope::of_letter(&letter.envelope_json, &letter.job).map_err(|error| error.to_string())?;
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

#[cfg(test)]
mod tests {
    use mailfleet_model::{Counters, Secret};
    use mailfleet_store::{Actor, Discarded, NewDeadLetter};
    use mailfleet_testkit::{PostgresServer, RedisServer};

    use super::*;

    fn letter(uid: u32) -> NewDeadLetter {
        let job = JobId::parse(&format!("m:6d0b5e4e52a44f0e9d5f8f8a6d7d0001:7:1:{uid}")).unwrap();
        NewDeadLetter {
            at: None,
            lane: Lane::Normal,
            envelope_json: serde_json::json!({}),
            raw: None,
            reason: "unknown_tenant".to_owned(),
            class: Class::Policy,
            error: "nobody owns the domain".to_owned(),
            counters: Counters::default(),
            history: serde_json::json!([]),
            tenant: None,
            account: None,
            message_id: None,
            job,
        }
    }

    /// Three open letters, of which the index knows nothing.
    async fn world() -> (RedisServer, Store, Queues) {
        let redis = RedisServer::start().unwrap();
        let url = PostgresServer::shared().fresh_database().unwrap();
        let config = mailfleet_store::Config { url: Secret::new(url), ..Default::default() };
        let store = Store::connect(&config).unwrap();
        store.migrate().await.unwrap();
        store.dead_letter(&[letter(1), letter(2), letter(3)]).await.unwrap();
        let config = mailfleet_queue::Config { url: Secret::new(redis.url()), ..Default::default() };
        (redis, store, Queues::connect(&config).unwrap())
    }

    async fn dead(queues: &Queues) -> Option<u64> {
        queues.mails.depth().await.unwrap().dead
    }

    #[tokio::test]
    async fn a_letter_of_an_entry_that_named_no_job_has_no_line_in_the_index_of_jobs() {
        let (_redis, store, queues) = world().await;
        let job = JobId::unnamed("email:processing", 0, Lane::Normal, "1700000000000-0");
        store.dead_letter(&[NewDeadLetter { job, ..letter(4) }]).await.unwrap();
        add_lines(&store, &queues).await.unwrap();
        assert_eq!((dead(&queues).await, queues.events.depth().await.unwrap().dead), (Some(3), Some(0)));
    }

    #[tokio::test]
    async fn letters_that_are_closed_while_the_index_is_made_have_no_line_in_it() {
        let (_redis, store, queues) = world().await;
        let page = open_page(&store, 0).await.unwrap().unwrap();
        // One is discarded and one replayed, from their marks to the index and the queue.
        discard(&store, 1).await;
        let two = store.dead_letter_by_job(&letter(2).job).await.unwrap().unwrap().id;
        assert_eq!(queues.mails.forget_dead(&[letter(1).job]).await.unwrap(), 0);
        assert_eq!(store.mark_replayed(&[two], None).await.unwrap(), [two]);

        queues.mails.rebuild_dead_index(&page.mails).await.unwrap();
        prune(&store, &queues.mails).await.unwrap();
        assert_eq!(dead(&queues).await, Some(2), "what is replayed has its line until it is in the queue");
        assert!(queues.mails.locate(&letter(1).job).await.unwrap().is_none());
        store.reopen(&[two]).await.unwrap();
        assert!(queues.mails.locate(&letter(2).job).await.unwrap().is_some(), "or open again");
    }

    #[tokio::test]
    async fn an_index_that_was_left_half_made_is_made_whole_by_the_next_however_letters_moved() {
        let (_redis, store, queues) = world().await;
        // Whoever began it died between the lines and the look at what was closed meanwhile.
        let lines = [letter(1), letter(2)].map(|letter| (letter.job, letter.lane, letter.reason));
        discard(&store, 1).await;
        queues.mails.rebuild_dead_index(&lines).await.unwrap();
        assert_eq!(dead(&queues).await, Some(2));
        for _ in 0..2 {
            add_lines(&store, &queues).await.unwrap();
            prune(&store, &queues.mails).await.unwrap();
            assert_eq!(dead(&queues).await, Some(2), "2 and 3");
            assert!(queues.mails.locate(&letter(1).job).await.unwrap().is_none());
        }
    }

    /// Discards a letter in PostgreSQL.
    async fn discard(store: &Store, uid: u32) {
        let id = store.dead_letter_by_job(&letter(uid).job).await.unwrap().unwrap().id;
        let filter = DeadFilter { ids: Some(vec![id]), ..DeadFilter::default() };
        let actor = Actor { os_user: "op".to_owned(), host: "here".to_owned(), by: None };
        let discarded = store.discard(&filter, 1, &actor, &serde_json::json!({})).await.unwrap();
        assert!(matches!(discarded, Discarded::Done { .. }));
    }
}
