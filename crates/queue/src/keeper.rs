//! The keeper: renews the leases of everything held, from a thread of its own, with a runtime and a connection of its
//! own, so that no handler, however busy or blocked, can starve it.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mailfleet_model::Backoff;
use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;

use crate::consumer::{Consumer, Shared, count};
use crate::error::{Error, Result};
use crate::held::Holding;
use crate::keys::lane_number;
use crate::log_gate::LogGate;
use crate::queue::script;
use crate::scripts::SCRIPTS;

const DOING: &str = "keep leases alive";
/// One script renews no more leases than this.
const CHUNK: usize = 500;

/// A running keep-alive; ends with this value.
#[derive(Debug)]
#[must_use = "leases are only kept alive while the keeper exists"]
pub struct Keeper {
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Consumer {
    /// Starts the keep-alive of everything this consumer holds, every third of a lease. One is enough for all clones.
    pub fn spawn_keeper(&self) -> Result<Keeper> {
        let machine = |cause| Error::Machine { doing: "start the keeper", cause };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(machine)?;
        let stop = Arc::new(Notify::new());
        let (shared, stopped) = (Arc::clone(&self.0), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("queue-keeper".to_owned())
            .spawn(move || runtime.block_on(keep(&shared, &stopped)))
            .map_err(machine)?;
        Ok(Keeper { stop, thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // The permit is kept if the thread is not waiting at this moment, and every wait of it heeds the permit, so the
        // join is short.
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn keep(shared: &Shared, stop: &Notify) {
    // Dropped in the middle, a renewal is merely not known to have happened.
    tokio::select! {
        () = stop.notified() => {}
        () = renew_for_ever(shared) => {}
    }
}

async fn renew_for_ever(shared: &Shared) {
    static GATE: LogGate = LogGate::new();
    let interval = shared.queue.config().lease() / 3;
    let (mut connection, mut failures) = (None, 0u32);
    loop {
        let wait = match renew(shared, &mut connection).await {
            Ok(()) => {
                if failures > 0 {
                    tracing::info!(failures, held = shared.held.len(), "leases are kept alive again");
                }
                failures = 0;
                interval
            }
            Err(error) => {
                connection = None;
                failures = failures.saturating_add(1);
                if let Some(held_back) = GATE.pass(Instant::now()) {
                    tracing::warn!(%error, held = shared.held.len(), held_back, "leases cannot be kept alive");
                }
                // Whoever is back first after an outage keeps what it holds: nobody takes anything for a whole lease.
                Backoff::RECONNECT
                    .delay(failures, fastrand::f64())
                    .min(interval)
                    .max(Duration::from_millis(20))
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// Renews every held lease once, and marks those that are lost. With nothing held it still asks whether Redis is there.
async fn renew(shared: &Shared, connection: &mut Option<MultiplexedConnection>) -> Result<()> {
    let queue = &shared.queue;
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(queue.link().dedicated(DOING, queue.config().lease() / 2).await?),
    };
    let from = Instant::now();
    let pong = redis::cmd("PING").query_async::<String>(connection).await;
    queue.link().noted(from, pong.map_err(queue.link().said(DOING)))?;
    for (partition, keys) in (0u16..).zip(queue.partitions()) {
        for chunk in shared.held.snapshot(partition).chunks(CHUNK) {
            let mut script = script(&SCRIPTS.keep_alive, keys);
            script.arg(shared.name.as_str());
            for Holding { key, .. } in chunk {
                script.arg(lane_number(key.lane)).arg(&key.id);
            }
            let from = Instant::now();
            let answer = script.invoke_async(connection).await.map_err(queue.link().said(DOING));
            let replies: Vec<i64> = queue.link().noted(from, answer)?;
            let lost =
                chunk.iter().zip(replies).filter(|(holding, reply)| *reply == 0 && shared.held.lose(holding));
            let lost = lost.count();
            if lost > 0 {
                count(&shared.stats.leases_lost, lost);
                tracing::warn!(
                    entries = lost,
                    "leases were lost: the entries run elsewhere, or were flushed"
                );
            }
        }
    }
    Ok(())
}
