//! A run: page by page, notes of changes become numbers.

use std::time::Duration;

use super::lease::{Lease, hold};
use super::mark::Cursor;
use super::page::Take;
use crate::error::{Error, Result};
use crate::rows::{count, get};
use crate::session::Session;
use crate::store::{GRACE, Store};

/// Most notes taken in one transaction. A key is counted once a page, however many notes it has.
const PAGE: i64 = 5_000;

/// A page that took too long is tried again with this part of it: each trial costs a statement timeout.
const PART: i64 = 8;

/// So many notes are set aside one after the other before one of them is counted.
const SET_ASIDE_AT_ONCE: u32 = 3;

/// The lease is held for at least so long from each page on; a holder that died holds up the roll-ups no longer than this,
/// or than a page may take.
const HELD: Duration = Duration::from_secs(120);

/// How much longer than a page the lease is held.
const SPARE: Duration = Duration::from_secs(15);

/// How much longer than any other statement those may take that count what was set aside.
const LONGER: u32 = 10;
/// But not longer than so, unless every statement may.
const LONGEST: Duration = Duration::from_secs(100);

/// What one page did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolledUp {
    /// It was committed.
    Page {
        /// Notes that were taken; at least one.
        changes: u64,
        /// Different keys (tenant, day, and all that roll-ups count by) that were counted.
        keys: u64,
    },
    /// A day of a tenant took too long even with more time. It is tried again in an hour; the next call goes on with the rest.
    PutOff,
    /// There was nothing behind the horizon, but for what was put off.
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
    /// Whether it is the turn of what was set aside.
    apart_next: bool,
}

impl<'a> Roller<'a> {
    /// A run that has done nothing yet. The lease is that of the roll-ups.
    const fn new(store: &'a Store, lease: Lease) -> Self {
        Self { store, lease, cursor: Cursor::BEGIN, page: PAGE, apart_next: false }
    }

    /// The lease it works under.
    #[must_use]
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Counts one page, in one transaction. A page that is too much for the statement timeout is tried again by parts. A
    /// single note that is too much is set aside, and its tenant's day counted apart with more time when the others have
    /// had their turn. A future that is dropped leaves nothing behind.
    pub async fn page(&mut self) -> Result<RolledUp> {
        if std::mem::take(&mut self.apart_next) {
            let counted = self.apart().await?;
            if counted != RolledUp::Idle {
                return Ok(counted);
            }
        }
        let mut set_aside = 0;
        while set_aside < SET_ASIDE_AT_ONCE {
            match self.bounded(Take::Oldest(self.page)).await {
                Err(error) if is_too_slow(&error) => {
                    let takeable = self.takeable(self.page).await?;
                    self.page = (takeable / PART).max(1);
                    if takeable > 1 {
                        tracing::info!(page = self.page, %error, "a page of the roll-ups took too long; going on with a part of it");
                    } else if self.set_aside(&error).await? {
                        set_aside += 1;
                    } else {
                        return Ok(RolledUp::LeaseLost);
                    }
                }
                Ok(RolledUp::Idle) => break,
                Ok(done) => {
                    if let RolledUp::Page { changes, .. } = done {
                        // That was all there was. While there is more each time, those who were set aside have turns too.
                        self.apart_next = i64::try_from(changes).is_ok_and(|changes| changes < self.page);
                    }
                    self.page = (self.page * 2).min(PAGE);
                    return Ok(done);
                }
                Err(error) => return Err(error),
            }
        }
        self.apart().await
    }

    /// Counts within the time for which the lease is held.
    pub(super) async fn bounded(&self, take: Take) -> Result<RolledUp> {
        if !self.store.renew_lease(&self.lease, held(self.store)).await? {
            return Ok(RolledUp::LeaseLost);
        }
        // All statements together. The server gives up a long one first, and soon also one that is cut off here.
        let limit = longer(self.store) + GRACE;
        let cut_off = Error::Timeout { what: "counting a page of the roll-ups", after: limit };
        tokio::time::timeout(limit, self.count(take)).await.unwrap_or(Err(cut_off))
    }

    /// How long a statement may take that counts what was set aside.
    pub(super) fn longer(&self) -> Duration {
        longer(self.store)
    }

    /// Renews the lease for another page, as the last statement of a transaction; `None` where it was lost.
    pub(super) async fn still_held<T>(&self, session: &mut Session, done: T) -> Result<Option<T>> {
        Ok(hold(session, &self.lease, held(self.store)).await?.then_some(done))
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

/// Whether the server gave up the statement for its length, or did not answer at all.
pub(super) fn is_too_slow(error: &Error) -> bool {
    matches!(error, Error::Timeout { .. }) || error.code() == Some("57014")
}

fn longer(store: &Store) -> Duration {
    let usual = store.config().statement_timeout();
    usual.max((usual * LONGER).min(LONGEST))
}

/// Outlasts every page, also where an operator lets statements take very long.
fn held(store: &Store) -> Duration {
    HELD.max(longer(store) + GRACE + SPARE)
}

impl Store {
    /// Takes the lease of the roll-ups for a run, where no other process has it.
    pub async fn take_roller(&self, holder: &str) -> Result<Option<Roller<'_>>> {
        let lease = self.take_lease(super::ANALYTICS_LEASE, holder, held(self)).await?;
        Ok(lease.map(|lease| Roller::new(self, lease)))
    }

    /// Takes the lease of the roll-ups whoever has it: for an operator.
    pub async fn seize_roller(&self, holder: &str) -> Result<Roller<'_>> {
        let lease = self.seize_lease(super::ANALYTICS_LEASE, holder, held(self)).await?;
        Ok(Roller::new(self, lease))
    }

    /// Age of the oldest change that the roll-ups do not show yet, put off or not; zero where they show all.
    pub async fn roll_up_lag(&self) -> Result<Duration> {
        // Of those that nothing is known against in the order of their numbers, which is nearly that of their times and has
        // an index. One that was set aside has its old time and a new number.
        const SQL: &str = "SELECT extract(epoch FROM clock_timestamp() - min(created))::double precision AS age FROM ( \
             (SELECT created FROM mailfleet.analytics_changes ORDER BY id LIMIT 1) UNION ALL \
             (SELECT min(created) FROM mailfleet.analytics_changes WHERE not_before IS NOT NULL)) AS oldest";
        let rows = self.survey("asking for the oldest change", SQL, &[]).await?;
        let age: Option<f64> = rows.first().map(|row| get(row, "age")).transpose()?.flatten();
        Ok(Duration::try_from_secs_f64(age.unwrap_or(0.0)).unwrap_or_default())
    }

    /// Changes that the roll-ups do not show yet.
    pub async fn waiting_changes(&self) -> Result<u64> {
        let rows = self
            .survey("counting changes", "SELECT count(*) AS n FROM mailfleet.analytics_changes", &[])
            .await?;
        rows.first().map_or(Ok(0), |row| count(row, "n"))
    }
}
