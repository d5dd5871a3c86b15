//! What must be true before the first mail is fetched.
//!
//! An outage is waited for: servers start in any order. What waiting cannot mend (a missing migration, a table of
//! another shape, a Redis that evicts) ends the start with one line that names the remedy.

use std::time::Duration;

use anyhow::{anyhow, bail};
use mailfleet_model::{Class, Classify};
use mailfleet_queue::Queue;
use mailfleet_runtime::{Beat, LogGate, Shutdown};
use mailfleet_store::Store;

/// Between two tries to reach a server that is away.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// How often the wait is logged.
const LOG_EVERY: Duration = Duration::from_secs(5);

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
    let Some(info) = reach("Redis", shutdown, queue_beat, || queue.server_info()).await? else {
        return Ok(None);
    };
    match info.maxmemory_policy.as_deref() {
        Some("noeviction") => {}
        None => tracing::warn!(
            "Redis does not tell its eviction policy; it must be `maxmemory-policy noeviction`"
        ),
        Some(policy) => bail!(
            "Redis evicts keys when its memory is full (maxmemory-policy {policy}), which would lose queued mail: set \
             `maxmemory-policy noeviction` in redis.conf, or now with `redis-cli CONFIG SET maxmemory-policy noeviction`"
        ),
    }
    let groups = reach("Redis", shutdown, queue_beat, || queue.ensure_groups()).await?;
    Ok(groups.map(drop))
}

/// Asks until there is an answer that is not an outage.
async fn reach<T, E, F, Fut>(
    server: &str,
    shutdown: &Shutdown,
    beat: &Beat,
    mut ask: F,
) -> anyhow::Result<Option<T>>
where
    E: Classify + std::error::Error + Send + Sync + 'static,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let gate = LogGate::new(LOG_EVERY);
    loop {
        match shutdown.unless_stopping(Box::pin(ask())).await {
            None => return Ok(None),
            Some(Ok(answer)) => {
                beat.ok();
                return Ok(Some(answer));
            }
            Some(Err(error)) if error.class() == Class::Outage => {
                beat.failed(&error);
                if gate.open().is_some() {
                    tracing::warn!("waiting for {server}: {error}");
                }
            }
            Some(Err(error)) => return Err(anyhow!(error)),
        }
        if !shutdown.sleep(TRY_EVERY).await {
            return Ok(None);
        }
    }
}
