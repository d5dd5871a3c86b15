//! How much of everything there is. One definition for metrics, command line and autoscaling.

use std::time::Duration;

use mailfleet_model::Lane;
use redis::Value;

use crate::error::{Error, Result};
use crate::queue::{Queue, script};
use crate::reply;
use crate::scripts::SCRIPTS;

const DOING: &str = "read the depth of the queue";

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
    /// Age of the oldest entry that could be taken now, in milliseconds; 0 where there is none.
    pub oldest_age_ms: Option<u64>,
    /// Whether consumers leave it alone (see [`Queue::pause`]); with several partitions, in any of them.
    pub paused: Option<bool>,
}

/// The depth of the queue at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// The lanes, most urgent first.
    pub lanes: [LaneDepth; Lane::ALL.len()],
    /// Lines of the index of dead letters; PostgreSQL has the truth.
    pub dead: Option<u64>,
    /// Those of the lanes' delayed entries whose time has come.
    pub due: Option<u64>,
    /// Whether enqueues are refused (see [`Queue::close`]); with several partitions, in any of them.
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

    /// Age of the oldest entry that could be taken now.
    #[must_use]
    pub fn oldest_age(&self) -> Option<Duration> {
        self.oldest_age_ms.map(Duration::from_millis)
    }

    fn merge(self, other: Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| Some(a? + b?);
        Self {
            waiting: sum(self.waiting, other.waiting),
            in_flight: sum(self.in_flight, other.in_flight),
            delayed: sum(self.delayed, other.delayed),
            released: sum(self.released, other.released),
            oldest_age_ms: self.oldest_age_ms.zip(other.oldest_age_ms).map(|(a, b)| a.max(b)),
            paused: either(self.paused, other.paused),
        }
    }
}

impl Queue {
    /// Reads the depth. One consistent look at each partition.
    pub async fn depth(&self) -> Result<Depth> {
        let mut depth: Option<Depth> = None;
        for keys in self.partitions() {
            let answer: Value = self.link().run(DOING, &script(&SCRIPTS.depth, keys)).await?;
            let part = read(answer)?;
            depth = Some(match depth {
                None => part,
                Some(sum) => Depth {
                    lanes: [0, 1, 2].map(|lane| sum.lanes[lane].merge(part.lanes[lane])),
                    dead: sum.dead.zip(part.dead).map(|(a, b)| a + b),
                    due: sum.due.zip(part.due).map(|(a, b)| a + b),
                    closed: either(sum.closed, part.closed),
                },
            });
        }
        Ok(depth.unwrap_or_default())
    }
}

fn read(answer: Value) -> Result<Depth> {
    let odd = || Error::Answer { doing: DOING, found: "the wrong number of parts".to_owned() };
    let [dead, due, closed, lanes @ ..]: [Value; 6] =
        reply::array(DOING, answer)?.try_into().map_err(|_| odd())?;
    let mut depth =
        Depth { dead: known(&dead)?, due: known(&due)?, closed: flag(&closed)?, ..Depth::default() };
    for (lane, answer) in depth.lanes.iter_mut().zip(lanes) {
        let parts: [Value; 6] = reply::array(DOING, answer)?.try_into().map_err(|_| odd())?;
        let [waiting, in_flight, delayed, released, oldest_age_ms, paused] = &parts;
        *lane = LaneDepth {
            waiting: known(waiting)?,
            in_flight: known(in_flight)?,
            delayed: known(delayed)?,
            released: known(released)?,
            oldest_age_ms: known(oldest_age_ms)?,
            paused: flag(paused)?,
        };
    }
    Ok(depth)
}

/// The script writes -1 for unknown.
fn known(value: &Value) -> Result<Option<u64>> {
    Ok(u64::try_from(reply::number(DOING, value)?).ok())
}

fn flag(value: &Value) -> Result<Option<bool>> {
    Ok(known(value)?.map(|flag| flag == 1))
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
            oldest_age_ms: Some(5),
            paused: Some(false),
        };
        let unknown = LaneDepth { waiting: None, oldest_age_ms: None, ..known };
        assert_eq!(known.total(), Some(10));
        let sum = known.merge(unknown);
        assert_eq!((sum.waiting, sum.in_flight, sum.oldest_age_ms, sum.total()), (None, Some(4), None, None));
    }

    #[test]
    fn the_backlog_is_what_could_be_worked_on_now_and_unknown_as_soon_as_a_part_is() {
        let lane = LaneDepth {
            waiting: Some(1),
            in_flight: Some(20),
            delayed: Some(300),
            released: Some(4_000),
            oldest_age_ms: Some(5),
            paused: Some(false),
        };
        let depth = Depth { lanes: [lane; 3], dead: Some(7), due: Some(50_000), closed: Some(false) };
        assert_eq!(depth.backlog(), Some(3 * 4_021 + 50_000));
        assert_eq!(Depth { due: None, ..depth }.backlog(), None);
        let mut unknown = depth;
        unknown.lanes[1].released = None;
        assert_eq!(unknown.backlog(), None);
        unknown.lanes[1] = LaneDepth { delayed: None, oldest_age_ms: None, ..lane };
        assert_eq!(unknown.backlog(), depth.backlog());
        let mut paused = depth;
        paused.lanes[2].paused = Some(true);
        assert_eq!(paused.backlog(), Some(2 * 4_021 + 20 + 50_000), "only what is in hand of a paused lane");
    }

    #[test]
    fn the_series_names_every_lane_and_state_also_where_nothing_is_known() {
        let nothing: Vec<_> = Depth::default().series().collect();
        assert_eq!(nothing.len(), Lane::ALL.len() * 4);
        assert!(nothing.iter().all(|(.., entries)| entries.is_none()));
        let mut depth = Depth::default();
        depth.lanes[2].released = Some(7);
        let known: Vec<_> = depth.series().filter(|(.., entries)| entries.is_some()).collect();
        assert_eq!(known, [(Lane::Low, "released", Some(7))]);
    }
}
