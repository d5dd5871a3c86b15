//! What must be true before the first mail is fetched.
//!
//! An outage is waited for: servers start in any order. What waiting cannot mend (a missing migration, a table of
//! another shape, a Redis that evicts) ends the start with one line that names the remedy.

use mailfleet_queue::Queue;
use mailfleet_runtime::{Beat, Shutdown, reach};
use mailfleet_store::Store;

/// Waits for PostgreSQL and checks that it is fit for use. `None` when the process stops meanwhile.
pub async fn store(store: &Store, shutdown: &Shutdown, beat: &Beat) -> anyhow::Result<Option<()>> {
    reach("PostgreSQL", shutdown, beat, || store.require_schema()).await
}

/// Waits for Redis and checks that it is fit for use. `None` when the process stops meanwhile.
pub async fn queue(queue: &Queue, shutdown: &Shutdown, beat: &Beat) -> anyhow::Result<Option<()>> {
    reach("Redis", shutdown, beat, || queue.prepare()).await
}
