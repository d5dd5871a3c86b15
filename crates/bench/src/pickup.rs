//! How long a job waits until a consumer has it, at half of the load that the queue can carry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mailfleet_queue::ConsumerName;

use crate::jobs;
use crate::server::Server;
use crate::statistics::percentile;
use crate::throughput::{CLAIM, finish};

/// Jobs are handed in at this rhythm, each time as many as the load wants.
const RHYTHM: Duration = Duration::from_millis(5);

/// What was measured, in milliseconds from the moment at which a job was due to be handed in to the return of the claim: a
/// call of `enqueue` that begins late, because the one before it took long, does not count as quick.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pickup {
    pub(crate) load: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) late: f64,
}

/// Runs at `load` jobs a second for so many seconds.
pub(crate) async fn measure(load: f64, seconds: u64) -> Result<Pickup> {
    let server = Server::start()?;
    server.queue.prepare().await?;
    let consumer = server.queue.consumer(ConsumerName::for_this_process());
    let _keeper = consumer.spawn_keeper()?;
    let handed_in: Arc<Mutex<HashMap<String, Instant>>> = Arc::default();
    // Range: a load in jobs a second times milliseconds is a small whole number.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let each = ((load * RHYTHM.as_secs_f64()) as u64).max(1);
    let rounds = seconds * 1_000 / u64::try_from(RHYTHM.as_millis())?;
    let queue = server.queue.clone();
    let times = Arc::clone(&handed_in);
    let producer = tokio::spawn(async move {
        let raw = jobs::raw();
        let mut rhythm = tokio::time::interval(RHYTHM);
        let mut late = 0u64;
        for round in 0..rounds {
            let due = rhythm.tick().await;
            let batch =
                (round * each..(round + 1) * each).map(|n| jobs::job(n, &raw)).collect::<Result<Vec<_>>>()?;
            {
                let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
                let due = due.into_std();
                times.extend(batch.iter().map(|job| (job.job_id().as_str().to_owned(), due)));
            }
            queue.enqueue(batch).await?;
            late += u64::from(due.elapsed() > 2 * RHYTHM);
        }
        Ok::<_, anyhow::Error>(late)
    });
    let (mut waits, mut settling) = (Vec::new(), tokio::task::JoinSet::new());
    let end = Instant::now() + Duration::from_secs(seconds + 30);
    while (waits.len() as u64) < rounds * each {
        ensure!(Instant::now() < end, "the consumer does not keep up with {load:.0} jobs a second");
        let deliveries = consumer.claim(CLAIM).await?;
        let now = Instant::now();
        if deliveries.is_empty() {
            consumer.wait(Duration::from_secs(1)).await;
            continue;
        }
        {
            let mut times = handed_in.lock().unwrap_or_else(PoisonError::into_inner);
            let since = deliveries.iter().filter_map(|delivery| times.remove(delivery.job_id().as_str()));
            waits.extend(since.map(|since| now.duration_since(since).as_secs_f64() * 1e3));
        }
        let owner = consumer.clone();
        settling.spawn(finish(owner, deliveries));
        while let Some(settled) = settling.try_join_next() {
            settled??;
        }
    }
    let late = producer.await??;
    while let Some(settled) = settling.join_next().await {
        settled??;
    }
    // Precision: counts of rounds are small.
    #[expect(clippy::cast_precision_loss)]
    let (late, load) = (late as f64 / rounds as f64, each as f64 / RHYTHM.as_secs_f64());
    Ok(Pickup { load, p50: percentile(&waits, 0.5), p99: percentile(&waits, 0.99), late })
}
