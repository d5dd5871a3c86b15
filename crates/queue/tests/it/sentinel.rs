//! A failover by sentinels.

use std::time::{Duration, Instant};

use mailfleet_model::{Class, Classify, Lane};
use mailfleet_queue::{Config, Consumer, ConsumerName, Enqueued, Queue, Settled};
use mailfleet_testkit::{GuardedRedis, Proxy, ProxyMode, RedisServer, eventually, free_port};

use crate::fixture::{LEASE, SOON, claim_one, config, job, uids, until_it_listens, until_it_rings};

/// Sentinel needs a few seconds to notice, to elect and to promote.
const FAILOVER: Duration = Duration::from_secs(30);

fn guarded() -> GuardedRedis {
    GuardedRedis::start(Some("hunter2")).unwrap()
}

/// Until the replica is the master; when that was seen.
async fn promoted(guarded: &GuardedRedis) -> Instant {
    eventually("the promoted replica", FAILOVER, || async { guarded.is_promoted().then_some(()) }).await;
    Instant::now()
}

fn mails() -> Vec<mailfleet_queue::NewJob> {
    (1..=60).map(|uid| job(uid, Lane::Normal, "mail")).collect()
}

/// One that holds one entry of sixty and has finished nine; all of it is on the replica.
async fn at_work(guarded: &GuardedRedis) -> (Consumer, mailfleet_queue::Delivery) {
    let consumer = Queue::connect(&config(guarded.url())).unwrap().consumer(ConsumerName::for_this_process());
    consumer.queue().enqueue(mails()).await.unwrap();
    let held = claim_one(&consumer).await;
    consumer.done(consumer.claim(9).await.unwrap()).await.unwrap();
    guarded.master.wait_for_replica(&guarded.replica).unwrap();
    (consumer, held)
}

/// Consumption goes on; every one of the rest comes once, and what is enqueued once more is there already.
async fn goes_on(guarded: &GuardedRedis, consumer: &Consumer, held: mailfleet_queue::Delivery) {
    let since = promoted(guarded).await;
    let mut seen = Vec::new();
    eventually("a claim", FAILOVER, || async {
        match consumer.claim(1).await {
            Ok(deliveries) => Some(deliveries),
            Err(error) => {
                assert!(error.is_outage(), "{error}");
                None
            }
        }
    })
    .await
    .into_iter()
    .for_each(|delivery| seen.push(delivery));
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    let again = consumer.queue().enqueue(mails().split_off(10)).await.unwrap();
    assert_eq!(again, [Enqueued::AlreadyLive; 50]);
    seen.extend(consumer.claim(100).await.unwrap());
    assert_eq!(uids(&seen), (11..=60).collect::<Vec<_>>());
    assert!(!held.lease_lost(), "the keeper has found the new master");
    seen.push(held);
    assert!(consumer.done(seen).await.unwrap().iter().all(|settled| *settled == Settled::Done));
    consumer.leave().await.unwrap();
    // All that was done at the promoted one, not at a former master that does not know yet.
    assert_eq!(guarded.replica.ask::<u64>("XLEN mailfleet:{email:processing:0}:normal").unwrap(), 0);
}

#[tokio::test]
async fn when_the_master_is_killed_work_goes_on_at_the_promoted_replica_within_five_seconds() {
    let guarded = guarded();
    let (consumer, held) = at_work(&guarded).await;
    let _keeper = consumer.spawn_keeper().unwrap();
    until_it_listens(&consumer).await;
    guarded.master.kill();
    assert!(consumer.claim(1).await.unwrap_err().is_outage());
    // One sentinel less does not matter either.
    guarded.sentinels[2].stop().unwrap();
    goes_on(&guarded, &consumer, held).await;
}

#[tokio::test]
async fn when_the_master_stands_still_it_is_left_too_and_is_not_believed_when_it_moves_again() {
    let guarded = guarded();
    let (consumer, held) = at_work(&guarded).await;
    let _keeper = consumer.spawn_keeper().unwrap();
    guarded.master.pause().unwrap();
    let error = consumer.claim(1).await.unwrap_err();
    assert!(error.is_outage(), "{error}");
    promoted(&guarded).await;
    // It takes a while until the sentinels tell it so; until then it takes whatever work it is given, and loses it.
    guarded.master.resume().unwrap();
    goes_on(&guarded, &consumer, held).await;
}

