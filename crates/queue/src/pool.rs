//! The pool of connections: deadpool-redis makes and checks them, this module says when a check is needed. A connection that
//! was used a moment ago is taken from it as it is, without asking the server first: that would double the round trips of
//! every call. What is broken is not handed out all the same:
//!
//! - When a call fails on a connection, or a check, every connection made before goes, with no more said: whatever broke
//!   one, a restart or a cut line, has most likely broken them all. So an outage costs the calls that it meets, and one
//!   more at most when it fell between two calls in quick succession.
//! - A connection that was idle for longer is asked first. That costs nobody anything who has time to be idle, and a
//!   restart, a server that closes what is silent, or a NAT box that forgets it are not noticed at all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, Object, QueueMode, RecycleError, RecycleResult, Timeouts};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};

use crate::config::ConfigError;

pub(crate) use deadpool::managed::TimeoutType;

/// An error of the pool.
pub(crate) type PoolError = managed::PoolError<RedisError>;

/// A connection that was taken longer ago than this is asked before it is handed out.
const ASK_AFTER: Duration = Duration::from_millis(500);

/// The connections.
pub(crate) struct Pool(managed::Pool<Manager>);

/// One of them, as the pool keeps it.
struct Pooled {
    redis: MultiplexedConnection,
    generation: u64,
}

/// Makes connections, and checks those that need it.
struct Manager {
    inner: deadpool_redis::Manager,
    /// Connections of an earlier generation are not used any more.
    generation: AtomicU64,
}

impl Pool {
    /// An empty pool of at most `size` connections. Waiting for one, and making one, end after `timeout`.
    pub(crate) fn new(
        client: &Client,
        config: AsyncConnectionConfig,
        size: usize,
        timeout: Duration,
    ) -> Result<Self, ConfigError> {
        let inner = deadpool_redis::Manager::new_with_config(client.get_connection_info().clone(), config)
            .map_err(|error| ConfigError { field: "url", problem: error.to_string() })?;
        managed::Pool::builder(Manager { inner, generation: AtomicU64::new(0) })
            .max_size(size)
            // A check of an old connection ends with the response timeout of that connection.
            .timeouts(Timeouts { wait: Some(timeout), create: Some(timeout), recycle: None })
            // The one that was used last is the most likely to live.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .build()
            .map(Self)
            .map_err(|error| ConfigError { field: "pool_size", problem: error.to_string() })
    }

    /// Takes a connection.
    pub(crate) async fn get(&self) -> Result<Taken, PoolError> {
        self.0.get().await.map(Taken)
    }

    /// Takes in an error of a call on this connection.
    pub(crate) fn judge(&self, taken: &Taken, error: &RedisError) {
        if breaks(error) {
            self.0.manager().give_up(taken.0.generation);
        }
    }
}

/// A connection out of the pool; it goes back there with this value.
pub(crate) struct Taken(Object<Manager>);

impl Taken {
    /// The connection itself.
    pub(crate) fn redis(&mut self) -> &mut MultiplexedConnection {
        &mut self.0.redis
    }
}

impl Manager {
    /// A connection of this generation is broken, and so are its fellows. Failures of older ones say nothing new.
    fn give_up(&self, generation: u64) {
        let _ = self.generation.compare_exchange(
            generation,
            generation.wrapping_add(1),
            Ordering::AcqRel,
            Ordering::Acquire,
        );
    }
}

impl managed::Manager for Manager {
    type Type = Pooled;
    type Error = RedisError;

    async fn create(&self) -> Result<Pooled, RedisError> {
        // Read before the connection is made: one that is made while others break may be one of them.
        let generation = self.generation.load(Ordering::Acquire);
        Ok(Pooled { redis: self.inner.create().await?, generation })
    }

    async fn recycle(&self, pooled: &mut Pooled, metrics: &Metrics) -> RecycleResult<RedisError> {
        if pooled.generation != self.generation.load(Ordering::Acquire) {
            return Err(RecycleError::message("given up with another one that broke"));
        }
        if metrics.last_used() < ASK_AFTER {
            return Ok(());
        }
        match self.inner.recycle(&mut pooled.redis, metrics).await {
            // A refusal is an answer too: the connection lives.
            Ok(()) => Ok(()),
            Err(RecycleError::Backend(error)) if !breaks(&error) => Ok(()),
            Err(error) => {
                self.give_up(pooled.generation);
                Err(error)
            }
        }
    }
}

/// Whether a connection is of no more use after this error. A server that has become a replica is among them: another
/// connection may lead to the master, by a name that points there now.
pub(crate) fn breaks(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || error.code() == Some("READONLY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_refuses_does_not_cost_the_connection() {
        let said = |code: &str| redis::make_extension_error(code.to_owned(), None);
        assert!(!breaks(&said("WRONGTYPE")) && !breaks(&said("OOM")) && !breaks(&said("NOPERM")));
        assert!(breaks(&said("READONLY")));
        assert!(breaks(&std::io::Error::from(std::io::ErrorKind::TimedOut).into()));
        assert!(breaks(&std::io::Error::from(std::io::ErrorKind::BrokenPipe).into()));
    }
}
