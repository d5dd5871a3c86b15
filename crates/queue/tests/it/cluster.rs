//! A cluster of three masters: partitions on each of them, a slot that moves, a master that dies. The ordinary suite runs
//! on a cluster too, with `MAILFLEET_TEST_REDIS=cluster` (`make test-slow`).
//!
//! These start servers of their own whatever that says, because they are about something that a cluster does not have, or
//! has in one node just as well:
//!
//! - `failover` and `sentinel`: other ways to a new master. What a cluster does then is here.
//! - `tls`: certificates are a matter of one connection. A cluster's URL is among what is refused.
//! - `outage::connections_that_fell_silent…`: a host name that leads elsewhere; the nodes of a cluster name addresses.
//! - `connections::more_callers_than_connections…`: one pool, as each node has it.
//! - `errors::a_database…`: a cluster has one database.
//! - `waiting`: the order of the partitions, which is the consumer's own; it needs a new queue for each of many cases.
//! - `recounts::a_count_whose_process_dies…` and `half_claims::a_group_that_is_lost…`: a proxy before one partition's
//!   server. On a cluster `round_trips` cuts the way to all nodes.

mod moving;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mailfleet_model::{Class, Classify, JobId, Lane};
use mailfleet_queue::{Consumer, Delivery, Enqueued, Failure, NewJob, Queue, Settled};
use mailfleet_testkit::{RedisCluster, RedisServer, eventually};

use crate::fixture::{
    Fixture, LEASE, PARTITIONS, SOON, at, claim_one, config, die_with, envelope, until_it_listens,
};

/// Mails of accounts in all partitions.
fn mails(uids: std::ops::RangeInclusive<u32>, lane: Lane, bytes: usize) -> Vec<NewJob> {
    let mail = |uid: u32| NewJob {
        envelope: envelope(at(u128::from(uid % u32::from(PARTITIONS)), uid), bytes),
        lane,
        raw: vec![b'x'; bytes].into(),
    };
    uids.map(mail).collect()
}

fn ids(deliveries: &[Delivery]) -> Vec<JobId> {
    deliveries.iter().map(|delivery| delivery.job_id().clone()).collect()
}

/// Claims until nothing comes.
async fn claim_all(consumer: &Consumer) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for _ in 0..100 {
        let more = consumer.claim(100).await.unwrap();
        if more.is_empty() {
            return deliveries;
        }
        deliveries.extend(more);
    }
    panic!("there is no end of it");
}

#[tokio::test]
async fn a_queue_of_three_partitions_on_three_masters_does_all_that_one_server_does() {
    let cluster = RedisCluster::start(3, 0, &[]).unwrap();
    let owners: BTreeSet<usize> = (0..PARTITIONS)
        .map(|p| cluster.first_owner(&format!("mailfleet:{{email:processing:{p}}}:high")).unwrap())
        .collect();
    assert_eq!(owners.len(), 3, "each master has a partition");
    let f = Fixture::start_on(cluster, |_| {});
    f.queue.prepare().await.unwrap();
    let (one, other) = (f.consumer(), f.consumer());
    let (keeper_of_one, _keeper) = (one.spawn_keeper().unwrap(), other.spawn_keeper().unwrap());

    // Enqueue, depth, live, and the doorbell, wherever it rings.
    assert_eq!(f.queue.enqueue(mails(1..=30, Lane::Normal, 9_000)).await.unwrap(), [Enqueued::Queued; 30]);
    assert_eq!(
        f.queue.enqueue(mails(1..=30, Lane::Normal, 9_000)).await.unwrap(),
        [Enqueued::AlreadyLive; 30]
    );
    let waiting = f.queue.depth().await.unwrap();
    assert_eq!((waiting.lane(Lane::Normal).waiting, waiting.backlog()), (Some(30), Some(30)));
    f.queue.pause(None, "alice", "a look").await.unwrap();
    assert!(claim_all(&one).await.is_empty());
    assert!(f.queue.depth().await.unwrap().lane(Lane::High).paused.unwrap());
    assert!(f.queue.resume(None).await.unwrap());
    let mut held = claim_all(&one).await;
    assert_eq!(held.len(), 30);
    assert!(held.iter().all(|delivery| delivery.raw().len() == 9_000));
    until_it_listens(&one).await;
    for uid in 31..=33 {
        // No ring is left that this wait could be ended by.
        one.wait(Duration::ZERO).await;
        let rung = tokio::spawn({
            let one = one.clone();
            async move { one.wait(Duration::from_secs(20)).await }
        });
        f.queue.enqueue(mails(uid..=uid, Lane::High, 9)).await.unwrap();
        tokio::time::timeout(Duration::from_secs(5), rung).await.expect("a ring").unwrap();
        one.done(vec![claim_one(&one).await]).await.unwrap();
    }

    // Retry, dead letter, hand back, done: three of each, one in each partition.
    let mut three = || held.drain(..3).collect::<Vec<_>>();
    for delivery in three() {
        one.retry(delivery, Duration::from_millis(1), &Failure::new(Class::Transient, "no")).await.unwrap();
    }
    let dead = three();
    let letters: Vec<JobId> = ids(&dead);
    one.dead_letter(dead.into_iter().map(|delivery| (delivery, "data".to_owned())).collect()).await.unwrap();
    one.hand_back(three()).await.unwrap();
    let died_with = three();
    assert_eq!(one.done(held).await.unwrap(), [Settled::Done; 18]);
    assert_eq!(f.queue.depth().await.unwrap().dead, Some(3));
    assert_eq!(f.queue.live(&letters).await.unwrap(), [false; 3]);
    let mut again = 0;
    while again < 6 {
        let some = eventually("what fell due or was handed back", SOON, || async {
            Some(other.claim(9).await.unwrap()).filter(|some| !some.is_empty())
        })
        .await;
        again += some.len();
        other.done(some).await.unwrap();
    }
    assert_eq!(again, 6);

    // Reclaim: each runs alone, one after the other.
    let mut lost = ids(&died_with);
    die_with(died_with);
    let mut seen = Vec::new();
    drop(keeper_of_one);
    while seen.len() < 3 {
        let deliveries = eventually("what its owner died with", SOON, || async {
            let mut taken = other.reclaim(9).await.unwrap();
            taken.extend(other.claim(9).await.unwrap());
            (!taken.is_empty()).then_some(taken)
        })
        .await;
        assert!(deliveries.iter().all(Delivery::run_alone));
        seen.extend(ids(&deliveries));
        other.done(deliveries).await.unwrap();
    }
    seen.sort();
    lost.sort();
    assert_eq!(seen, lost);
    other.leave().await.unwrap();
    assert_eq!(f.queue.depth().await.unwrap().backlog(), Some(0));
}

