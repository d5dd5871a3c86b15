//! The processes of the run and their ways to the servers: two producers and three consumers at all times, but for the
//! moments between two lines.

use std::sync::Mutex;
use std::time::Duration;

use mailfleet_testkit::{Process, ProcessBuilder, Proxy, ProxyMode, eventually_blocking};
use mailfleet_tests::{Door, Fleet, Keys, metrics};

use super::journal::Journal;
use super::redelivered::Redelivered;
use super::redis;

/// The lease in this run, in ms.
pub const LEASE_MS: u64 = 1_500;

/// Longer than any drain takes here, shorter than the default grace of Kubernetes.
const DRAIN: Duration = Duration::from_secs(25);

/// How long a call waits for its answer before it is made again, by whichever door.
const CALL: Duration = Duration::from_secs(2);

/// How late each chunk is between a process and PostgreSQL, in either direction, when nothing is wrong: as between two
/// buildings. So work takes long enough for faults to come into the middle of it.
const DISTANCE: Duration = Duration::from_millis(2);

/// Between two sweeps that nothing calls for: longer than any run. So what the queue loses by itself is not found again by
/// chance, and is missed; sweeps come where a producer starts and where Redis may have lost something.
const SWEEP_SECONDS: &str = "86400";

/// What a consumer that is short of memory may hold, in bytes: one claim at a time, its 832 KiB and three mails of 64 KiB.
pub const SHORT_MEMORY: f64 = 1_048_576.0;
const SHORT_OF_MEMORY: [(&str, &str); 3] = [
    ("MAILFLEET_CONSUMER__MEMORY_BUDGET_MIB", "1"),
    ("MAILFLEET_CONSUMER__MAX_MESSAGE_BYTES", "65536"),
    ("MAILFLEET_QUEUE__MAX_CLAIM_BYTES", "851968"),
];

/// How soon nothing is left in the hands of those who are gone: what is promised, and slack for a busy machine.
const TAKEN_OVER: Duration = Duration::from_millis(LEASE_MS + 5_000 + 15_000);

/// A place for a process, with ways of its own to the servers; the ways stay when the process is replaced.
pub struct Slot {
    name: &'static str,
    /// The way to Redis.
    pub redis: Proxy,
    /// The way to PostgreSQL.
    pub postgres: Proxy,
    /// Who is in it.
    pub process: Process,
    incarnation: u32,
}

/// All of them.
pub struct Cast<'a> {
    fleet: &'a Fleet,
    journal: &'a Journal,
    keys: Keys,
    /// The doors that are open, one a producer; calls are made through any of them.
    pub doors: &'a Mutex<Vec<Door>>,
    /// The producers.
    pub producers: Vec<Slot>,
    /// The consumers.
    pub consumers: Vec<Slot>,
    /// What those who are gone had said last.
    gone: Redelivered,
}

impl<'a> Cast<'a> {
    /// Starts all of them.
    pub fn start(fleet: &'a Fleet, journal: &'a Journal, doors: &'a Mutex<Vec<Door>>) -> Self {
        let keys = Keys::add(fleet);
        let ways = || {
            let ways = (fleet.redis.port(), fleet.postgres.port());
            let (redis, postgres) = (Proxy::start(ways.0).unwrap(), Proxy::start(ways.1).unwrap());
            as_usual(&redis, &postgres);
            (redis, postgres)
        };
        let mut cast = Self {
            fleet,
            journal,
            keys,
            doors,
            producers: vec![],
            consumers: vec![],
            gone: Redelivered::default(),
        };
        for name in ["producer-1", "producer-2"] {
            let (redis, postgres) = ways();
            let (door, process) = cast.start_producer(name, 1, &redis, &postgres);
            doors.lock().unwrap().push(door);
            cast.producers.push(Slot { name, redis, postgres, process, incarnation: 1 });
        }
        for name in ["consumer-1", "consumer-2", "consumer-3"] {
            let (redis, postgres) = ways();
            let process = fleet.started(cast.builder("mailfleet-consumer", name, 1, &redis, &postgres));
            cast.consumers.push(Slot { name, redis, postgres, process, incarnation: 1 });
        }
        cast
    }

    fn builder(
        &self,
        binary: &str,
        name: &str,
        incarnation: u32,
        redis: &Proxy,
        postgres: &Proxy,
    ) -> ProcessBuilder {
        self.fleet
            .builder(binary)
            .env("MAILFLEET_QUEUE__URL", format!("redis://127.0.0.1:{}/0", redis.port()))
            .env("MAILFLEET_POSTGRES__URL", self.fleet.postgres_url_by(postgres.port()))
            .env("MAILFLEET_QUEUE__LEASE_MS", LEASE_MS.to_string())
            .env("MAILFLEET_PRODUCER__SWEEP_SECONDS", SWEEP_SECONDS)
            .env("MAILFLEET_ANALYTICS__EVERY_SECONDS", "5")
            .env("MAILFLEET_LOG__FORMAT", "human")
            .named(format!("{name}.{incarnation}"))
            .log_to(self.journal.dir().join(format!("{name}.{incarnation}.log")))
    }

