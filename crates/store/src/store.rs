//! The handle that everything else hangs on: the pool and the names of the hierarchy's tables.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime, TimeoutType,
};
use tokio_postgres::Row;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::hierarchy::Tables;
use crate::session::{Params, Session};
use crate::tls;

/// How much longer the client waits for an answer than the server lets a statement run.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// Everything that mailfleet keeps. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    pool: Pool,
    config: Config,
    parsed: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    target: String,
    tables: Tables,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("target", &self.inner.target).finish_non_exhaustive()
    }
}

impl Store {
    /// Prepares a store; connects only when it is used. Errors are of the configuration alone.
    pub fn connect(config: &Config) -> Result<Self> {
        config.validate()?;
        let parsed = tls::parse_url(config)?;
        let tls = tls::connector(config, &parsed)?;
        let target = tls::target(&parsed);
        let manager = Manager::from_config(
            parsed.clone(),
            tls.clone(),
            // The ping of the slower methods tells nothing more: a connection can die right after it.
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let settings = session_settings(config);
        let pool = Pool::builder(manager)
            .max_size(config.pool_size)
            .wait_timeout(Some(config.wait_timeout()))
            .create_timeout(Some(config.connect_timeout()))
            .recycle_timeout(Some(config.connect_timeout()))
            .runtime(Runtime::Tokio1)
            .post_create(Hook::async_fn(move |client, _| {
                let settings = settings.clone();
                Box::pin(async move { client.batch_execute(&settings).await.map_err(HookError::Backend) })
            }))
            .build()
            .map_err(|error| Error::Driver { what: "building the pool", detail: error.to_string() })?;
        let tables = Tables::new(&config.schema);
        Ok(Self { inner: Arc::new(Inner { pool, config: config.clone(), parsed, tls, target, tables }) })
    }

    /// Asks the server for a sign of life.
    pub async fn ping(&self) -> Result<()> {
        self.session().await?.query_one("ping", "SELECT 1", &[]).await.map(|_| ())
    }

    /// Connections in use and most connections, for a metric.
    #[must_use]
    pub fn pool_usage(&self) -> (usize, usize) {
        let status = self.inner.pool.status();
        (status.size.saturating_sub(status.available), status.max_size)
    }

    pub(crate) async fn session(&self) -> Result<Session> {
        let config = &self.inner.config;
        match self.inner.pool.get().await {
            Ok(client) => Ok(Session::new(client, config.statement_timeout() + GRACE)),
            Err(PoolError::Timeout(TimeoutType::Wait)) => {
                Err(Error::PoolBusy { size: config.pool_size, waited: config.wait_timeout() })
            }
            Err(PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle)) => Err(Error::Unreachable {
                target: self.inner.target.clone(),
                detail: format!("no answer within {:?}", config.connect_timeout()),
            }),
            Err(PoolError::Backend(error)) => Err(Error::connecting(&self.inner.target, &error)),
            Err(PoolError::PostCreateHook(HookError::Backend(error))) => {
                Err(no_role(Error::connecting(&self.inner.target, &error)))
            }
            Err(
                error @ (PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_)),
            ) => Err(Error::Driver { what: "taking a connection", detail: error.to_string() }),
        }
    }

    /// Asks one question without the wall: for sweeps and people, never for what a mail or a webhook brought.
    pub(crate) async fn survey(&self, what: &'static str, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
        let mut session = self.session().await?;
        session.begin_maintenance().await?;
        let rows = session.query(what, sql, params).await;
        session.end(rows).await
    }

    /// Runs one statement without the wall, and returns how many rows it touched: for sweeps and people.
    pub(crate) async fn maintain(&self, what: &'static str, sql: &str, params: Params<'_>) -> Result<u64> {
        let mut session = self.session().await?;
        session.begin_maintenance().await?;
        let touched = session.execute(what, sql, params).await;
        session.end(touched).await
    }

    /// A connection of its own, outside the pool and without a statement timeout: for migrations.
    pub(crate) async fn lone_client(&self) -> Result<LoneClient> {
        let connecting = self.inner.parsed.connect(self.inner.tls.clone());
        let limit = self.inner.config.connect_timeout();
        let (client, connection) = tokio::time::timeout(limit, connecting)
            .await
            .map_err(|_| Error::Unreachable {
                target: self.inner.target.clone(),
                detail: format!("no answer within {limit:?}"),
            })?
            .map_err(|error| Error::connecting(&self.inner.target, &error))?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the migration's connection ended");
            }
        });
        Ok(LoneClient { client, task })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.inner.tables
    }
}

/// A connection outside the pool, ended with this value.
pub(crate) struct LoneClient {
    pub(crate) client: tokio_postgres::Client,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for LoneClient {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How soon the server gives up a statement whose caller is gone (a worker that was cut off, a process that was killed):
/// until then it would hold its locks, and whoever runs the same mail next would wait for the statement time-out.
const ABANDONED_WITHIN: &str = "1s";

/// The settings of every pooled connection. Not given as start-up options, because an unknown compression method would
/// refuse the connection, and because a connection pooler in between would.
///
/// The role comes last and for good: whatever login the URL names, a superuser too, the walls between tenants stand for
/// every pooled connection, and without the role there is none.
fn session_settings(config: &Config) -> String {
    let timeout = config.statement_timeout_ms;
    format!(
        "SELECT set_config('statement_timeout', '{timeout}', false), \
         set_config('idle_in_transaction_session_timeout', '{timeout}', false), \
         set_config('client_connection_check_interval', '{ABANDONED_WITHIN}', false); \
         {LZ4_WHERE_SUPPORTED}; SET ROLE mailfleet_writer"
    )
}

/// Of the settings only the role can be refused to a login: where it is missing (invalid_parameter_value), or the login is
/// no member of it (insufficient_privilege).
fn no_role(error: Error) -> Error {
    let (found, remedy) = match error.code() {
        Some("22023") => ("the role mailfleet_writer does not exist", "run `mailfleet migrate`"),
        Some("42501") => (
            "the login of postgres.url is no member of mailfleet_writer",
            "as the login that migrates: GRANT mailfleet_writer, mailfleet_maintenance TO <login>",
        ),
        _ => return error,
    };
    Error::NotReady { found: found.to_owned(), remedy: remedy.to_owned() }
}

/// lz4 halves the server's cost of a mail's text; servers built without it keep their default.
pub(crate) const LZ4_WHERE_SUPPORTED: &str = "SELECT set_config('default_toast_compression', 'lz4', false) \
     FROM pg_catalog.pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY(enumvals)";
