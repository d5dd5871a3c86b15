//! What the doctor asks PostgreSQL, and what a binary asks before it starts.

mod rights;
mod walls;

use std::collections::BTreeMap;

use tokio_postgres::Client;

use crate::error::{Error, Result};
use crate::hierarchy::adopt::{Plan, plan_table};
use crate::hierarchy::expected::ALL;
use crate::hierarchy::{Mismatch, catalog};
use crate::migrate::{HISTORY, embedded_versions};
use crate::store::{GRACE, Store};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, and can bite.
    Warning,
    /// mailfleet does not work like this.
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was found, one line.
    pub found: String,
    /// What to do; empty where all is well.
    pub remedy: String,
}

impl Finding {
    fn ok(found: impl Into<String>) -> Self {
        Self { level: Level::Ok, found: found.into(), remedy: String::new() }
    }

    fn warning(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warning, found: found.into(), remedy: remedy.into() }
    }

    fn error(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Error, found: found.into(), remedy: remedy.into() }
    }
}

/// The oldest major version that mailfleet is tested with.
const OLDEST_VERSION: i32 = 150_000;

impl Store {
    /// Looks at the server, the migrations, the hierarchy's tables, the roles with their rights, and the walls between
    /// tenants. Changes nothing.
    ///
    /// # Errors
    /// Only where PostgreSQL cannot be asked; what it answers is a finding.
    pub async fn check_schema(&self) -> Result<Vec<Finding>> {
        let after = self.config().statement_timeout() + GRACE;
        tokio::time::timeout(after, self.look())
            .await
            .unwrap_or(Err(Error::Timeout { what: "checking the database", after }))
    }

    async fn look(&self) -> Result<Vec<Finding>> {
        let lone = self.lone_client().await?;
        let client = &lone.client;
        let mut findings = server(client).await?;
        if !rights::may_look(client, &mut findings).await? {
            return Ok(findings);
        }
        let migrated = migrations(client, &mut findings).await?;
        hierarchy(client, &self.tables().schema, &mut findings).await?;
        if migrated {
            rights::look(client, self.tables(), &mut findings).await?;
            walls::look(client, &self.tables().schema, &mut findings).await?;
        }
        Ok(findings)
    }

