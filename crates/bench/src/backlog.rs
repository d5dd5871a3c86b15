//! What a job costs with many or few jobs waiting: processor time of Redis and of this process.

use anyhow::{Context, Result};
use mailfleet_queue::ConsumerName;

use crate::server::Server;
use crate::throughput::drain;
use crate::{cpu, jobs};

/// The median of so many rounds counts.
pub(crate) const ROUNDS: u64 = 5;
/// The smaller backlog.
pub(crate) const SMALL: u64 = 10_000;
/// Jobs whose cost is taken; they come and go in steps, so that the backlog stays what it is.
const COUNTED: u64 = 100_000;
const STEP: u64 = 5_000;

/// Microseconds of processor time for one job: enqueued, claimed and done, with `backlog` others waiting.
pub(crate) async fn measure(backlog: u64) -> Result<f64> {
    let server = Server::start()?;
    server.queue.prepare().await?;
    jobs::enqueue(&server.queue, 0, backlog).await?;
    let consumer = server.queue.consumer(ConsumerName::for_this_process());
    let _keeper = consumer.spawn_keeper()?;
    // One step that is not counted: connections, scripts, caches.
    step(&server, &consumer, backlog).await?;
    let redis = server.redis.pid().context("Redis has no process")?;
    let before = cpu::of(redis)? + cpu::own()?;
    for from in (backlog + STEP..backlog + STEP + COUNTED).step_by(usize::try_from(STEP)?) {
        step(&server, &consumer, from).await?;
    }
    let spent = (cpu::of(redis)? + cpu::own()?).saturating_sub(before);
    Ok(cpu::micros_each(spent, COUNTED))
}

async fn step(server: &Server, consumer: &mailfleet_queue::Consumer, from: u64) -> Result<()> {
    jobs::enqueue(&server.queue, from, from + STEP).await?;
    drain(consumer, STEP).await
}
