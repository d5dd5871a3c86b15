//! The arithmetic of the cursor: what to ask for next, and how far a batch lets the cursor move. Pure.
//!
//! UIDs below `backfill_below` are history, the others are fresh. Both ranges are worked on in ascending order and
//! apart from each other, so that a full low lane or 200,000 old mails do not hold up the mail of this minute. The
//! cursor in PostgreSQL is one number, so it follows the history first and jumps to the end of the fresh range once
//! the history is through. After a restart the fresh mails above it are looked up, found accounted for, and not
//! fetched again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mailfleet_model::Uid;

/// How far one mailbox has been read within one UIDVALIDITY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// Every UID of the history up to this one is covered (0: none).
    history: u32,
    /// Every UID from `backfill_below` up to this one is covered (`backfill_below - 1`: none).
    fresh: u32,
    /// UIDs below were in the mailbox before first contact.
    backfill_below: u32,
}

/// One of the two ranges of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Before first contact.
    History,
    /// Since.
    Fresh,
}

impl Range {
    /// 0 for history, 1 for fresh.
    pub const fn index(self) -> usize {
        match self {
            Self::History => 0,
            Self::Fresh => 1,
        }
    }
}

impl Marks {
    /// The marks as PostgreSQL remembers them.
    pub fn new(last_uid: u32, backfill_below: u32) -> Self {
        let end_of_history = backfill_below.saturating_sub(1);
        Self { history: last_uid.min(end_of_history), fresh: last_uid.max(end_of_history), backfill_below }
    }

    /// Whether all history has been covered.
    pub fn history_is_through(&self) -> bool {
        self.history >= self.backfill_below.saturating_sub(1)
    }

    /// Whether a UID was there before first contact.
    pub fn before_first_contact(&self, uid: Uid) -> bool {
        uid.get() < self.backfill_below
    }

    /// The first UID of a range that is not covered, and the last of the range; `None` when there can be none.
    pub fn next(&self, range: Range) -> Option<(u32, u32)> {
        match range {
            Range::History if self.history_is_through() => None,
            Range::History => Some((self.history + 1, self.backfill_below - 1)),
            Range::Fresh => Some((self.fresh.checked_add(1)?, u32::MAX)),
        }
    }

    /// The number PostgreSQL is told: nothing at or below it will be asked for by a scan again.
    pub fn cursor(&self) -> u32 {
        if self.history_is_through() { self.fresh } else { self.history }
    }

    /// Whether a UID lies in what has been covered: the ground of the sweep.
    pub fn covers(&self, uid: Uid) -> bool {
        let uid = uid.get();
        uid <= self.history || (uid >= self.backfill_below && uid <= self.fresh)
    }

    /// The highest UID there is any reason to look at in a sweep: the end of history or of what is covered.
    pub fn end(&self) -> u32 {
        self.fresh.max(self.backfill_below.saturating_sub(1))
    }

    /// Moves a mark forward, never back.
    pub fn advance(&mut self, range: Range, covered_up_to: u32) {
        match range {
            Range::History => {
                let end = self.backfill_below.saturating_sub(1);
                self.history = self.history.max(covered_up_to.min(end));
            }
            Range::Fresh => self.fresh = self.fresh.max(covered_up_to),
        }
    }
}

/// How far a mark may move after a batch: up to the UID before the first that is not covered, else to the last.
///
/// `asked` is ascending. `None` when even the first UID is not covered.
pub fn watermark(asked: &[Uid], covered: &BTreeSet<Uid>) -> Option<u32> {
    match asked.iter().position(|uid| !covered.contains(uid)) {
        None => asked.last().map(|uid| uid.get()),
        // The UID just below the gap and not the one before it in the batch: what lies between was never there.
        Some(0) => None,
        Some(gap) => asked.get(gap - 1).map(|uid| uid.get()),
    }
}

/// Mails older than this and unaccounted for are worth a number on a dashboard; younger ones are on their way.
const OLD: Duration = Duration::from_secs(60);

/// Whether a mail that waits has waited for long. One without a date is taken for old: better a number too many than
/// a mail that nobody misses.
pub fn is_old(internal_date_ms: Option<i64>, now_ms: i64) -> bool {
    let old_ms = i64::try_from(OLD.as_millis()).unwrap_or(i64::MAX);
    internal_date_ms.is_none_or(|date| now_ms.saturating_sub(date) > old_ms)
}

