//! A caller that dies between any two round trips loses nothing and doubles nothing.
//!
//! One life of producer, consumer and operator ([`life`]) runs through a proxy that cuts it off at its n-th request, once
//! before Redis has seen the request and once after Redis has done it, for every n until the life comes to its end. What
//! it had in hand is then another's: a fresh caller ([`heir`]) finishes by the ordinary means, and the books
//! ([`books`]) and the keys are compared. On a cluster (see [`fixture`](crate::fixture)) the way to all of its nodes is cut
//! at once, and the requests by which the caller learns who has which slots are among those that it is cut off at.

mod books;
mod heir;
mod jobs;
mod life;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use mailfleet_model::LaneWeights;
use mailfleet_queue::{Config, Queue};
use mailfleet_testkit::{Cut, Proxy, RedisCluster, RedisServer};

use crate::fixture::{config, is_on_a_cluster};
use books::Books;

/// Cases at the same time, shared by the servers: most of each is waiting for a lease. On a cluster each case has several
/// times the connections, and more of them than this makes a busy machine miss the deadlines of its answers.
const AT_ONCE: usize = 48;
/// No life has so many round trips.
const MOST: u64 = 1_000;
/// The shortest there is.
const LEASE_MS: u64 = 500;

/// One queue of its own, on one Redis or on the nodes of a cluster.
struct Case {
    name: String,
    redis: Vec<u16>,
}

impl Case {
    /// A way to Redis, by these ports.
    fn config(&self, ports: &[u16]) -> Config {
        let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let scheme = if ports.len() > 1 { "redis+cluster" } else { "redis" };
        Config {
            queue: self.name.clone(),
            partitions: 2,
            lease_ms: LEASE_MS,
            // So that a page of what is counted has few entries, and a count several round trips.
            inline_bytes: jobs::INLINE_BYTES,
            ..config(format!("{scheme}://{}", hosts.join(",")))
        }
    }

    fn proxy(&self) -> Proxy {
        match self.redis[..] {
            [alone] => Proxy::start(alone),
            _ => Proxy::start_before_cluster(&self.redis),
        }
        .unwrap()
    }

    fn queue(&self, ports: &[u16]) -> Queue {
        Queue::connect(&self.config(ports)).unwrap()
    }

    /// Of a consumer that has memory for less than one of the larger mails, and takes urgent ones.
    fn frugal(&self, ports: &[u16]) -> Queue {
        let weights = LaneWeights { high: 10_000, normal: 1, low: 1 };
        Queue::connect(&Config { max_claim_bytes: 2_800, weights, ..self.config(ports) }).unwrap()
    }
}

/// What the queue was doing when a life ended: the words of its errors.
type Cuts = Mutex<BTreeSet<String>>;

/// Each of the queue's scripts and commands, by the words of its errors.
const DOINGS: [&str; 31] = [
    "adopt own entries",
    "begin an entry by itself",
    "claim",
    "close entries without raw mail",
    "close the queue",
    "count the entries of each account",
    "create the consumer groups",
    "dead-letter entries",
    "enqueue",
    "finish entries",
    "forget dead letters",
    "give back entries of another version",
    "hand entries back",
    "leave the group",
    "load raw mail",
    "look for a Message-ID in the queue",
    "look up a job",
    "look up live jobs",
    "pause",
    "put an entry off",
    "put entries back",
    "put entries off",
    "put entries without a job id away",
    "read new entries",
    "read the depth of the queue",
    "read the index of dead letters",
    "read the records of new entries",
    "read what is paused",
    "rebuild the index of dead letters",
    "reclaim",
    "resume",
];

/// Lives, is cut off, and is finished by another; whether it was cut off at all.
async fn case(redis: &[u16], round: u32, n: u64, cut: Cut, cuts: &Cuts) -> bool {
    let case = Case { name: format!("trip-{round}-{n}-{cut:?}"), redis: redis.to_vec() };
    let proxy = case.proxy();
    let queue = case.queue(&proxy.ports());
    let frugal = case.frugal(&proxy.ports());
    queue.ping().await.unwrap();
    frugal.ping().await.unwrap();
    proxy.cut_at(n, cut);
    let mut books = Books::default();
    let ended = life::live(&case, &queue, &frugal, &proxy, &mut books).await;
    if let Err(error) = &ended {
        let text = error.to_string();
        let doing = text.strip_prefix("cannot ").and_then(|text| text.split(':').next());
        cuts.lock().unwrap().insert(doing.unwrap_or(&text).to_owned());
    }
    let was_cut = !proxy.is_armed();
    assert!(was_cut || ended.is_ok(), "{}: {ended:?}", case.name);
    drop((queue, frugal, proxy));
    heir::finish(&case, &mut books, n.is_multiple_of(2)).await;
    if let Err(why) = books.balance() {
        panic!("{}, which ended with {ended:?}: {why}", case.name);
    }
    was_cut
}

/// What no life has been cut off at yet.
fn missed(cuts: &Cuts) -> Vec<&'static str> {
    let cuts = cuts.lock().unwrap();
    DOINGS.into_iter().filter(|doing| !cuts.contains(*doing)).collect()
}

/// Runs the cases of one kind of cut until the life comes to its end; how many there were. A round after the first goes
/// on only until nothing is missed any more.
async fn all(redis: &Arc<[u16]>, round: u32, cut: Cut, cuts: &Arc<Cuts>) -> u64 {
    let completed = Arc::new(AtomicU64::new(0));
    let cases = futures::stream::iter(1..=MOST).map(|n| {
        let (completed, cuts, redis) = (Arc::clone(&completed), Arc::clone(cuts), Arc::clone(redis));
        async move {
            // A few lives come to their end before it is believed: how often Redis is asked varies a little.
            let enough = round > 0 && missed(&cuts).is_empty();
            if enough || completed.load(Ordering::Relaxed) >= 5 {
                return 0;
            }
            let was_cut =
                tokio::spawn(async move { case(&redis, round, n, cut, &cuts).await }).await.unwrap();
            completed.fetch_add(u64::from(!was_cut), Ordering::Relaxed);
            u64::from(was_cut)
        }
    });
    let cut =
        cases.buffer_unordered(AT_ONCE / redis.len()).fold(0, |sum, cut| async move { sum + cut }).await;
    assert!(round > 0 || completed.load(Ordering::Relaxed) >= 5, "the life never comes to its end");
    cut
}

/// One server, or the masters of a cluster.
fn servers() -> Vec<RedisServer> {
    if is_on_a_cluster() {
        RedisCluster::start(3, 0, &[]).unwrap().into_nodes()
    } else {
        vec![RedisServer::start().unwrap()]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_cut_off_between_any_two_round_trips_loses_and_doubles_nothing() {
    let servers = servers();
    let redis = servers.iter().map(RedisServer::port).collect();
    // The first of all also loads the scripts.
    for cut in [Cut::BeforeRequest, Cut::BeforeReply] {
        let cuts = Arc::default();
        let cases = all(&redis, 0, cut, &cuts).await;
        println!("{cut:?}: {cases} round trips");
        assert!(cases > 40, "a life of {cases} round trips");
        // Some requests depend on the time, so that on a busy machine the n-th one is not the same in all lives.
        for round in 1..4 {
            if !missed(&cuts).is_empty() {
                println!("once more for {:?}", missed(&cuts));
                all(&redis, round, cut, &cuts).await;
            }
        }
        assert!(missed(&cuts).is_empty(), "{cut:?} came to none of {:?}", missed(&cuts));
    }
}
