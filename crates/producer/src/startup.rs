//! What must be true before the first mail is fetched.
//!
//! An outage is waited for: servers start in any order. What waiting cannot mend (a missing migration, a table of
//! another shape, a Redis that evicts) ends the start with one line that names the remedy.

use mailfleet_queue::Queue;
use mailfleet_runtime::{Beat, Shutdown, reach};
use mailfleet_store::Store;

/// Waits for PostgreSQL and Redis and checks that both are fit for use. `None` when the process stops meanwhile.
pub async fn check(
    store: &Store,
    queue: &Queue,
    shutdown: &Shutdown,
    store_beat: &Beat,
    queue_beat: &Beat,
) -> anyhow::Result<Option<()>> {
    if reach("PostgreSQL", shutdown, store_beat, || store.require_schema()).await?.is_none() {
        return Ok(None);
    }
    reach("Redis", shutdown, queue_beat, || queue.prepare()).await
}