/// How often a UID that does not come is asked for before the cursor passes it.
const TRIES_BEFORE_PASSING: u32 = 4;
/// More such UIDs than this are not remembered one by one.
const MAX_WITHHELD: usize = 10_000;

/// UIDs that the server says are there and does not hand out, or breaks off at. Each is asked for a few times by the
/// scan; then the cursor passes it and the sweep asks again once in a while, so that one broken message does not stop
/// its mailbox.
#[derive(Debug, Default)]
pub struct Withheld(BTreeMap<Uid, Tries>);

#[derive(Debug, Clone, Copy)]
struct Tries {
    count: u32,
    last: Instant,
}

impl Withheld {
    /// Counts one try in vain; true when the cursor may pass this UID from now on.
    pub fn failed(&mut self, uid: Uid, now: Instant) -> bool {
        if self.0.len() >= MAX_WITHHELD && !self.0.contains_key(&uid) {
            return true;
        }
        let tries = self.0.entry(uid).or_insert(Tries { count: 0, last: now });
        tries.count += 1;
        tries.last = now;
        tries.count >= TRIES_BEFORE_PASSING
    }

    /// Whether the cursor may pass this UID although it never came.
    pub fn passed(&self, uid: Uid) -> bool {
        self.0.get(&uid).is_some_and(|tries| tries.count >= TRIES_BEFORE_PASSING)
    }

    /// Whether the sweep should leave this UID alone, because it failed less than `rest` ago. A message that breaks
    /// the connection would otherwise keep every sweep from its end.
    pub fn rests(&self, uid: Uid, now: Instant, rest: Duration) -> bool {
        self.0.get(&uid).is_some_and(|tries| now.saturating_duration_since(tries.last) < rest)
    }

    /// Forgets a UID that came after all, or is gone.
    pub fn settled(&mut self, uid: Uid) {
        self.0.remove(&uid);
    }
}

/// Pages over the UIDs of a mailbox: windows of UID numbers that widen where the numbers are sparse, so that a
/// mailbox whose ten mails carry UIDs in the billions is walked in a dozen steps and a dense one in pages.
#[derive(Debug)]
pub struct Pages {
    next: Option<u32>,
    end: u32,
    width: u32,
    page: u32,
}

impl Pages {
    /// Pages of about `page` messages over `1..=end`.
    pub fn new(end: u32, page: u32) -> Self {
        let page = page.max(1);
        Self { next: (end > 0).then_some(1), end, width: page, page }
    }

    /// The next window, both ends included; `None` when all has been seen.
    pub fn next_window(&mut self) -> Option<(u32, u32)> {
        let from = self.next?;
        let to = from.saturating_add(self.width - 1).min(self.end);
        self.next = to.checked_add(1).filter(|next| *next <= self.end);
        Some((from, to))
    }

