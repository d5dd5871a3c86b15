//! The fresh caller that finishes what a dead one left, and what Redis must look like then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mailfleet_model::Lane;
use mailfleet_queue::{Config, ConsumerName, Delivery, Enqueued, Queue};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, Value};

use super::Case;
use super::books::{Books, Letter};
use super::jobs::{UNKNOWN, id, job};
use super::life::{put_away, work_off};
use crate::fixture::SOON;

/// A way to Redis that nobody cuts.
pub struct Admin {
    /// By the ports of the servers.
    connections: Vec<(u16, MultiplexedConnection)>,
    queue: String,
}

impl Admin {
    pub async fn new(case: &Case) -> Self {
        let mut connections = Vec::new();
        for port in &case.redis {
            let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
            // Half a second, as the client library has it, is too short with so many at once.
            let patient = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(SOON))
                .set_response_timeout(Some(SOON));
            let connection = client.get_multiplexed_async_connection_with_config(&patient).await.unwrap();
            connections.push((*port, connection));
        }
        Self { connections, queue: case.name.clone() }
    }

    async fn run<T: FromRedisValue>(&self, line: &str) -> Result<T, redis::RedisError> {
        let mut words = line.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        let answer = command.query_async(&mut self.connections[0].1.clone()).await;
        // Of a cluster another node may have the key.
        let moved = answer.as_ref().err().and_then(redis::RedisError::redirect_node);
        let Some((address, _)) = moved else { return answer };
        let is_there = |(port, _): &&(u16, _)| address.ends_with(&format!(":{port}"));
        let (_, node) = self.connections.iter().find(is_there).unwrap();
        command.query_async(&mut node.clone()).await
    }

    /// The keys of the queue, on all servers.
    async fn keys(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (_, server) in &self.connections {
            let pattern = format!("mailfleet:{{{}:*", self.queue);
            let keys: Vec<String> =
                redis::cmd("KEYS").arg(pattern).query_async(&mut server.clone()).await.unwrap();
            all.extend(keys);
        }
        all
    }

    fn lanes(&self) -> impl Iterator<Item = String> {
        let lane =
            |partition: u16| Lane::ALL.map(|lane| format!("mailfleet:{{{}:{partition}}}:{lane}", self.queue));
        (0..2).flat_map(lane).collect::<Vec<_>>().into_iter()
    }

    /// Every lease of this consumer looks as old as can be.
    pub async fn let_leases_run_out(&self, name: &str) {
        for lane in self.lanes() {
            let pending: Vec<(String, Value, Value, Value)> =
                self.run(&format!("XPENDING {lane} consumers - + 100 {name}")).await.unwrap_or_default();
            for (entry, ..) in pending {
                let line = format!("XCLAIM {lane} consumers {name} 0 {entry} IDLE 100000 JUSTID");
                let _: Vec<String> = self.run(&line).await.unwrap();
            }
        }
    }

    /// The idle time of an entry in hand.
    pub async fn idle_ms(&self, held: &Delivery) -> Option<u64> {
        for lane in self.lanes().filter(|lane| lane.ends_with(held.lane().as_str())) {
            let (entry, range) = (held.entry_id(), format!("XPENDING {lane} consumers"));
            let rows: Vec<(String, String, u64, u32)> =
                self.run(&format!("{range} {entry} {entry} 1")).await.unwrap_or_default();
            if let Some((_, _, idle, _)) = rows.first() {
                return Some(*idle);
            }
        }
        None
    }

    pub async fn destroy_group(&self, lane: Lane) {
        for lane in self.lanes().filter(|key| key.ends_with(lane.as_str())) {
            let _: i64 = self.run(&format!("XGROUP DESTROY {lane} consumers")).await.unwrap();
        }
    }

    /// The entries of all lanes, by their keys.
    async fn entries(&self) -> Vec<(String, String, BTreeMap<String, Vec<u8>>)> {
        let mut all = Vec::new();
        for lane in self.lanes() {
            let entries: Vec<(String, BTreeMap<String, Vec<u8>>)> =
                self.run(&format!("XRANGE {lane} - +")).await.unwrap();
            all.extend(entries.into_iter().map(|(entry, fields)| (lane.clone(), entry, fields)));
        }
        all
    }

    /// Jobs that stand in the lanes more than once.
    pub async fn twice(&self) -> Vec<String> {
        let mut times: BTreeMap<String, u32> = BTreeMap::new();
        for (.., fields) in self.entries().await {
            if let Some(job) = fields.get("j") {
                *times.entry(String::from_utf8_lossy(job).into_owned()).or_default() += 1;
            }
        }
        times.into_iter().filter(|(_, times)| *times > 1).map(|(job, _)| job).collect()
    }

    /// Somebody writes an entry without a job, and a producer of a version to come writes one of its own.
    pub async fn write_odd_ones(&self) {
        let prefix = format!("mailfleet:{{{}:0}}:", self.queue);
        let _: String = self.run(&format!("XADD {prefix}low * note hello")).await.unwrap();
        let job = id(UNKNOWN);
        let line = format!(r#"XADD {prefix}normal * j {job} e {{"v":99}} r raw"#);
        let entry: String = self.run(&line).await.unwrap();
        let _: i64 = self.run(&format!("HSET {prefix}live {job} Q|n|{entry}|0")).await.unwrap();
    }

    /// A consumer of a version to come ends that one; how often it stood there.
    pub async fn end_the_unknown(&self) -> usize {
        let job = id(UNKNOWN);
        let mut found = 0;
        for (lane, entry, fields) in self.entries().await {
            if fields.get("j").is_none_or(|of| of != job.as_str().as_bytes()) {
                continue;
            }
            found += 1;
            let prefix = format!("mailfleet:{{{}:0}}:", self.queue);
            let acknowledge = format!("XACK {lane} consumers {entry}");
            let delete = format!("XDEL {lane} {entry}");
            let forget = format!("HDEL {prefix}live {job}");
            for line in [acknowledge, delete, forget, format!("ZREM {prefix}delayed n:{entry}")] {
                let _: i64 = self.run(&line).await.unwrap();
            }
        }
        found
    }

    /// The raw mail of a job is deleted.
    pub async fn lose_mail(&self, number: u32) {
        let line = format!("DEL mailfleet:{{{}:0}}:blob:{}", self.queue, id(number));
        assert_eq!(self.run::<i64>(&line).await.unwrap(), 1);
    }

    /// What is left over of the work, as far as it should not be.
    async fn left_over(&self, living: &str) -> Vec<String> {
        let mut found = Vec::new();
        for key in self.keys().await {
            let name = key.rsplit_once("}:").unwrap().1;
            let count = match name {
                "high" | "normal" | "low" => {
                    found.extend(self.odd_consumers(&key, living).await);
                    self.run::<u64>(&format!("XLEN {key}")).await.unwrap()
                }
                "dead" => self.run(&format!("XLEN {key}")).await.unwrap(),
                "delayed" => self.run(&format!("ZCARD {key}")).await.unwrap(),
                // No entry of any account, and no byte of any lane.
                "accounts" => {
                    let fields: BTreeMap<String, String> = self.run(&format!("HGETALL {key}")).await.unwrap();
                    fields.iter().filter(|(field, value)| *field != "#ended" && *value != "0").count() as u64
                }
                "epoch" => 0,
                _ => 1,
            };
            if count > 0 {
                found.push(format!("{count} in {key}"));
            }
        }
        found
    }

    /// Consumers of the dead, and pending entries of anybody.
    async fn odd_consumers(&self, lane: &str, living: &str) -> Vec<String> {
        let rows: Vec<BTreeMap<String, Value>> =
            self.run(&format!("XINFO CONSUMERS {lane} consumers")).await.unwrap_or_default();
        let text = |value: &Value| redis::from_redis_value::<String>(value.clone()).unwrap();
        let names = rows.iter().map(|row| (text(&row["name"]), text(&row["pending"])));
        let known = |name: &str| name == living || ["released", "alone", "delayed"].contains(&name);
        let odd = names.filter(|(name, pending)| !known(name) || pending != "0");
        odd.map(|(name, pending)| format!("{name} with {pending} in {lane}")).collect()
    }
}

