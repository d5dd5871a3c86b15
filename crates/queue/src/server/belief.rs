//! How long it is believed who the master is.
//!
//! A server alone is what it is, and a node of a cluster that has lost its slots says so. A former master of sentinels does
//! not: one that stood still, or was cut off from them, takes work until it hears that another one was promoted, and that
//! work is lost. So what sentinels said is asked for again every few seconds, while calls go on, and after a silence before
//! anything is sent; after trouble once more when whoever they named has answered.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::view::View;

/// What sentinels said holds for so long.
const HOLDS: Duration = Duration::from_secs(5);
/// After so long without any answer of the master it may be another one.
const SILENCE: Duration = Duration::from_secs(2);
/// An answer, or a connection, that took longer than this may come from a server that stood still.
const SLOW: Duration = Duration::from_millis(250);
/// How long before now that is taken to have been said which nobody could be asked for: it holds for one second.
const NEARLY_OLD: Duration = Duration::from_secs(4);

/// What is to be done about the master.
pub(crate) enum Trust {
    /// Go to this one.
    Sure(Arc<View>),
    /// It is time to ask; calls go to this one meanwhile.
    Stale(Arc<View>),
    /// Ask first.
    Unknown,
}

/// What is believed, and since when.
pub(crate) struct Belief {
    /// Whether it grows old.
    ages: bool,
    start: Instant,
    state: RwLock<State>,
    /// When the master last answered, in milliseconds from `start`.
    answered: AtomicU64,
    /// Whether it has answered since it was found, and after trouble was found once more since then.
    proven: AtomicBool,
}

#[derive(Default)]
struct State {
    view: Option<Arc<View>>,
    doubted: bool,
    confirmed: Option<Instant>,
    /// When the master first answered since it was found.
    heard: Option<Instant>,
    /// Its first answer is enough: nothing has failed yet, or nobody can be asked.
    one_answer_is_enough: bool,
}

impl Belief {
    /// Nothing yet.
    pub(crate) fn none(ages: bool, now: Instant) -> Self {
        Self {
            ages,
            start: now,
            state: RwLock::default(),
            answered: AtomicU64::new(0),
            proven: AtomicBool::new(false),
        }
    }

    /// What is known for ever.
    pub(crate) fn certain(view: View, now: Instant) -> Self {
        let this = Self::none(false, now);
        this.confirm(Arc::new(view), now);
        this
    }

    /// What to do now.
    pub(crate) fn trust(&self, now: Instant) -> Trust {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let (Some(view), Some(confirmed), false) = (&state.view, state.confirmed, state.doubted) else {
            return Trust::Unknown;
        };
        let view = Arc::clone(view);
        if !self.ages {
            return Trust::Sure(view);
        }
        let answered = self.start + Duration::from_millis(self.answered.load(Ordering::Relaxed));
        // Found in trouble, and not heard of since: what was said a moment ago may have been about the one that has failed. Nor
        // is its first answer enough: it may have stood still until then, and another one may have been promoted meanwhile.
        if !self.proven.load(Ordering::Acquire) {
            return Trust::Unknown;
        }
        let silence = now.saturating_duration_since(answered.max(confirmed));
        if silence > SILENCE {
            Trust::Unknown
        } else if now.saturating_duration_since(confirmed) > HOLDS {
            Trust::Stale(view)
        } else {
            Trust::Sure(view)
        }
    }

    /// The last one, whatever it is worth.
    pub(crate) fn last(&self) -> Option<Arc<View>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).view.clone()
    }

    /// What was said in answer to a question of `since` or later, if there is no doubt about it.
    pub(crate) fn known_since(&self, since: Instant) -> Option<Arc<View>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let is_known = !state.doubted && state.confirmed.is_some_and(|confirmed| confirmed >= since);
        if is_known { state.view.clone() } else { None }
    }

    /// It was asked for at `now`, and found to be this.
    pub(crate) fn confirm(&self, view: Arc<View>, now: Instant) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let is_same = state.view.as_ref().is_some_and(|before| before.has_the_masters_of(&view));
        let heard = state.heard.filter(|_| is_same && !state.doubted);
        if heard.is_none() {
            self.proven.store(false, Ordering::Release);
        } else if heard.is_some_and(|heard| heard <= now) {
            self.proven.store(true, Ordering::Release);
        }
        let one_answer_is_enough = state.view.is_none();
        *state =
            State { view: Some(view), doubted: false, confirmed: Some(now), heard, one_answer_is_enough };
    }

    /// Nobody could be asked: the last one holds for a moment more, if there is one. If it does not answer, the doubt is
    /// there again with the next call.
    pub(crate) fn make_do(&self, now: Instant) -> Option<Arc<View>> {
        let view = self.last()?;
        self.confirm(Arc::clone(&view), now.checked_sub(NEARLY_OLD).unwrap_or(now));
        self.state.write().unwrap_or_else(PoisonError::into_inner).one_answer_is_enough = true;
        Some(view)
    }

    /// This is known, and that there is more to be asked for.
    pub(crate) fn replace_in_doubt(&self, view: Arc<View>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        (state.view, state.doubted) = (Some(view), true);
    }

    /// A call by this view met something that another server may not have.
    pub(crate) fn doubt(&self, view: &Arc<View>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        // A view that was replaced meanwhile says nothing of the new one.
        if state.view.as_ref().is_some_and(|current| Arc::ptr_eq(current, view)) {
            state.doubted = true;
        }
    }

    /// A call by this view was answered, and what it took from `from` to `to`. A slow answer is a doubt: a server that stood
    /// still answers in the end what it was asked before, and may be nobody's master by then.
    pub(crate) fn answered(&self, view: &Arc<View>, from: Instant, to: Instant) {
        if is_slow(from, to) {
            self.doubt(view);
        } else if self.ages {
            let millis = to.saturating_duration_since(self.start).as_millis();
            self.answered.fetch_max(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
            if !self.proven.load(Ordering::Acquire) {
                let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
                if state.view.as_ref().is_some_and(|current| Arc::ptr_eq(current, view)) {
                    state.heard.get_or_insert(to);
                    if state.one_answer_is_enough {
                        self.proven.store(true, Ordering::Release);
                    }
                }
            }
        }
    }
}

