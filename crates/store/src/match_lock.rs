//! The lock under which the two sides of a match meet: an event and its message, a reply and its parent.
//!
//! Each side writes its own row and then looks for the other's. Without a lock two transactions that commit at the same
//! moment could both look before either row is visible, and miss each other for good. So both take the same lock, by
//! tenant and Message-ID, before they look, and hold it until they end: whoever comes second sees what the first wrote.

use std::collections::BTreeSet;

use mailfleet_model::TenantId;

use crate::error::Result;
use crate::session::Session;

/// Takes the locks of these names (Message-IDs, or aliases of providers) until the transaction ends. Call it once a
/// transaction, with all names: taken in one order they cannot deadlock against each other.
pub(crate) async fn lock(session: &mut Session, names: &BTreeSet<(TenantId, String)>) -> Result<()> {
    // The inner query is sorted before the outer one takes the first lock. Two names that share a hash only wait for
    // each other.
    const SQL: &str = "SELECT pg_advisory_xact_lock(name) FROM (SELECT DISTINCT hashtextextended(t || ' ' || m, 0) AS name \
         FROM unnest($1::text[], $2::text[]) AS r(t, m) ORDER BY name) AS sorted";
    if names.is_empty() {
        return Ok(());
    }
    let (tenants, ids): (Vec<String>, Vec<&str>) =
        names.iter().map(|(tenant, id)| (tenant.to_string(), id.as_str())).unzip();
    session.query("locking the names of a match", SQL, &[&tenants, &ids]).await.map(|_| ())
}
