//! One run: page by page through the letters that were chosen, in steps, watched and in the book.

use std::collections::HashSet;

use mailfleet_model::AccountId;
use mailfleet_queue::{Enqueued, Queues};
use mailfleet_store::{ActionOutcome, DeadFilter, DeadLetter, Progress, Store, UnreadLetter};

use super::pace::{Pace, Rate};
use super::put::{Fate, Fates, put};
use super::tell::Tell;
use super::watch::{Next, Watch};

/// Letters replayed in one step.
const STEP: usize = 50;
/// Letters read from PostgreSQL, without their mails, at once.
const PAGE: u32 = 1_000;

/// What became of the letters.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// In the queue now.
    pub replayed: u64,
    /// Were in the queue before.
    pub already_queued: u64,
    /// Cannot be replayed.
    pub failed: u64,
    /// Of the replayed: seen stored.
    pub stored: u64,
    /// Of the replayed: seen to die again.
    pub died: u64,
}

impl Tally {
    /// For the book.
    pub const fn progress(&self) -> Progress {
        Progress { done: self.replayed, already_queued: self.already_queued, failed: self.failed }
    }

    /// How many of the replayed were seen to run.
    pub const fn ran(&self) -> u64 {
        self.stored + self.died
    }

    /// Whether more than half of those that ran have died again.
    pub const fn most_died(&self) -> bool {
        self.died * 2 > self.ran()
    }

    /// Of so many, those that nothing was done with.
    pub const fn left(&self, matched: u64) -> u64 {
        matched.saturating_sub(self.replayed + self.already_queued + self.failed)
    }
}

/// A run.
pub struct Run<'a> {
    store: &'a Store,
    queues: &'a Queues,
    action: i64,
    matched: u64,
    pace: Pace,
    watch: Watch,
    tell: Tell,
    tally: Tally,
    /// Accounts that have their share of the queue.
    full: HashSet<AccountId>,
}

impl<'a> Run<'a> {
    /// Of an action that the book knows.
    pub fn new(
        store: &'a Store,
        queues: &'a Queues,
        action: i64,
        matched: u64,
        rate: Option<Rate>,
        json: bool,
    ) -> Self {
        Self {
            store,
            queues,
            action,
            matched,
            pace: Pace::new(rate),
            watch: Watch::new(action),
            tell: Tell::new(matched, json),
            tally: Tally::default(),
            full: HashSet::new(),
        }
    }

    /// Goes through as many letters as there were when it began: those that come meanwhile are another run's.
    pub async fn go(&mut self, which: &DeadFilter) -> anyhow::Result<ActionOutcome> {
        let went = self.pages(which).await;
        // What ran meanwhile is told as well; that it cannot be learned takes nothing back.
        let _ = match went {
            Ok(ActionOutcome::Completed) => self.watch.rest(self.store).await,
            _ => self.watch.look(self.store).await,
        };
        self.tell.finish();
        went
    }

    /// What became of the letters.
    pub fn into_tally(self) -> Tally {
        Tally { stored: self.watch.stored, died: self.watch.died, ..self.tally }
    }

    async fn pages(&mut self, which: &DeadFilter) -> anyhow::Result<ActionOutcome> {
        let filter = DeadFilter { limit: PAGE, ..which.clone() };
        let (mut gone, mut after) = (0, 0);
        while gone < self.matched {
            let page = self.store.dead_letters_page(&filter, after).await?;
            let Some(highest) = page.highest else { break };
            after = highest;
            self.pass_over(&page.unread)?;
            gone += page.unread.len() as u64;
            let mut rest = page.letters.as_slice();
            while !rest.is_empty() && gone < self.matched {
                let Next::Go(room) = self.watch.next(self.store).await? else {
                    return Ok(ActionOutcome::Stopped);
                };
                let unasked = usize::try_from(self.matched - gone).unwrap_or(usize::MAX);
                let step = room.min(self.pace.step()).min(STEP).min(unasked).min(rest.len());
                self.pace.pass(step).await;
                let (now, later) = rest.split_at(step);
                rest = later;
                gone += step as u64;
                let refused = self.step(now).await?;
                self.tell.progress(gone, self.watch.died);
                self.store.note_replay(self.action, self.tally.progress()).await?;
                if refused {
                    return Ok(ActionOutcome::Refused);
                }
            }
        }
        Ok(ActionOutcome::Completed)
    }

    /// Letters that this version cannot read keep none of the others back.
    fn pass_over(&mut self, letters: &[UnreadLetter]) -> anyhow::Result<()> {
        for UnreadLetter { id, job, place, value } in letters {
            self.tally.failed += 1;
            let why = format!("{place} holds `{value}`, which this version does not know; use a newer one");
            self.tell.letter(*id, job, "failed", Some(&why))?;
        }
        Ok(())
    }

    /// Puts a few letters into the queue; true when it takes no more of anybody.
    async fn step(&mut self, letters: &[DeadLetter]) -> anyhow::Result<bool> {
        let full = |letter: &DeadLetter| letter.account.is_some_and(|account| self.full.contains(&account));
        let letters: Vec<DeadLetter> = letters.iter().filter(|letter| !full(letter)).cloned().collect();
        let fates = put(self.store, self.queues, self.action, &letters).await?;
        self.count(fates)
    }

    fn count(&mut self, fates: Fates) -> anyhow::Result<bool> {
        let mut refused = false;
        for (id, job, fate) in fates {
            let (word, why) = match fate {
                Fate::Replayed => {
                    self.tally.replayed += 1;
                    self.watch.follow([id]);
                    ("replayed", None)
                }
                Fate::AlreadyQueued => {
                    self.tally.already_queued += 1;
                    ("already_queued", None)
                }
                Fate::Failed(why) => {
                    self.tally.failed += 1;
                    ("failed", Some(why))
                }
                Fate::Refused(Enqueued::AccountFull) => {
                    self.full.extend(job.mail_ref().map(|at| at.account));
                    ("refused", None)
                }
                Fate::Refused(_) => {
                    refused = true;
                    ("refused", None)
                }
            };
            self.tell.letter(id, job.as_str(), word, why.as_deref())?;
        }
        Ok(refused)
    }
}
