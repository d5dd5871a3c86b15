//! A slot moves from one master to another while work goes on.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mailfleet_model::{JobId, Lane};
use mailfleet_queue::{Consumer, Enqueued, NewJob, Queue, Settled};
use mailfleet_testkit::{RedisCluster, RedisServer, eventually};

use crate::fixture::{Fixture, SOON, job, keys, uids};

/// What producer and consumer met.
#[derive(Default)]
struct Met {
    stop: AtomicBool,
    outages: AtomicU32,
    /// Those of them by which a master says that it has some of the keys and not all.
    try_again: AtomicU32,
    done: AtomicU32,
}

/// Enqueues mail after mail, each until it is taken, and says which.
async fn produce(queue: Queue, met: Arc<Met>) -> Vec<JobId> {
    let mut taken = Vec::new();
    for uid in 1.. {
        // Small and large: what is beside its entry moves with it.
        let mail = || -> NewJob { job(uid, Lane::Normal, vec![b'x'; if uid % 2 == 0 { 9_000 } else { 9 }]) };
        loop {
            match queue.enqueue(vec![mail()]).await {
                // An answer that was lost is known by the second one.
                Ok(answers) if matches!(answers[..], [Enqueued::Queued | Enqueued::AlreadyLive]) => break,
                Ok(answers) => panic!("{answers:?}"),
                Err(error) => outage(&met, &error).await,
            }
        }
        taken.push(mail().job_id());
        if met.stop.load(Ordering::SeqCst) {
            break;
        }
    }
    taken
}

/// Claims and finishes until nothing is left, and says how often each job was finished.
async fn consume(consumer: Consumer, met: Arc<Met>) -> BTreeMap<JobId, u32> {
    let mut finished = BTreeMap::new();
    let mut empty = 0;
    while empty < 20 {
        let mut deliveries = match consumer.claim(7).await {
            Ok(deliveries) => deliveries,
            Err(error) => {
                outage(&met, &error).await;
                continue;
            }
        };
        empty = if deliveries.is_empty() && met.stop.load(Ordering::SeqCst) { empty + 1 } else { 0 };
        if deliveries.is_empty() {
            consumer.wait(Duration::from_millis(10)).await;
        }
        while !deliveries.is_empty() {
            let ids: Vec<_> = deliveries.iter().map(|delivery| delivery.job_id().clone()).collect();
            match consumer.done(deliveries).await {
                Ok(settled) => {
                    assert!(settled.iter().all(|settled| *settled == Settled::Done), "{settled:?}");
                    met.done.fetch_add(u32::try_from(ids.len()).unwrap(), Ordering::SeqCst);
                    for id in ids {
                        *finished.entry(id).or_default() += 1;
                    }
                    break;
                }
                Err((error, back)) => {
                    outage(&met, &error).await;
                    deliveries = back;
                }
            }
        }
    }
    finished
}

async fn outage(met: &Met, error: &mailfleet_queue::Error) {
    assert!(error.is_outage(), "{error}");
    met.outages.fetch_add(1, Ordering::SeqCst);
    met.try_again.fetch_add(u32::from(error.to_string().contains("TRYAGAIN")), Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(5)).await;
}

/// Moves one slot, as `redis-cli --cluster reshard` does, with a stop in the middle of its keys; `half_way` says when to go on.
async fn migrate(slot: u16, from: &RedisServer, to: &RedisServer, half_way: impl AsyncFnOnce()) {
    let id = |node: &RedisServer| node.ask::<String>("CLUSTER MYID").unwrap();
    to.ask::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(from))).unwrap();
    from.ask::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(to))).unwrap();
    let (mut half_way, begun) = (Some(half_way), Instant::now());
    loop {
        let keys: Vec<String> = from.ask(&format!("CLUSTER GETKEYSINSLOT {slot} 3")).unwrap();
        if keys.is_empty() {
            break;
        }
        assert!(begun.elapsed() < SOON * 3, "keys come quicker than they are moved");
        // The word between the two blanks is empty: the keys come at the end.
        from.ask::<()>(&format!("MIGRATE 127.0.0.1 {}  0 5000 KEYS {}", to.port(), keys.join(" "))).unwrap();
        if let Some(half_way) = half_way.take() {
            half_way().await;
        }
    }
    for node in [to, from] {
        node.ask::<()>(&format!("CLUSTER SETSLOT {slot} NODE {}", id(to))).unwrap();
    }
}

