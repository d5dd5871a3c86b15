//! The way to Redis: the pool, single scripts through it, and what each call says about Redis being there.

use std::time::{Duration, Instant};

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, FromRedisValue, RedisError, RedisResult, ScriptInvocation,
    TlsCertificates,
};
use rustls::crypto::CryptoProvider;

use crate::config::{Config, ConfigError};
use crate::error::{Error, Result};
use crate::pool::{Pool, PoolError, Taken};
use crate::reach::Reach;

pub(crate) struct Link {
    client: Client,
    pool: Pool,
    pub(crate) reach: Reach,
    timeout: Duration,
    place: String,
}

impl Link {
    /// Prepares everything; nothing is connected yet.
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let client = client(config)?;
        let address = client.get_connection_info().addr();
        if matches!(address, ConnectionAddr::TcpTls { .. }) {
            // The client library takes the process' provider and panics where there is none. One that the process has
            // chosen stays; losing a race against another installer is as good as winning it.
            if CryptoProvider::get_default().is_none() {
                let _ = rustls::crypto::ring::default_provider().install_default();
            }
        }
        let (timeout, place) = (config.response_timeout(), place(address));
        let pool = Pool::new(&client, connection_config(timeout), config.pool_size, timeout)?;
        Ok(Self { client, pool, reach: Reach::new(config.lease()), timeout, place })
    }

    /// Host and port of the server, or the path of its socket; never the login.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// A connection of its own, outside the pool, whose answers are waited for no longer than `timeout`.
    pub(crate) async fn dedicated(
        &self,
        doing: &'static str,
        timeout: Duration,
    ) -> Result<MultiplexedConnection> {
        let config = connection_config(timeout.min(self.timeout));
        let connected = self.client.get_multiplexed_async_connection_with_config(&config).await;
        connected.map_err(self.said(doing)).inspect_err(|error| self.note_failure(error))
    }

    /// A connection that only listens. It has no answers to time out; its silence is covered by polling.
    pub(crate) async fn listener(&self, doing: &'static str) -> Result<PubSub> {
        match tokio::time::timeout(self.timeout, self.client.get_async_pubsub()).await {
            Ok(connected) => connected.map_err(self.said(doing)),
            Err(_) => Err(self.no_connection(doing, "timed out")),
        }
    }

    /// Runs one script on a pooled connection.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        doing: &'static str,
        script: &ScriptInvocation<'_>,
    ) -> Result<T> {
        let mut taken = self.take(doing).await?;
        let from = Instant::now();
        let answer = script.invoke_async(taken.redis()).await;
        self.concluded(doing, from, &taken, answer)
    }

    /// Runs one command on a pooled connection.
    pub(crate) async fn command<T: FromRedisValue>(
        &self,
        doing: &'static str,
        command: &redis::Cmd,
    ) -> Result<T> {
        let mut taken = self.take(doing).await?;
        let from = Instant::now();
        let answer = command.query_async(taken.redis()).await;
        self.concluded(doing, from, &taken, answer)
    }

    /// Runs a pipeline of reads on a pooled connection.
    pub(crate) async fn pipeline<T: FromRedisValue>(
        &self,
        doing: &'static str,
        pipeline: &redis::Pipeline,
    ) -> Result<T> {
        let mut taken = self.take(doing).await?;
        let from = Instant::now();
        let answer = pipeline.query_async(taken.redis()).await;
        self.concluded(doing, from, &taken, answer)
    }

    async fn take(&self, doing: &'static str) -> Result<Taken> {
        let failed = |error| match error {
            PoolError::Backend(said) => self.said(doing)(said),
            PoolError::Timeout(_) => self.no_connection(doing, "timed out"),
            PoolError::Closed => self.no_connection(doing, "the pool is closed"),
            PoolError::NoRuntimeSpecified => self.no_connection(doing, "no runtime"),
            PoolError::PostCreateHook(_) => self.no_connection(doing, "a hook failed"),
        };
        self.pool.get().await.map_err(failed).inspect_err(|error| self.note_failure(error))
    }

    /// Takes in what a call that began at `from` says about its connection and about Redis being there.
    fn concluded<T>(
        &self,
        doing: &'static str,
        from: Instant,
        taken: &Taken,
        answer: RedisResult<T>,
    ) -> Result<T> {
        let answer = answer.inspect_err(|error| self.pool.judge(taken, error));
        self.noted(from, answer.map_err(self.said(doing)))
    }

    /// Writes down what a call that began at `from` says about Redis being there.
    pub(crate) fn noted<T>(&self, from: Instant, result: Result<T>) -> Result<T> {
        match &result {
            Ok(_) => self.reach.answered(from, Instant::now()),
            Err(error) => self.note_failure(error),
        }
        result
    }

    /// What Redis or the connection said, as an error that names this server.
    pub(crate) fn said(&self, doing: &'static str) -> impl FnOnce(RedisError) -> Error + '_ {
        move |said| Error::Redis { doing, place: self.place.clone(), said }
    }

    /// No connection to this server.
    pub(crate) fn no_connection(&self, doing: &'static str, reason: &'static str) -> Error {
        Error::NoConnection { doing, place: self.place.clone(), reason }
    }

    fn note_failure(&self, error: &Error) {
        if error.is_outage() {
            self.reach.failed();
        }
    }
}

fn place(address: &ConnectionAddr) -> String {
    match address {
        // An IPv6 address needs its brackets to be told from its port.
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } if host.contains(':') => {
            format!("[{host}]:{port}")
        }
        _ => address.to_string(),
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

#[cfg(test)]
mod tests {
    use mailfleet_model::Secret;

    use super::*;

    #[test]
    fn the_place_is_host_and_port_and_never_the_login() {
        for (url, place) in [
            ("redis://127.0.0.1:6379/0", "127.0.0.1:6379"),
            ("redis://user:geheim@redis.example:6380", "redis.example:6380"),
            ("redis://:geheim@h", "h:6379"),
            ("redis://[::1]:7000", "[::1]:7000"),
            ("redis+unix:///run/redis.sock?pass=geheim", "/run/redis.sock"),
        ] {
            let config = Config { url: Secret::new(url), ..Config::default() };
            assert_eq!(Link::new(&config).unwrap().place(), place);
        }
    }
}
