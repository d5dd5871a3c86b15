//! What is too much for the statement timeout: set aside, counted apart from the others, and put off where that fails too.
//!
//! A note that fails alone becomes notes of its keys with a `not_before`. They are counted when they are due, all of one
//! tenant and day at once, with more time, in turns with the notes of the others. What is too much even then is put off for
//! an hour. Later changes of the same tenant and day join them meanwhile, so that nothing is tried in vain again for them.

use std::time::Duration;

use chrono::NaiveDate;
use uuid::Uuid;

use super::page::{TAKEABLE, Take, take_oldest};
use super::rollups::Registry;
use super::run::{RolledUp, Roller, finish, is_too_slow};
use crate::error::{Error, Result};
use crate::rows::{count, get};
use crate::session::Params;
use crate::store::Store;

/// For how long a tenant's day is put off that cannot be counted.
const PUT_OFF_FOR: Duration = Duration::from_secs(3_600);

/// Keys that were set aside since counting them took too long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SetAside {
    /// To be counted next, apart from the others and with more time.
    pub due: u64,
    /// Which took too long even so; they are tried again within the hour.
    pub put_off: u64,
}

impl Roller<'_> {
    /// Notes that could be taken now, at most so many.
    pub(super) async fn takeable(&self, most: i64) -> Result<i64> {
        let sql = format!("SELECT count(*) AS n FROM (SELECT FROM {TAKEABLE} LIMIT $1) AS takeable");
        let rows = self.store.survey("counting changes", &sql, &[&most]).await?;
        rows.first().map_or(Ok(0), |row| get(row, "n"))
    }

    /// Sets the oldest note aside. False where the lease was lost.
    pub(super) async fn set_aside(&self, too_slow: &Error) -> Result<bool> {
        let mut session = self.store.session().await?;
        session.begin_maintenance().await?;
        let set = async {
            let registry = Registry::read(&mut session).await?;
            let columns = registry.columns();
            let sql = format!(
                "WITH {take} \
                 INSERT INTO mailfleet.analytics_changes ({columns}, created, not_before) \
                 SELECT {key}, (SELECT min(created) FROM taken), coalesce(a.not_before, now()) \
                 FROM keys k LEFT JOIN aside a USING (tenant_id, day)",
                take = take_oldest(&registry),
                key = registry.key("k"),
            );
            let keys = session.execute("setting a change aside", &sql, &[&1_i64]).await?;
            self.still_held(&mut session, Some(keys)).await
        }
        .await;
        let keys = finish(&mut session, set, None).await?;
        if let Some(keys) = keys {
            tracing::info!(keys, error = %too_slow, "a change took too long to count; its keys are counted apart, with more time");
        }
        Ok(keys.is_some())
    }

    /// Counts what is due of what was set aside: one tenant and day.
    pub(super) async fn apart(&self) -> Result<RolledUp> {
        const NEXT: &str = "SELECT tenant_id, day FROM mailfleet.analytics_changes WHERE not_before <= now() \
             ORDER BY not_before, id LIMIT 1";
        let rows = self.store.survey("looking for changes that were set aside", NEXT, &[]).await?;
        let Some(next) = rows.first() else { return Ok(RolledUp::Idle) };
        let (tenant, day) = (get(next, "tenant_id")?, get(next, "day")?);
        match self.bounded(Take::Apart(tenant, day, self.longer())).await {
            Err(error) if is_too_slow(&error) => self.put_off(tenant, day, &error).await,
            counted => counted,
        }
    }

    async fn put_off(&self, tenant: Uuid, day: NaiveDate, too_slow: &Error) -> Result<RolledUp> {
        const SQL: &str = "UPDATE mailfleet.analytics_changes SET not_before = now() + $3 * interval '1 second' \
             WHERE not_before IS NOT NULL AND tenant_id = $1 AND day = $2";
        let seconds = PUT_OFF_FOR.as_secs_f64();
        let keys = self.in_lease("putting a day off", SQL, &[&tenant, &day, &seconds]).await?;
        let Some(keys) = keys else { return Ok(RolledUp::LeaseLost) };
        tracing::warn!(
            %tenant, %day, keys, error = %too_slow,
            "the roll-ups cannot count a day of a tenant in the time there is; it is put off for an hour: \
             raise postgres.statement_timeout_ms for `mailfleet analytics run`"
        );
        Ok(RolledUp::PutOff)
    }

    /// Makes due what was put off: for an operator, who will not wait. False where the lease was lost.
    pub async fn try_again(&self) -> Result<bool> {
        const SQL: &str =
            "UPDATE mailfleet.analytics_changes SET not_before = now() WHERE not_before > now()";
        Ok(self.in_lease("taking up what was put off", SQL, &[]).await?.is_some())
    }

    /// Runs one statement in a transaction; says how many rows it touched, `None` where the lease was lost.
    async fn in_lease(&self, what: &'static str, sql: &str, params: Params<'_>) -> Result<Option<u64>> {
        let mut session = self.store.session().await?;
        session.begin_maintenance().await?;
        let touched = async {
            let touched = session.execute(what, sql, params).await?;
            self.still_held(&mut session, Some(touched)).await
        }
        .await;
        finish(&mut session, touched, None).await
    }
}

impl Store {
    /// What the roll-ups have set aside. Part of [`Store::waiting_changes`].
    pub async fn set_aside_changes(&self) -> Result<SetAside> {
        const SQL: &str = "SELECT count(*) FILTER (WHERE not_before <= now()) AS due, \
             count(*) FILTER (WHERE not_before > now()) AS put_off \
             FROM mailfleet.analytics_changes WHERE not_before IS NOT NULL";
        let rows = self.survey("counting changes that were set aside", SQL, &[]).await?;
        let Some(row) = rows.first() else { return Ok(SetAside::default()) };
        Ok(SetAside { due: count(row, "due")?, put_off: count(row, "put_off")? })
    }
}
