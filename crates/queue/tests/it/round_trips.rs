//! A caller that dies between any two round trips loses nothing and doubles nothing.
//!
//! One life of producer, consumer and operator ([`life`]) runs through a proxy that cuts it off at its n-th request, once
//! before Redis has seen the request and once after Redis has done it, for every n until the life comes to its end. What
//! it had in hand is then another's: a fresh caller ([`heir`]) finishes by the ordinary means, and the books
//! ([`books`]) and the keys are compared.

mod books;
mod heir;
mod jobs;
mod life;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt as _;
use mailfleet_queue::{Config, Queue};
use mailfleet_testkit::{Cut, Proxy, RedisServer};

use crate::fixture::config;
use books::Books;

/// Cases at the same time: most of each is waiting for a lease.
const AT_ONCE: usize = 48;
/// No life has so many round trips.
const MOST: u64 = 1_000;
/// The shortest there is.
const LEASE_MS: u64 = 500;

/// One queue of its own, on one Redis.
struct Case {
    name: String,
    redis: u16,
}

impl Case {
    fn config(&self, port: u16) -> Config {
        Config {
            queue: self.name.clone(),
            partitions: 2,
            lease_ms: LEASE_MS,
            // So that a page of what is counted has few entries, and a count several round trips.
            inline_bytes: jobs::INLINE_BYTES,
            ..config(format!("redis://127.0.0.1:{port}"))
        }
    }

    fn queue(&self, port: u16) -> Queue {
        Queue::connect(&self.config(port)).unwrap()
    }
}

/// Lives, is cut off, and is finished by another; whether it was cut off at all.
async fn case(redis: u16, n: u64, cut: Cut) -> bool {
    let case = Case { name: format!("trip-{n}-{cut:?}"), redis };
    let proxy = Proxy::start(redis).unwrap();
    let queue = case.queue(proxy.port());
    queue.ping().await.unwrap();
    proxy.cut_at(n, cut);
    let mut books = Books::default();
    let ended = life::live(&case, &queue, &proxy, &mut books).await;
    let was_cut = !proxy.is_armed();
    assert!(was_cut || ended.is_ok(), "{}: {ended:?}", case.name);
    drop((queue, proxy));
    heir::finish(&case, &mut books).await;
    if let Err(why) = books.balance() {
        panic!("{}, which ended with {ended:?}: {why}", case.name);
    }
    was_cut
}

/// Runs the cases of one kind of cut until the life comes to its end; how many there were.
async fn all(redis: u16, cut: Cut) -> u64 {
    let completed = Arc::new(AtomicU64::new(0));
    let cases = futures::stream::iter(1..=MOST).map(|n| {
        let completed = Arc::clone(&completed);
        async move {
            // A few lives come to their end before it is believed: how often Redis is asked varies a little.
            if completed.load(Ordering::Relaxed) >= 5 {
                return 0;
            }
            let was_cut = tokio::spawn(case(redis, n, cut)).await.unwrap();
            completed.fetch_add(u64::from(!was_cut), Ordering::Relaxed);
            u64::from(was_cut)
        }
    });
    let cut = cases.buffer_unordered(AT_ONCE).fold(0, |sum, cut| async move { sum + cut }).await;
    assert!(completed.load(Ordering::Relaxed) >= 5, "the life never comes to its end");
    cut
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_cut_off_between_any_two_round_trips_loses_and_doubles_nothing() {
    let redis = RedisServer::start().unwrap();
    // The first of all also loads the scripts.
    for cut in [Cut::BeforeRequest, Cut::BeforeReply] {
        let cases = all(redis.port(), cut).await;
        println!("{cut:?}: {cases} round trips");
        assert!(cases > 40, "a life of {cases} round trips");
    }
}
