//! From the configuration to running workers, and from the last worker to a clean good-bye.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use mailfleet_mime::Limits;
use mailfleet_queue::{Consumer, ConsumerName, Delivery, Queue, Queues};
use mailfleet_runtime::{Beat, LogGate, Process, Shutdown, reach};
use mailfleet_store::Store;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::admission::{Admission, HeldBytes, Room};
use crate::batch::{Context, Kind};
use crate::blame::Suspects;
use crate::config::Config;
use crate::deadline::{self, Step};
use crate::depth::{self, Shown};
use crate::events::{self, EventMetrics, Events};
use crate::gate::Gate;
use crate::metrics::{self, ConsumerMetrics};
use crate::persist::Mails;
use crate::rehearsal::Rehearsal;
use crate::roll_up::{Keeper, RollUpMetrics};
use crate::settle::Settler;
use crate::tenants::Directory;
use crate::turns::Turns;
use crate::worker;

/// Progress of Redis and PostgreSQL may be this old before the process is not ready.
const MAX_AGE: Duration = Duration::from_secs(15);

/// Connects, checks, and starts the one component that all workers belong to.
pub async fn start(process: Process<Config>) -> anyhow::Result<()> {
    let config = &process.config;
    let metrics = Arc::new(ConsumerMetrics::register(&process.metrics)?);
    let event_metrics = EventMetrics::register(&process.metrics)?;
    let store_beat = process.health.component("store", MAX_AGE);
    let queue_beat = process.health.component("queue", MAX_AGE);
    let store = Store::connect(&config.postgres)?;
    let pool = store.clone();
    mailfleet_runtime::postgres_connections(&process.metrics, move || pool.pool_usage())?;
    let queues = Queues::connect(&config.queue)?;
    let settings = &config.consumer;
    let rehearsal =
        Rehearsal::new(settings.child_memory(), settings.child_seconds, settings.max_message_bytes)?;
    rehearsal.prove().await?;
    if check(&store, &queues, &process.shutdown, &store_beat, &queue_beat).await?.is_none() {
        return Ok(());
    }
    let name = ConsumerName::for_this_process();
    let workers = config.consumer.workers;
    tracing::info!(consumer = %name, workers, event_workers = config.consumer.event_workers, "claims as {name}");
    let gate = Arc::new(Gate::new(store.clone(), store_beat));
    let mails = Mails {
        directory: Directory::new(store.clone(), config.consumer.refresh_every()),
        limits: Limits { max_raw_bytes: config.consumer.max_message_bytes, ..Limits::default() },
        rehearsal,
    };
    let held = HeldBytes::register(&process.metrics)?;
    let admission = Admission::new(settings.memory_budget(), config.most_claimed(), held);
    if config.analytics.enabled {
        let keeper = Keeper {
            store: store.clone(),
            holder: name.to_string(),
            every: config.analytics.every(),
            metrics: RollUpMetrics::register(&process.metrics)?,
        };
        process.components.spawn("roll-up", keeper.keep(Arc::clone(&gate), process.shutdown.clone()));
    }
    let outage_log = Settler::outage_log();
    let turns = Arc::default();
    let shared =
        Shared { store, gate, turns, metrics, queue_beat, outage_log, name, process: process.clone() };
    let fleet = Fleet {
        mails: shared.crew(&queues.mails, mails, Some(admission))?,
        // An event is a number that stands in PostgreSQL: it weighs nothing here.
        events: shared.crew(&queues.events, Events { metrics: event_metrics }, None)?,
    };
    process.components.spawn("consumer", serve(fleet, process.clone()));
    Ok(())
}

/// The workers of each kind of work.
struct Fleet {
    mails: Crew<Mails>,
    events: Crew<Events>,
}

/// The workers of one kind of work, before they begin.
struct Crew<K> {
    /// What they share.
    context: Arc<Context<K>>,
    /// What comes for the one that works apart.
    apart: mpsc::Receiver<(Delivery, Option<Room>)>,
}

/// What all kinds of work share.
struct Shared {
    store: Store,
    gate: Arc<Gate>,
    turns: Arc<Turns>,
    metrics: Arc<ConsumerMetrics>,
    queue_beat: Beat,
    outage_log: Arc<LogGate>,
    name: ConsumerName,
    process: Process<Config>,
}

