//! Claims of which a part did not get through: what they took comes back at once, not after a lease.

use std::time::Duration;

use mailfleet_model::{Classify as _, Lane};
use mailfleet_queue::{Consumer, ConsumerName, Delivery, NewJob, Queue};
use mailfleet_testkit::{Proxy, ProxyMode, RedisServer, eventually};

use crate::fixture::{Fixture, SOON, at, claim_one, config, envelope, id, job, uids};

/// Bytes that do not pack, and lie beside their entry.
fn noise() -> Vec<u8> {
    (0..20_000).map(|_| fastrand::u8(..)).collect()
}

/// The key of the raw mail of account 1's job.
const BLOB: &str = "mailfleet:{email:processing:1}:blob:m:00000000000000000000000000000001:1:7:1";

/// A consumer that asks partition 0 first and has its entry, while of partition 1 it took the entry and could not read the mail.
async fn half_claimed(f: &Fixture) -> (Consumer, Delivery) {
    for _ in 0..64 {
        let consumer = f.consumer();
        match consumer.claim(2).await {
            Ok(mut deliveries) => {
                assert_eq!(deliveries.len(), 1);
                return (consumer, deliveries.remove(0));
            }
            // It asked the other partition first.
            Err(_) => consumer.leave().await.unwrap(),
        }
    }
    panic!("nobody asks partition 0 first");
}

#[tokio::test]
async fn what_one_partition_gave_without_an_answer_is_adopted_although_another_one_gave_its_own() {
    let f = Fixture::start_with(&[], |config| config.partitions = 2);
    let other = NewJob { envelope: envelope(at(2, 2), 3), lane: Lane::Normal, raw: "raw".into() };
    f.queue.enqueue(vec![job(1, Lane::Normal, noise()), other]).await.unwrap();
    let _: String = f.redis(&format!("RENAME {BLOB} K:aside")).await;
    let _: u64 = f.redis(&format!("LPUSH {BLOB} rubbish")).await;
    let (consumer, first) = half_claimed(&f).await;
    assert_eq!(uids(std::slice::from_ref(&first)), [2]);
    let _: String = f.redis(&format!("RENAME K:aside {BLOB}")).await;
    let rest = consumer.claim(2).await.unwrap();
    assert_eq!(uids(&rest), [1]);
    assert!(!rest[0].run_alone(), "nobody died with it");
    consumer.done(vec![first]).await.unwrap();
    consumer.done(rest).await.unwrap();
}

#[tokio::test]
async fn an_adoption_that_gives_no_delivery_goes_on_with_the_next_claim() {
    let f = Fixture::start_with(&[], |config| config.partitions = 1);
    f.queue.enqueue(vec![job(1, Lane::High, noise()), job(2, Lane::High, "two")]).await.unwrap();
    f.queue.ensure_groups().await.unwrap();
    let consumer = f.consumer();
    // A claim that met trouble, so that the next one adopts; what it took is what the server gave without its knowing.
    let _: String = f.redis("RENAME K:normal K:aside").await;
    let _: String = f.redis("SET K:normal rubbish").await;
    consumer.claim(1).await.unwrap_err();
    let _: String = f.redis("RENAME K:aside K:normal").await;
    let name = consumer.name();
    let _: redis::Value = f.redis(&format!("XREADGROUP GROUP consumers {name} STREAMS K:high >")).await;
    let _: u64 = f.redis("DEL K:blob:m:00000000000000000000000000000001:1:7:1").await;
    let mut taken = Vec::new();
    for _ in 0..2 {
        taken.extend(consumer.claim(1).await.unwrap());
    }
    assert_eq!((uids(&taken), consumer.stats().blob_gone), (vec![2], 1));
    consumer.done(taken).await.unwrap();
}

#[tokio::test]
async fn a_group_that_is_lost_between_the_two_steps_of_a_claim_is_an_outage_and_made_anew() {
    let redis = RedisServer::start().unwrap();
    let proxy = Proxy::start(redis.port()).unwrap();
    let direct = Queue::connect(&config(redis.url())).unwrap();
    let queue = Queue::connect(&config(format!("redis://127.0.0.1:{}", proxy.port()))).unwrap();
    let consumer = queue.consumer(ConsumerName::for_this_process());
    // The scripts are loaded, and the connection is there.
    assert!(consumer.claim(1).await.unwrap().is_empty());
    direct.enqueue(vec![job(1, Lane::Normal, "one")]).await.unwrap();
    let stream = "mailfleet:{email:processing:0}:normal";
    let destroy = format!("XGROUP DESTROY {stream} consumers");
    let _: i64 = redis.ask(&destroy).unwrap();
    proxy.set(ProxyMode::Slow { delay: Duration::from_millis(200), bytes_per_second: None });
    let lost = eventually("the group made by the first step", SOON, || async {
        redis.ask::<i64>(&destroy).is_ok_and(|destroyed| destroyed == 1).then_some(())
    });
    let (claimed, ()) = tokio::join!(consumer.claim(1), lost);
    let error = claimed.unwrap_err();
    assert!(error.is_outage(), "{:?}: {error}", error.class());
    assert!(
        error.to_string().ends_with(&format!(
            "No such key '{stream}' or consumer group 'consumers' in XREADGROUP with GROUP option"
        )),
        "{error}"
    );
    proxy.set(ProxyMode::Pass);
    let delivery = claim_one(&consumer).await;
    assert_eq!(*delivery.job_id(), id(1));
    consumer.done(vec![delivery]).await.unwrap();
}

#[tokio::test]
async fn what_redis_says_to_one_of_several_commands_is_told_like_any_other() {
    let f = Fixture::start_with(&[], |config| config.partitions = 1);
    f.queue.enqueue(vec![job(1, Lane::Normal, noise())]).await.unwrap();
    let _: u64 = f.redis("DEL K:blob:m:00000000000000000000000000000001:1:7:1").await;
    let _: u64 = f.redis("LPUSH K:blob:m:00000000000000000000000000000001:1:7:1 rubbish").await;
    let error = f.consumer().claim(1).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(": WRONGTYPE Operation against a key") && text.contains("queue.queue"), "{text}");
    assert!(!text.contains("Index"), "{text}");
}

#[tokio::test]
async fn a_partition_that_refuses_keeps_no_other_ones_entries_waiting_and_is_told_when_there_is_nothing_else()
{
    let f = Fixture::start_with(&[], |config| config.partitions = 2);
    f.enqueue(Lane::Normal, 1..=20).await;
    let _: String = f.redis("SET mailfleet:{email:processing:0}:delayed rubbish").await;
    let consumer = f.consumer();
    let mut taken = Vec::new();
    for _ in 0..20 {
        let some = consumer.claim(1).await.unwrap();
        taken.extend(uids(&some));
        consumer.done(some).await.unwrap();
    }
    assert_eq!(taken, (1..=20).collect::<Vec<_>>());
    assert!(consumer.claim(1).await.unwrap_err().to_string().contains("WRONGTYPE"));
}
