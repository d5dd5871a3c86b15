//! One borrowed connection. Whatever happens to the caller, a connection in doubt never goes back to the pool.
//!
//! A future that is dropped, or that runs into its bound, leaves its statement running in the server, and the next user
//! of that connection would wait for it. And a transaction that was left half way must not be inherited. So the session
//! notes when a statement or a transaction is open, and on drop takes such a connection out of the pool and closes it:
//! the server then rolls back.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use deadpool_postgres::Object;
use mailfleet_model::TenantId;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::error::{Error, Result};
use crate::store::GRACE;

/// The parameters of a statement.
pub(crate) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection of the pool, for one caller.
pub(crate) struct Session {
    client: Option<Object>,
    /// Longer than the server's own statement timeout, so that a living server answers first.
    limit: Duration,
    busy: bool,
    in_transaction: bool,
}

impl Session {
    pub(crate) fn new(client: Object, limit: Duration) -> Self {
        Self { client: Some(client), limit, busy: false, in_transaction: false }
    }

    /// Runs a statement (prepared once a connection) and returns its rows.
    pub(crate) async fn query(
        &mut self,
        what: &'static str,
        sql: &str,
        params: Params<'_>,
    ) -> Result<Vec<Row>> {
        self.bounded(what, async |client| {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, params).await
        })
        .await
    }

    /// Like `query`, for at most one row.
    pub(crate) async fn query_opt(
        &mut self,
        what: &'static str,
        sql: &str,
        params: Params<'_>,
    ) -> Result<Option<Row>> {
        Ok(self.query(what, sql, params).await?.into_iter().next())
    }

    /// Like `query`, for a statement that always gives a row.
    pub(crate) async fn query_one(
        &mut self,
        what: &'static str,
        sql: &str,
        params: Params<'_>,
    ) -> Result<Row> {
        self.query_opt(what, sql, params)
            .await?
            .ok_or_else(|| Error::Driver { what, detail: "no row came back".to_owned() })
    }

    /// Runs a statement and returns how many rows it touched.
    pub(crate) async fn execute(&mut self, what: &'static str, sql: &str, params: Params<'_>) -> Result<u64> {
        self.bounded(what, async |client| {
            let statement = client.prepare_cached(sql).await?;
            client.execute(&statement, params).await
        })
        .await
    }

    /// Opens a transaction that reads and writes rows of these tenants only: what the wall lets through. Dropping the
    /// session before `commit` rolls it back.
    pub(crate) async fn begin_for(&mut self, tenants: &BTreeSet<TenantId>) -> Result<()> {
        // Written into the statement, so that it needs no round trip of its own: a UUID holds nothing to quote.
        let declared: Vec<String> = tenants.iter().map(|tenant| tenant.0.to_string()).collect();
        // The role again, though the connection has it: behind a pooler the server's session may be another one.
        let sql = format!(
            "BEGIN; SET LOCAL ROLE mailfleet_writer; SET LOCAL mailfleet.tenants = '{{{}}}'",
            declared.join(",")
        );
        self.begin("beginning a transaction", &sql).await
    }

    /// Opens a transaction without the wall: for sweeps, roll-ups and operators, never for what a mail or a webhook
    /// brought.
    pub(crate) async fn begin_maintenance(&mut self) -> Result<()> {
        let sql = "BEGIN; SET LOCAL ROLE mailfleet_maintenance";
        self.begin("beginning a transaction of maintenance", sql).await
    }

    /// Lets the statements that follow in this transaction, and its end, take so long.
    pub(crate) async fn take_longer(&mut self, limit: Duration) -> Result<()> {
        const SQL: &str = "SELECT set_config('statement_timeout', $1, true)";
        self.query("allowing more time", SQL, &[&limit.as_millis().to_string()]).await?;
        self.limit = limit + GRACE;
        Ok(())
    }

    async fn begin(&mut self, what: &'static str, sql: &str) -> Result<()> {
        // Marked before the statement: if its answer is lost, or its second half is refused, the connection is in doubt.
        self.in_transaction = true;
        self.batch(what, sql).await
    }

    /// Commits. After an error here it is unknown whether the transaction took effect; the ledger makes a repetition
    /// harmless.
    pub(crate) async fn commit(&mut self) -> Result<()> {
        self.batch("committing", "COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }

    /// Rolls back, so that the connection can be used again.
    pub(crate) async fn rollback(&mut self) -> Result<()> {
        self.batch("rolling back", "ROLLBACK").await?;
        self.in_transaction = false;
        Ok(())
    }

    /// Ends a transaction with its outcome: commits what succeeded, rolls back what failed.
    pub(crate) async fn end<T>(&mut self, outcome: Result<T>) -> Result<T> {
        match outcome {
            Ok(value) => self.commit().await.map(|()| value),
            Err(error) => {
                // The error is what counts; where this fails too the session throws the connection away.
                let _ = self.rollback().await;
                Err(error)
            }
        }
    }

    async fn batch(&mut self, what: &'static str, sql: &str) -> Result<()> {
        self.bounded(what, async |client| client.batch_execute(sql).await).await
    }

    async fn bounded<T, F>(&mut self, what: &'static str, work: F) -> Result<T>
    where
        F: AsyncFnOnce(&Object) -> std::result::Result<T, tokio_postgres::Error>,
    {
        let Some(client) = &self.client else {
            return Err(Error::Lost { what, detail: "the session has ended".to_owned() });
        };
        if self.busy {
            // Do not wait for the answer to another statement on top of the one that never came.
            return Err(Error::Lost { what, detail: "the statement before it was not answered".to_owned() });
        }
        self.busy = true;
        let answer = bound(self.limit, work(client)).await;
        match answer {
            Some(Ok(value)) => {
                self.busy = false;
                Ok(value)
            }
            Some(Err(error)) => {
                let error = Error::statement(what, &error);
                // Only a server that answered left the connection in a known state, and only if what it knows of
                // our prepared statements still holds.
                self.busy =
                    !matches!(&error, Error::Database { code, .. } if code != "0A000" && code != "26000");
                Err(error)
            }
            None => Err(Error::Timeout { what, after: self.limit }),
        }
    }
}

async fn bound<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, work).await.ok()
}