    /// Tells how many messages the last window held.
    pub fn found(&mut self, count: usize) {
        let page = usize::try_from(self.page).unwrap_or(usize::MAX);
        if count < page / 8 {
            self.width = self.width.saturating_mul(8);
        } else {
            self.width = self.page;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn uid(n: u32) -> Uid {
        Uid::new(n).unwrap()
    }

    fn uids(numbers: &[u32]) -> Vec<Uid> {
        numbers.iter().copied().map(uid).collect()
    }

    #[test]
    fn the_cursor_follows_history_and_then_jumps_to_the_fresh_end() {
        let mut marks = Marks::new(0, 100);
        assert_eq!(marks.next(Range::History), Some((1, 99)));
        assert_eq!(marks.next(Range::Fresh), Some((100, u32::MAX)));
        marks.advance(Range::Fresh, 105);
        assert_eq!(marks.cursor(), 0, "history is not through");
        assert!(marks.covers(uid(103)) && !marks.covers(uid(50)) && !marks.covers(uid(106)));
        marks.advance(Range::History, 60);
        assert_eq!(marks.cursor(), 60);
        marks.advance(Range::History, 99);
        assert_eq!(marks.cursor(), 105);
        assert_eq!(marks.next(Range::History), None);
    }

    #[test]
    fn marks_read_back_where_they_stood() {
        assert_eq!(Marks::new(40, 100).next(Range::History), Some((41, 99)));
        assert_eq!(Marks::new(40, 100).next(Range::Fresh), Some((100, u32::MAX)));
        assert_eq!(Marks::new(140, 100).next(Range::Fresh), Some((141, u32::MAX)));
        assert_eq!(
            Marks::new(0, 1).next(Range::Fresh),
            Some((1, u32::MAX)),
            "an empty mailbox has no history"
        );
        assert_eq!(Marks::new(0, 0).next(Range::Fresh), Some((1, u32::MAX)));
        assert_eq!(Marks::new(u32::MAX, 1).next(Range::Fresh), None);
    }

    #[test]
    fn the_cursor_stops_below_the_first_mail_that_was_not_enqueued() {
        let asked = uids(&[3, 7, 9]);
        let covered = |numbers: &[u32]| uids(numbers).into_iter().collect::<BTreeSet<_>>();
        assert_eq!(watermark(&asked, &covered(&[3, 7, 9])), Some(9));
        assert_eq!(watermark(&asked, &covered(&[3, 9])), Some(3));
        assert_eq!(watermark(&asked, &covered(&[7, 9])), None);
        assert_eq!(watermark(&[], &covered(&[])), None);
    }

    #[test]
    fn a_mail_that_is_withheld_again_and_again_is_passed_in_the_end() {
        let (mut withheld, now) = (Withheld::default(), Instant::now());
        assert!(!withheld.failed(uid(5), now));
        assert!(withheld.rests(uid(5), now, Duration::from_secs(1)));
        withheld.settled(uid(5));
        assert!(!withheld.rests(uid(5), now, Duration::from_secs(1)));
        for _ in 1..TRIES_BEFORE_PASSING {
            assert!(!withheld.failed(uid(5), now), "the count starts anew once it came");
            assert!(!withheld.passed(uid(5)));
        }
        assert!(withheld.failed(uid(5), now) && withheld.passed(uid(5)));
        let later = now + Duration::from_secs(2);
        assert!(!withheld.rests(uid(5), later, Duration::from_secs(1)), "the sweep asks again");
    }

    #[test]
    fn a_mail_is_old_after_a_minute_or_when_it_has_no_date() {
        assert!(!is_old(Some(1_000), 61_000));
        assert!(is_old(Some(1_000), 61_001));
        assert!(is_old(None, 0));
        assert!(!is_old(Some(i64::MAX), i64::MIN), "a date in the future");
    }

    #[test]
    fn sparse_numbers_are_walked_in_few_windows() {
        let mut pages = Pages::new(u32::MAX, 5_000);
        let mut windows = 0;
        while pages.next_window().is_some() {
            pages.found(0);
            windows += 1;
        }
        assert!(windows < 16, "{windows}");
        assert!(Pages::new(0, 10).next_window().is_none());
    }

    proptest! {
        #[test]
        fn windows_follow_each_other_without_gap_or_overlap(
            end in 1u32..2_000_000, page in 1u32..10_000, counts in prop::collection::vec(0usize..10_000, 1..50)
        ) {
            let mut pages = Pages::new(end, page);
            let (mut last, mut counts) = (0, counts.into_iter().cycle());
            let mut steps = 0;
            while let Some((from, to)) = pages.next_window() {
                prop_assert_eq!(from, last + 1);
                prop_assert!(to >= from && to <= end);
                last = to;
                pages.found(counts.next().unwrap());
                steps += 1;
                if steps > 3_000 { return Ok(()); }
            }
            prop_assert_eq!(last, end);
        }

        #[test]
        fn no_mark_passes_a_uid_that_is_not_covered(
            asked in prop::collection::btree_set(1u32..500, 0..40), holes in prop::collection::btree_set(1u32..500, 0..10)
        ) {
            let asked: Vec<Uid> = asked.into_iter().map(uid).collect();
            let covered: BTreeSet<Uid> = asked.iter().copied().filter(|u| !holes.contains(&u.get())).collect();
            if let Some(mark) = watermark(&asked, &covered) {
                prop_assert!(asked.iter().filter(|u| u.get() <= mark).all(|u| covered.contains(u)));
            }
        }
    }
}
