//! How much of everything there is. One definition for metrics, command line and autoscaling.

use std::time::Duration;

use mailfleet_model::Lane;

/// Numbers of one lane, over all partitions. `None` is "unknown", never to be shown as 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LaneDepth {
    /// Entries that nobody has taken yet. Does not include `released`.
    pub waiting: Option<u64>,
    /// Entries in consumers' hands.
    pub in_flight: Option<u64>,
    /// Entries that wait for a retry's due time, or have reached it and were not taken yet.
    pub delayed: Option<u64>,
    /// Entries that were handed back, fell due or were recovered, and go next.
    pub released: Option<u64>,
    /// How old the oldest entry of each state is.
    pub oldest: Oldest,
    /// What the entries store, in bytes: job ids, envelopes and raw mail as it is packed, inside the entries or beside
    /// them. What Redis needs besides to keep it is not in it.
    pub bytes: Option<u64>,
    /// Whether consumers leave it alone (see [`Queue::pause`](crate::Queue::pause)); with several partitions, in any of them.
    pub paused: Option<bool>,
    /// Why it refuses what is new; with several partitions, in any of them.
    pub refuses: Option<Refuses>,
    /// Lines of the index of dead letters whose jobs had this lane; not known with more than 1,000 lines in a partition,
    /// where [`Depth::dead`] still is. They are none of the lane's entries.
    pub dead: Option<u64>,
}

/// Ages of the oldest entries by state, in milliseconds since they came into the lane; 0 where there is none, `None` where
/// it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Oldest {
    /// Of those that nobody has taken yet.
    pub waiting: Option<u64>,
    /// Of those in consumers' hands; not known with more than 500 consumers.
    pub in_flight: Option<u64>,
    /// Of those that wait for a due time.
    pub delayed: Option<u64>,
    /// Of those that go next.
    pub released: Option<u64>,
}

/// Why a lane refuses what is new, if it does: it reached a mark, and is not below the mark at which it opens again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Refuses {
    /// It has too many entries.
    pub by_entries: bool,
    /// Redis has too little memory left for this lane.
    pub by_memory: bool,
}

impl Refuses {
    /// Whether it refuses.
    #[must_use]
    pub const fn any(self) -> bool {
        self.by_entries || self.by_memory
    }
}

/// The depth of the queue at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// The lanes, most urgent first.
    pub lanes: [LaneDepth; Lane::ALL.len()],
    /// Lines of the index of dead letters; PostgreSQL has the truth.
    pub dead: Option<u64>,
    /// How long ago the oldest of them died, in milliseconds; 0 where there is none.
    pub oldest_dead_ms: Option<u64>,
    /// Those of the lanes' delayed entries whose time has come.
    pub due: Option<u64>,
    /// Whether enqueues are refused (see [`Queue::close`](crate::Queue::close)); with several partitions, in any of them.
    pub closed: Option<bool>,
}

impl Depth {
    /// The numbers of one lane.
    #[must_use]
    pub const fn lane(&self, lane: Lane) -> &LaneDepth {
        match lane {
            Lane::High => &self.lanes[0],
            Lane::Normal => &self.lanes[1],
            Lane::Low => &self.lanes[2],
        }
    }

    /// The work there is at this moment: what nobody has taken, what was handed back, what is in hand, and the retries
    /// that are due. One number for autoscalers; a retry that is not due is nothing that a further consumer could do, nor
    /// is what waits in a paused lane.
    #[must_use]
    pub fn backlog(&self) -> Option<u64> {
        let now = |lane: &LaneDepth| {
            let ripe = if lane.paused? { 0 } else { lane.waiting? + lane.released? };
            Some(ripe + lane.in_flight?)
        };
        self.lanes.iter().try_fold(self.due?, |sum, lane| Some(sum + now(lane)?))
    }

    /// Every number of entries with its lane and the word for its state: what metrics show. The words and their number
    /// are fixed, also where nothing is known.
    pub fn series(&self) -> impl Iterator<Item = (Lane, &'static str, Option<u64>)> {
        Lane::ALL.into_iter().flat_map(|lane| self.lane(lane).states().map(|(state, n)| (lane, state, n)))
    }

    /// The same for the age of the oldest entry of each state.
    pub fn ages(&self) -> impl Iterator<Item = (Lane, &'static str, Option<Duration>)> {
        let age = |lane| {
            move |(state, ms): (&'static str, Option<u64>)| (lane, state, ms.map(Duration::from_millis))
        };
        Lane::ALL.into_iter().flat_map(move |lane| self.lane(lane).oldest.states().map(age(lane)))
    }

    /// Time since the oldest line of the index of dead letters died.
    #[must_use]
    pub fn oldest_dead(&self) -> Option<Duration> {
        self.oldest_dead_ms.map(Duration::from_millis)
    }

    pub(crate) fn merge(&self, other: &Self) -> Self {
        Self {
            lanes: [0, 1, 2].map(|lane| self.lanes[lane].merge(other.lanes[lane])),
            dead: sum(self.dead, other.dead),
            oldest_dead_ms: most(self.oldest_dead_ms, other.oldest_dead_ms),
            due: sum(self.due, other.due),
            closed: either(self.closed, other.closed),
        }
    }
}

impl Oldest {
    /// The ages by state, in milliseconds.
    #[must_use]
    pub const fn states(&self) -> [(&'static str, Option<u64>); 4] {
        [
            ("waiting", self.waiting),
            ("in_flight", self.in_flight),
            ("delayed", self.delayed),
            ("released", self.released),
        ]
    }
}

impl LaneDepth {
    /// The numbers by state.
    #[must_use]
    pub const fn states(&self) -> [(&'static str, Option<u64>); 4] {
        [
            ("waiting", self.waiting),
            ("in_flight", self.in_flight),
            ("delayed", self.delayed),
            ("released", self.released),
        ]
    }

    /// All entries of the lane, whatever their state.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.states().into_iter().try_fold(0, |sum, (_, entries)| Some(sum + entries?))
    }

