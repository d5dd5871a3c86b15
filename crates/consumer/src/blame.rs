//! Whose fault it is when PostgreSQL works and yet a mail cannot be stored: the mail's, or ours?
//!
//! A broken trigger fails every mail, and a strange mail fails one. The first must cost nobody an attempt, the second
//! must not go round for ever. The difference: a mail is to blame when it failed, another was stored after that, and
//! then it failed again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use mailfleet_model::JobId;

/// More mails than this are not under suspicion at once; beyond it all are forgotten, which only delays a blame.
const MOST: usize = 10_000;

/// A point in the order of stored mails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

/// Mails that could not be stored although PostgreSQL answered.
#[derive(Debug, Default)]
pub struct Suspects(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Calls that stored something new.
    stored: u64,
    /// Of each suspect, how many there had been when it failed.
    since: HashMap<JobId, Mark>,
}

impl State {
    fn suspect(&mut self, job: &JobId) {
        if self.since.len() >= MOST {
            self.since.clear();
        }
        self.since.entry(job.clone()).or_insert(Mark(self.stored));
    }
}

impl Suspects {
    /// Something new was stored.
    pub fn stored(&self) {
        self.with(|state| state.stored += 1);
    }

    /// To be taken before a call that may fail.
    pub fn mark(&self) -> Mark {
        self.with(|state| Mark(state.stored))
    }

    /// The mail was in a batch that failed. That alone says nothing against it, but it may have been the one.
    pub fn suspect(&self, job: &JobId) {
        self.with(|state| state.suspect(job));
    }

    /// The mail failed by itself, in a call that began at `began`. Whether it is to blame: if so, what it is blamed
    /// for the next time must happen after this.
    pub fn failed(&self, job: &JobId, began: Mark) -> bool {
        self.with(|state| {
            // Stored between its failure before and the beginning of this one.
            let blamed = state.since.get(job).is_some_and(|since| *since < began);
            if blamed {
                state.since.remove(job);
            }
            state.suspect(job);
            blamed
        })
    }

    /// The mail is settled.
    pub fn forget(&self, job: &JobId) {
        self.with(|state| state.since.remove(job));
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(uid: u32) -> JobId {
        JobId::parse(&format!("m:6d0b5e4e52a44f0e9d5f8f8a6d7d0001:7:1:{uid}")).unwrap()
    }

    #[test]
    fn nobody_is_to_blame_while_nothing_can_be_stored() {
        let suspects = Suspects::default();
        suspects.stored();
        for _ in 0..10 {
            let began = suspects.mark();
            assert!(!suspects.failed(&job(1), began) && !suspects.failed(&job(2), began));
        }
    }

    #[test]
    fn a_mail_that_fails_before_and_after_another_was_stored_is_to_blame() {
        let suspects = Suspects::default();
        assert!(!suspects.failed(&job(1), suspects.mark()));
        // Stored while the second call was under way: the trouble may have begun right after.
        let began = suspects.mark();
        suspects.stored();
        assert!(!suspects.failed(&job(1), began));
        assert!(suspects.failed(&job(1), suspects.mark()));
        assert!(!suspects.failed(&job(1), suspects.mark()), "the next blame needs its own reason");
        suspects.stored();
        suspects.forget(&job(1));
        assert!(!suspects.failed(&job(1), suspects.mark()));
    }

    #[test]
    fn the_suspects_stay_within_their_bound() {
        let suspects = Suspects::default();
        for uid in 1..=25_000 {
            suspects.suspect(&job(uid));
        }
        assert!(suspects.with(|state| state.since.len()) <= MOST);
    }
}
