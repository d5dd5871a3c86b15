//! A run: page by page, notes of changes become numbers.

use std::time::Duration;

use chrono::NaiveDate;
use tokio_postgres::Row;
use uuid::Uuid;

use super::lease::{Lease, hold};
use super::mark::Cursor;
use super::{measures, rollups};
use crate::error::{Error, Result};
use crate::rows::{count, get};
use crate::session::Session;
use crate::store::{GRACE, Store};

/// Most notes taken in one transaction. A key is counted once a page, however many notes it has.
const PAGE: i64 = 5_000;

/// The lease is held for so long from each page on; a holder that died holds up the roll-ups no longer than this.
const HELD: Duration = Duration::from_secs(120);

/// How much longer than any other statement those of a single note may take, where they must.
const LONGER: u32 = 10;
/// But not longer than so: the lease, renewed before, outlasts the page.
const LONGEST: Duration = Duration::from_secs(100);

/// Takes the oldest notes behind the horizon and gives the keys they stand for. A note that names messages stands for
/// the keys that these have in this transaction's snapshot; should one change later, that change is noted with both keys.
const TAKE: &str = "WITH taken AS ( \
         DELETE FROM mailfleet.analytics_changes WHERE id IN ( \
             SELECT id FROM mailfleet.analytics_changes WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) \
             ORDER BY id LIMIT $1) \
         RETURNING tenant_id, campaign_id, account_id, day, storage_keys), \
     keys AS ( \
         SELECT tenant_id, campaign_id, account_id, day FROM taken WHERE day IS NOT NULL \
         UNION \
         SELECT m.tenant_id, m.campaign_id, m.account_id, mailfleet.day_of(m.created) \
         FROM taken t CROSS JOIN unnest(t.storage_keys) AS named (storage_key) \
         JOIN mailfleet.messages m ON m.storage_key = named.storage_key AND m.tenant_id = t.tenant_id) \
     SELECT (SELECT count(*) FROM taken) AS changes, \
         coalesce(array_agg(tenant_id), '{}') AS tenants, coalesce(array_agg(campaign_id), '{}') AS campaigns, \
         coalesce(array_agg(account_id), '{}') AS accounts, coalesce(array_agg(day), '{}') AS days FROM keys";

/// Gives the oldest note behind the horizon a new number, behind all others.
const PUT_BEHIND: &str = "WITH taken AS ( \
         DELETE FROM mailfleet.analytics_changes WHERE id = ( \
             SELECT id FROM mailfleet.analytics_changes WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) \
             ORDER BY id LIMIT 1) \
         RETURNING tenant_id, campaign_id, account_id, day, storage_keys, created) \
     INSERT INTO mailfleet.analytics_changes (tenant_id, campaign_id, account_id, day, storage_keys, created) \
     SELECT tenant_id, campaign_id, account_id, day, storage_keys, created FROM taken RETURNING tenant_id, day";

/// What one page did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolledUp {
    /// It was committed.
    Page {
        /// Notes that were taken; at least one.
        changes: u64,
        /// Different keys (tenant, campaign, account, day) that they stood for.
        keys: u64,
    },
    /// There was nothing behind the horizon.
    Idle,
    /// Another took the lease; nothing was written.
    LeaseLost,
}

/// Keeps the roll-ups under a lease, page by page.
#[derive(Debug)]
pub struct Roller<'a> {
    pub(super) store: &'a Store,
    pub(super) lease: Lease,
    pub(super) cursor: Cursor,
    page: i64,
}

impl<'a> Roller<'a> {
    /// A run that has done nothing yet. The lease is that of the roll-ups.
    #[must_use]
    pub fn new(store: &'a Store, lease: Lease) -> Self {
        Self { store, lease, cursor: Cursor::default(), page: PAGE }
    }

