//! A failover without sentinels: a replica is promoted, and the name leads to it.

use std::time::{Duration, Instant};

use mailfleet_model::Lane;
use mailfleet_queue::{ConsumerName, Enqueued, Queue, Settled};
use mailfleet_testkit::{RedisServer, eventually};

use crate::fixture::{SOON, claim_one, config, job, uids, until_it_listens};
use crate::name::Name;

fn pair(settings: &[(&str, &str)]) -> (RedisServer, RedisServer) {
    let own = [("repl-diskless-sync-delay", "0")];
    let settings: Vec<_> = own.iter().chain(settings).copied().collect();
    let (master, replica) =
        (RedisServer::start_with(&settings).unwrap(), RedisServer::start_with(&settings).unwrap());
    replica.replicate(Some(&master)).unwrap();
    (master, replica)
}

#[tokio::test]
async fn a_master_that_became_a_replica_is_left_for_the_promoted_one_and_nothing_is_lost_or_doubled() {
    let (old, new) = pair(&[]);
    let name = Name::of(old.port()).await;
    let queue = Queue::connect(&config(name.url())).unwrap();
    let consumer = queue.consumer(ConsumerName::for_this_process());
    let _keeper = consumer.spawn_keeper().unwrap();
    until_it_listens(&consumer).await;
    let mails = || (1..=20).map(|uid| job(uid, Lane::Normal, "mail")).collect();
    queue.enqueue(mails()).await.unwrap();
    let held = claim_one(&consumer).await;
    old.wait_for_replica(&new).unwrap();

    new.replicate(None).unwrap();
    old.replicate(Some(&new)).unwrap();
    // Not everybody has heard of it yet: what the old one says is an outage, and not for ever the same connection.
    let error = consumer.claim(1).await.unwrap_err();
    assert!(error.is_outage() && error.to_string().contains("READONLY"), "{error}");
    assert!(error.remedy().unwrap().contains("redis+sentinel://"), "{error}");
    let refused = queue.enqueue(vec![job(21, Lane::Normal, "mail")]).await.unwrap_err();
    assert!(refused.is_outage(), "{refused}");

    name.now_leads_to(new.port());
    let since = Instant::now();
    let first = eventually("a claim", SOON, || async { consumer.claim(5).await.ok() }).await;
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    assert_eq!(queue.enqueue(mails()).await.unwrap(), [Enqueued::AlreadyLive; 20]);
    let mut seen = uids(&first);
    consumer.done(first).await.unwrap();
    let rest = consumer.claim(100).await.unwrap();
    seen.extend(uids(&rest));
    consumer.done(rest).await.unwrap();
    assert_eq!(seen, (2..=20).collect::<Vec<_>>());
    assert!(!held.lease_lost(), "the keeper has found the way too");
    assert_eq!(consumer.done(vec![held]).await.unwrap(), [Settled::Done]);
}

#[tokio::test]
async fn a_replica_that_has_lost_its_master_is_an_outage_until_it_is_promoted() {
    let (master, replica) = pair(&[("replica-serve-stale-data", "no")]);
    let consumer = Queue::connect(&config(master.url())).unwrap();
    consumer.enqueue(vec![job(1, Lane::Normal, "mail")]).await.unwrap();
    master.wait_for_replica(&replica).unwrap();
    let consumer = Queue::connect(&config(replica.url())).unwrap().consumer(ConsumerName::for_this_process());
    master.kill();
    let said = eventually("MASTERDOWN", SOON, || async {
        let error = consumer.claim(1).await.unwrap_err();
        assert!(error.is_outage(), "{error}");
        error.to_string().contains("MASTERDOWN").then_some(error)
    });
    said.await;
    replica.replicate(None).unwrap();
    let since = Instant::now();
    let deliveries = eventually("a claim", SOON, || async { consumer.claim(1).await.ok() }).await;
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    assert_eq!(uids(&deliveries), [1]);
    consumer.done(deliveries).await.unwrap();
}