/// Brings everything to its end by the means of every day. Where it is `blind` it does not ask what is live, and repeats
/// what may have been done already.
pub async fn finish(case: &Case, books: &mut Books, blind: bool) {
    let (queue, admin) = (case.queue(&case.redis), Admin::new(case).await);
    once_each(case, &admin).await;
    if books.has_odd_ones && !books.unknown_ended {
        assert_eq!(admin.end_the_unknown().await, 1, "{}: entries of a version to come", case.name);
    }
    queue.prepare().await.unwrap();
    // An operator who finds it so.
    queue.resume(None).await.unwrap();
    let consumer = queue.consumer(ConsumerName::for_this_process());
    let keeper = consumer.spawn_keeper().unwrap();
    let end = Instant::now() + SOON * 3;
    loop {
        // The producer's sweep, and an operator who replays all.
        sweep(&queue, books, blind).await;
        once_each(case, &admin).await;
        // The names of the dead go with it.
        let mut taken = consumer.reclaim_and_forget(100, Duration::ZERO).await.unwrap();
        taken.extend(consumer.claim(100).await.unwrap());
        let strays = put_away(&consumer, books).await.unwrap();
        let worked = !taken.is_empty() || strays > 0;
        work_off(&consumer, taken, books).await;
        let left = if worked { Vec::new() } else { admin.left_over(consumer.name().as_str()).await };
        // What was closed for want of its raw mail is brought again by the next sweep.
        if !worked && left.is_empty() && books.without_outcome().is_empty() {
            break;
        }
        if left.iter().any(|left| left.ends_with("recount")) {
            // A count that was begun is gone on with by whoever is refused next.
            be_refused(case).await;
        }
        assert!(Instant::now() < end, "{}: {left:?} is left, as the books say {books:?}", case.name);
        // A due retry does not ring.
        consumer.wait(Duration::from_millis(50)).await;
    }
    drop(keeper);
}