/// Producer and consumer at work while `trouble` runs, which is told what they have met so far. Work goes on within five
/// seconds of its end, and all that was taken is finished once.
async fn at_work_during(f: &Fixture, trouble: impl AsyncFnOnce(&Met)) {
    let met = Arc::new(Met::default());
    let consumer = f.consumer();
    let _keeper = consumer.spawn_keeper().unwrap();
    let producing = tokio::spawn(produce(f.queue.clone(), Arc::clone(&met)));
    let consuming = tokio::spawn(consume(consumer, Arc::clone(&met)));
    let more_done = async |than: u32| {
        eventually("more work done", SOON, || async {
            (met.done.load(Ordering::SeqCst) > than).then_some(())
        })
        .await;
    };
    more_done(50).await;
    trouble(&met).await;
    let (since, done) = (Instant::now(), met.done.load(Ordering::SeqCst));
    more_done(done).await;
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    more_done(done + 100).await;
    met.stop.store(true, Ordering::SeqCst);
    // Both go on for as long as it takes, which is not for ever.
    let ends = async { (producing.await.unwrap(), consuming.await.unwrap()) };
    let (taken, finished) = tokio::time::timeout(SOON * 3, ends).await.expect("an end of the work");
    assert!(finished.values().all(|times| *times == 1), "{finished:?}");
    assert_eq!(finished.len(), taken.len(), "what was taken was finished");
    assert!(taken.iter().all(|id| finished.contains_key(id)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_under_load_is_an_outage_while_it_moves_and_nothing_is_lost_or_doubled() {
    let cluster = RedisCluster::start(3, 0, &[]).unwrap();
    let f = Fixture::start_on(cluster, |config| config.lease_ms = 10_000);
    let slot: u16 = f.redis.ask(&format!("CLUSTER KEYSLOT {}high", keys(f.queue.config()))).unwrap();
    at_work_during(&f, async |met| {
        migrate(slot, &f.redis, &f.others[0], async || {
            let before = met.outages.load(Ordering::SeqCst);
            eventually("outages of both", SOON, || async {
                let (outages, split) = (&met.outages, &met.try_again);
                (outages.load(Ordering::SeqCst) > before + 10 && split.load(Ordering::SeqCst) > 0)
                    .then_some(())
            })
            .await;
        })
        .await;
    })
    .await;
    let left: Vec<String> = f.redis.ask(&format!("CLUSTER GETKEYSINSLOT {slot} 10")).unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_told_to_change_places_with_its_replica_loses_and_doubles_nothing() {
    let cluster = RedisCluster::start(3, 3, &[]).unwrap();
    let f = Fixture::start_on(cluster, |config| {
        config.lease_ms = 10_000;
        // The producer may be quicker than the consumer.
        config.account_max_entries = config.normal_max_entries;
    });
    let replication = |node: &RedisServer| node.ask::<String>("INFO replication").unwrap();
    let of_ours = format!("master_port:{}\r\n", f.redis.port());
    let replica = f.others.iter().find(|node| replication(node).contains(&of_ours)).unwrap();
    // There and back: each node is met as one that was a master, and is one again.
    for (from, to) in [(&f.redis, replica), (replica, &f.redis)] {
        let id: String = from.ask("CLUSTER MYID").unwrap();
        eventually("a replica in step, and known to its master", SOON, || async {
            let known: Vec<String> = from.ask(&format!("CLUSTER REPLICAS {id}")).unwrap();
            (!known.is_empty() && replication(to).contains("master_link_status:up")).then_some(())
        })
        .await;
        at_work_during(&f, async |_| {
            // One that takes too long is given up by Redis without a word: it is asked for again.
            let asked = Cell::new(None::<Instant>);
            eventually("both places changed", SOON * 3, || async {
                if replication(to).contains("role:slave")
                    && asked.get().is_none_or(|at| at.elapsed() > Duration::from_secs(6))
                {
                    to.ask::<()>("CLUSTER FAILOVER").unwrap();
                    asked.set(Some(Instant::now()));
                }
                (replication(to).contains("role:master") && replication(from).contains("role:slave"))
                    .then_some(())
            })
            .await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_slot_that_has_moved_costs_no_call() {
    let f = Fixture::start_on(RedisCluster::start(3, 0, &[]).unwrap(), |_| {});
    let slot: u16 = f.redis.ask(&format!("CLUSTER KEYSLOT {}high", keys(f.queue.config()))).unwrap();
    f.enqueue(Lane::Normal, 1..=10).await;
    let consumer = f.consumer();
    let held = consumer.claim(5).await.unwrap();
    migrate(slot, &f.redis, &f.others[0], async || {}).await;
    assert_eq!(consumer.done(held).await.unwrap(), [Settled::Done; 5]);
    migrate(slot, &f.others[0], &f.others[1], async || {}).await;
    assert_eq!(uids(&consumer.claim(9).await.unwrap()), [6, 7, 8, 9, 10]);
    f.queue.ping().await.unwrap();
}
