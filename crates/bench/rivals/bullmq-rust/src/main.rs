//! COUNT jobs of 1 KiB: added in bulk, a few calls at once, then taken by a worker whose handler does nothing. Prints one line of JSON.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bullmq::options::{QueueOptions, RedisConnectionOptions, WorkerOptions};
use bullmq::types::RemoveOnFinish;
use bullmq::worker::{CancellationToken, ProcessorFn};
use bullmq::{BulkJob, Job, Queue, Worker};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;

const BULK: usize = 1_000;
/// As many as mailfleet has under way.
const AT_ONCE: usize = 3;

#[tokio::main]
async fn main() -> bullmq::Result<()> {
    let url = std::env::var("REDIS_URL").expect("REDIS_URL is set");
    let count: usize = std::env::var("COUNT").expect("COUNT is set").parse().expect("COUNT is a number");
    let connection = RedisConnectionOptions { url, ..Default::default() };
    let queue =
        Queue::with_options("bench", QueueOptions { connection: connection.clone(), ..Default::default() })
            .await?;
    let body = "x".repeat(1_024);

    let begun = Instant::now();
    let mut under_way = JoinSet::new();
    for first in (0..count).step_by(BULK) {
        let jobs =
            (first..count.min(first + BULK)).map(|n| BulkJob::new("mail", json!({ "n": n, "body": body })));
        let (queue, jobs) = (queue.clone(), jobs.collect());
        under_way.spawn(async move { queue.add_bulk(jobs).await });
        if under_way.len() == AT_ONCE
            && let Some(added) = under_way.join_next().await
        {
            added.expect("adding does not panic")?;
        }
    }
    while let Some(added) = under_way.join_next().await {
        added.expect("adding does not panic")?;
    }
    let added = count as f64 / begun.elapsed().as_secs_f64();

    let (done, finished) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (counter, bell) = (Arc::clone(&done), Arc::clone(&finished));
    let handler: ProcessorFn = Arc::new(move |_: Job, _: CancellationToken| {
        if counter.fetch_add(1, Ordering::Relaxed) + 1 == count {
            bell.notify_one();
        }
        Box::pin(async { Ok(Value::Null) })
    });
    let begun = Instant::now();
    let options = WorkerOptions {
        connection,
        concurrency: 100,
        remove_on_complete: Some(RemoveOnFinish::Bool(true)),
        ..Default::default()
    };
    let worker = Worker::with_options("bench", handler, options).await?;
    finished.notified().await;
    let processed = count as f64 / begun.elapsed().as_secs_f64();
    println!("{}", json!({ "add_per_second": added, "process_per_second": processed }));
    worker.close(2_000).await?;
    Ok(())
}