#[tokio::test]
async fn what_was_done_at_a_master_that_died_before_its_replica_heard_of_it_comes_again_once_and_alone() {
    let guarded = guarded();
    let (consumer, held) = at_work(&guarded).await;
    let _keeper = consumer.spawn_keeper().unwrap();
    let (lost, rest) = (consumer.claim(3).await.unwrap(), consumer.claim(100).await.unwrap());
    guarded.master.wait_for_replica(&guarded.replica).unwrap();
    guarded.master.cut_replicas().unwrap();
    let (numbers, entries) = (uids(&lost), entries(&lost));
    assert_eq!(consumer.done(lost).await.unwrap(), [Settled::Done; 3]);
    guarded.master.kill();
    let since = promoted(&guarded).await;

    // Nobody holds them any more, so that their leases run out, and they are taken from one who is alive.
    let other = consumer.queue().consumer(ConsumerName::for_this_process());
    let _other_keeper = other.spawn_keeper().unwrap();
    let (mut again, mut came) = (Vec::new(), Vec::new());
    while again.len() < 3 {
        let taken = eventually("what was lost", SOON, || async {
            let mut taken = other.reclaim(9).await.unwrap_or_default();
            // Those that must wait until another one is through.
            taken.extend(other.claim(9).await.unwrap_or_default());
            (!taken.is_empty()).then_some(taken)
        })
        .await;
        assert!(since.elapsed() < LEASE + Duration::from_secs(5), "{:?}", since.elapsed());
        assert!(taken.iter().all(mailfleet_queue::Delivery::run_alone));
        again.extend(uids(&taken));
        came.extend(taken.iter().map(|delivery| delivery.entry_id().to_owned()));
        // To have been done is no crash.
        assert!(taken.iter().all(|delivery| delivery.counters().crashes == 0));
        assert!(other.done(taken).await.unwrap().iter().all(|settled| *settled == Settled::Done));
    }
    again.sort_unstable();
    came.sort_unstable();
    assert_eq!((again, came), (numbers, entries), "the same entries, each once");
    // What was held all the time is still whose it was.
    assert!(rest.iter().chain([&held]).all(|delivery| !delivery.lease_lost()));
    assert_eq!(consumer.done(rest).await.unwrap(), [Settled::Done; 47]);
    assert_eq!(consumer.done(vec![held]).await.unwrap(), [Settled::Done]);
    assert_eq!(guarded.replica.ask::<u64>("XLEN mailfleet:{email:processing:0}:normal").unwrap(), 0);
}

