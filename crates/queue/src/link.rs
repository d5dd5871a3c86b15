//! The way to Redis: single scripts and commands through pools, and what each call says about Redis being there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{FromRedisValue, RedisError, RedisResult};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::keys::Keys;
use crate::pool::{PoolError, TimeoutType};
use crate::reach::Reach;
use crate::server::{Call, Node, Request, Servers, View, is_slow};

pub(crate) struct Link {
    servers: Arc<Servers>,
    pub(crate) reach: Reach,
    timeout: Duration,
}

/// Why a call got nothing.
enum Failed {
    /// Its server, or the connection, said so.
    Said(RedisError),
    /// There was no connection.
    Other(Error),
}

impl Link {
    /// Prepares everything; nothing is connected yet.
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let servers = Arc::new(Servers::new(config)?);
        Ok(Self { servers, reach: Reach::new(config.lease()), timeout: config.response_timeout() })
    }

    /// Host and port of the server, or the path of its socket; sentinels or nodes of a cluster as they are configured.
    /// Never the login.
    pub(crate) fn place(&self) -> &str {
        self.servers.place()
    }

    /// Whether the partitions may lie on several servers.
    pub(crate) fn is_cluster(&self) -> bool {
        self.servers.is_cluster()
    }

    /// The slot of a partition, where that matters.
    pub(crate) fn slot(&self, keys: &Keys) -> u16 {
        if self.is_cluster() { keys.slot } else { 0 }
    }

    /// Who has which partition at this moment.
    pub(crate) async fn view(&self, doing: &'static str) -> Result<Arc<View>> {
        self.servers.view(doing).await.inspect_err(|error| self.note_failure(error))
    }

    /// Whether this server is still one of the masters, as far as it is known.
    pub(crate) fn is_master(&self, node: &Node) -> bool {
        self.servers.is_master(node)
    }

    /// A connection to one server, outside the pool, whose answers are waited for no longer than `timeout`.
    pub(crate) async fn dedicated(
        &self,
        doing: &'static str,
        view: &Arc<View>,
        node: &Node,
        timeout: Duration,
    ) -> Result<MultiplexedConnection> {
        let asked = Instant::now();
        let connected = node.connect(timeout.min(self.timeout)).await;
        let connected = connected.map_err(|said| {
            self.servers.judge(view, &said);
            self.error(doing, node, Failed::Other(node.unreached(doing, said)))
        })?;
        // A connection alone does not say that Redis answers.
        self.still_the_one(doing, node, asked).await?;
        Ok(connected)
    }

    /// Runs something on such a connection.
    pub(crate) async fn on<T: FromRedisValue>(
        &self,
        doing: &'static str,
        (view, node): (&Arc<View>, &Node),
        connection: &mut MultiplexedConnection,
        request: Request<'_>,
    ) -> Result<T> {
        let from = Instant::now();
        match ask(request, connection).await {
            Ok(answer) => {
                self.answered(view, from);
                Ok(answer)
            }
            Err(said) => Err(self.failed(doing, view, node, said)),
        }
    }

    /// A connection that only listens, to any of the servers: what one publishes, all of a cluster pass on. Nothing on it
    /// times out by itself.
    pub(crate) async fn listener(&self, doing: &'static str) -> Result<(PubSub, Arc<Node>)> {
        let view = self.servers.view(doing).await?;
        let masters = view.masters();
        let node = masters.get(fastrand::usize(..masters.len().max(1)));
        let node = Arc::clone(node.ok_or_else(|| no_connection(doing, self.place(), "no server"))?);
        match tokio::time::timeout(self.timeout, node.listen()).await {
            Ok(Ok(listener)) => Ok((listener, node)),
            Ok(Err(said)) => {
                self.servers.judge(&view, &said);
                Err(node.unreached(doing, said))
            }
            Err(_) => {
                self.servers.judge(&view, &timed_out());
                Err(node.unreached(doing, timed_out()))
            }
        }
    }

    /// Runs one script on a pooled connection.
    pub(crate) async fn run<T: FromRedisValue>(&self, doing: &'static str, script: &Call<'_>) -> Result<T> {
        self.go(doing, Request::Script(script)).await
    }

    /// Runs one command on a pooled connection; its first argument is its key.
    pub(crate) async fn command<T: FromRedisValue>(
        &self,
        doing: &'static str,
        command: &redis::Cmd,
    ) -> Result<T> {
        self.go(doing, Request::Command(command)).await
    }

    /// Runs a pipeline whose keys are all in this slot on a pooled connection.
    pub(crate) async fn pipeline<T: FromRedisValue>(
        &self,
        doing: &'static str,
        slot: u16,
        pipeline: &redis::Pipeline,
    ) -> Result<T> {
        self.go(doing, Request::Pipeline(pipeline, slot)).await
    }

    /// Runs a command without a key on every server; the answers come in an order that only changes with the servers.
    pub(crate) async fn everywhere<T: FromRedisValue>(
        &self,
        doing: &'static str,
        command: &redis::Cmd,
    ) -> Result<Vec<T>> {
        let view = self.view(doing).await?;
        let mut answers = Vec::with_capacity(view.masters().len());
        for node in view.masters() {
            let answer = self.once(doing, &view, node, Request::Command(command)).await;
            let (answer, _) = answer.map_err(|failed| self.error(doing, node, failed))?;
            answers.push(answer);
        }
        Ok(answers)
    }

    async fn go<T: FromRedisValue>(&self, doing: &'static str, request: Request<'_>) -> Result<T> {
        let view = self.view(doing).await?;
        let slot = if self.is_cluster() { request.slot() } else { 0 };
        let node = self.master(doing, &view, slot)?;
        let said = match self.once(doing, &view, node, request).await {
            Ok((answer, from)) => {
                self.was_the_one(doing, node, slot, from).await?;
                return Ok(answer);
            }
            Err(Failed::Said(said)) => said,
            Err(failed) => return Err(self.error(doing, node, failed)),
        };
        // A node that says MOVED has done nothing, so it is safe to go where it says, but for a pipeline: of that a part may be
        // done. Once: whoever is sent on again meets
        // a cluster that is being changed, which is an outage. Nor is ASK followed: while a slot moves, its keys are on
        // both sides, and what one side does not have would look as if it did not exist.
        let moved =
            self.servers.moved(&view, node, &said).filter(|_| !matches!(request, Request::Pipeline(..)));
        let Some(view) = moved else {
            return Err(self.error(doing, node, Failed::Said(said)));
        };
        let node = self.master(doing, &view, slot)?;
        let answer = self.once(doing, &view, node, request).await;
        let (answer, from) = answer.map_err(|failed| self.error(doing, node, failed))?;
        self.was_the_one(doing, node, slot, from).await?;
        Ok(answer)
    }

    fn master<'a>(&self, doing: &'static str, view: &'a Arc<View>, slot: u16) -> Result<&'a Arc<Node>> {
        view.master(slot).ok_or_else(|| {
            // The next call looks again.
            self.servers.judge(view, &timed_out());
            self.reach.failed();
            no_connection(doing, self.place(), "no node has this slot")
        })
    }

    /// Asks one server, on a connection of its pool. With the answer it says when it was asked for.
    async fn once<T: FromRedisValue>(
        &self,
        doing: &'static str,
        view: &Arc<View>,
        node: &Node,
        request: Request<'_>,
    ) -> Result<(T, Instant), Failed> {
        let asked = Instant::now();
        let mut taken = node.pool.get().await.map_err(|failed| match failed {
            PoolError::Backend(said) => {
                self.servers.judge(view, &said);
                Failed::Other(node.unreached(doing, said))
            }
            PoolError::Timeout(TimeoutType::Create) => {
                self.servers.judge(view, &timed_out());
                Failed::Other(node.unreached(doing, timed_out()))
            }
            PoolError::Timeout(_) => {
                self.servers.judge(view, &timed_out());
                Failed::Other(no_connection(doing, node.place(), "timed out"))
            }
            PoolError::Closed => Failed::Other(no_connection(doing, node.place(), "the pool is closed")),
            PoolError::NoRuntimeSpecified => Failed::Other(no_connection(doing, node.place(), "no runtime")),
            PoolError::PostCreateHook(_) => {
                Failed::Other(no_connection(doing, node.place(), "a hook failed"))
            }
        })?;
        self.still_the_one(doing, node, asked).await.map_err(Failed::Other)?;
        let from = Instant::now();
        match ask(request, taken.redis()).await {
            Ok(answer) => {
                self.answered(view, from);
                Ok((answer, from))
            }
            Err(said) => {
                node.pool.judge(&taken, &said);
                self.servers.judge(view, &said);
                Err(Failed::Said(said))
            }
        }
    }

    /// The way to a server took from `asked` until now. Where that is long it may have stood still, and be nobody's master any
    /// more. Nothing was sent yet, so it costs little to ask.
    async fn still_the_one(&self, doing: &'static str, node: &Node, asked: Instant) -> Result<()> {
        let now = Instant::now();
        if !self.servers.may_change() || !is_slow(asked, now) {
            return Ok(());
        }
        let view = self.servers.view_since(doing, now).await;
        let view = view.inspect_err(|error| self.note_failure(error))?;
        if view.node_at(node.place()).is_some() { Ok(()) } else { Err(self.another_one(doing, node)) }
    }

    /// A call that was sent at `from` was answered. Where that took long, the server may have stood still, and have done
    /// what it was asked only when another one was the master already. Then that is lost, and it is as if the answer had
    /// been: callers must be able to bear that anyway. Who is the master has to be asked before the next call in any case.
    async fn was_the_one(&self, doing: &'static str, node: &Node, slot: u16, from: Instant) -> Result<()> {
        let now = Instant::now();
        if !self.servers.may_change() || !is_slow(from, now) {
            return Ok(());
        }
        match self.servers.view_since(doing, now).await {
            Ok(view) if view.master(slot).is_none_or(|master| master.place() != node.place()) => {
                Err(self.another_one(doing, node))
            }
            // Where nobody can say, the answer is all that there is.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn another_one(&self, doing: &'static str, node: &Node) -> Error {
        let error = no_connection(doing, node.place(), "another server is the master by now");
        self.note_failure(&error);
        error
    }

    /// A call that began at `from` was answered.
    fn answered(&self, view: &Arc<View>, from: Instant) {
        let to = Instant::now();
        self.reach.answered(from, to);
        self.servers.answered(view, from, to);
    }

    /// The failure as an error that names its server, and written down.
    fn error(&self, doing: &'static str, node: &Node, failed: Failed) -> Error {
        let error = match failed {
            Failed::Said(said) => said_by(doing, node, said),
            Failed::Other(error) => error,
        };
        self.note_failure(&error);
        error
    }

    fn failed(&self, doing: &'static str, view: &Arc<View>, node: &Node, said: RedisError) -> Error {
        self.servers.judge(view, &said);
        self.error(doing, node, Failed::Said(said))
    }

    fn note_failure(&self, error: &Error) {
        if error.is_outage() {
            self.reach.failed();
        }
    }
}

