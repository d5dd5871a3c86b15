//! Doing the faults.

use std::time::{Duration, Instant};

use mailfleet_testkit::ProxyMode;
use mailfleet_tests::Fleet;

use super::cast::{Cast, Slot};
use super::kind::{Kind, Target};
use super::plan::Fault;
use super::redis;

/// What `maxmemory` is raised to again.
const ENOUGH_MEMORY: &str = "256mb";
/// How much more than it uses Redis may take when it is nearly full, in bytes.
const HARDLY_ANY_MEMORY: u64 = 32 << 10;

/// How long to wait for a consumer that holds something, and between two looks.
const SOON: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(5);

impl Fault {
    /// Begins it; one that does not last is over afterwards. Says whom it met.
    pub fn begin(&self, fleet: &Fleet, cast: &mut Cast<'_>) -> String {
        let (consumer, producer) = (self.consumer(fleet, cast), self.pick % cast.producers.len());
        let slow = ProxyMode::Slow { delay: self.delay, bytes_per_second: None };
        let mut whom = match self.kind.target() {
            Target::Consumer => format!("consumer-{}", consumer + 1),
            Target::Producer => format!("producer-{}", producer + 1),
            _ => String::new(),
        };
        match self.kind {
            Kind::ConsumerKilled => cast.kill_consumer(consumer),
            Kind::ProducerKilled => cast.kill_producer(producer),
            Kind::ConsumerStopped => cast.consumers[consumer].process.sigstop(),
            Kind::ProducerStopped => cast.producers[producer].process.sigstop(),
            Kind::RedisStopped => fleet.redis.pause().unwrap(),
            Kind::Flushed => assert_eq!(redis::ask(fleet.redis.port(), "FLUSHALL"), "+OK"),
            Kind::ScriptsFlushed => assert_eq!(redis::ask(fleet.redis.port(), "SCRIPT FLUSH"), "+OK"),
            Kind::GroupsDestroyed => assert!(redis::destroy_groups(fleet.redis.port()), "there was none"),
            Kind::RedisRestarted => {
                fleet.redis.stop().unwrap();
                fleet.redis.start_again().unwrap();
            }
            Kind::RedisKilled => {
                fleet.redis.kill();
                fleet.redis.start_again().unwrap();
            }
            Kind::RedisFull => {
                assert_eq!(redis::ask(fleet.redis.port(), "CONFIG RESETSTAT"), "+OK");
                let limit = redis::used_memory(fleet.redis.port()) + HARDLY_ANY_MEMORY;
                redis::set_max_memory(fleet.redis.port(), &limit.to_string());
                whom = format!("at {limit} bytes");
            }
            Kind::PostgresRestarted => {
                fleet.postgres.stop().unwrap();
                fleet.postgres.start_again().unwrap();
            }
            Kind::PostgresKilled => {
                fleet.postgres.kill();
                fleet.postgres.start_again().unwrap();
            }
            Kind::PostgresStopped => fleet.postgres.pause().unwrap(),
            Kind::DovecotKilled => {
                fleet.dovecot.kill();
                fleet.dovecot.start_again().unwrap();
            }
            Kind::ConsumerRedisSlow => cast.consumers[consumer].redis.set(slow),
            Kind::ConsumerRedisHalfOpen => cast.consumers[consumer].redis.set(ProxyMode::HalfOpen),
            Kind::ConsumerPostgresSlow => cast.consumers[consumer].postgres.set(slow),
            Kind::ConsumerPostgresHalfOpen => cast.consumers[consumer].postgres.set(ProxyMode::HalfOpen),
            Kind::ProducerRedisSlow => cast.producers[producer].redis.set(slow),
            Kind::ProducerRedisHalfOpen => cast.producers[producer].redis.set(ProxyMode::HalfOpen),
            Kind::ProducerPostgresHalfOpen => cast.producers[producer].postgres.set(ProxyMode::HalfOpen),
            Kind::Replaced => cast.replace_all(),
        }
        whom
    }

    /// The consumer that it meets: one of those that hold work at this moment, where there is one soon.
    fn consumer(&self, fleet: &Fleet, cast: &Cast<'_>) -> usize {
        let any = self.pick % cast.consumers.len();
        if self.kind.target() != Target::Consumer {
            return any;
        }
        let begun = Instant::now();
        while begun.elapsed() < SOON {
            let holders = redis::holders(fleet.redis.port());
            let holds =
                |slot: &Slot| holders.iter().any(|name| name.contains(&format!("-{}-", slot.process.pid())));
            let busy: Vec<usize> =
                (0..cast.consumers.len()).filter(|&index| holds(&cast.consumers[index])).collect();
            if !busy.is_empty() {
                return busy[self.pick % busy.len()];
            }
            std::thread::sleep(LOOK_EVERY);
        }
        any
    }

    /// Ends one that lasts. Those that meet one process end for all: no other one has such a fault at that time. False
    /// where it can be seen that it met nothing.
    pub fn end(&self, fleet: &Fleet, cast: &Cast<'_>) -> bool {
        let mut met = true;
        match self.kind {
            Kind::ConsumerStopped => cast.consumers.iter().for_each(|slot| slot.process.sigcont()),
            Kind::ProducerStopped => cast.producers.iter().for_each(|slot| slot.process.sigcont()),
            Kind::RedisStopped => fleet.redis.resume().unwrap(),
            Kind::RedisFull => {
                met = redis::ask(fleet.redis.port(), "INFO errorstats").contains("errorstat_OOM");
                redis::set_max_memory(fleet.redis.port(), ENOUGH_MEMORY);
            }
            Kind::PostgresStopped => fleet.postgres.resume().unwrap(),
            Kind::ConsumerRedisSlow
            | Kind::ConsumerRedisHalfOpen
            | Kind::ConsumerPostgresSlow
            | Kind::ConsumerPostgresHalfOpen => cast.consumers.iter().for_each(Slot::as_usual),
            Kind::ProducerRedisSlow | Kind::ProducerRedisHalfOpen | Kind::ProducerPostgresHalfOpen => {
                cast.producers.iter().for_each(Slot::as_usual);
            }
            Kind::ConsumerKilled
            | Kind::ProducerKilled
            | Kind::Flushed
            | Kind::ScriptsFlushed
            | Kind::GroupsDestroyed
            | Kind::RedisRestarted
            | Kind::RedisKilled
            | Kind::PostgresRestarted
            | Kind::PostgresKilled
            | Kind::DovecotKilled
            | Kind::Replaced => {}
        }
        met
    }
}