/// Their ids in the order of their letters, in which `…-10` comes before `…-9`.
fn entries(deliveries: &[mailfleet_queue::Delivery]) -> Vec<String> {
    let mut ids: Vec<_> = deliveries.iter().map(|delivery| delivery.entry_id().to_owned()).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn the_doorbell_is_heard_at_the_new_master_although_the_old_one_only_stands_still() {
    let guarded = guarded();
    let (consumer, held) = at_work(&guarded).await;
    until_it_listens(&consumer).await;
    guarded.master.pause().unwrap();
    promoted(&guarded).await;
    let mut uids = 100..;
    until_it_rings(&consumer, FAILOVER, || job(uids.next().unwrap(), Lane::Normal, "mail")).await;
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_master_did_after_it_stood_still_is_not_believed_when_another_one_was_promoted_meanwhile() {
    let guarded = guarded();
    let patient = Config { response_timeout_ms: 30_000, ..config(guarded.url()) };
    let queue = Queue::connect(&patient).unwrap();
    queue.enqueue(vec![job(1, Lane::Normal, "mail")]).await.unwrap();
    guarded.master.wait_for_replica(&guarded.replica).unwrap();
    guarded.master.pause().unwrap();
    // By a connection that was used a moment ago: it is sent at once, and waits in the master's socket.
    let sent = tokio::spawn({
        let queue = queue.clone();
        async move { queue.enqueue(vec![job(2, Lane::Normal, "mail")]).await }
    });
    promoted(&guarded).await;
    guarded.master.resume().unwrap();
    if let Err(error) = sent.await.unwrap() {
        assert!(error.is_outage(), "{error}");
        let again = eventually("an answer", FAILOVER, || async {
            queue.enqueue(vec![job(2, Lane::Normal, "mail")]).await.ok()
        });
        assert_eq!(again.await, [Enqueued::Queued]);
    }
    let live: u64 = guarded.replica.ask("HLEN mailfleet:{email:processing:0}:live").unwrap();
    assert_eq!(live, 2, "what was said to be queued is where it is worked on");
}

#[tokio::test]
async fn sentinels_that_are_away_do_not_stop_a_master_that_is_there() {
    let guarded = guarded();
    let (consumer, held) = at_work(&guarded).await;
    guarded.sentinels.iter().for_each(|sentinel| sentinel.stop().unwrap());
    // A connection that breaks makes everybody ask who the master is. One that was idle for half a second is replaced before
    // anybody notices.
    consumer.queue().ping().await.unwrap();
    let _: redis::Value = guarded.master.ask("CLIENT KILL TYPE normal").unwrap();
    consumer.done(vec![held]).await.unwrap_err();
    let deliveries = consumer.claim(1).await.unwrap();
    assert_eq!(uids(&deliveries), [11]);
    consumer.done(deliveries).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_that_hang_cost_one_wait_and_do_not_slow_down_what_works() {
    let guarded = guarded();
    let doors: Vec<_> = guarded.sentinels.iter().map(|one| Proxy::start(one.port()).unwrap()).collect();
    let url = guarded.url_at(doors.iter().map(Proxy::port));
    let queue = Queue::connect(&Config { response_timeout_ms: 1_800, ..config(url) }).unwrap();
    queue.ping().await.unwrap();
    for door in &doors {
        door.set(ProxyMode::HalfOpen);
    }
    // A connection that breaks makes everybody ask who the master is. One that was idle for half a second is replaced before
    // anybody notices.
    eventually("a call that meets it", SOON, || async {
        queue.ping().await.ok()?;
        let _: redis::Value = guarded.master.ask("CLIENT KILL TYPE normal").unwrap();
        queue.ping().await.err()
    })
    .await;
    let at_once = (0..4).map(|_| {
        tokio::spawn({
            let queue = queue.clone();
            async move { queue.ping().await }
        })
    });
    for ping in at_once.collect::<Vec<_>>() {
        ping.await.unwrap().unwrap();
    }
    // What nobody confirmed is asked for again every second, by nobody who has something to do.
    let (begun, mut slowest) = (Instant::now(), Duration::ZERO);
    while begun.elapsed() < Duration::from_secs(3) {
        let asked = Instant::now();
        queue.ping().await.unwrap();
        slowest = slowest.max(asked.elapsed());
    }
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
}

#[tokio::test]
async fn sentinels_that_are_not_there_at_the_start_are_an_outage_until_they_come() {
    let guarded = guarded();
    guarded.sentinels.iter().for_each(|sentinel| sentinel.stop().unwrap());
    let consumer = Queue::connect(&config(guarded.url())).unwrap().consumer(ConsumerName::for_this_process());
    let _keeper = consumer.spawn_keeper().unwrap();
    for _ in 0..3 {
        let error = consumer.claim(1).await.unwrap_err();
        assert!(error.is_outage(), "{error}");
    }
    // One is enough.
    guarded.sentinels[1].start_again().unwrap();
    let since = Instant::now();
    eventually("a claim", FAILOVER, || async { consumer.claim(1).await.ok() }).await;
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
}

#[tokio::test]
async fn what_is_wrong_with_sentinels_is_said_with_the_remedy_and_never_a_password() {
    let redis = RedisServer::start().unwrap();
    let (nobody, plain) = (free_port(), redis.port());
    let error = async |url: String| Queue::connect(&config(url)).unwrap().ping().await.unwrap_err();
    let away = error(format!("redis+sentinel://:hunter2@127.0.0.1:{nobody}/m")).await;
    assert!(away.is_outage() && away.to_string().contains(&format!("127.0.0.1:{nobody}")), "{away}");
    let not_one = error(format!("redis+sentinel://:hunter2@127.0.0.1:{plain}/m")).await;
    assert_eq!(not_one.class(), Class::Fault, "{not_one}");
    assert!(not_one.to_string().contains("this is no sentinel"), "{not_one}");

    let guarded = guarded();
    let unknown = error(guarded.url().replace("mymaster", "yourmaster")).await;
    assert_eq!(unknown.class(), Class::Fault, "{unknown}");
    assert!(unknown.to_string().contains("no master called yourmaster"), "{unknown}");
    let login = error(guarded.url().replace("hunter2", "hunter3")).await;
    assert_eq!(login.class(), Class::Fault, "{login}");
    assert!(login.to_string().contains(&format!("127.0.0.1:{}", guarded.master.port())), "{login}");
    for error in [away, not_one, unknown, login] {
        assert!(!format!("{error} {error:?}").contains("hunter"), "{error}");
    }
}
