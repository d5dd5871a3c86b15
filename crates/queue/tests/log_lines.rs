//! How much is written to the log while Redis is away. A test binary of its own, because it looks at all of its log.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mailfleet_model::Secret;
use mailfleet_queue::{Config, ConsumerName, Queue};
use mailfleet_testkit::RedisServer;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

static LINES: AtomicUsize = AtomicUsize::new(0);

struct Count;

impl Subscriber for Count {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("mailfleet") && *metadata.level() <= Level::INFO
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        LINES.fetch_add(1, Ordering::SeqCst);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Lines that may be written in this time: one in two seconds of what is away, one of what came back.
fn bound(seconds: usize) -> usize {
    2 * (seconds / 2 + 1)
}

#[tokio::test]
async fn whatever_is_wrong_with_redis_keeper_and_doorbell_write_less_than_a_line_a_second() {
    tracing::subscriber::set_global_default(Count).unwrap();
    let redis = RedisServer::start().unwrap();
    let config = Config {
        url: Secret::new(redis.url()),
        lease_ms: 1_000,
        response_timeout_ms: 200,
        ..Config::default()
    };
    let queue = Queue::connect(&config).unwrap();
    let consumers = [(); 3].map(|()| queue.consumer(ConsumerName::for_this_process()));
    let _keepers = consumers.each_ref().map(|consumer| consumer.spawn_keeper().unwrap());
    for consumer in &consumers {
        consumer.wait(Duration::from_millis(100)).await;
    }
    // Every 75 ms somebody asks, for two seconds.
    let two_seconds = async |each: &dyn Fn()| {
        let (before, mut failed) = (LINES.load(Ordering::SeqCst), 0);
        let end = std::time::Instant::now() + Duration::from_secs(2);
        while std::time::Instant::now() < end {
            each();
            for consumer in &consumers {
                // Deliveries are let go of, unfinished, as by a handler that panics.
                failed += usize::from(consumer.claim(1).await.is_err());
            }
            consumers[0].wait(Duration::from_millis(75)).await;
        }
        (LINES.load(Ordering::SeqCst) - before, failed)
    };
    let nothing = || {};

    let (lines, failed) = two_seconds(&nothing).await;
    assert_eq!((lines, failed), (0, 0), "in peace nothing is written");
    redis.stop().unwrap();
    let (lines, failed) = two_seconds(&nothing).await;
    assert!((1..=bound(2)).contains(&lines), "stopped: {lines}");
    assert!(failed > 20, "errors go to the caller: {failed}");
    redis.start_again().unwrap();
    redis.pause().unwrap();
    let (lines, failed) = two_seconds(&nothing).await;
    assert!(lines <= bound(2) && failed > 0, "standing still: {lines}, {failed}");
    redis.resume().unwrap();
    let commands = ["FLUSHALL", "SCRIPT FLUSH", "CLIENT KILL TYPE normal", "CLIENT KILL TYPE pubsub"];
    let turns = AtomicUsize::new(0);
    let one_of_them = || {
        let turn = turns.fetch_add(1, Ordering::SeqCst);
        redis.ask::<redis::Value>(commands[turn % commands.len()]).map(drop).unwrap_or_default();
    };
    let (lines, _) = two_seconds(&one_of_them).await;
    assert!(lines <= bound(2), "emptied and cut off: {lines}");
    redis.replicate(Some(&RedisServer::start().unwrap())).unwrap();
    let (lines, failed) = two_seconds(&nothing).await;
    assert!(lines <= bound(2) && failed > 20, "a replica: {lines}, {failed}");
}
