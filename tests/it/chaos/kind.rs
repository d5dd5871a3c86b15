//! The kinds of fault.

/// What is done to the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `kill -9`, and another one in its place; twice.
    ConsumerKilled,
    /// `kill -9`, and another one in its place.
    ProducerKilled,
    /// SIGSTOP for longer than a lease, and SIGCONT.
    ConsumerStopped,
    /// The same.
    ProducerStopped,
    /// The same: connections stay open and nothing answers.
    RedisStopped,
    /// FLUSHALL.
    Flushed,
    /// SCRIPT FLUSH.
    ScriptsFlushed,
    /// XGROUP DESTROY of every group.
    GroupsDestroyed,
    /// An orderly end and a start.
    RedisRestarted,
    /// `kill -9` and a start.
    RedisKilled,
    /// `maxmemory` just above what is used, for a while.
    RedisFull,
    /// An orderly end and a start.
    PostgresRestarted,
    /// `kill -9` and a start.
    PostgresKilled,
    /// SIGSTOP for longer than a lease, and SIGCONT.
    PostgresStopped,
    /// `kill -9` and a start.
    DovecotKilled,
    /// Every chunk between one consumer and Redis is late.
    ConsumerRedisSlow,
    /// One consumer's connections to Redis fall silent, new ones too.
    ConsumerRedisHalfOpen,
    /// Every chunk between one consumer and PostgreSQL is late.
    ConsumerPostgresSlow,
    /// One consumer's connections to PostgreSQL fall silent, new ones too.
    ConsumerPostgresHalfOpen,
    /// Every chunk between one producer and Redis is late.
    ProducerRedisSlow,
    /// One producer's connections to Redis fall silent, new ones too.
    ProducerRedisHalfOpen,
    /// One producer's connections to PostgreSQL fall silent, new ones too.
    ProducerPostgresHalfOpen,
    /// Every consumer is replaced by one that may hold next to nothing, and large mails come.
    ConsumersShortOfMemory,
    /// Every process is replaced, one after the other, as a deploy does.
    Replaced,
}

/// What a kind meets. Two faults come together only where they meet different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// One consumer, or its ways.
    Consumer,
    /// One producer, or its ways.
    Producer,
    /// The server.
    Redis,
    /// The server.
    Postgres,
    /// The server.
    Dovecot,
    /// Everything of ours.
    Fleet,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::ConsumerKilled,
        Self::ProducerKilled,
        Self::ConsumerStopped,
        Self::ProducerStopped,
        Self::RedisStopped,
        Self::Flushed,
        Self::ScriptsFlushed,
        Self::GroupsDestroyed,
        Self::RedisRestarted,
        Self::RedisKilled,
        Self::RedisFull,
        Self::PostgresRestarted,
        Self::PostgresKilled,
        Self::PostgresStopped,
        Self::DovecotKilled,
        Self::ConsumerRedisSlow,
        Self::ConsumerRedisHalfOpen,
        Self::ConsumerPostgresSlow,
        Self::ConsumerPostgresHalfOpen,
        Self::ProducerRedisSlow,
        Self::ProducerRedisHalfOpen,
        Self::ProducerPostgresHalfOpen,
        Self::ConsumersShortOfMemory,
        Self::Replaced,
    ];

    /// How people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConsumerKilled => "consumers killed",
            Self::ProducerKilled => "producer killed",
            Self::ConsumerStopped => "consumer stopped, goes on",
            Self::ProducerStopped => "producer stopped, goes on",
            Self::RedisStopped => "Redis stopped, goes on",
            Self::Flushed => "FLUSHALL",
            Self::ScriptsFlushed => "SCRIPT FLUSH",
            Self::GroupsDestroyed => "groups destroyed",
            Self::RedisRestarted => "Redis restarted",
            Self::RedisKilled => "Redis killed",
            Self::RedisFull => "Redis at maxmemory",
            Self::PostgresRestarted => "PostgreSQL restarted",
            Self::PostgresKilled => "PostgreSQL killed",
            Self::PostgresStopped => "PostgreSQL stopped, goes on",
            Self::DovecotKilled => "Dovecot killed",
            Self::ConsumerRedisSlow => "consumer-Redis slow",
            Self::ConsumerRedisHalfOpen => "consumer-Redis half-open",
            Self::ConsumerPostgresSlow => "consumer-PostgreSQL slow",
            Self::ConsumerPostgresHalfOpen => "consumer-PostgreSQL half-open",
            Self::ProducerRedisSlow => "producer-Redis slow",
            Self::ProducerRedisHalfOpen => "producer-Redis half-open",
            Self::ProducerPostgresHalfOpen => "producer-PostgreSQL half-open",
            Self::ConsumersShortOfMemory => "consumers short of memory",
            Self::Replaced => "rolling replacement",
        }
    }

    /// What it meets.
    pub const fn target(self) -> Target {
        match self {
            Self::ConsumerKilled
            | Self::ConsumerStopped
            | Self::ConsumerRedisSlow
            | Self::ConsumerRedisHalfOpen
            | Self::ConsumerPostgresSlow
            | Self::ConsumerPostgresHalfOpen => Target::Consumer,
            Self::ProducerKilled
            | Self::ProducerStopped
            | Self::ProducerRedisSlow
            | Self::ProducerRedisHalfOpen
            | Self::ProducerPostgresHalfOpen => Target::Producer,
            Self::RedisStopped
            | Self::Flushed
            | Self::ScriptsFlushed
            | Self::GroupsDestroyed
            | Self::RedisRestarted
            | Self::RedisKilled
            | Self::RedisFull => Target::Redis,
            Self::PostgresRestarted | Self::PostgresKilled | Self::PostgresStopped => Target::Postgres,
            Self::DovecotKilled => Target::Dovecot,
            Self::ConsumersShortOfMemory | Self::Replaced => Target::Fleet,
        }
    }

    /// Whether it lasts; the others are over as soon as they are done.
    pub const fn lasts(self) -> bool {
        match self {
            Self::ConsumerStopped
            | Self::ProducerStopped
            | Self::RedisStopped
            | Self::RedisFull
            | Self::PostgresStopped
            | Self::ConsumerRedisSlow
            | Self::ConsumerRedisHalfOpen
            | Self::ConsumerPostgresSlow
            | Self::ConsumerPostgresHalfOpen
            | Self::ProducerRedisSlow
            | Self::ProducerRedisHalfOpen
            | Self::ProducerPostgresHalfOpen
            | Self::ConsumersShortOfMemory => true,
            Self::ConsumerKilled
            | Self::ProducerKilled
            | Self::Flushed
            | Self::ScriptsFlushed
            | Self::GroupsDestroyed
            | Self::RedisRestarted
            | Self::RedisKilled
            | Self::PostgresRestarted
            | Self::PostgresKilled
            | Self::DovecotKilled
            | Self::Replaced => false,
        }
    }

    /// Whether work may change hands, because a consumer dies, stands still, or its renewals do not get through in time. By
    /// all others no lease runs out: what is taken over is taken from the living.
    pub const fn may_cost_leases(self) -> bool {
        matches!(
            self,
            Self::ConsumerKilled
                | Self::ConsumerStopped
                | Self::ConsumerRedisSlow
                | Self::ConsumerRedisHalfOpen
        )
    }

    /// Whether it is nothing where no consumer has work in hand.
    pub const fn wants_work_in_hand(self) -> bool {
        !matches!(self.target(), Target::Producer | Target::Dovecot)
    }

    /// Whether the mails that come while it lasts are large.
    pub const fn wants_large_mails(self) -> bool {
        matches!(self, Self::ConsumersShortOfMemory)
    }
}
