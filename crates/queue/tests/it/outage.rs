//! Redis goes away, comes back, or comes back with nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mailfleet_model::{Backoff, Class, Classify, Lane};
use mailfleet_queue::{Queue, Settled};
use mailfleet_testkit::{Proxy, ProxyMode, RedisServer, eventually};

use crate::fixture::{
    Fixture, LEASE, SOON, claim_one, config, id, job, uids, until_it_listens, until_it_rings,
};
use crate::name::Name;

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
        assert!(f.queue.enqueue(vec![job(9, Lane::High, "mail")]).await.unwrap_err().is_outage());
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

/// Whoever enqueues, claims and finishes as the binaries do: with their backoff, and without giving up.
struct AtWork {
    done: tokio::sync::watch::Receiver<u32>,
    next: Arc<AtomicU32>,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl AtWork {
    fn start(f: &Fixture) -> Self {
        let (finished, done) = tokio::sync::watch::channel(0);
        let next = Arc::new(AtomicU32::new(1));
        let (queue, consumer, uid) = (f.queue.clone(), f.consumer(), Arc::clone(&next));
        let produce = async move {
            let mut failures = 0;
            loop {
                let number = uid.load(Ordering::SeqCst);
                match queue.enqueue(vec![job(number, Lane::Normal, "mail")]).await {
                    Ok(_) => {
                        failures = 0;
                        uid.fetch_add(1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    Err(error) => pause(&error, &mut failures).await,
                }
            }
        };
        let consume = async move {
            let _keeper = consumer.spawn_keeper().unwrap();
            let mut failures = 0;
            loop {
                let deliveries = match consumer.claim(10).await {
                    Ok(deliveries) if deliveries.is_empty() => {
                        consumer.wait(Duration::from_secs(1)).await;
                        continue;
                    }
                    Ok(deliveries) => deliveries,
                    Err(error) => {
                        pause(&error, &mut failures).await;
                        continue;
                    }
                };
                let last = uids(&deliveries).into_iter().max().unwrap();
                match consumer.done(deliveries).await {
                    Ok(_) => {
                        failures = 0;
                        finished.send_replace(last);
                    }
                    Err((error, _)) => pause(&error, &mut failures).await,
                }
            }
        };
        Self { done, next, tasks: [tokio::spawn(produce), tokio::spawn(consume)] }
    }

    /// How long it takes until something is finished that was enqueued from now on.
    async fn goes_on_after(&mut self) -> Duration {
        let (from, since) = (self.next.load(Ordering::SeqCst), Instant::now());
        tokio::time::timeout(SOON, self.done.wait_for(|done| *done > from)).await.expect("work").unwrap();
        since.elapsed()
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn pause(error: &mailfleet_queue::Error, failures: &mut u32) {
    assert!(error.is_outage(), "{error}");
    *failures += 1;
    tokio::time::sleep(Backoff::RECONNECT.delay(*failures, fastrand::f64())).await;
}

/// How long Redis is away, or stands still.
fn a_while() -> Duration {
    Duration::from_secs(if std::env::var_os("MAILFLEET_SLOW").is_some() { 30 } else { 3 })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_redis_consumption_goes_on_within_five_seconds_of_its_return() {
    let f = Fixture::start();
    let mut work = AtWork::start(&f);
    work.goes_on_after().await;
    let commands = [
        "FLUSHALL",
        "SCRIPT FLUSH",
        "XGROUP DESTROY K:normal consumers",
        "DEL K:normal",
        "CLIENT KILL TYPE normal",
        "CLIENT KILL TYPE pubsub",
    ];
    for trouble in ["a restart", "a crash", "SIGSTOP"].into_iter().chain(commands) {
        match trouble {
            "a restart" => {
                f.redis.stop().unwrap();
                // For so long nothing answers: that is what is tested.
                tokio::time::sleep(a_while()).await;
                f.start_again().await;
            }
            "a crash" => {
                f.redis.kill();
                f.start_again().await;
            }
            "SIGSTOP" => {
                f.redis.pause().unwrap();
                tokio::time::sleep(a_while()).await;
                f.redis.resume().unwrap();
                f.until_it_works().await;
            }
            command => {
                let _: redis::Value = f.redis(command).await;
            }
        }
        let took = work.goes_on_after().await;
        println!("{trouble}: work went on after {took:?}");
        assert!(took < Duration::from_secs(5), "{trouble}: {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_fell_silent_are_given_up_and_consumption_goes_on_within_five_seconds() {
    let redis = RedisServer::start().unwrap();
    let old_way = Proxy::start(redis.port()).unwrap();
    let name = Name::of(old_way.port()).await;
    let queue = Queue::connect(&config(name.url())).unwrap();
    let f = Fixture { redis, others: Vec::new(), queue };
    let mut work = AtWork::start(&f);
    work.goes_on_after().await;
    eventually("the doorbell's connection beside those of the pool and the keeper", SOON, || async {
        let listeners: String = f.redis.ask("CLIENT LIST TYPE pubsub").unwrap();
        (!listeners.is_empty() && old_way.connections() >= 3).then_some(())
    })
    .await;
    // As behind a firewall that was started anew: what is open gets no answer any more, and no word of that either.
    old_way.set(ProxyMode::HalfOpen);
    name.now_leads_to(f.redis.port());
    let took = work.goes_on_after().await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    eventually("nobody holds on to the old ones", SOON, || async {
        (old_way.connections() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_doorbell_is_heard_again_after_a_restart_a_crash_a_standstill_and_a_cut() {
    let f = Fixture::start_with(&[], |config| config.response_timeout_ms = 500);
    let consumer = f.consumer();
    until_it_listens(&consumer).await;
    let mut uids = 1..;
    for trouble in ["a restart", "a crash", "a standstill", "a cut"] {
        match trouble {
            "a restart" => f.redis.stop().unwrap(),
            "a crash" => f.redis.kill(),
            "a standstill" => {
                f.redis.pause().unwrap();
                // Longer than an answer may take, so that the listener gives up.
                tokio::time::sleep(Duration::from_secs(1)).await;
                f.redis.resume().unwrap();
            }
            _ => {
                let _: Vec<u64> = f.everywhere("CLIENT KILL TYPE pubsub");
            }
        }
        if f.redis.pid().is_none() {
            f.start_again().await;
        }
        let since = Instant::now();
        until_it_rings(&consumer, SOON, || job(uids.next().unwrap(), Lane::Normal, "mail")).await;
        println!("{trouble}: the doorbell was heard after {:?}", since.elapsed());
        assert!(since.elapsed() < Duration::from_secs(5), "{trouble}: {:?}", since.elapsed());
    }
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
