//! What will be done, in which order: a function of the seed alone, whatever the fleet does meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use super::kind::{Kind, Target};

/// A fault and how it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// Picks one of several processes, whatever their number.
    pub pick: usize,
    /// How long it lasts, where it lasts: longer than the lease in any case.
    pub hold: Duration,
    /// How late a chunk is on a slow way.
    pub delay: Duration,
}

/// One or two faults, and the work in the middle of which they come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The first begins, the second begins in the middle of it, the first ends, the second ends.
    pub faults: Vec<Fault>,
    /// Mails that come at once before it.
    pub burst: u32,
    /// From the burst to the fault.
    pub lead: Duration,
}

/// Gives one step after the other: first every kind by itself, in random order, then any, one time in three two at once.
#[derive(Debug)]
pub struct Plan {
    dice: fastrand::Rng,
    /// Kinds that have not come yet, the last one next.
    left: Vec<Kind>,
}

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut left = Kind::ALL.to_vec();
        dice.shuffle(&mut left);
        Self { dice, left }
    }

    /// Whether every kind has come.
    pub fn all_came(&self) -> bool {
        self.left.is_empty()
    }

    /// The next one.
    pub fn step(&mut self) -> Step {
        let kinds = match self.left.pop() {
            Some(kind) => vec![kind],
            None => self.any(),
        };
        let faults = kinds.into_iter().map(|kind| self.fault(kind)).collect();
        let (burst, lead) = (self.dice.u32(40..160), Duration::from_millis(self.dice.u64(20..250)));
        Step { faults, burst, lead }
    }

    fn any(&mut self) -> Vec<Kind> {
        let first = self.kind();
        if first.target() == Target::Fleet || self.dice.u8(..3) > 0 {
            return vec![first];
        }
        // There are others for each: the bound is only there so that there is one.
        let second = (0..100).map(|_| self.kind());
        let second: Vec<Kind> = second.collect();
        let beside = |kind: &&Kind| kind.target() != Target::Fleet && kind.target() != first.target();
        [Some(first), second.iter().find(beside).copied()].into_iter().flatten().collect()
    }

    fn kind(&mut self) -> Kind {
        Kind::ALL[self.dice.usize(..Kind::ALL.len())]
    }

    fn fault(&mut self, kind: Kind) -> Fault {
        let hold = if kind.lasts() { self.dice.u64(1_600..2_100) } else { 0 };
        Fault {
            kind,
            pick: self.dice.usize(..1_000),
            hold: Duration::from_millis(hold),
            delay: Duration::from_millis(self.dice.u64(20..200)),
        }
    }
}

#[test]
fn every_kind_comes_before_any_comes_again_and_a_seed_gives_the_same_plan() {
    for seed in 0..50 {
        let (mut plan, mut again) = (Plan::new(seed), Plan::new(seed));
        let mut came = BTreeSet::new();
        let mut steps: Vec<Step> = Vec::new();
        while !plan.all_came() {
            steps.push(plan.step());
        }
        for step in &steps {
            assert_eq!(step.faults.len(), 1);
            came.extend(step.faults.iter().map(|fault| fault.kind));
        }
        assert_eq!((came.len(), steps.len()), (Kind::ALL.len(), Kind::ALL.len()));
        steps.extend((0..200).map(|_| plan.step()));
        let pairs: Vec<&Step> = steps.iter().filter(|step| step.faults.len() == 2).collect();
        assert!(!pairs.is_empty());
        assert!(pairs.iter().all(|step| step.faults[0].kind.target() != step.faults[1].kind.target()));
        assert!(steps.iter().all(|step| *step == again.step()));
    }
    assert_ne!(Plan::new(1).step(), Plan::new(2).step());
}
