//! Jobs a second each way: enqueued, then claimed and done by four consumers whose handler does nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mailfleet_queue::{Consumer, ConsumerName, Delivery, Settled};

use crate::server::Server;
use crate::{cpu, jobs};

/// Entries asked for by one claim: no more than the caches of processors hold.
pub(crate) const CLAIM: usize = 100;
/// Consumers at work at once: while one reads what Redis gave it, Redis works for the others. A second worker makes neither
/// rival faster.
pub(crate) const CONSUMERS: usize = 4;
/// Settlements that a consumer has under way beside its next claim.
const SETTLING: usize = 2;
/// Nothing to claim for this long while jobs are missing: something is lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// What one round measured: jobs a second each way, and the processor time of Redis for a job, there and back, in µs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Throughput {
    pub(crate) add: f64,
    pub(crate) process: f64,
    pub(crate) redis_micros: f64,
}

/// One round on a fresh Redis.
pub(crate) async fn measure(jobs: u64) -> Result<Throughput> {
    let server = Server::start()?;
    server.queue.prepare().await?;
    let redis = server.redis.pid().context("Redis has no process")?;
    let before = cpu::of(redis)?;
    let begun = Instant::now();
    jobs::enqueue(&server.queue, 0, jobs).await?;
    let add = per_second(jobs, begun.elapsed());
    let consumers = [(); CONSUMERS].map(|()| server.queue.consumer(ConsumerName::for_this_process()));
    let _keepers =
        consumers.each_ref().map(Consumer::spawn_keeper).into_iter().collect::<Result<Vec<_>, _>>()?;
    let begun = Instant::now();
    let (claimed, mut draining) = (Arc::default(), tokio::task::JoinSet::new());
    for consumer in consumers {
        draining.spawn(drain_together(consumer, Arc::clone(&claimed), jobs));
    }
    while let Some(drained) = draining.join_next().await {
        drained??;
    }
    let process = per_second(jobs, begun.elapsed());
    let redis_micros = cpu::micros_each(cpu::since(redis, before)?, jobs);
    let depth = server.queue.depth().await?;
    ensure!(depth.backlog() == Some(0), "something is left: {depth:?}");
    Ok(Throughput { add, process, redis_micros })
}

/// Claims and finishes this many jobs.
pub(crate) async fn drain(consumer: &Consumer, jobs: u64) -> Result<()> {
    drain_together(consumer.clone(), Arc::default(), jobs).await
}

/// Claims and finishes until all consumers together have claimed this many jobs.
async fn drain_together(consumer: Consumer, claimed: Arc<AtomicU64>, jobs: u64) -> Result<()> {
    let mut settling = tokio::task::JoinSet::new();
    let mut progress = Instant::now();
    loop {
        let left = jobs.saturating_sub(claimed.load(Ordering::Relaxed));
        if left == 0 {
            break;
        }
        let deliveries = consumer.claim(CLAIM.min(usize::try_from(left).unwrap_or(CLAIM))).await?;
        ensure!(progress.elapsed() < PATIENCE, "nothing to claim although {left} jobs are missing");
        if deliveries.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        progress = Instant::now();
        claimed.fetch_add(deliveries.len() as u64, Ordering::Relaxed);
        settling.spawn(finish(consumer.clone(), deliveries));
        if settling.len() > SETTLING
            && let Some(settled) = settling.join_next().await
        {
            settled??;
        }
    }
    while let Some(settled) = settling.join_next().await {
        settled??;
    }
    Ok(())
}

/// Finishes these, every one of which must still be the consumer's.
pub(crate) async fn finish(owner: Consumer, deliveries: Vec<Delivery>) -> Result<()> {
    let settled = owner.done(deliveries).await.map_err(|(error, _)| error)?;
    ensure!(settled.iter().all(|settled| *settled == Settled::Done), "a lease was lost: {settled:?}");
    Ok(())
}

pub(crate) fn per_second(jobs: u64, took: Duration) -> f64 {
    // Precision: counts of jobs are far below 2^52.
    #[expect(clippy::cast_precision_loss)]
    let jobs = jobs as f64;
    jobs / took.as_secs_f64()
}
