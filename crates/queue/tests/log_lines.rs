//! How much is written to the log while something is wrong with Redis. A test binary of its own, because it looks at all of
//! its log.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use mailfleet_model::{
    AccountId, Direction, ENVELOPE_VERSION, Encoding, Envelope, Lane, MailRef, MailboxId, Secret, Uid,
    UidValidity, Work,
};
use mailfleet_queue::{Config, Consumer, ConsumerName, Keeper, NewJob, Queue};
use mailfleet_testkit::{RedisServer, more_than_one_a_second};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// When each line was written, and what it says.
static LINES: Mutex<Vec<(Instant, String)>> = Mutex::new(Vec::new());

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
    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        LINES.lock().unwrap().push((Instant::now(), text.0));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// What a line says, without its numbers.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// How long the troubles last.
const LONG: Duration = Duration::from_secs(10);
/// First lines of parts that speak by themselves: what is away, and what came back or was lost. There are more such parts;
/// they do not come on top of each other.
const FIRST: usize = 2;

/// A Redis, and whoever works with it.
struct Place {
    redis: RedisServer,
    queue: Queue,
    consumers: [Consumer; 2],
    _keepers: [Keeper; 2],
}

impl Place {
    async fn start() -> Self {
        let redis = RedisServer::start().unwrap();
        let config = Config {
            url: Secret::new(redis.url()),
            lease_ms: 1_000,
            response_timeout_ms: 200,
            ..Config::default()
        };
        let queue = Queue::connect(&config).unwrap();
        let consumers = [(); 2].map(|()| queue.consumer(ConsumerName::for_this_process()));
        let keepers = consumers.each_ref().map(|consumer| consumer.spawn_keeper().unwrap());
        for consumer in &consumers {
            // The first wait ends when the listener is there.
            consumer.wait(LONG).await;
        }
        Self { redis, queue, consumers, _keepers: keepers }
    }

    /// Somebody asks every 75 ms, for so long; how many calls failed. `trouble` is told which turn it is.
    async fn busy(&self, long: Duration, mut trouble: impl FnMut(&RedisServer, u32)) -> usize {
        let (mut held, mut failed, end) = (Vec::new(), 0, Instant::now() + long);
        for turn in 0.. {
            if Instant::now() > end {
                break;
            }
            trouble(&self.redis, turn);
            failed += usize::from(self.queue.enqueue(vec![mail(turn + 1)]).await.is_err());
            for consumer in &self.consumers {
                match consumer.claim(1).await {
                    Ok(deliveries) => held.extend(deliveries),
                    Err(_) => failed += 1,
                }
            }
            // Some are in hand at any time, and lost where that is the trouble.
            if let Some(delivery) = (held.len() > 4).then(|| held.remove(0))
                && let Err((_, back)) = self.consumers[0].done(vec![delivery]).await
            {
                held.extend(back);
                failed += 1;
            }
            self.consumers[0].wait(Duration::from_millis(75)).await;
        }
        held.into_iter().for_each(std::mem::forget);
        failed
    }
}

fn mail(uid: u32) -> NewJob {
    let raw = Bytes::from_static(b"mail");
    let work = Work::Mail(MailRef {
        account: AccountId(uuid::Uuid::from_u128(1)),
        mailbox: MailboxId(1),
        uidvalidity: UidValidity::new(7).unwrap(),
        uid: Uid::new(uid).unwrap(),
    });
    let envelope = Envelope {
        v: ENVELOPE_VERSION,
        work,
        size: raw.len() as u64,
        message_id: None,
        direction: Direction::Inbound,
        flags: Vec::new(),
        internal_date_ms: Some(1),
        enqueued_at_ms: 2,
        encoding: Encoding::Identity,
        traceparent: None,
    };
    NewJob { envelope, lane: Lane::Normal, raw }
}

/// What is wrong with each of the servers.
const TROUBLES: [&str; 6] =
    ["away", "standing still", "emptied and cut off", "a replica", "at maxmemory", "coming and going"];

fn trouble(what: &str, redis: &RedisServer, master: &RedisServer, turn: u32) {
    let commands = ["FLUSHALL", "SCRIPT FLUSH", "CLIENT KILL TYPE normal", "CLIENT KILL TYPE pubsub"];
    match what {
        "away" if turn == 0 => redis.stop().unwrap(),
        "standing still" if turn == 0 => redis.pause().unwrap(),
        "emptied and cut off" => {
            redis.ask::<redis::Value>(commands[turn as usize % commands.len()]).map(drop).unwrap_or_default();
        }
        "a replica" if turn == 0 => redis.replicate(Some(master)).unwrap(),
        "at maxmemory" if turn == 0 => redis.ask("CONFIG SET maxmemory 1").unwrap(),
        "coming and going" if turn.is_multiple_of(16) => redis.stop().unwrap(),
        "coming and going" if turn % 16 == 8 => redis.start_again().unwrap(),
        _ => {}
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_redis_the_queue_writes_less_than_a_line_a_second_and_all_of_it_at_once_no_more()
 {
    tracing::subscriber::set_global_default(Count).unwrap();
    let master = RedisServer::start().unwrap();
    let places = join_all(TROUBLES.map(|_| Place::start())).await;
    join_all(places.iter().map(|place| place.busy(Duration::from_secs(1), |_, _| ()))).await;
    assert_eq!(LINES.lock().unwrap().len(), 0, "in peace nothing is written");

    // Side by side in one process: what is held back is held back for all of them.
    let busy = places.iter().zip(TROUBLES).map(|(place, what)| {
        let master = &master;
        place.busy(LONG, move |redis, turn| trouble(what, redis, master, turn))
    });
    let failed = join_all(busy).await;
    let lines = LINES.lock().unwrap().clone();
    println!(
        "{} lines; calls that failed: {:?}",
        lines.len(),
        TROUBLES.iter().zip(&failed).collect::<Vec<_>>()
    );
    assert!(failed.iter().all(|failed| *failed > 10), "errors go to the caller: {failed:?}");
    assert!(lines.len() > 4, "it is said all the same: {}", lines.len());
    let times: Vec<_> = lines.iter().map(|(line, _)| line.duration_since(lines[0].0)).collect();
    assert_eq!(
        more_than_one_a_second(&times, FIRST),
        None,
        "{:#?}",
        times.iter().zip(&lines).map(|(at, (_, text))| (at, text)).collect::<Vec<_>>()
    );
}
