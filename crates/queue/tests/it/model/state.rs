//! What a case knows: where every job is. The model keeps it by itself, and `raw` reads it from Redis.

use std::collections::{BTreeMap, BTreeSet};

use mailfleet_model::{Counters, Lane};

/// One entry of one lane; the order is the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub lane: Lane,
    pub id: (u64, u64),
}

impl Entry {
    pub fn parse(lane: Lane, id: &str) -> Option<Self> {
        let (ms, seq) = id.split_once('-')?;
        Some(Self { lane, id: (ms.parse().ok()?, seq.parse().ok()?) })
    }

    pub fn id(self) -> String {
        format!("{}-{}", self.id.0, self.id.1)
    }
}

/// Where a live job is: in exactly one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In its lane, and no consumer has read it yet.
    New,
    /// To be taken again, before what is new; by itself where its delivery count is 2 or more.
    Ready,
    /// Waits for its due time, which may have come.
    Delayed,
    /// Pending under this consumer's name.
    Held(String),
}

/// A job in a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    pub entry: Entry,
    pub place: Place,
    /// The delivery count: 0 while it is new, 1 once it was read, 2 once it was reclaimed, 3 once it was again, and 2 more
    /// each further time; from 3 on even while it runs by itself.
    pub count: u32,
    pub counters: Counters,
    /// Failed attempts that are told of.
    pub history: usize,
    /// It is a replay, which has one attempt.
    pub once: bool,
}

impl Live {
    /// It is not being run any more, or not yet.
    pub fn rests(&mut self) {
        self.count -= u32::from(self.is_begun());
    }

    /// It runs by itself.
    pub fn is_begun(&self) -> bool {
        self.count > 3 && self.count.is_multiple_of(2)
    }

    pub fn is_held_by(&self, name: &str) -> bool {
        matches!(&self.place, Place::Held(owner) if owner == name)
    }
}

/// All there is in the queue, by job number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    pub live: BTreeMap<u32, Live>,
    /// Dead jobs with lane and reason.
    pub dead: BTreeMap<u32, (Lane, String)>,
    /// The lines of the delayed set, and whether their time has come. A line whose entry is no longer delayed stays
    /// until then where the group was lost; it does nothing.
    pub due: BTreeMap<Entry, bool>,
}

impl State {
    /// Who holds this entry.
    pub fn owner(&self, entry: Entry) -> Option<&str> {
        self.live.values().find_map(|live| match &live.place {
            Place::Held(owner) if live.entry == entry => Some(owner.as_str()),
            _ => None,
        })
    }

    /// The job of an entry, if that is still in its lane.
    pub fn at_mut(&mut self, entry: Entry) -> Option<&mut Live> {
        self.live.values_mut().find(|live| live.entry == entry)
    }

    /// All who hold something.
    pub fn owners(&self) -> BTreeSet<&str> {
        let owner = |live: &'_ Live| match &live.place {
            Place::Held(_) => self.owner(live.entry),
            _ => None,
        };
        self.live.values().filter_map(owner).collect()
    }

    /// The entries of one lane in this place, in order.
    pub fn entries(&self, lane: Lane, wanted: impl Fn(&Live) -> bool) -> Vec<Entry> {
        let of_lane = self.live.values().filter(|live| live.entry.lane == lane && wanted(live));
        let mut entries: Vec<Entry> = of_lane.map(|live| live.entry).collect();
        entries.sort_unstable();
        entries
    }
}