/// No job stands in the lanes more than once.
async fn once_each(case: &Case, admin: &Admin) {
    let twice = admin.twice().await;
    assert!(twice.is_empty(), "{}: in two entries: {twice:?}", case.name);
}

/// Has more than one entry of the same account, in each partition, where one is the most.
async fn be_refused(case: &Case) {
    let strict = Config { account_max_entries: 1, ..case.config(&case.redis) };
    let strict = Queue::connect(&strict).unwrap();
    for account in 0..2 {
        // Numbers beyond those of the life, twelve apart: of one account and one lane, which is not the high one.
        let jobs = [1, 2, 3].map(|n| job(12 * n + 100 + account));
        assert!(jobs.iter().all(|job| job.lane != Lane::High));
        let answers = strict.enqueue(jobs.to_vec()).await.unwrap();
        assert!(answers.contains(&Enqueued::AccountFull), "{answers:?}");
    }
}

async fn sweep(queue: &Queue, books: &mut Books, blind: bool) {
    let open = books.letters(Letter::Open);
    for number in open {
        books.of(number).letter = Some(Letter::Replayed);
    }
    for (numbers, replay) in [(books.without_outcome(), false), (books.letters(Letter::Replayed), true)] {
        let ids: Vec<_> = numbers.iter().map(|number| id(*number)).collect();
        let live = if blind { vec![false; ids.len()] } else { queue.live(&ids).await.unwrap() };
        let lost: Vec<u32> =
            numbers.into_iter().zip(live).filter(|(_, live)| !live).map(|(n, _)| n).collect();
        let jobs = lost.iter().map(|number| job(*number)).collect();
        let answers = if replay { queue.replay(jobs).await } else { queue.enqueue(jobs).await }.unwrap();
        books.entered(&lost, Some(&answers));
    }
}
