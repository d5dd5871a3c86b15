//! The steps that a case is made of, and how they are drawn.
//!
//! A step names what it acts on by numbers which are taken modulo what there is, so that every sequence of steps makes
//! sense and a failing one can be cut down anywhere. Where a consumer must have something in hand, it is the next one
//! that has.

use mailfleet_model::Lane;
use proptest::prelude::*;

use super::jobs::UIDS;

/// Consumers at work at the same time.
pub const SLOTS: usize = 3;

/// One way to settle deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Done,
    /// Comes back at once where `now`, else after an hour.
    Retry {
        now: bool,
    },
    /// It ended a child, and comes back in the same way.
    Crashed {
        now: bool,
    },
    Delay {
        now: bool,
    },
    HandBack,
    DeadLetter,
}

#[derive(Debug, Clone)]
pub enum Step {
    /// A producer enqueues these jobs in one call; some may be in the queue already, or dead.
    Enqueue(Vec<(u32, Lane)>),
    /// An operator replays one of the dead letters.
    Replay(usize),
    /// An operator discards dead letters, where these jobs are some.
    ForgetDead(Vec<u32>),
    /// The index of dead letters is made again from rows of these jobs.
    RebuildDead(Vec<u32>),
    Claim {
        by: usize,
        max: usize,
    },
    /// A consumer settles up to `count` of its deliveries, from the `pick`th on, whether they are still its own or not.
    Settle {
        by: usize,
        pick: usize,
        count: usize,
        way: Way,
    },
    /// A consumer begins to run one of its deliveries by itself, whether it is still its own or not.
    Begin {
        by: usize,
        pick: usize,
    },
    /// A handler dies and drops one of its consumer's deliveries.
    Drop {
        by: usize,
        pick: usize,
    },
    /// An operator pauses one lane, or all of them.
    Pause(Option<Lane>),
    /// An operator resumes one lane, or everything.
    Resume(Option<Lane>),
    /// An operator closes the queue to new jobs.
    Close,
    /// A consumer renews its leases and learns which it has lost.
    KeepAlive {
        by: usize,
    },
    /// A consumer's process is gone, and another one stands in its place.
    Crash {
        by: usize,
    },
    /// A consumer stops in good order, and another one stands in its place.
    Leave {
        by: usize,
    },
    /// A consumer's claim takes one entry and dies on its way back.
    LostAnswer {
        by: usize,
        lane: Lane,
    },
    /// A consumer takes in what such answers told.
    Adopt {
        by: usize,
    },
    /// The leases of one owner run out, be it alive or dead.
    LeasePasses {
        of: usize,
    },
    /// One consumer looks for expired leases, and for names to `forget`.
    Reclaim {
        by: usize,
        forget: bool,
    },
    /// The due time of one delayed entry passes.
    DuePasses {
        of: usize,
    },
    FlushAll,
    ScriptFlush,
    DestroyGroup(Lane),
}

fn lane() -> impl Strategy<Value = Lane> {
    prop::sample::select(Lane::ALL.to_vec())
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![
        3 => Just(Way::Done),
        3 => any::<bool>().prop_map(|now| Way::Retry { now }),
        3 => any::<bool>().prop_map(|now| Way::Crashed { now }),
        1 => any::<bool>().prop_map(|now| Way::Delay { now }),
        2 => Just(Way::HandBack),
        2 => Just(Way::DeadLetter),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let (slot, any_one) = (0..SLOTS, 0usize..16);
    let jobs = || prop::collection::vec(UIDS, 1..4);
    prop_oneof![
        16 => prop::collection::vec((UIDS, lane()), 1..6).prop_map(Step::Enqueue),
        2 => any_one.clone().prop_map(Step::Replay),
        1 => jobs().prop_map(Step::ForgetDead),
        1 => jobs().prop_map(Step::RebuildDead),
        16 => (slot.clone(), 1usize..6).prop_map(|(by, max)| Step::Claim { by, max }),
        18 => (slot.clone(), any_one.clone(), 1usize..4, way())
            .prop_map(|(by, pick, count, way)| Step::Settle { by, pick, count, way }),
        4 => (slot.clone(), any_one.clone()).prop_map(|(by, pick)| Step::Begin { by, pick }),
        3 => (slot.clone(), any_one.clone()).prop_map(|(by, pick)| Step::Drop { by, pick }),
        4 => slot.clone().prop_map(|by| Step::KeepAlive { by }),
        4 => slot.clone().prop_map(|by| Step::Crash { by }),
        1 => slot.clone().prop_map(|by| Step::Leave { by }),
        8 => (slot.clone(), lane()).prop_map(|(by, lane)| Step::LostAnswer { by, lane }),
        5 => slot.clone().prop_map(|by| Step::Adopt { by }),
        16 => any_one.clone().prop_map(|of| Step::LeasePasses { of }),
        16 => (slot, any::<bool>()).prop_map(|(by, forget)| Step::Reclaim { by, forget }),
        5 => any_one.prop_map(|of| Step::DuePasses { of }),
        1 => prop::option::of(lane()).prop_map(Step::Pause),
        6 => prop::option::weighted(0.3, lane()).prop_map(Step::Resume),
        1 => Just(Step::Close),
        1 => Just(Step::FlushAll),
        1 => Just(Step::ScriptFlush),
        1 => lane().prop_map(Step::DestroyGroup),
    ]
}

/// Up to `most` steps and half of that at least, and the seed of the chance by which consumers begin with one lane or another.
pub fn case(most: usize) -> impl Strategy<Value = (u64, Vec<Step>)> {
    (any::<u64>(), prop::collection::vec(step(), most / 2..=most))
}
