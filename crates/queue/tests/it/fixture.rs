//! A Redis and a queue on it, and short words for what the tests do with them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use mailfleet_model::{
    AccountId, ENVELOPE_VERSION, Encoding, Envelope, JobId, Lane, MailRef, MailboxId, Secret, Uid,
    UidValidity, Work,
};
use mailfleet_queue::{Config, Consumer, ConsumerName, CountPlace, Delivery, Enqueued, NewJob, Queue};
use mailfleet_testkit::{RedisCluster, RedisServer, eventually};
use redis::FromRedisValue;

/// Longest wait for anything that should happen soon.
pub const SOON: Duration = Duration::from_secs(10);
pub const LEASE: Duration = Duration::from_secs(1);

/// Set to `cluster`, every fixture stands on a cluster of three masters, with three partitions.
const WHERE: &str = "MAILFLEET_TEST_REDIS";
/// The partitions of a fixture on a cluster. Their slots are on three different masters.
pub const PARTITIONS: u16 = 3;

/// Whether fixtures stand on clusters.
pub fn is_on_a_cluster() -> bool {
    std::env::var_os(WHERE).is_some_and(|place| place == "cluster")
}

/// Ends a loop that never comes to its end, with a word of what it is about.
pub struct Patience(Instant, &'static str);

impl Patience {
    pub fn with(what: &'static str) -> Self {
        Self(Instant::now(), what)
    }

    /// To be asked in each turn.
    pub fn lasts(&self) {
        assert!(self.0.elapsed() < SOON * 3, "never comes to its end: {}", self.1);
    }
}

pub struct Fixture {
    /// The server; of a cluster, the one that has the partition of [`id`]'s account.
    pub redis: RedisServer,
    /// The other nodes of a cluster.
    pub others: Vec<RedisServer>,
    pub queue: Queue,
}

impl Fixture {
    pub fn start() -> Self {
        Self::start_with(&[], |_| {})
    }

    pub fn start_with(settings: &[(&str, &str)], change: impl FnOnce(&mut Config)) -> Self {
        if is_on_a_cluster() {
            return Self::start_on(RedisCluster::start(3, 0, settings).unwrap(), change);
        }
        let redis = RedisServer::start_with(settings).unwrap();
        let mut config = config(redis.url());
        change(&mut config);
        let queue = Queue::connect(&config).unwrap();
        Self { redis, others: Vec::new(), queue }
    }

    /// One on a cluster.
    pub fn start_on(cluster: RedisCluster, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { partitions: PARTITIONS, ..config(cluster.url()) };
        change(&mut config);
        let owner = cluster.first_owner(&keys(&config)).unwrap();
        let (redis, others) = cluster.split(owner);
        let queue = Queue::connect(&config).unwrap();
        Self { redis, others, queue }
    }

    /// Whether it is on a cluster.
    pub fn is_cluster(&self) -> bool {
        !self.others.is_empty()
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

    /// Counts everything anew, in pages of so many entries.
    pub async fn recount(&self, entries: usize) {
        let (mut place, mut pages) = (Some(CountPlace::default()), 0);
        while let Some(from) = place {
            place = self.queue.recount_accounts(from, entries).await.unwrap();
            pages += 1;
            assert!(pages < 10_000, "a count never comes to its end");
        }
    }

    /// Runs one command on every server.
    pub fn everywhere<T: FromRedisValue>(&self, line: &str) -> Vec<T> {
        [&self.redis].into_iter().chain(&self.others).map(|server| server.ask(line).unwrap()).collect()
    }

    /// Starts the server again; of a cluster, waits until all nodes have noticed.
    pub async fn start_again(&self) {
        self.redis.start_again().unwrap();
        self.until_it_works().await;
    }

    /// Until all nodes of a cluster have noticed that its server is back.
    pub async fn until_it_works(&self) {
        eventually("a cluster that works", SOON, || async {
            let infos: Vec<String> =
                if self.is_cluster() { self.everywhere("CLUSTER INFO") } else { Vec::new() };
            infos.iter().all(|info| info.contains("cluster_state:ok")).then_some(())
        })
        .await;
    }

    /// Runs one command, its words separated by spaces; `K:` stands for the prefix of the keys of [`id`]'s partition.
    pub async fn redis<T: FromRedisValue>(&self, line: &str) -> T {
        let line = line.replace("K:", &keys(self.queue.config()));
        let mut words = line.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        let answer = command.query_async(&mut self.redis.connection().await).await;
        // Keys of another partition are on another node.
        let moved = answer.as_ref().err().and_then(redis::RedisError::redirect_node);
        let Some((address, _)) = moved else { return answer.unwrap() };
        let is_there = |node: &&RedisServer| address.ends_with(&format!(":{}", node.port()));
        let node = self.others.iter().find(is_there).unwrap();
        command.query_async(&mut node.connection().await).await.unwrap()
    }
}

/// The prefix of the keys of the partition in which account 1 is.
pub fn keys(config: &Config) -> String {
    format!("mailfleet:{{email:processing:{}}}:", 1 % config.partitions)
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

/// Until the doorbell of a consumer who has not waited yet listens: the first wait ends when it does.
pub async fn until_it_listens(consumer: &Consumer) {
    let asked = Instant::now();
    consumer.wait(SOON).await;
    assert!(asked.elapsed() < SOON, "nobody listens");
}

/// Until the doorbell is heard again: an enqueue ends a wait that would be longer. `mail` makes one that is not there yet.
pub async fn until_it_rings(consumer: &Consumer, within: Duration, mut mail: impl FnMut() -> NewJob) {
    let (begun, mut rings) = (Instant::now(), 0);
    // The first ring may be that of the listener which has come back, so that two in a row are needed.
    while rings < 2 {
        assert!(begun.elapsed() < within, "no ring within {within:?}");
        let waited = Instant::now();
        let ((), enqueued) = tokio::join!(consumer.wait(within), consumer.queue().enqueue(vec![mail()]));
        let rang = enqueued.is_ok() && waited.elapsed() < Duration::from_secs(1);
        rings = if rang { rings + 1 } else { 0 };
    }
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
