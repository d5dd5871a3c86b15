//! Redis goes away, comes back, or comes back with nothing.

use std::time::{Duration, Instant};

use mailfleet_model::{Class, Classify, Lane, Secret};
use mailfleet_queue::{Queue, Settled};
use mailfleet_testkit::eventually;

use crate::fixture::{Fixture, LEASE, SOON, claim_one, config, id, uids};

#[tokio::test]
async fn work_goes_on_within_five_seconds_of_redis_being_back() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=3).await;
    let consumer = f.consumer();
    let _keeper = consumer.spawn_keeper().unwrap();
    let held = claim_one(&consumer).await;
    for round in 0..3 {
        f.redis.stop().unwrap();
        let error = consumer.claim(1).await.unwrap_err();
        assert_eq!(error.class(), Class::Outage, "{error}");
        assert!(
            f.queue.enqueue(vec![crate::fixture::job(9, Lane::High, "mail")]).await.unwrap_err().is_outage()
        );
        f.redis.start_again().unwrap();
        let back = Instant::now();
        let deliveries = eventually("a claim", SOON, || async { consumer.claim(1).await.ok() }).await;
        assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
        if round < 2 {
            consumer.hand_back(deliveries).await.unwrap();
        } else {
            consumer.done(deliveries).await.unwrap();
        }
    }
    assert!(!held.lease_lost());
    assert_eq!(consumer.done(vec![held]).await.unwrap(), [Settled::Done]);
}

#[tokio::test]
async fn a_server_that_hangs_is_an_outage_within_the_response_timeout() {
    let f = Fixture::start_with(&[], |config| config.response_timeout_ms = 300);
    f.queue.ping().await.unwrap();
    f.redis.pause().unwrap();
    let asked = Instant::now();
    assert!(f.queue.ping().await.unwrap_err().is_outage());
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    f.redis.resume().unwrap();
    eventually("an answer", SOON, || async { f.queue.ping().await.ok() }).await;
}

#[tokio::test]
async fn after_flushall_everything_works_again_and_the_old_owner_can_do_no_harm() {
    let f = Fixture::start();
    let consumer = f.consumer();
    let _keeper = consumer.spawn_keeper().unwrap();
    f.enqueue(Lane::Normal, 1..=2).await;
    let held = consumer.claim(2).await.unwrap();
    let before = f.queue.run_id().await.unwrap();
    assert_eq!(f.queue.run_id().await.unwrap(), before);
    f.redis.flushall().await;
    assert_ne!(f.queue.run_id().await.unwrap(), before, "the sweep must be told");
    assert!(consumer.claim(10).await.unwrap().is_empty(), "no group, no error");
    eventually("the loss", SOON, || async {
        held.iter().all(mailfleet_queue::Delivery::lease_lost).then_some(())
    })
    .await;
    f.enqueue(Lane::Normal, 1..=2).await;
    assert_eq!(consumer.done(held).await.unwrap(), [Settled::LostLease; 2]);
    let deliveries = consumer.claim(10).await.unwrap();
    assert_eq!(uids(&deliveries), [1, 2]);
    consumer.done(deliveries).await.unwrap();
}

#[tokio::test]
async fn a_group_that_is_gone_is_made_again_from_the_start() {
    let f = Fixture::start();
    let consumer = f.consumer();
    f.enqueue(Lane::Normal, 1..=3).await;
    let first = claim_one(&consumer).await;
    let _: u64 = f.redis("XGROUP DESTROY K:normal consumers").await;
    // The first one was not done: it comes again, which its ledger row makes harmless.
    let deliveries = consumer.claim(10).await.unwrap();
    assert_eq!(uids(&deliveries), [1, 2, 3]);
    assert!(!deliveries.iter().any(mailfleet_queue::Delivery::run_alone));
    consumer.done(deliveries).await.unwrap();
    assert_eq!(consumer.done(vec![first]).await.unwrap(), [Settled::LostLease]);
    assert_eq!(f.queue.live(&[id(1), id(2), id(3)]).await.unwrap(), [false; 3]);
}

#[tokio::test]
async fn forgotten_scripts_are_loaded_again() {
    let f = Fixture::start();
    let consumer = f.consumer();
    for uid in 1..=3 {
        f.enqueue(Lane::High, [uid]).await;
        let _: String = f.redis("SCRIPT FLUSH").await;
        let delivery = claim_one(&consumer).await;
        let _: String = f.redis("SCRIPT FLUSH").await;
        assert_eq!(consumer.done(vec![delivery]).await.unwrap(), [Settled::Done]);
        let _: String = f.redis("SCRIPT FLUSH").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_are_kept_alive_while_every_thread_of_the_runtime_is_blocked() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=10).await;
    let (busy, other) = (f.consumer(), f.consumer());
    let keepers = [busy.spawn_keeper().unwrap(), other.spawn_keeper().unwrap()];
    let held = busy.claim(10).await.unwrap();
    let block = || tokio::spawn(async { std::thread::sleep(LEASE * 3) });
    let blocked = [block(), block()];
    for task in blocked {
        task.await.unwrap();
    }
    assert!(other.reclaim(10).await.unwrap().is_empty());
    assert!(held.iter().all(|delivery| !delivery.lease_lost()));
    assert_eq!(busy.done(held).await.unwrap(), [Settled::Done; 10]);
    drop(keepers);
}

#[tokio::test]
async fn a_wrong_password_is_a_fault_and_never_shown() {
    let f = Fixture::start_with(&[("requirepass", "right")], |_| {});
    let url = f.redis.url().replace("right", "hunter2");
    let error = Queue::connect(&config(url)).unwrap().ping().await.unwrap_err();
    assert_eq!(error.class(), Class::Fault, "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    f.queue.ping().await.unwrap();
}

#[tokio::test]
async fn tls_works_with_a_private_authority_and_not_without_it() {
    let certificates = mailfleet_testkit::Certificates::good().unwrap();
    let redis = mailfleet_testkit::RedisServer::start_tls(&certificates).unwrap();
    let mut config = config(redis.tls_url().unwrap());
    assert!(Queue::connect(&config).unwrap().ping().await.is_err());
    config.tls_ca_file = Some(certificates.ca().clone());
    Queue::connect(&config).unwrap().ping().await.unwrap();
    config.tls_ca_file = Some("/nonexistent/ca.pem".into());
    let error = Queue::connect(&config).unwrap_err().to_string();
    assert!(error.contains("tls_ca_file") && error.contains("/nonexistent/ca.pem"), "{error}");
    config.url = Secret::new("nonsense");
    assert!(Queue::connect(&config).unwrap_err().to_string().contains("`url`"));
}