#[tokio::test]
async fn what_a_cluster_says_of_itself_is_the_worst_of_its_masters_and_changes_when_one_loses_its_data() {
    let f = Fixture::start_on(RedisCluster::start(3, 0, &[]).unwrap(), |_| {});
    let before = f.queue.run_id().await.unwrap();
    assert_eq!(f.queue.run_id().await.unwrap(), before);
    assert_eq!(f.queue.server_info().await.unwrap().unfit(), None);
    f.others[0].ask::<()>("CONFIG SET maxmemory-policy allkeys-lru").unwrap();
    assert!(f.queue.prepare().await.unwrap_err().to_string().contains("allkeys-lru"));
    f.others[1].ask::<()>("CONFIG SET maxmemory 50mb").unwrap();
    assert_eq!(f.queue.memory().await.unwrap().max_bytes, Some(50 << 20), "that one is full first");
    f.others[1].ask::<()>("FLUSHALL").unwrap();
    assert_ne!(f.queue.run_id().await.unwrap(), before, "the sweep must be told");
}

#[tokio::test]
async fn a_configuration_that_does_not_fit_the_server_is_named() {
    let f = Fixture::start_on(RedisCluster::start(3, 0, &[]).unwrap(), |_| {});
    let alone = RedisServer::start().unwrap();
    let as_cluster = config(format!("redis+cluster://127.0.0.1:{}", alone.port()));
    let error = Queue::connect(&as_cluster).unwrap().ping().await.unwrap_err();
    assert_eq!(error.class(), Class::Fault, "{error}");
    assert!(error.to_string().contains("this is no cluster"), "{error}");
    let as_one = Queue::connect(&config(f.redis.url())).unwrap();
    let error = as_one.prepare().await.unwrap_err();
    assert_eq!(error.class(), Class::Fault, "{error}");
    assert!(error.to_string().contains("redis+cluster://"), "{error}");
}

/// The partition of the only master that has a replica.
fn partition_of_first_master(cluster: &RedisCluster) -> u16 {
    let owner = |p: &u16| cluster.first_owner(&format!("mailfleet:{{email:processing:{p}}}:high")).unwrap();
    (0..PARTITIONS).find(|p| owner(p) == 0).unwrap()
}

async fn promoted(replica: &RedisServer) {
    eventually("the promoted replica", Duration::from_secs(30), || async {
        replica.ask::<String>("INFO replication").unwrap().contains("role:master").then_some(())
    })
    .await;
}

