//! How replayed letters fare, while others are still to come: a cause that is not put right is not repeated a thousand
//! times.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use mailfleet_store::{Came, Store};
use tokio::time::Instant;

use crate::failure;

/// So many go first, and so many must have run before anything is concluded.
const PROBE: usize = 10;
/// So many may be under way after that.
const WINDOW: usize = 500;
/// When nothing has run for so long, nobody waits for it any more.
const PATIENCE: Duration = Duration::from_secs(10);
/// The last ones are waited for no longer than this, and no longer than [`QUIET`] while nothing runs.
const REST: Duration = Duration::from_secs(5);
/// See [`REST`].
const QUIET: Duration = Duration::from_secs(2);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);

/// What may be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// So many more letters may go, at least one.
    Go(usize),
    /// None: most of them die again.
    Stop,
}

/// Follows the letters of one action.
#[derive(Debug)]
pub struct Watch {
    action: i64,
    /// Put into the queue, and not known to have run.
    under_way: VecDeque<i64>,
    /// Stored.
    pub stored: u64,
    /// Died again.
    pub died: u64,
    patient: bool,
    /// When something ran last, or the first went.
    moved: Instant,
}

impl Watch {
    /// Of an action that begins.
    pub fn new(action: i64) -> Self {
        let moved = Instant::now();
        Self { action, under_way: VecDeque::new(), stored: 0, died: 0, patient: true, moved }
    }

    /// These are in the queue now.
    pub fn follow(&mut self, letters: impl IntoIterator<Item = i64>) {
        self.under_way.extend(letters);
        // Where nobody waits there may be more; the oldest are not looked at any more.
        while self.under_way.len() > WINDOW {
            self.under_way.pop_front();
        }
    }

    /// Waits until more may go. Bounded: either something runs, or after [`PATIENCE`] nobody waits any more.
    pub async fn next(&mut self, store: &Store) -> anyhow::Result<Next> {
        loop {
            self.look(store).await?;
            if self.most_die() {
                return Ok(Next::Stop);
            }
            let room = self.room();
            if room > 0 {
                return Ok(Next::Go(room));
            }
            if self.moved.elapsed() >= PATIENCE {
                self.patient = false;
                failure::note(
                    "what is in the queue has not run yet (do consumers run? is it paused?): the others follow all the same",
                );
                continue;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits a moment for the last ones, so that a few letters are not called replayed when they have died again by then.
    pub async fn rest(&mut self, store: &Store) -> anyhow::Result<()> {
        let end = Instant::now() + REST;
        let (mut left, mut moved) = (usize::MAX, Instant::now());
        loop {
            self.look(store).await?;
            if self.under_way.len() < left {
                (left, moved) = (self.under_way.len(), Instant::now());
            }
            if left == 0 || !self.patient || moved.elapsed() >= QUIET || Instant::now() >= end {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Learns what has become of those under way.
    pub async fn look(&mut self, store: &Store) -> anyhow::Result<()> {
        if self.under_way.is_empty() {
            self.moved = Instant::now();
            return Ok(());
        }
        let letters: Vec<i64> = self.under_way.iter().copied().collect();
        let came: HashMap<i64, Came> = store.came(self.action, &letters).await?.into_iter().collect();
        self.learn(&came);
        Ok(())
    }

    fn learn(&mut self, came: &HashMap<i64, Came>) {
        let before = self.under_way.len();
        let (mut stored, mut died) = (0, 0);
        self.under_way.retain(|letter| match came.get(letter) {
            Some(Came::UnderWay) => true,
            Some(Came::Stored) => {
                stored += 1;
                false
            }
            Some(Came::DiedAgain) => {
                died += 1;
                false
            }
            Some(Came::GivenBack) | None => false,
        });
        self.stored += stored;
        self.died += died;
        if self.under_way.len() < before {
            self.moved = Instant::now();
            self.patient = true;
        }
    }

    fn ran(&self) -> u64 {
        self.stored + self.died
    }

    fn most_die(&self) -> bool {
        self.ran() >= PROBE as u64 && self.died * 2 > self.ran()
    }

    fn room(&self) -> usize {
        if !self.patient {
            return WINDOW;
        }
        let ran = usize::try_from(self.ran()).unwrap_or(usize::MAX);
        if ran < PROBE {
            PROBE.saturating_sub(ran + self.under_way.len())
        } else {
            WINDOW.saturating_sub(self.under_way.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(stored: i64, died: i64) -> Watch {
        let mut watch = Watch::new(1);
        watch.follow(0..stored + died);
        let came = |letter| if letter < stored { Came::Stored } else { Came::DiedAgain };
        watch.learn(&(0..stored + died).map(|letter| (letter, came(letter))).collect());
        watch
    }

    #[test]
    fn more_than_half_of_at_least_ten_must_have_died() {
        for (stored, died, stop) in
            [(0, 9, false), (0, 10, true), (5, 5, false), (4, 6, true), (250, 250, false)]
        {
            assert_eq!(after(stored, died).most_die(), stop, "{stored} stored, {died} died");
        }
    }

    #[test]
    fn ten_go_first_and_a_bounded_number_is_under_way_after_that() {
        let mut watch = Watch::new(1);
        assert_eq!(watch.room(), PROBE);
        watch.follow(0..10);
        assert_eq!(watch.room(), 0);
        watch.learn(&[(0, Came::Stored), (1, Came::UnderWay)].into());
        // What is not in the book any more, or was given back, is not waited for.
        assert_eq!((watch.room(), watch.stored, watch.under_way.len()), (8, 1, 1));
        let mut watch = after(10, 0);
        watch.follow(0..400);
        assert_eq!(watch.room(), WINDOW - 400);
        watch.follow(0..10_000);
        assert_eq!((watch.room(), watch.under_way.len()), (0, WINDOW));
    }
}