impl Drop for Session {
    fn drop(&mut self) {
        if (self.busy || self.in_transaction)
            && let Some(client) = self.client.take()
        {
            // Out of the pool; dropping the client closes the connection and the server rolls back.
            drop(Object::take(client));
        }
    }
}

#[cfg(test)]
mod tests {
    use mailfleet_testkit::PostgresServer;
    use uuid::Uuid;

    use super::*;
    use crate::{Config, Store};

    /// The backend, the role in effect and the declared tenants.
    async fn standing(session: &mut Session) -> (i32, String, Vec<Uuid>) {
        const SQL: &str = "SELECT pg_backend_pid(), current_user::text, mailfleet.declared_tenants()";
        let row = session.query_one("looking", SQL, &[]).await.unwrap();
        (row.get(0), row.get(1), row.get(2))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_returned_connection_keeps_neither_the_role_of_maintenance_nor_the_tenants() {
        let url = PostgresServer::shared().fresh_database().unwrap();
        let url = mailfleet_model::Secret::new(url);
        // One connection: whoever comes next inherits what is left on it.
        let store = Store::connect(&Config { url, pool_size: 1, ..Config::default() }).unwrap();
        store.migrate().await.unwrap();
        let tenants = BTreeSet::from([TenantId(Uuid::from_u128(1)), TenantId(Uuid::from_u128(2))]);
        let (pid, role, declared) = standing(&mut store.session().await.unwrap()).await;
        assert_eq!((role.as_str(), declared), ("mailfleet_writer", vec![]));
        let bare = (pid, "mailfleet_writer".to_owned(), vec![]);

        for good in [true, false] {
            let mut session = store.session().await.unwrap();
            session.begin_maintenance().await.unwrap();
            assert_eq!(standing(&mut session).await, (pid, "mailfleet_maintenance".to_owned(), vec![]));
            let sql = if good { "SELECT 1" } else { "SELECT 1/0" };
            let answer = session.query("asking", sql, &[]).await;
            assert_eq!(session.end(answer).await.is_ok(), good);
            assert_eq!(standing(&mut session).await, bare);
            session.begin_for(&tenants).await.unwrap();
            let declared = tenants.iter().map(|tenant| tenant.0).collect();
            assert_eq!(standing(&mut session).await, (pid, "mailfleet_writer".to_owned(), declared));
            let answer = session.query("asking", sql, &[]).await;
            assert_eq!(session.end(answer).await.is_ok(), good);
            drop(session);
            assert_eq!(standing(&mut store.session().await.unwrap()).await, bare);
        }

        // A transaction that nobody ended takes its connection with it.
        let mut left = store.session().await.unwrap();
        left.begin_maintenance().await.unwrap();
        drop(left);
        let (next, role, _) = standing(&mut store.session().await.unwrap()).await;
        assert_ne!(next, pid);
        assert_eq!(role, "mailfleet_writer");
    }
}