#[tokio::test]
async fn when_a_master_dies_its_partitions_go_on_at_its_replica_within_five_seconds() {
    let cluster = RedisCluster::start(3, 1, &[]).unwrap();
    let partition = partition_of_first_master(&cluster);
    let of_it = |uids: std::ops::RangeInclusive<u32>| -> Vec<NewJob> {
        let mail = |uid| NewJob {
            envelope: envelope(at(u128::from(partition), uid), 4),
            lane: Lane::Normal,
            raw: "mail".into(),
        };
        uids.map(mail).collect()
    };
    let queue =
        Queue::connect(&mailfleet_queue::Config { partitions: PARTITIONS, ..config(cluster.url()) }).unwrap();
    let consumer = queue.consumer(mailfleet_queue::ConsumerName::for_this_process());
    let _keeper = consumer.spawn_keeper().unwrap();
    until_it_listens(&consumer).await;
    queue.enqueue(of_it(1..=20)).await.unwrap();
    let held = claim_one(&consumer).await;
    let [master, _, _, replica] = cluster.nodes() else { panic!() };
    master.wait_for_replica(replica).unwrap();
    master.kill();
    let outage = consumer.claim(1).await.unwrap_err();
    assert!(outage.is_outage(), "{outage}");
    promoted(replica).await;
    cluster.wait_until_ok().unwrap();
    let since = Instant::now();
    let first = eventually("a claim", SOON, || async { consumer.claim(1).await.ok() }).await;
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    assert_eq!(queue.enqueue(of_it(2..=20)).await.unwrap(), [Enqueued::AlreadyLive; 19]);
    let mut all = ids(&first);
    let rest = claim_all(&consumer).await;
    all.extend(ids(&rest));
    assert!(!held.lease_lost());
    for deliveries in [first, rest, vec![held]] {
        let settled = consumer.done(deliveries).await.unwrap();
        assert!(settled.iter().all(|settled| *settled == Settled::Done), "{settled:?}");
    }
    assert_eq!(all.len(), 19);
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), 19, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_master_did_after_it_stood_still_is_not_believed_when_its_replica_was_promoted_meanwhile() {
    let cluster = RedisCluster::start(3, 1, &[]).unwrap();
    let partition = partition_of_first_master(&cluster);
    let mail = |uid| {
        let at = at(u128::from(partition), uid);
        vec![NewJob { envelope: envelope(at, 4), lane: Lane::Normal, raw: "mail".into() }]
    };
    let patient = mailfleet_queue::Config {
        partitions: PARTITIONS,
        response_timeout_ms: 30_000,
        ..config(cluster.url())
    };
    let queue = Queue::connect(&patient).unwrap();
    queue.enqueue(mail(1)).await.unwrap();
    let [master, _, _, replica] = cluster.nodes() else { panic!() };
    master.wait_for_replica(replica).unwrap();
    master.pause().unwrap();
    let sent = tokio::spawn({
        let (queue, mail) = (queue.clone(), mail(2));
        async move { queue.enqueue(mail).await }
    });
    promoted(replica).await;
    master.resume().unwrap();
    if let Err(error) = sent.await.unwrap() {
        assert!(error.is_outage(), "{error}");
        let again = eventually("an answer", SOON, || async { queue.enqueue(mail(2)).await.ok() });
        assert_eq!(again.await, [Enqueued::Queued]);
    }
    let live: u64 = replica.ask(&format!("HLEN mailfleet:{{email:processing:{partition}}}:live")).unwrap();
    assert_eq!(live, 2, "what was said to be queued is where it is worked on");
}

#[tokio::test]
async fn a_master_that_stands_still_costs_no_lease_on_the_others() {
    // Without this setting all of a cluster stops with one part of it.
    let cluster = RedisCluster::start(3, 0, &[("cluster-require-full-coverage", "no")]).unwrap();
    let f = Fixture::start_on(cluster, |_| {});
    f.queue.enqueue(mails(1..=9, Lane::Normal, 4)).await.unwrap();
    let consumer = f.consumer();
    let held = claim_all(&consumer).await;
    let _keeper = consumer.spawn_keeper().unwrap();
    let (other, end) = (f.consumer(), tokio::sync::watch::Sender::new(false));
    let _other_keeper = other.spawn_keeper().unwrap();
    let eager = tokio::spawn({
        let end = end.subscribe();
        async move {
            while !*end.borrow() {
                let taken = other.reclaim(9).await.unwrap_or_default();
                assert!(taken.is_empty(), "{taken:?}");
                other.wait(Duration::from_millis(5)).await;
            }
        }
    });
    // The one that is asked first.
    let mut nodes: Vec<&RedisServer> = [&f.redis].into_iter().chain(&f.others).collect();
    nodes.sort_by_key(|node| node.port());
    let [still, moving, _] = nodes[..] else { panic!() };
    still.pause().unwrap();
    let pending_at = |node: &RedisServer, partition: u16| -> Option<Vec<(String, String, u64, u64)>> {
        node.ask(&format!("XPENDING mailfleet:{{email:processing:{partition}}}:normal consumers - + 9")).ok()
    };
    let partition = (0..PARTITIONS).find(|partition| pending_at(moving, *partition).is_some()).unwrap();
    // For three leases it is renewed all the same.
    let until = Instant::now() + LEASE * 3;
    while Instant::now() < until {
        let pending = pending_at(moving, partition).unwrap();
        assert_eq!(pending.len(), 3, "{pending:?}");
        assert!(
            pending.iter().all(|(.., idle_ms, _)| u128::from(*idle_ms) < LEASE.as_millis()),
            "{pending:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    still.resume().unwrap();
    // Nor when it moves again: somebody takes whatever has run out, and has been at it all the time.
    let moves_since = Instant::now();
    eventually("three leases since then", SOON, || async {
        assert!(!eager.is_finished(), "something was taken");
        (moves_since.elapsed() > LEASE * 3).then_some(())
    })
    .await;
    end.send_replace(true);
    eager.await.unwrap();
    assert_eq!(consumer.done(held).await.unwrap(), [Settled::Done; 9]);
}
