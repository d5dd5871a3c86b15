//! Doing the faults.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use mailfleet_testkit::ProxyMode;
use mailfleet_tests::Fleet;

use super::cast::{Cast, SHORT_MEMORY, Slot};
use super::kind::{Kind, Target};
use super::load::Load;
use super::plan::Fault;
use super::redis;

/// What `maxmemory` is raised to again.
const ENOUGH_MEMORY: &str = "256mb";
/// How much more than it uses Redis may take when it is nearly full, in bytes.
const HARDLY_ANY_MEMORY: u64 = 32 << 10;

/// How long to wait for a consumer that has work in hand, and between two looks.
const SOON: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// After the first consumer another one is killed, so long after it was seen with work in hand: in the midst of the work, where
/// Redis knows nothing of it any more if it was told too soon that the work is done. Not more of them: what the dead leave runs
/// one by one, which takes its time.
const THEN_KILLED_AFTER: Duration = Duration::from_millis(30);
/// So often more mail comes where no consumer has any in hand, and so much.
const TRIES: usize = 5;
const MORE: u32 = 60;

/// A fault that has begun.
pub struct Begun {
    /// Whom it met, in words.
    pub whom: String,
    consumer: usize,
    producer: usize,
    /// [`Fault::felt`] when it began.
    felt: u64,
}

impl Fault {
    /// Begins it; one that does not last is over afterwards. `alone`: no other one is under way.
    ///
    /// # Panics
    /// Where it would be nothing, because nobody has work in hand however much comes.
    pub fn begin(&self, fleet: &Fleet, cast: &mut Cast<'_>, load: &Load<'_>, alone: bool) -> Begun {
        let producer = self.pick % cast.producers.len();
        let consumer = self.consumer(fleet, cast, load, alone);
        let mut begun = Begun { whom: String::new(), consumer, producer, felt: 0 };
        begun.whom = match self.kind.target() {
            Target::Consumer => cast.consumers[consumer].incarnation(),
            Target::Producer => cast.producers[producer].incarnation(),
            _ => String::new(),
        };
        begun.felt = self.felt(fleet, cast, &begun);
        let slow = ProxyMode::Slow { delay: self.delay, bytes_per_second: None };
        match self.kind {
            Kind::ConsumerKilled => {
                cast.kill_consumer(consumer);
                let next = self.consumer(fleet, cast, load, alone);
                std::thread::sleep(THEN_KILLED_AFTER);
                write!(begun.whom, ", then {}", cast.consumers[next].incarnation()).unwrap();
                cast.kill_consumer(next);
            }
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
                let limit = redis::used_memory(fleet.redis.port()) + HARDLY_ANY_MEMORY;
                redis::set_max_memory(fleet.redis.port(), &limit.to_string());
                begun.whom = format!("at {limit} bytes");
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
            Kind::ConsumersShortOfMemory => cast.take_memory(),
            Kind::Replaced => cast.replace_all(),
        }
        begun
    }

    /// The consumer that it meets: one of those that have work in hand at this moment. Also a fault that meets a server is
    /// begun while somebody has. Another fault that is under way may keep that from being seen, or from being so.
    fn consumer(&self, fleet: &Fleet, cast: &Cast<'_>, load: &Load<'_>, alone: bool) -> usize {
        let any = self.pick % cast.consumers.len();
        if !self.kind.wants_work_in_hand() {
            return any;
        }
        for _ in 0..if alone { TRIES } else { 1 } {
            let begun = Instant::now();
            while begun.elapsed() < SOON {
                let holders = redis::holders(fleet.redis.port());
                let holds = |slot: &Slot| {
                    holders.iter().any(|name| name.contains(&format!("-{}-", slot.process.pid())))
                };
                let busy: Vec<usize> =
                    (0..cast.consumers.len()).filter(|&index| holds(&cast.consumers[index])).collect();
                if !busy.is_empty() {
                    return busy[self.pick % busy.len()];
                }
                std::thread::sleep(LOOK_EVERY);
            }
            load.deliver(fleet, MORE);
        }
        assert!(!alone, "{self:?}: no consumer ever had work in hand");
        any
    }

    /// A number that goes up where the fault is felt, of those that leave such a trace; of the others always 0.
    fn felt(&self, fleet: &Fleet, cast: &Cast<'_>, begun: &Begun) -> u64 {
        let (consumer, producer) = (&cast.consumers[begun.consumer], &cast.producers[begun.producer]);
        match self.kind {
            Kind::RedisFull => redis::errors(fleet.redis.port(), "OOM"),
            Kind::ScriptsFlushed => redis::errors(fleet.redis.port(), "NOSCRIPT"),
            Kind::ConsumerRedisSlow => consumer.redis.requests(),
            Kind::ConsumerRedisHalfOpen => consumer.redis.swallowed(),
            Kind::ConsumerPostgresSlow => consumer.postgres.requests(),
            Kind::ConsumerPostgresHalfOpen => consumer.postgres.swallowed(),
            Kind::ProducerRedisSlow => producer.redis.requests(),
            Kind::ProducerRedisHalfOpen => producer.redis.swallowed(),
            Kind::ProducerPostgresHalfOpen => producer.postgres.swallowed(),
            _ => 0,
        }
    }

    /// Asserts that it was felt, where that leaves a trace; to be called at its end where it lasts, and else when the fleet has
    /// caught up.
    pub fn assert_felt(&self, fleet: &Fleet, cast: &Cast<'_>, begun: &Begun) {
        let leaves_a_trace = matches!(
            self.kind,
            Kind::RedisFull
                | Kind::ScriptsFlushed
                | Kind::ConsumerRedisSlow
                | Kind::ConsumerRedisHalfOpen
                | Kind::ConsumerPostgresSlow
                | Kind::ConsumerPostgresHalfOpen
                | Kind::ProducerRedisSlow
                | Kind::ProducerRedisHalfOpen
                | Kind::ProducerPostgresHalfOpen
        );
        let felt = self.felt(fleet, cast, begun);
        assert!(!leaves_a_trace || felt > begun.felt, "{self:?} was not felt: {felt} as before");
    }

    /// Ends one that lasts. Those that meet one process end for all: no other one has such a fault at that time.
    pub fn end(&self, fleet: &Fleet, cast: &mut Cast<'_>) {
        match self.kind {
            Kind::ConsumerStopped => cast.consumers.iter().for_each(|slot| slot.process.sigcont()),
            Kind::ProducerStopped => cast.producers.iter().for_each(|slot| slot.process.sigcont()),
            Kind::RedisStopped => fleet.redis.resume().unwrap(),
            Kind::RedisFull => redis::set_max_memory(fleet.redis.port(), ENOUGH_MEMORY),
            Kind::PostgresStopped => fleet.postgres.resume().unwrap(),
            Kind::ConsumerRedisSlow
            | Kind::ConsumerRedisHalfOpen
            | Kind::ConsumerPostgresSlow
            | Kind::ConsumerPostgresHalfOpen => cast.consumers.iter().for_each(Slot::as_usual),
            Kind::ProducerRedisSlow | Kind::ProducerRedisHalfOpen | Kind::ProducerPostgresHalfOpen => {
                cast.producers.iter().for_each(Slot::as_usual);
            }
            Kind::ConsumersShortOfMemory => {
                let most = cast.give_memory_back();
                assert!(most > 0.0, "those who were short of memory had nothing to do");
                assert!(most <= SHORT_MEMORY, "{most} bytes in hand, of {SHORT_MEMORY} that may be");
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
    }
}
