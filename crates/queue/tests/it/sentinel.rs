//! A failover by sentinels.

use std::time::{Duration, Instant};

use mailfleet_model::{Class, Classify, Lane};
use mailfleet_queue::{Consumer, ConsumerName, Enqueued, Queue, Settled};
use mailfleet_testkit::{RedisSentinel, RedisServer, eventually, free_port};

use crate::fixture::{claim_one, config, job, uids};

/// Sentinel needs a few seconds to notice, to elect and to promote.
const FAILOVER: Duration = Duration::from_secs(30);

struct Guarded {
    master: RedisServer,
    replica: RedisServer,
    sentinels: Vec<RedisSentinel>,
}

impl Guarded {
    fn start() -> Self {
        let settings =
            [("repl-diskless-sync-delay", "0"), ("requirepass", "hunter2"), ("masterauth", "hunter2")];
        let start = || RedisServer::start_with(&settings).unwrap();
        let (master, replica) = (start(), start());
        replica.replicate(Some(&master)).unwrap();
        let sentinels = RedisSentinel::start(&master, 3, 2).unwrap();
        Self { master, replica, sentinels }
    }

    fn url(&self) -> String {
        let hosts: Vec<_> = self.sentinels.iter().map(|one| format!("127.0.0.1:{}", one.port())).collect();
        format!("redis+sentinel://:hunter2@{}/{}", hosts.join(","), RedisSentinel::MASTER)
    }

    /// Until the replica is the master and a sentinel says so.
    async fn promoted(&self) -> Instant {
        eventually("the promoted replica", FAILOVER, || async {
            // Sentinel closes the connections of whom it promotes: an answer may fail.
            let info = self.replica.ask::<String>("INFO replication").unwrap_or_default();
            let named = self.sentinels[0].master_port().ok();
            (info.contains("role:master") && named == Some(self.replica.port())).then_some(())
        })
        .await;
        Instant::now()
    }
}

fn mails() -> Vec<mailfleet_queue::NewJob> {
    (1..=60).map(|uid| job(uid, Lane::Normal, "mail")).collect()
}

/// One that holds one entry of sixty and has finished nine; all of it is on the replica.
async fn at_work(guarded: &Guarded) -> (Consumer, mailfleet_queue::Delivery) {
    let consumer = Queue::connect(&config(guarded.url())).unwrap().consumer(ConsumerName::for_this_process());
    consumer.queue().enqueue(mails()).await.unwrap();
    let held = claim_one(&consumer).await;
    consumer.done(consumer.claim(9).await.unwrap()).await.unwrap();
    guarded.master.wait_for_replica(&guarded.replica).unwrap();
    (consumer, held)
}

/// Consumption goes on; every one of the rest comes once, and what is enqueued once more is there already.
async fn goes_on(guarded: &Guarded, consumer: &Consumer, held: mailfleet_queue::Delivery) {
    let since = guarded.promoted().await;
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
    let guarded = Guarded::start();
    let (consumer, held) = at_work(&guarded).await;
    let _keeper = consumer.spawn_keeper().unwrap();
    consumer.wait(Duration::from_millis(100)).await;
    guarded.master.kill();
    assert!(consumer.claim(1).await.unwrap_err().is_outage());
    // One sentinel less does not matter either.
    guarded.sentinels[2].stop().unwrap();
    goes_on(&guarded, &consumer, held).await;
}

#[tokio::test]
async fn when_the_master_stands_still_it_is_left_too_and_is_not_believed_when_it_moves_again() {
    let guarded = Guarded::start();
    let (consumer, held) = at_work(&guarded).await;
    let _keeper = consumer.spawn_keeper().unwrap();
    guarded.master.pause().unwrap();
    let error = consumer.claim(1).await.unwrap_err();
    assert!(error.is_outage(), "{error}");
    guarded.promoted().await;
    // It takes a while until the sentinels tell it so; until then it takes whatever work it is given, and loses it.
    guarded.master.resume().unwrap();
    goes_on(&guarded, &consumer, held).await;
}

#[tokio::test]
async fn sentinels_that_are_away_do_not_stop_a_master_that_is_there() {
    let guarded = Guarded::start();
    let (consumer, held) = at_work(&guarded).await;
    guarded.sentinels.iter().for_each(|sentinel| sentinel.stop().unwrap());
    // A connection that breaks makes everybody ask who the master is.
    let _: redis::Value = guarded.master.ask("CLIENT KILL TYPE normal").unwrap();
    consumer.done(vec![held]).await.unwrap_err();
    let deliveries = consumer.claim(1).await.unwrap();
    assert_eq!(uids(&deliveries), [11]);
    consumer.done(deliveries).await.unwrap();
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

    let guarded = Guarded::start();
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
