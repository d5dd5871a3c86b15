//! From the configuration to running workers, and from the last worker to a clean good-bye.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use mailfleet_mime::Limits;
use mailfleet_queue::{ConsumerName, Queue};
use mailfleet_runtime::{Beat, LogGate, Process, Shutdown, reach};
use mailfleet_store::Store;
use tokio::task::JoinSet;

use crate::batch::Context;
use crate::blame::Suspects;
use crate::config::Config;
use crate::deadline::{self, Step};
use crate::gate::Gate;
use crate::metrics::ConsumerMetrics;
use crate::settle::Settler;
use crate::tenants::Directory;
use crate::{depth, worker};

/// Progress of Redis and PostgreSQL may be this old before the process is not ready.
const MAX_AGE: Duration = Duration::from_secs(15);

/// Connects, checks, and starts the one component that all workers belong to.
pub async fn start(process: Process<Config>) -> anyhow::Result<()> {
    let config = &process.config;
    let metrics = ConsumerMetrics::register(&process.metrics)?;
    let store_beat = process.health.component("store", MAX_AGE);
    let queue_beat = process.health.component("queue", MAX_AGE);
    let store = Store::connect(&config.postgres)?;
    let queue = Queue::connect(&config.queue)?;
    if check(&store, &queue, &process.shutdown, &store_beat, &queue_beat).await?.is_none() {
        return Ok(());
    }
    let consumer = queue.consumer(ConsumerName::for_this_process());
    tracing::info!(consumer = %consumer.name(), workers = config.consumer.workers, "claims as {}", consumer.name());
    let context = Arc::new(Context {
        gate: Gate::new(store.clone(), store_beat),
        directory: Directory::new(store.clone(), config.consumer.refresh_every()),
        settler: Settler::new(consumer.clone(), process.shutdown.clone(), queue_beat),
        consumer,
        store,
        metrics,
        suspects: Suspects::default(),
        log: LogGate::each_second(),
        limits: Limits { max_raw_bytes: config.consumer.max_message_bytes, ..Limits::default() },
        clock: Arc::clone(&process.clock),
    });
    process.components.spawn("consumer", serve(context, process.clone()));
    Ok(())
}

/// Runs the workers until the process stops, then leaves the group.
async fn serve(context: Arc<Context>, process: Process<Config>) -> anyhow::Result<()> {
    let (config, shutdown) = (&process.config, &process.shutdown);
    // Its own thread: a handler that blocks every worker thread must not cost a lease.
    let keeper = context.consumer.spawn_keeper()?;
    let mut workers = JoinSet::new();
    for _ in 0..config.consumer.workers {
        workers.spawn(worker::work(Arc::clone(&context), config.consumer.batch_count, shutdown.clone()));
    }
    let lease = Duration::from_millis(config.queue.lease_ms);
    workers.spawn(worker::reclaim(Arc::clone(&context), lease, shutdown.clone()));
    workers.spawn(depth::show(Arc::clone(&context), config.queue.queue.clone(), shutdown.clone()));

    let ended = tokio::select! {
        ended = all(&mut workers, shutdown) => ended,
        () = context.gate.watch() => Ok(()),
    };
    if ended.is_ok() {
        // What is still held goes back, and the name goes away.
        let left = tokio::select! {
            left = context.consumer.leave() => left.map_err(|error| error.to_string()),
            () = deadline::over(shutdown, Step::Leave) => Err("time is up".to_owned()),
        };
        if let Err(error) = left {
            tracing::warn!(error, "could not leave the group; what is pending under this name is reclaimed");
        }
    }
    // After a worker's panic nobody takes leave: what it held must be found as a dead consumer's, so that it runs alone
    // and is counted. Handed back it would go on in somebody else's batch, and take one consumer down after the other.
    drop(keeper);
    ended
}

/// Waits for all workers. The first that panicked is the error; the others finish what they hold and stop.
async fn all(workers: &mut JoinSet<()>, shutdown: &Shutdown) -> anyhow::Result<()> {
    let mut failure = None;
    while let Some(ended) = workers.join_next().await {
        if let Err(error) = ended {
            shutdown.begin();
            failure.get_or_insert(error);
        }
    }
    failure.map_or(Ok(()), |error| Err(anyhow!("a worker failed: {error}")))
}

/// What must be true before the first claim. An outage is waited for: servers start in any order. What waiting cannot
/// mend ends the start with one line that names the remedy. `None` when the process stops meanwhile.
async fn check(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_that_panics_stops_the_others_and_is_the_error() {
        let shutdown = Shutdown::new(Duration::from_secs(5));
        let mut workers = JoinSet::new();
        let stopping = shutdown.soft.clone();
        workers.spawn(async move { stopping.cancelled().await });
        workers.spawn(async { panic!("boom") });
        let error = all(&mut workers, &shutdown).await.unwrap_err().to_string();
        assert!(error.contains("a worker failed") && error.contains("boom"), "{error}");
        assert!(workers.is_empty(), "everyone was waited for");
    }
}
