//! The doorbell: whoever puts work into a lane publishes, and idle consumers listen. It only saves time; a ring that is
//! lost costs an idle consumer the rest of its wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures::StreamExt;
use mailfleet_model::Backoff;
use redis::{RedisError, Value};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::error::Elapsed;

use crate::error::Result;
use crate::link::{no_connection, said_by};
use crate::log_gate::OUTAGE;
use crate::queue::Queue;

/// A listening task; ends with this value.
#[derive(Debug)]
pub(crate) struct Bell {
    /// How often it rang.
    rings: watch::Receiver<u64>,
    /// How many rings some waiter has heeded.
    heeded: AtomicU64,
    task: JoinHandle<()>,
}

impl Bell {
    pub(crate) fn listen(queue: Queue) -> Self {
        let (ring, rings) = watch::channel(0);
        let task = tokio::spawn(listen_forever(queue, ring));
        Self { rings, heeded: AtomicU64::new(0), task }
    }

    /// Waits for the next ring; one that came while nobody waited counts. All who wait at that moment wake up.
    pub(crate) async fn rung(&self) {
        let mut rings = self.rings.clone();
        let heeded = self.heeded.load(Ordering::Acquire);
        // The listener only ends with this value, so an error cannot come while somebody waits.
        if let Ok(count) = rings.wait_for(|count| *count != heeded).await {
            self.heeded.store(*count, Ordering::Release);
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen_forever(queue: Queue, ring: watch::Sender<u64>) {
    let mut failures = 0u32;
    loop {
        match listen(&queue, &ring, &mut failures).await {
            Ok(()) => {}
            Err(error) => {
                if let Some(held_back) = OUTAGE.pass(Instant::now()) {
                    tracing::warn!(%error, held_back, "the doorbell is silent; polling goes on");
                }
            }
        }
        failures = failures.saturating_add(1);
        tokio::time::sleep(Backoff::RECONNECT.delay(failures, fastrand::f64())).await;
    }
}

/// Listens until the connection breaks, or leads to a server that is nobody's master any more.
async fn listen(queue: &Queue, ring: &watch::Sender<u64>, failures: &mut u32) -> Result<()> {
    const DOING: &str = "listen to the doorbell";
    let (listener, node) = queue.link().listener(DOING).await?;
    let (mut sink, mut rings) = listener.split();
    let timeout = queue.config().response_timeout();
    let late = |_: Elapsed| no_connection(DOING, node.place(), "timed out");
    let failed = |said: RedisError| said_by(DOING, &node, said);
    for keys in queue.partitions() {
        tokio::time::timeout(timeout, sink.subscribe(&keys.bell)).await.map_err(late)?.map_err(failed)?;
    }
    *failures = 0;
    // What was enqueued while nobody listened rang in vain.
    ring.send_modify(|count| *count += 1);
    // As often as the keeper asks: a connection can die without a word, and a master that stands still is replaced.
    let quiet = queue.config().lease() / 3;
    loop {
        match tokio::time::timeout(quiet, rings.next()).await {
            Ok(Some(_)) => ring.send_modify(|count| *count += 1),
            Ok(None) => return Err(no_connection(DOING, node.place(), "the connection ended")),
            Err(_) if !queue.link().is_master(&node) => return Ok(()),
            Err(_) => {
                let alive = tokio::time::timeout(timeout, sink.ping::<Value>()).await;
                alive.map_err(late)?.map_err(failed)?;
            }
        }
    }
}