/// What a server or the connection to it said, as an error that names it.
pub(crate) fn said_by(doing: &'static str, node: &Node, said: RedisError) -> Error {
    Error::Redis { doing, place: node.place().to_owned(), said }
}

/// No connection to this server.
pub(crate) fn no_connection(doing: &'static str, place: &str, reason: &'static str) -> Error {
    Error::NoConnection { doing, place: place.to_owned(), reason }
}

async fn ask<T: FromRedisValue>(
    request: Request<'_>,
    connection: &mut MultiplexedConnection,
) -> RedisResult<T> {
    match request {
        Request::Script(script) => script.invoke_async(connection).await,
        Request::Command(command) => command.query_async(connection).await,
        Request::Pipeline(pipeline, _) => pipeline.query_async(connection).await.map_err(first_of),
    }
}

/// What the server said to the first command of a pipeline that it refused. The library's own error for all of them has
/// neither the code nor the words, by which an outage is told from a fault.
fn first_of(error: RedisError) -> RedisError {
    let said = error.clone().into_server_errors();
    said.and_then(|said| said.first().map(|(_, said)| said.clone().into())).unwrap_or(error)
}

/// Nobody answered.
pub(crate) fn timed_out() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
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
            ("redis+sentinel://u:geheim@a,b:1/m?sentinel_password=geheim", "m of the sentinels a:26379,b:1"),
            ("redis+cluster://u:geheim@a,b:1", "a:6379,b:1"),
        ] {
            let config = Config { url: Secret::new(url), ..Config::default() };
            assert_eq!(Link::new(&config).unwrap().place(), place);
        }
    }
}
