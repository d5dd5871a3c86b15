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

#[tokio::test]
async fn an_outage_writes_no_more_than_a_line_a_second_from_each_of_keeper_and_doorbell() {
    tracing::subscriber::set_global_default(Count).unwrap();
    let redis = RedisServer::start().unwrap();
    let config = Config { url: Secret::new(redis.url()), lease_ms: 1_000, ..Config::default() };
    let consumer = Queue::connect(&config).unwrap().consumer(ConsumerName::for_this_process());
    let _keeper = consumer.spawn_keeper().unwrap();
    consumer.wait(Duration::from_secs(5)).await;
    redis.stop().unwrap();
    let mut failed = 0;
    for _ in 0..40 {
        failed += usize::from(consumer.claim(1).await.is_err());
        consumer.wait(Duration::from_millis(75)).await;
    }
    let lines = LINES.load(Ordering::SeqCst);
    assert_eq!(failed, 40, "errors go to the caller");
    // Three seconds, two writers: at most four lines of each.
    assert!((1..=8).contains(&lines), "{lines}");
}
