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

/// Cases of an ordinary run and of a long one with the most steps of each; how often and how long a failing one is tried
/// shorter.
const CASES: (u32, usize) = (30, 80);
const CASES_SLOW: (u32, usize) = (600, 150);
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
    let (cases, seed) = (config.cases, config.rng_seed);
    let outcome = TestRunner::new(config).run(&step::case(steps), |(chance, steps)| {
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
    println!("{cases} cases of PROPTEST_RNG_SEED={seed}: {:#?}", world.borrow().met);
    let met = world.into_inner().met;
    assert!(cases < CASES.0 || met_all(&met), "the cases have not come to what they are about: {met:#?}");
}

async fn start() -> (Fixture, World) {
    let fixture = Fixture::start_with(&[], |config| {
        config.lease_ms = LEASE_MS;
        config.max_crashes = 2;
        config.partitions = 1;
        config.inline_bytes = jobs::INLINE_BYTES;
        [config.high_max_entries, config.normal_max_entries, config.low_max_entries] =
            produce::MARKS.map(|(high, _)| high as u64);
        config.account_max_entries = 2;
    });
    let raw = Raw::new(fixture.redis.connection().await);
    let world = World::new(fixture.queue.clone(), raw);
    (fixture, world)
}

/// What any number of cases comes to many times over. The marks of the lanes are met too, but not in every run: they have a
/// property of their own (`pressure.rs`).
fn met_all(met: &BTreeMap<&'static str, u32>) -> bool {
    let wanted = [
        "a delivery was settled",
        "a delivery ran alone",
        "a delayed entry came due",
        "a job was live already",
        "a stale owner was refused",
    ];
    wanted.iter().all(|what| met.contains_key(what))
}

fn listed(steps: &[Step]) -> String {
    let line = |(n, step): (usize, &Step)| format!("{:>3}. {step:?}", n + 1);
    steps.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
}