    /// The lease it works under.
    #[must_use]
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Counts one page, in one transaction. A page that is too much for the statement timeout is tried again by halves; a
    /// single note for which even more time is not enough is put behind all others. A future that is dropped leaves nothing
    /// behind.
    ///
    /// # Errors
    /// Also for the note that was put behind; the next call goes on with the rest.
    pub async fn page(&mut self) -> Result<RolledUp> {
        loop {
            let counted = match self.count(self.page, None).await {
                Err(error) if is_too_slow(&error) && self.page == 1 => self.count_longer(error).await,
                counted => counted,
            };
            match counted {
                Err(error) if is_too_slow(&error) && self.page > 1 => {
                    self.page /= 2;
                    tracing::info!(page = self.page, %error, "a page of the roll-ups took too long; going on with half of it");
                }
                Ok(done) => {
                    self.page = (self.page * 2).min(PAGE);
                    return Ok(done);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn count(&self, limit: i64, longer: Option<Duration>) -> Result<RolledUp> {
        let mut session = self.store.session().await?;
        session.begin_maintenance().await?;
        let counted = count_in(&mut session, &self.lease, limit, longer).await;
        finish(&mut session, counted, RolledUp::LeaseLost).await
    }

    /// One note, once more and with more time. What is too much for that too must not hold up all tenants for ever.
    async fn count_longer(&self, too_slow: Error) -> Result<RolledUp> {
        let usual = self.store.config().statement_timeout();
        let longer = (usual * LONGER).min(LONGEST);
        if longer <= usual {
            return self.put_behind(too_slow).await;
        }
        if !self.store.renew_lease(&self.lease, HELD).await? {
            return Ok(RolledUp::LeaseLost);
        }
        // All statements together. The server gives up a long one first, and soon also one that is cut off here.
        let limit = longer + GRACE;
        let cut_off = Error::Timeout { what: "counting one change", after: limit };
        match tokio::time::timeout(limit, self.count(1, Some(longer))).await.unwrap_or(Err(cut_off)) {
            Err(error) if is_too_slow(&error) => self.put_behind(error).await,
            counted => counted,
        }
    }

    /// Puts the oldest note behind all others, and says why by the error.
    async fn put_behind(&self, too_slow: Error) -> Result<RolledUp> {
        let mut session = self.store.session().await?;
        session.begin_maintenance().await?;
        let put = async {
            let note = session.query_opt("putting a change behind the others", PUT_BEHIND, &[]).await?;
            Ok(still_held(&mut session, &self.lease, note).await?.map(Some))
        }
        .await;
        let Some(note) = finish(&mut session, put, None).await? else { return Ok(RolledUp::LeaseLost) };
        if let Some(note) = note {
            let (tenant, day): (Uuid, Option<NaiveDate>) = (get(&note, "tenant_id")?, get(&note, "day")?);
            let day = day.map_or_else(|| "of some messages".to_owned(), |day| day.to_string());
            tracing::warn!(
                %tenant, %day, error = %too_slow,
                "the roll-ups cannot count one change in the time there is; it waits behind the others: raise postgres.statement_timeout_ms"
            );
        }
        Err(too_slow)
    }
}

/// Ends a transaction that `Some` outcome stands for; without one the lease was lost, and nothing is written.
pub(super) async fn finish<T>(session: &mut Session, outcome: Result<Option<T>>, lost: T) -> Result<T> {
    match outcome {
        Ok(None) => session.rollback().await.map(|()| lost),
        Ok(Some(done)) => session.end(Ok(done)).await,
        Err(error) => session.end(Err(error)).await,
    }
}

/// Renews the lease for another page; `None` where it was lost.
pub(super) async fn still_held<T>(session: &mut Session, lease: &Lease, done: T) -> Result<Option<T>> {
    Ok(hold(session, lease, HELD).await?.then_some(done))
}

async fn count_in(
    session: &mut Session,
    lease: &Lease,
    limit: i64,
    longer: Option<Duration>,
) -> Result<Option<RolledUp>> {
    // All roll-ups of a page count the same state, so that they agree with each other.
    const SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
    // A page has a few keys or thousands: no plan is right for all.
    const PLANS: &str = "SELECT set_config('plan_cache_mode', 'force_custom_plan', true)";
    session.execute("beginning a page of the roll-ups", SNAPSHOT, &[]).await?;
    session.query("beginning a page of the roll-ups", PLANS, &[]).await?;
    if let Some(longer) = longer {
        session.take_longer(longer).await?;
    }
    let taken = session.query_one("taking changes", TAKE, &[&limit]).await?;
    let changes = count(&taken, "changes")?;
    if changes == 0 {
        return Ok(Some(RolledUp::Idle));
    }
    let keys = Keys::read(&taken)?;
    for rollup in &rollups::all(session).await? {
        let keys: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&keys.tenants, &keys.campaigns, &keys.accounts, &keys.days];
        session.execute("clearing keys of a roll-up", &measures::clear(rollup), &keys).await?;
        session.execute("counting keys of a roll-up", &measures::fill(rollup), &keys).await?;
    }
    let keys = u64::try_from(keys.days.len()).unwrap_or(u64::MAX);
    still_held(session, lease, RolledUp::Page { changes, keys }).await
}

/// Keys as parallel arrays.
struct Keys {
    tenants: Vec<Uuid>,
    campaigns: Vec<Option<Uuid>>,
    accounts: Vec<Option<Uuid>>,
    days: Vec<NaiveDate>,
}

impl Keys {
    fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            tenants: get(row, "tenants")?,
            campaigns: get(row, "campaigns")?,
            accounts: get(row, "accounts")?,
            days: get(row, "days")?,
        })
    }
}

/// Whether the server gave up the statement for its length, or did not answer at all.
fn is_too_slow(error: &Error) -> bool {
    matches!(error, Error::Timeout { .. }) || error.code() == Some("57014")
}

impl Store {
    /// Takes the lease of the roll-ups for a run, where no other process has it.
    pub async fn take_roller(&self, holder: &str) -> Result<Option<Roller<'_>>> {
        let lease = self.take_lease(super::ANALYTICS_LEASE, holder, HELD).await?;
        Ok(lease.map(|lease| Roller::new(self, lease)))
    }

    /// Takes the lease of the roll-ups whoever has it: for an operator.
    pub async fn seize_roller(&self, holder: &str) -> Result<Roller<'_>> {
        let lease = self.seize_lease(super::ANALYTICS_LEASE, holder, HELD).await?;
        Ok(Roller::new(self, lease))
    }

    /// Age of the oldest change that the roll-ups do not show yet; zero where they show all.
    pub async fn roll_up_lag(&self) -> Result<Duration> {
        // In the order of their numbers, which is nearly that of their times and has an index.
        const SQL: &str = "SELECT extract(epoch FROM clock_timestamp() - created)::double precision AS age \
             FROM mailfleet.analytics_changes ORDER BY id LIMIT 1";
        let rows = self.survey("asking for the oldest change", SQL, &[]).await?;
        let age: f64 = rows.first().map(|row| get(row, "age")).transpose()?.unwrap_or(0.0);
        Ok(Duration::try_from_secs_f64(age).unwrap_or_default())
    }

    /// Changes that the roll-ups do not show yet.
    pub async fn waiting_changes(&self) -> Result<u64> {
        let rows = self
            .survey("counting changes", "SELECT count(*) AS n FROM mailfleet.analytics_changes", &[])
            .await?;
        rows.first().map_or(Ok(0), |row| count(row, "n"))
    }
}