impl Shared {
    fn crew<K: Kind>(
        &self,
        queue: &Queue,
        kind: K,
        admission: Option<Admission>,
    ) -> prometheus::Result<Crew<K>> {
        let consumer = queue.consumer(self.name.clone());
        let (shutdown, beat) = (self.process.shutdown.clone(), self.queue_beat.clone());
        let settler = Settler::new(consumer.clone(), shutdown, beat, Arc::clone(&self.outage_log));
        let processed = metrics::processed(&self.process.metrics, &queue.config().queue)?;
        // A consumer holds one entry at a time that runs alone, and only such work is done apart.
        let (sender, apart) = mpsc::channel(1);
        let context = Arc::new(Context {
            consumer,
            store: self.store.clone(),
            gate: Arc::clone(&self.gate),
            turns: Arc::clone(&self.turns),
            suspects: Suspects::default(),
            admission,
            apart: sender,
            settler: Arc::new(settler),
            metrics: Arc::clone(&self.metrics),
            clock: Arc::clone(&self.process.clock),
            log: LogGate::each_second(),
            kind,
            processed,
        });
        Ok(Crew { context, apart })
    }
}

/// Runs the workers until the process stops, then leaves the groups.
async fn serve(fleet: Fleet, process: Process<Config>) -> anyhow::Result<()> {
    let (mails, events) = (Arc::clone(&fleet.mails.context), Arc::clone(&fleet.events.context));
    let (config, shutdown) = (&process.config.consumer, &process.shutdown);
    // Their own threads: a handler that blocks every worker thread must not cost a lease.
    let keepers = (mails.consumer.spawn_keeper()?, events.consumer.spawn_keeper()?);
    let mut workers = JoinSet::new();
    let lease = Duration::from_millis(process.config.queue.lease_ms);
    employ(&mut workers, fleet.mails, config.workers, config.batch_count, lease, shutdown);
    employ(&mut workers, fleet.events, config.event_workers, config.batch_count, lease, shutdown);
    workers.spawn(events::sweep::run(Arc::clone(&events), config.match_sweep_every(), shutdown.clone()));
    let shown = vec![Shown::of(&mails), Shown::of(&events)];
    workers.spawn(depth::show(shown, Arc::clone(&mails.metrics), shutdown.clone()));

    let ended = tokio::select! {
        ended = all(&mut workers, shutdown) => ended,
        () = mails.gate.watch() => Ok(()),
    };
    if ended.is_ok() {
        // What is still held goes back, and the name goes away. Both groups within the time that is left.
        tokio::join!(leave(&mails.consumer, shutdown), leave(&events.consumer, shutdown));
    }
    // After a worker's panic nobody takes leave: what it held must be found as a dead consumer's, so that it runs alone
    // and is counted. Handed back it would go on in somebody else's batch, and take one consumer down after the other.
    drop(keepers);
    ended
}

/// Starts the workers of one kind of work, and beside them the reclaimer and the one that works apart.
fn employ<K: Kind>(
    workers: &mut JoinSet<()>,
    Crew { context, apart }: Crew<K>,
    number: usize,
    batch_count: usize,
    lease: Duration,
    shutdown: &Shutdown,
) {
    for _ in 0..number {
        workers.spawn(worker::work(Arc::clone(&context), batch_count, shutdown.clone()));
    }
    workers.spawn(worker::work_apart(Arc::clone(&context), apart, shutdown.clone()));
    workers.spawn(worker::reclaim(context, lease, shutdown.clone()));
}

async fn leave(consumer: &Consumer, shutdown: &Shutdown) {
    let left = tokio::select! {
        left = consumer.leave() => left.map_err(|error| error.to_string()),
        () = deadline::over(shutdown, Step::Leave) => Err("time is up".to_owned()),
    };
    if let Err(error) = left {
        tracing::warn!(error, "could not leave the group; what is pending under this name is reclaimed");
    }
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
    queues: &Queues,
    shutdown: &Shutdown,
    store_beat: &Beat,
    queue_beat: &Beat,
) -> anyhow::Result<Option<()>> {
    if reach("PostgreSQL", shutdown, store_beat, || store.require_schema()).await?.is_none() {
        return Ok(None);
    }
    if reach("Redis", shutdown, queue_beat, || queues.mails.prepare()).await?.is_none() {
        return Ok(None);
    }
    reach("Redis", shutdown, queue_beat, || queues.events.prepare()).await
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