    fn start_producer(
        &self,
        name: &str,
        incarnation: u32,
        redis: &Proxy,
        postgres: &Proxy,
    ) -> (Door, Process) {
        let builder = self.builder("mailfleet-producer", name, incarnation, redis, postgres);
        let (door, process) = Door::start(self.fleet, &self.keys, builder);
        (door.patience(CALL), process)
    }

    /// `kill -9` of a producer, and another one.
    pub fn kill_producer(&mut self, index: usize) {
        self.producers[index].process.sigkill();
        self.renew_producer(index);
    }

    /// `kill -9` of a consumer, and another one.
    pub fn kill_consumer(&mut self, index: usize) {
        self.remember(index);
        self.consumers[index].process.sigkill();
        self.renew_consumer(index, &[]);
    }

    /// SIGTERM to each consumer, one after the other, and one that may hold next to nothing in its place. Returns when all of
    /// them work.
    pub fn take_memory(&mut self) {
        self.replace_consumers(&SHORT_OF_MEMORY);
        for slot in &self.consumers {
            slot.process.wait_for_line("PostgreSQL answers", DRAIN).unwrap();
        }
    }

    /// The other way round. Gives the most that one of them had in hand, in bytes.
    pub fn give_memory_back(&mut self) -> f64 {
        let peak = |slot: &Slot| metrics::sum(&slot.process, &["mailfleet_held_bytes_peak"]).unwrap_or(0.0);
        let most = self.consumers.iter().map(peak).fold(0.0, f64::max);
        self.replace_consumers(&[]);
        most
    }

    /// SIGTERM to each, one after the other, and another one when it is gone.
    pub fn replace_all(&mut self) {
        self.replace_consumers(&[]);
        for index in 0..self.producers.len() {
            self.producers[index].end();
            self.renew_producer(index);
        }
    }

    fn replace_consumers(&mut self, settings: &[(&str, &str)]) {
        for index in 0..self.consumers.len() {
            // What it counts while it ends is missing.
            self.remember(index);
            self.consumers[index].end();
            self.renew_consumer(index, settings);
        }
    }

    fn renew_producer(&mut self, index: usize) {
        let slot = &self.producers[index];
        let incarnation = slot.incarnation + 1;
        let (door, process) = self.start_producer(slot.name, incarnation, &slot.redis, &slot.postgres);
        self.doors.lock().unwrap()[index] = door;
        let slot = &mut self.producers[index];
        (slot.process, slot.incarnation) = (process, incarnation);
    }

    fn renew_consumer(&mut self, index: usize, settings: &[(&str, &str)]) {
        let slot = &self.consumers[index];
        let incarnation = slot.incarnation + 1;
        let builder = self.builder("mailfleet-consumer", slot.name, incarnation, &slot.redis, &slot.postgres);
        let builder = settings.iter().fold(builder, |builder, (name, value)| builder.env(name, value));
        let process = self.fleet.started(builder);
        let slot = &mut self.consumers[index];
        (slot.process, slot.incarnation) = (process, incarnation);
    }

    /// Nobody may end by himself.
    pub fn assert_alive(&self) {
        for slot in self.producers.iter().chain(&self.consumers) {
            assert!(slot.process.is_running(), "{} ended: {}", slot.name, slot.process.stderr());
        }
    }

    /// Waits until nothing is pending that its holder does not renew: what a fault took from its holders is in other hands,
    /// or done, and does not count for the next one.
    pub fn wait_renewed(&self) {
        eventually_blocking("entries of the gone in other hands", TAKEN_OVER, || {
            (redis::unrenewed(self.fleet.redis.port(), LEASE_MS * 2 / 3) == 0).then_some(())
        });
    }

    /// What consumers have said of redeliveries so far, the gone ones included. What one counted in its last moment
    /// before `kill -9` is missing.
    pub fn redelivered(&self) -> Redelivered {
        self.consumers.iter().fold(self.gone, |sum, slot| sum.plus(Redelivered::of(&slot.process)))
    }

    fn remember(&mut self, index: usize) {
        self.gone = self.gone.plus(Redelivered::of(&self.consumers[index].process));
    }

    /// Ends all consumers, as a deploy does; producers stay.
    pub fn end_consumers(&mut self) -> Redelivered {
        let said = self.redelivered();
        for slot in &self.consumers {
            slot.process.sigterm();
        }
        self.consumers.iter().for_each(Slot::ended);
        said
    }
}

impl Slot {
    /// Who is in it, as its log file is called, and its process id.
    pub fn incarnation(&self) -> String {
        format!("{}.{} (process {})", self.name, self.incarnation, self.process.pid())
    }

    /// Its ways are what they are when nothing is wrong.
    pub fn as_usual(&self) {
        as_usual(&self.redis, &self.postgres);
    }

    /// SIGTERM, and its end in peace.
    fn end(&self) {
        self.process.sigterm();
        self.ended();
    }

    /// It ends in peace, having been told.
    fn ended(&self) {
        let status = self.process.wait_exit(DRAIN).unwrap();
        assert!(status.success(), "{}: {status}: {}", self.name, self.process.stderr());
    }
}

fn as_usual(redis: &Proxy, postgres: &Proxy) {
    redis.set(ProxyMode::Pass);
    postgres.set(ProxyMode::Slow { delay: DISTANCE, bytes_per_second: None });
}
