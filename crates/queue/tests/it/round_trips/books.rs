//! What is known outside of Redis: what PostgreSQL would hold, and what the queue has answered.

use std::collections::{BTreeMap, BTreeSet};

use mailfleet_queue::{Enqueued, Settled};

use super::jobs::JOBS;

/// Where the dead letter of a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letter {
    Open,
    Replayed,
    Resolved,
}

/// One job.
#[derive(Debug, Clone, Copy, Default)]
pub struct Account {
    /// Its effect is committed.
    pub effect: bool,
    pub letter: Option<Letter>,
    /// How often it entered the queue by the queue's own word, and left it.
    entered: u32,
    left: u32,
    /// Calls without an answer that may have let it in, or out.
    perhaps_entered: u32,
    perhaps_left: u32,
}

#[derive(Debug, Default)]
pub struct Books {
    jobs: BTreeMap<u32, Account>,
    /// Whether entries that nobody can run were written into the lanes.
    pub has_odd_ones: bool,
    /// The one of a version to come has been ended.
    pub unknown_ended: bool,
    /// The names of entries without a job that somebody has written down.
    pub strays: BTreeSet<String>,
}

impl Books {
    pub fn of(&mut self, number: u32) -> &mut Account {
        self.jobs.entry(number).or_default()
    }

    /// Jobs whose letter stands so.
    pub fn letters(&self, letter: Letter) -> Vec<u32> {
        self.jobs
            .iter()
            .filter(|(_, account)| account.letter == Some(letter))
            .map(|(number, _)| *number)
            .collect()
    }

    /// Jobs that a sweep would fetch again if the queue does not know them.
    pub fn without_outcome(&self) -> Vec<u32> {
        let known =
            |number: &u32| self.jobs.get(number).is_some_and(|known| known.effect || known.letter.is_some());
        (1..=JOBS).filter(|number| !known(number)).collect()
    }

    /// The answers to an enqueue; none where it failed.
    pub fn entered(&mut self, numbers: &[u32], answers: Option<&[Enqueued]>) {
        for (index, number) in numbers.iter().enumerate() {
            let account = self.of(*number);
            match answers {
                Some(answers) => account.entered += u32::from(answers[index] == Enqueued::Queued),
                None => account.perhaps_entered += 1,
            }
        }
    }

    /// The answers to what takes entries out; none where it failed.
    pub fn left(&mut self, numbers: &[u32], answers: Option<&[Settled]>) {
        for (index, number) in numbers.iter().enumerate() {
            let account = self.of(*number);
            match answers {
                Some(answers) => account.left += u32::from(answers[index] == Settled::Done),
                None => account.perhaps_left += 1,
            }
        }
    }

    /// The raw mail of this job is lost while it waits: whoever claims it closes it, and the sweep brings it again.
    pub fn mail_is_lost(&mut self, number: u32) {
        self.of(number).perhaps_left += 1;
    }

    /// In the end each job has had its effect, and has left the queue as often as it entered it.
    pub fn balance(&self) -> Result<(), String> {
        for number in 1..=JOBS {
            let account = self.jobs.get(&number).copied().unwrap_or_default();
            let Account { entered, left, perhaps_entered, perhaps_left, .. } = account;
            let bad = |what: &str| Err(format!("job {number} {what}: {account:?}"));
            if !account.effect {
                return bad("has had no effect");
            }
            if matches!(account.letter, Some(Letter::Open | Letter::Replayed)) {
                return bad("has an open letter");
            }
            if left > entered + perhaps_entered {
                return bad("was marked done more often than it was queued");
            }
            if entered > left + perhaps_left {
                return bad("was queued and never marked done");
            }
        }
        if self.has_odd_ones && self.strays.len() != 1 {
            return Err(format!("the entry without a job was written down as {:?}", self.strays));
        }
        Ok(())
    }
}
