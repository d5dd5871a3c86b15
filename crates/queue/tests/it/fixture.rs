//! A Redis and a queue on it, and short words for what the tests do with them.

use std::time::Duration;

use bytes::Bytes;
use mailfleet_model::{
    AccountId, ENVELOPE_VERSION, Encoding, Envelope, JobId, Lane, MailRef, MailboxId, Secret, Uid,
    UidValidity, Work,
};
use mailfleet_queue::{Config, Consumer, ConsumerName, Delivery, Enqueued, NewJob, Queue};
use mailfleet_testkit::{RedisServer, eventually};
use redis::FromRedisValue;

/// Longest wait for anything that should happen soon.
pub const SOON: Duration = Duration::from_secs(10);
pub const LEASE: Duration = Duration::from_secs(1);

pub struct Fixture {
    pub redis: RedisServer,
    pub queue: Queue,
}

impl Fixture {
    pub fn start() -> Self {
        Self::start_with(&[], |_| {})
    }

    pub fn start_with(settings: &[(&str, &str)], change: impl FnOnce(&mut Config)) -> Self {
        let redis = RedisServer::start_with(settings).unwrap();
        let mut config = config(redis.url());
        change(&mut config);
        let queue = Queue::connect(&config).unwrap();
        Self { redis, queue }
    }

    pub fn consumer(&self) -> Consumer {
        self.queue.consumer(ConsumerName::for_this_process())
    }

    /// Enqueues jobs of these numbers, with a few raw bytes each.
    pub async fn enqueue(&self, lane: Lane, uids: impl IntoIterator<Item = u32>) {
        let jobs: Vec<NewJob> = uids.into_iter().map(|uid| job(uid, lane, format!("mail {uid}"))).collect();
        let enqueued = self.queue.enqueue(jobs).await.unwrap();
        assert!(enqueued.iter().all(|enqueued| *enqueued == Enqueued::Queued), "{enqueued:?}");
    }

    /// Runs one command, its words separated by spaces; `K:` stands for the keys' prefix.
    pub async fn redis<T: FromRedisValue>(&self, line: &str) -> T {
        let line = line.replace("K:", "mailfleet:{email:processing:0}:");
        let mut words = line.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        command.query_async(&mut self.redis.connection().await).await.unwrap()
    }
}

pub fn config(url: String) -> Config {
    Config { url: Secret::new(url), lease_ms: 1_000, response_timeout_ms: 2_000, ..Config::default() }
}

pub fn at(account: u128, uid: u32) -> MailRef {
    MailRef {
        account: AccountId(uuid::Uuid::from_u128(account)),
        mailbox: MailboxId(1),
        uidvalidity: UidValidity::new(7).unwrap(),
        uid: Uid::new(uid).unwrap(),
    }
}

pub fn id(uid: u32) -> JobId {
    JobId::mail(&at(1, uid))
}

pub fn envelope(at: MailRef, size: usize) -> Envelope {
    Envelope {
        v: ENVELOPE_VERSION,
        work: Work::Mail(at),
        size: size as u64,
        message_id: None,
        direction: mailfleet_model::Direction::Inbound,
        flags: vec!["\\Seen".to_owned()],
        internal_date_ms: Some(1),
        enqueued_at_ms: 2,
        encoding: Encoding::Identity,
        traceparent: None,
    }
}

pub fn job(uid: u32, lane: Lane, raw: impl Into<Bytes>) -> NewJob {
    let raw = raw.into();
    NewJob { envelope: envelope(at(1, uid), raw.len()), lane, raw }
}

/// The numbers of the jobs.
pub fn uids(deliveries: &[Delivery]) -> Vec<u32> {
    deliveries.iter().map(|delivery| delivery.envelope().work.mail().unwrap().uid.get()).collect()
}

/// Claims exactly one.
pub async fn claim_one(consumer: &Consumer) -> Delivery {
    let mut deliveries = consumer.claim(1).await.unwrap();
    assert_eq!(deliveries.len(), 1);
    deliveries.remove(0)
}

/// Reclaims until something comes.
pub async fn reclaimed(consumer: &Consumer) -> Vec<Delivery> {
    eventually("a reclaim", SOON, || async {
        let deliveries = consumer.reclaim(100).await.unwrap();
        (!deliveries.is_empty()).then_some(deliveries)
    })
    .await
}

/// Forgets deliveries without any sign, as a process does that is killed.
pub fn die_with(deliveries: impl IntoIterator<Item = Delivery>) {
    deliveries.into_iter().for_each(std::mem::forget);
}