    /// Age of the oldest entry that could be taken now, in milliseconds; 0 where there is none.
    #[must_use]
    pub fn oldest_age_ms(&self) -> Option<u64> {
        most(self.oldest.waiting, self.oldest.released)
    }

    /// Whether it refuses what is new because of its entries, and because of the memory of Redis.
    #[must_use]
    pub fn refusing(&self) -> Option<(bool, bool)> {
        self.refuses.map(|why| (why.by_entries, why.by_memory))
    }

    /// Whether the bytes are not known although there are entries: the number was lost and is to be counted anew, see
    /// [`Queue::mend_counts`](crate::Queue::mend_counts).
    #[must_use]
    pub fn lacks_bytes(&self) -> bool {
        self.bytes.is_none() && self.total().is_some()
    }

    fn merge(self, other: Self) -> Self {
        let (a, b) = (self.oldest, other.oldest);
        Self {
            waiting: sum(self.waiting, other.waiting),
            in_flight: sum(self.in_flight, other.in_flight),
            delayed: sum(self.delayed, other.delayed),
            released: sum(self.released, other.released),
            oldest: Oldest {
                waiting: most(a.waiting, b.waiting),
                in_flight: most(a.in_flight, b.in_flight),
                delayed: most(a.delayed, b.delayed),
                released: most(a.released, b.released),
            },
            bytes: sum(self.bytes, other.bytes),
            paused: either(self.paused, other.paused),
            refuses: self.refuses.zip(other.refuses).map(|(a, b)| Refuses {
                by_entries: a.by_entries || b.by_entries,
                by_memory: a.by_memory || b.by_memory,
            }),
            dead: sum(self.dead, other.dead),
        }
    }
}

/// The sum over two partitions; unknown where one of them is.
const fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        _ => None,
    }
}

/// The larger of two; unknown where one of them is.
fn most(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.zip(b).map(|(a, b)| a.max(b))
}

/// Whether it is so in one of two partitions; unknown where one of them is.
const fn either(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a || b),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_with_something_unknown_is_unknown() {
        let known = LaneDepth {
            waiting: Some(1),
            in_flight: Some(2),
            delayed: Some(3),
            released: Some(4),
            oldest: Oldest { waiting: Some(5), in_flight: Some(9), delayed: Some(9), released: Some(6) },
            bytes: Some(7),
            paused: Some(false),
            refuses: Some(Refuses::default()),
            dead: Some(2),
        };
        let refuses = Refuses { by_entries: false, by_memory: true };
        let oldest = Oldest { waiting: None, ..known.oldest };
        let unknown = LaneDepth { waiting: None, oldest, bytes: None, refuses: Some(refuses), ..known };
        assert_eq!(known.total(), Some(10));
        let sum = known.merge(unknown);
        assert_eq!((sum.waiting, sum.in_flight, sum.total(), sum.bytes), (None, Some(4), None, None));
        assert_eq!((sum.oldest_age_ms(), sum.oldest.in_flight, sum.refuses), (None, Some(9), Some(refuses)));
        assert_eq!((known.oldest_age_ms(), known.merge(known).bytes), (Some(6), Some(14)));
        assert_eq!(known.merge(known).dead, Some(4), "and none of the entries");
    }

    #[test]
    fn the_backlog_is_what_could_be_worked_on_now_and_unknown_as_soon_as_a_part_is() {
        let lane = LaneDepth {
            waiting: Some(1),
            in_flight: Some(20),
            delayed: Some(300),
            released: Some(4_000),
            oldest: Oldest { waiting: Some(5), in_flight: Some(9), delayed: Some(9), released: Some(6) },
            bytes: Some(7),
            paused: Some(false),
            refuses: Some(Refuses::default()),
            dead: Some(2),
        };
        let depth = Depth {
            lanes: [lane; 3],
            dead: Some(7),
            oldest_dead_ms: Some(8),
            due: Some(50_000),
            closed: Some(false),
        };
        assert_eq!(depth.backlog(), Some(3 * 4_021 + 50_000));
        assert_eq!(Depth { due: None, ..depth }.backlog(), None);
        let mut unknown = depth;
        unknown.lanes[1].released = None;
        assert_eq!(unknown.backlog(), None);
        unknown.lanes[1] = LaneDepth { delayed: None, oldest: Oldest::default(), bytes: None, ..lane };
        assert_eq!(unknown.backlog(), depth.backlog());
        let mut paused = depth;
        paused.lanes[2].paused = Some(true);
        assert_eq!(paused.backlog(), Some(2 * 4_021 + 20 + 50_000), "only what is in hand of a paused lane");
    }

    #[test]
    fn the_series_names_every_lane_and_state_also_where_nothing_is_known() {
        let nothing: Vec<_> = Depth::default().series().collect();
        assert_eq!(
            (nothing.len(), Depth::default().ages().count()),
            (Lane::ALL.len() * 4, Lane::ALL.len() * 4)
        );
        assert!(nothing.iter().all(|(.., entries)| entries.is_none()));
        let mut depth = Depth::default();
        depth.lanes[2].released = Some(7);
        let known: Vec<_> = depth.series().filter(|(.., entries)| entries.is_some()).collect();
        assert_eq!(known, [(Lane::Low, "released", Some(7))]);
    }
}
