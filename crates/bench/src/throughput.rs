//! Jobs a second each way: enqueued, then claimed and done by one consumer whose handler does nothing.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mailfleet_queue::{Consumer, ConsumerName, Delivery, Settled};

use crate::server::Server;
use crate::{cpu, jobs};

/// Entries asked for by one claim.
pub(crate) const CLAIM: usize = 500;
/// Settlements under way beside the next claim.
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
    let consumer = server.queue.consumer(ConsumerName::for_this_process());
    let _keeper = consumer.spawn_keeper()?;
    let begun = Instant::now();
    drain(&consumer, jobs).await?;
    let process = per_second(jobs, begun.elapsed());
    let redis_micros = cpu::micros_each(cpu::since(redis, before)?, jobs);
    let depth = server.queue.depth().await?;
    ensure!(depth.backlog() == Some(0), "something is left: {depth:?}");
    Ok(Throughput { add, process, redis_micros })
}

/// Claims and finishes this many jobs.
pub(crate) async fn drain(consumer: &Consumer, jobs: u64) -> Result<()> {
    let mut settling = tokio::task::JoinSet::new();
    let (mut done, mut progress) = (0u64, Instant::now());
    while done < jobs {
        let left = usize::try_from(jobs - done).unwrap_or(CLAIM);
        let deliveries = consumer.claim(CLAIM.min(left)).await?;
        ensure!(progress.elapsed() < PATIENCE, "nothing to claim although {left} jobs are missing");
        if deliveries.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        progress = Instant::now();
        done += deliveries.len() as u64;
        let owner = consumer.clone();
        settling.spawn(finish(owner, deliveries));
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