/// Whether something that took so long came from a server in trouble.
pub(crate) fn is_slow(from: Instant, to: Instant) -> bool {
    to.saturating_duration_since(from) > SLOW
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> Arc<View> {
        Arc::new(View::many(Vec::new(), Vec::new()))
    }

    fn word(belief: &Belief, now: Instant) -> &'static str {
        match belief.trust(now) {
            Trust::Sure(_) => "sure",
            Trust::Stale(_) => "stale",
            Trust::Unknown => "unknown",
        }
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_sentinels_said_grows_old_and_a_silence_ends_it_at_once() {
        let start = Instant::now();
        let belief = Belief::none(true, start);
        assert_eq!(word(&belief, start), "unknown");
        let view = view();
        belief.confirm(Arc::clone(&view), start);
        assert_eq!(word(&belief, start), "unknown", "it has yet to answer");
        belief.answered(&view, start, start);
        assert_eq!(word(&belief, start + SILENCE), "sure");
        assert_eq!(word(&belief, start + SILENCE + MS), "unknown", "nothing has answered for long");
        for second in 1..=6 {
            let now = start + Duration::from_secs(second);
            belief.answered(&view, now, now);
        }
        assert_eq!(word(&belief, start + HOLDS), "sure");
        assert_eq!(word(&belief, start + HOLDS + MS), "stale");
        belief.confirm(view, start + HOLDS);
        assert_eq!(word(&belief, start + HOLDS + MS), "sure", "the same one, about which there was no doubt");
    }

    #[test]
    fn whoever_was_found_in_trouble_is_asked_for_again_once_it_has_answered() {
        let start = Instant::now();
        let belief = Belief::none(true, start);
        let view = view();
        belief.confirm(Arc::clone(&view), start);
        belief.doubt(&view);
        belief.confirm(Arc::clone(&view), start);
        // It may have stood still, and another one may have been promoted, between what was said and what it answers.
        belief.answered(&view, start + MS, start + MS * 2);
        assert_eq!(word(&belief, start + MS * 2), "unknown");
        belief.confirm(Arc::clone(&view), start + MS);
        assert_eq!(word(&belief, start + MS * 2), "unknown", "that was asked for before");
        belief.answered(&view, start + MS, start + MS * 2);
        belief.confirm(Arc::clone(&view), start + MS * 3);
        assert_eq!(word(&belief, start + MS * 3), "sure");
        belief.doubt(&view);
        belief.confirm(Arc::clone(&view), start + MS * 4);
        assert_eq!(word(&belief, start + MS * 4), "unknown", "in trouble again, it has yet to answer");
    }

    #[test]
    fn a_failure_and_a_slow_answer_are_doubts_of_the_view_they_went_by_alone() {
        let start = Instant::now();
        let belief = Belief::none(true, start);
        let (old, new) = (view(), view());
        belief.confirm(Arc::clone(&old), start);
        belief.answered(&old, start, start + SLOW);
        assert_eq!(word(&belief, start), "sure");
        belief.answered(&old, start, start + SLOW + MS);
        assert_eq!(word(&belief, start), "unknown");
        belief.confirm(Arc::clone(&new), start);
        belief.answered(&old, start, start);
        assert_eq!(word(&belief, start), "unknown", "that was another one's answer");
        belief.answered(&new, start, start);
        belief.confirm(Arc::clone(&new), start);
        belief.doubt(&old);
        assert_eq!(word(&belief, start), "sure", "that was about another one");
        belief.doubt(&new);
        assert_eq!(word(&belief, start), "unknown");
    }

    #[test]
    fn where_nobody_can_be_asked_the_last_one_is_tried_for_a_second() {
        let start = Instant::now() + HOLDS;
        let belief = Belief::none(true, start);
        assert!(belief.make_do(start).is_none());
        let view = view();
        belief.confirm(Arc::clone(&view), start);
        belief.doubt(&view);
        assert!(belief.make_do(start).is_some());
        belief.answered(&view, start + MS, start + MS);
        let second = start + Duration::from_secs(1);
        assert_eq!(word(&belief, second), "sure");
        assert_eq!(word(&belief, second + MS), "stale");
    }

    #[test]
    fn a_server_alone_is_what_it_is() {
        let start = Instant::now();
        let belief = Belief::certain(View::many(Vec::new(), Vec::new()), start);
        assert_eq!(word(&belief, start + Duration::from_secs(100_000)), "sure");
    }
}
