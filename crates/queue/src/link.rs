//! The way to Redis: the pool, single scripts through it, and what each call says about Redis being there.

use std::time::{Duration, Instant};

use deadpool_redis::{Connection, Manager, Pool, Runtime, Timeouts};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, FromRedisValue, ScriptInvocation, TlsCertificates,
};
use rustls::crypto::CryptoProvider;

use crate::config::{Config, ConfigError};
use crate::error::{Error, Result};
use crate::reach::Reach;

pub(crate) struct Link {
    client: Client,
    pool: Pool,
    pub(crate) reach: Reach,
    timeout: Duration,
}

impl Link {
    /// Prepares everything; nothing is connected yet.
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let client = client(config)?;
        if matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. }) {
            // The client library takes the process' provider and panics where there is none. One that the process has
            // chosen stays; losing a race against another installer is as good as winning it.
            if CryptoProvider::get_default().is_none() {
                let _ = rustls::crypto::ring::default_provider().install_default();
            }
        }
        let timeout = config.response_timeout();
        let manager =
            Manager::new_with_config(client.get_connection_info().clone(), connection_config(timeout))
                .map_err(Error::redis("prepare the connection pool"))?;
        let pool = Pool::builder(manager)
            .max_size(config.pool_size)
            .timeouts(Timeouts { wait: Some(timeout), create: Some(timeout), recycle: Some(timeout) })
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| ConfigError { field: "pool_size", problem: error.to_string() })?;
        Ok(Self { client, pool, reach: Reach::new(config.lease()), timeout })
    }

    /// A pooled connection.
    pub(crate) async fn connection(&self, doing: &'static str) -> Result<Connection> {
        self.pool.get().await.map_err(Error::pool(doing)).inspect_err(|error| self.note_failure(error))
    }

    /// A connection of its own, outside the pool, whose answers are waited for no longer than `timeout`.
    pub(crate) async fn dedicated(
        &self,
        doing: &'static str,
        timeout: Duration,
    ) -> Result<MultiplexedConnection> {
        let config = connection_config(timeout.min(self.timeout));
        let connected = self.client.get_multiplexed_async_connection_with_config(&config).await;
        connected.map_err(Error::redis(doing)).inspect_err(|error| self.note_failure(error))
    }

    /// A connection that only listens. It has no answers to time out; its silence is covered by polling.
    pub(crate) async fn listener(&self, doing: &'static str) -> Result<redis::aio::PubSub> {
        match tokio::time::timeout(self.timeout, self.client.get_async_pubsub()).await {
            Ok(connected) => connected.map_err(Error::redis(doing)),
            Err(_) => Err(Error::NoConnection { doing, reason: "timed out" }),
        }
    }

    /// Runs one script on a pooled connection.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        doing: &'static str,
        script: &ScriptInvocation<'_>,
    ) -> Result<T> {
        let mut connection = self.connection(doing).await?;
        let from = Instant::now();
        let answer = script.invoke_async(&mut *connection).await;
        self.noted(from, answer.map_err(Error::redis(doing)))
    }

    /// Runs one command on a pooled connection.
    pub(crate) async fn command<T: FromRedisValue>(
        &self,
        doing: &'static str,
        command: &redis::Cmd,
    ) -> Result<T> {
        let mut connection = self.connection(doing).await?;
        let from = Instant::now();
        let answer = command.query_async(&mut *connection).await;
        self.noted(from, answer.map_err(Error::redis(doing)))
    }

    /// Runs a pipeline of reads on a pooled connection.
    pub(crate) async fn pipeline<T: FromRedisValue>(
        &self,
        doing: &'static str,
        pipeline: &redis::Pipeline,
    ) -> Result<T> {
        let mut connection = self.connection(doing).await?;
        let from = Instant::now();
        let answer = pipeline.query_async(&mut *connection).await;
        self.noted(from, answer.map_err(Error::redis(doing)))
    }

    /// Writes down what a call that began at `from` says about Redis being there.
    pub(crate) fn noted<T>(&self, from: Instant, result: Result<T>) -> Result<T> {
        match &result {
            Ok(_) => self.reach.answered(from, Instant::now()),
            Err(error) => self.note_failure(error),
        }
        result
    }

    fn note_failure(&self, error: &Error) {
        if error.is_outage() {
            self.reach.failed();
        }
    }
}

fn client(config: &Config) -> Result<Client> {
    let url = config.url.expose();
    let bad_url =
        |_| ConfigError { field: "url", problem: "is not a Redis URL; write redis://host:6379/0".to_owned() };
    let Some(path) = &config.tls_ca_file else {
        return Ok(Client::open(url).map_err(bad_url)?);
    };
    let unusable =
        |what: String| ConfigError { field: "tls_ca_file", problem: format!("({}) {what}", path.display()) };
    let pem = std::fs::read(path).map_err(|error| unusable(format!("cannot be read: {error}")))?;
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem) };
    Ok(Client::build_with_tls(url, certificates).map_err(|error| {
        unusable(format!("cannot be used (a rediss:// URL and a PEM file are needed): {error}"))
    })?)
}

/// The library's own response timeout is 500 ms, far too short for a large mail.
fn connection_config(timeout: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_response_timeout(Some(timeout)).set_connection_timeout(Some(timeout))
}
