//! The bound on waiting, over real claims: of whatever weights, partitions and sizes.

use mailfleet_model::{Lane, LaneWeights};
use mailfleet_queue::{Config, ConsumerName, NewJob, Queue};
use mailfleet_testkit::RedisServer;
use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, TestError, TestRunner};

use crate::fixture::{at, config, envelope};

/// So much is asked for in one case, and so many entries stand in each lane of each partition.
const ASKED: usize = 240;
const CASES: u32 = 12;

/// One case: weights by lane, partitions, and the sizes of the claims, again and again.
type Case = ([u32; 3], u16, Vec<usize>);

fn case() -> impl Strategy<Value = Case> {
    let weight = || 1u32..7;
    ([weight(), weight(), weight()], 1u16..4, prop::collection::vec(1usize..16, 1..5))
}

/// Claims while everything is full. Each entry must be taken before the consumer has asked for more than its bound.
async fn waits_no_longer(redis: &RedisServer, number: usize, case: &Case) -> Result<(), String> {
    let (weights, partitions, sizes) = case;
    let [high, normal, low] = *weights;
    let config = Config {
        queue: format!("waiting-{number}"),
        partitions: *partitions,
        weights: LaneWeights { high, normal, low },
        ..config(redis.url())
    };
    let queue = Queue::connect(&config).unwrap();
    // The partition of an account is its number.
    let accounts = 0..u128::from(*partitions);
    let uids = 1..=u32::try_from(ASKED).unwrap();
    let jobs = accounts.flat_map(|account| {
        uids.clone().flat_map(move |uid| {
            Lane::ALL.map(|lane| {
                let uid = uid * 3 + u32::try_from(lane.index()).unwrap();
                NewJob { envelope: envelope(at(account, uid), 4), lane, raw: "mail".into() }
            })
        })
    });
    queue.enqueue(jobs.collect()).await.unwrap();

    let consumer = queue.consumer(ConsumerName::for_this_process());
    let round = weights.iter().sum::<u32>() as usize;
    let largest = sizes.iter().copied().max().unwrap();
    let bound = |before: usize, weight: usize| match usize::from(*partitions) {
        1 => (before / weight + 1) * round + largest,
        partitions => ((before / weight + 1) * partitions + 1) * (round + largest),
    };
    let mut taken = vec![[0usize; 3]; usize::from(*partitions)];
    let mut asked = 0;
    for &size in sizes.iter().cycle() {
        if asked + size > ASKED {
            break;
        }
        asked += size;
        let deliveries = consumer.claim(size).await.unwrap();
        if deliveries.len() != size {
            return Err(format!("{} of {size}, with everything full", deliveries.len()));
        }
        for delivery in &deliveries {
            let account = delivery.envelope().work.mail().unwrap().account.0.as_u128();
            taken[usize::try_from(account).unwrap()][delivery.lane().index()] += 1;
        }
        consumer.done(deliveries).await.unwrap();
        for (partition, taken) in taken.iter().enumerate() {
            for (lane, weight) in Lane::ALL.into_iter().zip(weights) {
                let before = taken[lane.index()];
                let bound = bound(before, *weight as usize);
                if asked >= bound {
                    return Err(format!(
                        "entry {before} of {lane} in partition {partition} still waits after {asked}, its bound is {bound}"
                    ));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn no_entry_waits_longer_than_its_bound_whatever_the_weights_the_partitions_and_the_sizes_of_the_claims() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let redis = RedisServer::start().unwrap();
    let number = std::cell::Cell::new(0);
    let runs = Runs { cases: CASES, max_shrink_iters: 30, failure_persistence: None, ..Runs::default() };
    let outcome = TestRunner::new(runs).run(&case(), |case| {
        number.set(number.get() + 1);
        runtime.block_on(waits_no_longer(&redis, number.get(), &case)).map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, case)) => panic!("{why}: weights, partitions and sizes {case:?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}
