//! The model: random steps of producers, consumers, operators and disasters are done on a real Redis and on a small
//! model beside it. After each of them every accepted job is in exactly one place by the raw keys, and that is where the
//! model and the queue's own answers say it is, with the same counters.
//!
//! A failing case is cut down and printed with its steps and the seed it came from; `PROPTEST_RNG_SEED=<seed>` runs it
//! again. `PROPTEST_CASES` sets how many are run.

mod agree;
mod clock;
mod consume;
mod jobs;
mod look;
mod produce;
mod raw;
mod recover;
mod state;
mod step;
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use crate::fixture::Fixture;
use raw::Raw;
use step::Step;
use world::World;

/// Cases of an ordinary run and of a long one with the most steps of each, of which there are half at least; how often and
/// how long a failing one is tried shorter.
const CASES: (u32, usize) = (30, 80);
const CASES_SLOW: (u32, usize) = (600, 150);
/// So often in all an ordinary run goes on, until it has come to everything.
const RUNS: u64 = 5;
const SHRINKS: u32 = 400;
const SHRINK_MS: u32 = 60_000;

/// Short enough to be waited for once, long enough for a busy machine.
const LEASE_MS: u64 = 2_000;

#[test]
fn every_accepted_job_is_at_all_times_in_exactly_one_place() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_fixture, world) = runtime.block_on(start());
    let world = RefCell::new(world);

    let mut config = Config {
        failure_persistence: None,
        max_shrink_iters: SHRINKS,
        max_shrink_time: SHRINK_MS,
        ..Config::default()
    };
    let (cases, steps) = if std::env::var_os("MAILFLEET_SLOW").is_some() { CASES_SLOW } else { CASES };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(fastrand::u64(..));
    }
    let RngSeed::Fixed(first) = config.rng_seed else { unreachable!("set above") };
    for seed in (0..RUNS).map(|run| first.wrapping_add(run)) {
        let config = Config { rng_seed: RngSeed::Fixed(seed), ..config.clone() };
        let outcome = TestRunner::new(config.clone()).run(&step::case(steps), |(chance, steps)| {
            let case = runtime.block_on(world.borrow_mut().case(chance, &steps));
            case.map_err(TestCaseError::fail)
        });
        match outcome {
            Ok(()) => {}
            Err(TestError::Fail(why, (chance, steps))) => {
                panic!("{why}\nPROPTEST_RNG_SEED={seed}, chance {chance}, the steps:\n{}", listed(&steps))
            }
            Err(TestError::Abort(why)) => panic!("{why}"),
        }
        println!("{} cases of PROPTEST_RNG_SEED={seed}, in all: {:#?}", config.cases, world.borrow().met);
        if config.cases < CASES.0 || not_met(&world.borrow().met).is_empty() {
            return;
        }
    }
    panic!("the cases never came to this: {:?}", not_met(&world.borrow().met));
}

/// On a cluster the queue has partitions on each master, and all jobs are in one of them: an order is kept within a partition
/// only. All else has to do with the others as well.
async fn start() -> (Fixture, World) {
    let fixture = Fixture::start_with(&[], |config| {
        config.lease_ms = LEASE_MS;
        config.max_crashes = 2;
        config.inline_bytes = jobs::INLINE_BYTES;
        [config.high_max_entries, config.normal_max_entries, config.low_max_entries] =
            produce::MARKS.map(|(high, _)| high as u64);
        config.account_max_entries = 2;
    });
    let raw = Raw::new(&fixture).await;
    let world = World::new(fixture.queue.clone(), raw);
    (fixture, world)
}

/// What the cases are about, as `World::note` calls it.
const WANTED: [&str; 26] = [
    "a consumer learnt of a lost lease",
    "a crash was counted",
    "a dead job was queued again",
    "a delayed entry came due",
    "a delivery",
    "a delivery ran alone",
    "a delivery was dropped",
    "a delivery was out of crashes",
    "a delivery was settled",
    "a group was lost",
    "a job was live already",
    "a job was queued",
    "a lane opened again",
    "a lane refused below its mark",
    "a lane was full",
    "a lost delivery was dropped",
    "a lost entry came back to its consumer",
    "a pause was lifted",
    "a stale owner was refused",
    "all was lost",
    "an account was full",
    "an entry ran by itself",
    "an entry runs alone from now on",
    "an entry was adopted",
    "something was paused",
    "the queue was closed",
];

/// What of that has not come yet.
fn not_met(met: &BTreeMap<&'static str, u32>) -> Vec<&'static str> {
    WANTED.into_iter().filter(|what| !met.contains_key(what)).collect()
}

fn listed(steps: &[Step]) -> String {
    let line = |(n, step): (usize, &Step)| format!("{:>3}. {step:?}", n + 1);
    steps.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
}
