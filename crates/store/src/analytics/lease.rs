//! Leases: work that one process at a time may do. PostgreSQL's clock decides, not the processes'.
//!
//! A holder that stalls longer than its lease does not know that another has taken over. So each taking raises the
//! epoch, and the holder's epoch is checked at the end of each of its transactions, by a statement that locks the row:
//! whoever lost the lease is refused, and nobody can take it between the check and the commit.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::rows::get;
use crate::session::Session;
use crate::store::Store;

/// A lease that was taken. It may have been lost since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    name: &'static str,
    holder: String,
    epoch: i64,
}

impl Lease {
    /// Its number among all takings of this lease, from 1.
    #[must_use]
    pub const fn epoch(&self) -> i64 {
        self.epoch
    }
}

const RENEW: &str = "UPDATE mailfleet.leases SET expires = clock_timestamp() + $3 * interval '1 second' \
     WHERE name = $1 AND epoch = $2 RETURNING epoch";

impl Store {
    /// Takes a lease that is free, has run out or is this holder's already; `None` where another holds it. `holder` names
    /// a process, and no other one ever, in at most 200 characters.
    pub async fn take_lease(
        &self,
        name: &'static str,
        holder: &str,
        for_: Duration,
    ) -> Result<Option<Lease>> {
        self.take(name, holder, for_, false).await
    }

    /// Takes a lease whoever holds it: for an operator who will not wait. What the former holder has under way is refused
    /// at its commit.
    pub async fn seize_lease(&self, name: &'static str, holder: &str, for_: Duration) -> Result<Lease> {
        let lost = || Error::Driver { what: "seizing a lease", detail: "no row came back".to_owned() };
        self.take(name, holder, for_, true).await?.ok_or_else(lost)
    }

    async fn take(
        &self,
        name: &'static str,
        holder: &str,
        for_: Duration,
        from_anybody: bool,
    ) -> Result<Option<Lease>> {
        const SQL: &str = "INSERT INTO mailfleet.leases AS l (name, holder, epoch, expires) \
             VALUES ($1, $2, 1, clock_timestamp() + $3 * interval '1 second') \
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, epoch = l.epoch + 1, expires = excluded.expires \
             WHERE $4 OR l.expires <= clock_timestamp() OR l.holder = excluded.holder RETURNING epoch";
        let rows =
            self.survey("taking a lease", SQL, &[&name, &holder, &for_.as_secs_f64(), &from_anybody]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(Lease { name, holder: holder.to_owned(), epoch: get(row, "epoch")? }))
    }

    /// Holds on to a lease for `for_` from now. False where it was lost.
    pub async fn renew_lease(&self, lease: &Lease, for_: Duration) -> Result<bool> {
        let rows =
            self.survey("renewing a lease", RENEW, &[&lease.name, &lease.epoch, &for_.as_secs_f64()]).await?;
        Ok(!rows.is_empty())
    }

    /// Lets go of a lease. False where it was lost before.
    pub async fn release_lease(&self, lease: &Lease) -> Result<bool> {
        self.renew_lease(lease, Duration::ZERO).await
    }
}

/// Renews the lease within a transaction, as its last statement. False where it was lost: do not commit.
pub(super) async fn hold(session: &mut Session, lease: &Lease, for_: Duration) -> Result<bool> {
    match session.query("holding a lease", RENEW, &[&lease.name, &lease.epoch, &for_.as_secs_f64()]).await {
        Ok(rows) => Ok(!rows.is_empty()),
        // It was taken after this transaction's snapshot.
        Err(error) if error.code() == Some("40001") => Ok(false),
        Err(error) => Err(error),
    }
}
