//! `mailfleet migrate`: the embedded migrations, then the hierarchy's tables, one runner at a time.

use std::time::Duration;

use mailfleet_model::{Class, Classify};
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::error::{Error, Result};
use crate::hierarchy::{adopt, catalog};
use crate::store::Store;
use crate::{OWN_SCHEMA, text};

mod embedded {
    refinery::embed_migrations!("../../migrations");
}

/// Where the runner keeps what it has applied.
pub(crate) const HISTORY: &str = "mailfleet.schema_history";
/// The advisory lock of the runners: "mailflee" as bytes.
const LOCK: i64 = 0x6d61_696c_666c_6565;
/// How long a runner waits for another one.
const WAIT_FOR_RUNNER: Duration = Duration::from_secs(600);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);
/// A migration that cannot get its lock on a table within 5 s would stop all writers behind it: it gives way and comes
/// back so many times.
const LOCK_ATTEMPTS: u32 = 10;
const SETTINGS: &str = "SET lock_timeout = '5s'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = '60s'; \
     SET client_min_messages = warning";

impl Store {
    /// Applies what is missing: migrations, then the three tables of the hierarchy, created or adopted. Returns what was
    /// done, one line each; nothing where all stood already. Safe to run twice and by several at once.
    ///
    /// # Errors
    /// [`Error::Adoption`] names each column that stands there and does not fit; nothing of the hierarchy is changed then.
    pub async fn migrate(&self) -> Result<Vec<String>> {
        let mut lone = self.lone_client().await?;
        let client = &mut lone.client;
        client.batch_execute(SETTINGS).await.map_err(failed)?;
        lock(client).await?;
        let schema = &self.tables().schema;
        let mut attempt = 1;
        loop {
            let outcome = apply(client, schema).await;
            match outcome {
                Err(error) if error.class() == Class::Transient && attempt < LOCK_ATTEMPTS => {
                    tracing::info!(attempt, %error, "a table is in use; the migration gives way and tries again");
                    attempt += 1;
                    tokio::time::sleep(LOOK).await;
                }
                // The lock ends with the connection.
                outcome => return outcome,
            }
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err asks for")]
fn failed(error: tokio_postgres::Error) -> Error {
    Error::statement("migrating", &error)
}

/// Takes the lock by asking again and again: a runner that waited inside of a statement would hold a snapshot, for which
/// a CREATE INDEX CONCURRENTLY of the running one would wait in turn.
async fn lock(client: &Client) -> Result<()> {
    let give_up = Instant::now() + WAIT_FOR_RUNNER;
    let mut said = false;
    loop {
        let row = client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await.map_err(failed)?;
        if row.try_get::<_, bool>(0).map_err(failed)? {
            return Ok(());
        }
        if !said {
            tracing::info!("another migration is running; waiting for it");
            said = true;
        }
        if Instant::now() >= give_up {
            return Err(Error::Migration(format!(
                "another migration has been running for {WAIT_FOR_RUNNER:?}"
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn apply(client: &mut Client, schema: &str) -> Result<Vec<String>> {
    // Looked at first: CREATE SCHEMA IF NOT EXISTS needs the right to create even where the schema stands.
    if !catalog::schema_exists(client, OWN_SCHEMA).await? {
        client.batch_execute(&format!("CREATE SCHEMA {OWN_SCHEMA}")).await.map_err(failed)?;
    }
    let mut runner = embedded::migrations::runner();
    runner.set_migration_table_name(HISTORY);
    let report = runner.run_async(client).await.map_err(|error| runner_error(&error))?;
    let mut done: Vec<String> = report
        .applied_migrations()
        .iter()
        .map(|migration| format!("applied V{} {}", migration.version(), migration.name()))
        .collect();
    done.extend(adopt::establish(client, schema).await?);
    Ok(done)
}

/// The runner wraps the driver's error; its SQLSTATE decides as always.
fn runner_error(error: &refinery::Error) -> Error {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    for _ in 0..8 {
        let Some(cause) = next else { break };
        if let Some(postgres) = cause.downcast_ref::<tokio_postgres::Error>() {
            return Error::statement("migrating", postgres);
        }
        next = cause.source();
    }
    Error::Migration(text::line(&error.to_string()))
}

/// The versions that this build carries, with their names.
pub(crate) fn embedded_versions() -> Vec<(i32, String)> {
    let mut versions: Vec<(i32, String)> = embedded::migrations::runner()
        .get_migrations()
        .iter()
        .map(|migration| (migration.version(), migration.name().to_owned()))
        .collect();
    versions.sort();
    versions
}

#[cfg(test)]
mod tests {
    #[test]
    fn migrations_are_numbered_without_gaps() {
        let versions: Vec<i32> = super::embedded_versions().into_iter().map(|(version, _)| version).collect();
        let expected: Vec<i32> = (1..).take(versions.len()).collect();
        assert!(!versions.is_empty());
        assert_eq!(versions, expected);
    }
}