    /// For the start of a process: the first thing that is wrong, or nothing. One line, with the remedy.
    pub async fn require_schema(&self) -> Result<()> {
        let wrong = self.check_schema().await?.into_iter().find(|finding| finding.level == Level::Error);
        match wrong {
            None => Ok(()),
            Some(finding) => Err(Error::NotReady { found: finding.found, remedy: finding.remedy }),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err asks for")]
fn failed(error: tokio_postgres::Error) -> Error {
    Error::statement("checking the database", &error)
}

async fn server(client: &Client) -> Result<Vec<Finding>> {
    const SQL: &str = "SELECT current_setting('server_version') AS version, \
         current_setting('server_version_num')::integer AS number, current_setting('server_encoding') AS encoding, \
         pg_is_in_recovery() AS standby, current_setting('fsync') AS fsync, \
         current_setting('synchronous_commit') AS synchronous_commit, \
         EXISTS (SELECT 1 FROM pg_catalog.pg_settings WHERE name = 'default_toast_compression' \
         AND 'lz4' = ANY(enumvals)) AS lz4";
    let row = client.query_one(SQL, &[]).await.map_err(failed)?;
    let text = |column| row.try_get::<_, String>(column).map_err(failed);
    let flag = |column| row.try_get::<_, bool>(column).map_err(failed);
    let version = text("version")?;
    let mut findings = Vec::new();
    if row.try_get::<_, i32>("number").map_err(failed)? < OLDEST_VERSION {
        findings.push(Finding::warning(
            format!("PostgreSQL {version} is older than 15, with which mailfleet is tested"),
            "upgrade the server",
        ));
    } else {
        findings.push(Finding::ok(format!("PostgreSQL {version}")));
    }
    let encoding = text("encoding")?;
    if encoding != "UTF8" {
        findings.push(Finding::error(
            format!("the database's encoding is {encoding}, so that most mail cannot be stored"),
            "create the database WITH ENCODING 'UTF8' TEMPLATE template0",
        ));
    }
    if flag("standby")? {
        findings
            .push(Finding::error("the server is a read-only standby", "point postgres.url at the primary"));
    }
    if text("fsync")? == "off" {
        findings.push(Finding::warning(
            "fsync is off: a crash of the machine can lose or damage what was committed",
            "set fsync = on, except for tests",
        ));
    }
    if text("synchronous_commit")? == "off" {
        findings.push(Finding::warning(
            "synchronous_commit is off: a crash of the server can lose mail that the queue has let go of",
            "set synchronous_commit = on for mailfleet's role",
        ));
    }
    if !flag("lz4")? {
        findings.push(Finding::warning(
            "the server has no lz4: texts are compressed by pglz, about half as fast",
            "use a server built with lz4 (Debian's and the official packages are)",
        ));
    }
    Ok(findings)
}

/// Compares the history with what this build carries; false where mailfleet's own tables are not all there.
async fn migrations(client: &Client, findings: &mut Vec<Finding>) -> Result<bool> {
    let row =
        client.query_one("SELECT to_regclass($1) IS NOT NULL AS there", &[&HISTORY]).await.map_err(failed)?;
    let mut applied: BTreeMap<i32, String> = BTreeMap::new();
    if row.try_get("there").map_err(failed)? {
        let sql = format!("SELECT version, name FROM {HISTORY}");
        for row in client.query(&sql, &[]).await.map_err(failed)? {
            applied.insert(row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
        }
    }
    let ours = embedded_versions();
    let missing: Vec<String> = ours
        .iter()
        .filter(|(version, _)| !applied.contains_key(version))
        .map(|(version, name)| format!("V{version} {name}"))
        .collect();
    if !missing.is_empty() {
        findings.push(Finding::error(
            format!("migrations have not been applied: {}", missing.join(", ")),
            "run `mailfleet migrate`",
        ));
        return Ok(false);
    }
    let newest = ours.last().map_or(0, |(version, _)| *version);
    match applied.keys().next_back() {
        Some(later) if *later > newest => findings.push(Finding::warning(
            format!("the database is at migration V{later}, this build knows V{newest}"),
            "finish the roll-out of the newer version",
        )),
        _ => findings.push(Finding::ok(format!("migrations applied up to V{newest}"))),
    }
    Ok(true)
}

async fn hierarchy(client: &Client, schema: &str, findings: &mut Vec<Finding>) -> Result<()> {
    for table in ALL {
        let found = catalog::read(client, schema, table.name).await?;
        let mut plan = Plan::default();
        plan_table(schema, table, found.as_ref(), &mut plan);
        let of = |level, Mismatch { place, problem, remedy }: Mismatch| Finding {
            level,
            found: format!("{place} {problem}"),
            remedy,
        };
        let fits = plan.mismatches.is_empty() && plan.done.is_empty();
        let place = format!("{schema}.{}", table.name);
        if found.is_none() {
            findings.push(Finding::error(format!("{place} does not exist"), "run `mailfleet migrate`"));
            continue;
        }
        findings.extend(plan.mismatches.into_iter().map(|mismatch| of(Level::Error, mismatch)));
        findings.extend(plan.warnings.into_iter().map(|mismatch| of(Level::Warning, mismatch)));
        if fits {
            findings.push(Finding::ok(format!("{place} fits")));
        } else if !plan.done.is_empty() {
            let missing = plan.done.iter().map(|done| done.replace("added ", "").replace("created ", ""));
            let missing = missing.collect::<Vec<_>>().join(", ");
            findings.push(Finding::error(format!("{place} lacks {missing}"), "run `mailfleet migrate`"));
        }
    }
    Ok(())
}
