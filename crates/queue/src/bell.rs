//! The doorbell: whoever puts work into a lane publishes, and idle consumers listen. It only saves time; a ring that is
//! lost costs an idle consumer the rest of its wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use mailfleet_model::Backoff;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::Result;
use crate::link::{no_connection, said_by};
use crate::log_gate::OUTAGE;
use crate::queue::Queue;

/// A connection that was silent for this long may be dead without a word, and is made anew.
const SILENCE: Duration = Duration::from_secs(300);

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

async fn listen(queue: &Queue, ring: &watch::Sender<u64>, failures: &mut u32) -> Result<()> {
    const DOING: &str = "listen to the doorbell";
    let (mut listener, node) = queue.link().listener(DOING).await?;
    for keys in queue.partitions() {
        let subscribed =
            tokio::time::timeout(queue.config().response_timeout(), listener.subscribe(&keys.bell)).await;
        subscribed
            .map_err(|_| no_connection(DOING, node.place(), "timed out"))?
            .map_err(|said| said_by(DOING, &node, said))?;
    }
    *failures = 0;
    // What was enqueued while nobody listened rang in vain.
    ring.send_modify(|count| *count += 1);
    let mut rings = listener.on_message();
    while let Ok(message) = tokio::time::timeout(SILENCE, rings.next()).await {
        if message.is_none() {
            return Err(no_connection(DOING, node.place(), "the connection ended"));
        }
        ring.send_modify(|count| *count += 1);
    }
    Ok(())
}
