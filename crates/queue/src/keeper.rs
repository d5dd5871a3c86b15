//! The keeper: renews the leases of everything held, from a thread of its own, with a runtime and a connection of its
//! own, so that no handler, however busy or blocked, can starve it.

use std::iter;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::future::join_all;
use mailfleet_model::Backoff;
use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;

use crate::claim::is_refusal;
use crate::consumer::{Consumer, Shared, count};
use crate::error::{Error, Result};
use crate::held::Holding;
use crate::keys::{Keys, lane_number};
use crate::log_gate::{OUTAGE, RETURN};
use crate::queue::script;
use crate::scripts::SCRIPTS;
use crate::server::{Node, Request, View};

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
    let interval = shared.queue.config().lease() / 3;
    let (mut lines, mut failures) = (Vec::new(), 0u32);
    loop {
        let wait = match renew(shared, &mut lines).await {
            Ok(()) => {
                if failures > 0
                    && let Some(held_back) = RETURN.pass(Instant::now())
                {
                    tracing::info!(
                        failures,
                        held = shared.held.len(),
                        held_back,
                        "leases are kept alive again"
                    );
                }
                failures = 0;
                interval
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                if let Some(held_back) = OUTAGE.pass(Instant::now()) {
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

/// The keeper's own connection to one server; none where it broke.
struct Line {
    node: Arc<Node>,
    connection: Option<MultiplexedConnection>,
}

/// Renews every held lease once, and marks those that are lost. Every server and every partition is asked, also those with
/// nothing held: it is known from that whether leases can be renewed. All at once, so that one which hangs does not cost the leases of others.
async fn renew(shared: &Shared, lines: &mut Vec<Line>) -> Result<()> {
    let view = shared.queue.link().view(DOING).await?;
    let kept = |node: &Arc<Node>, lines: &mut Vec<Line>| {
        let index = lines.iter().position(|line| Arc::ptr_eq(&line.node, node));
        index.map_or_else(
            || Line { node: Arc::clone(node), connection: None },
            |index| lines.swap_remove(index),
        )
    };
    // Servers that are masters no more are let go with the old list.
    let mut next: Vec<Line> = view.masters().iter().map(|node| kept(node, lines)).collect();
    let results = join_all(next.iter_mut().map(|line| renew_at(shared, &view, line))).await;
    *lines = next;
    results.into_iter().collect()
}

/// [`renew`] for what lies on one server.
async fn renew_at(shared: &Shared, view: &Arc<View>, own: &mut Line) -> Result<()> {
    let queue = &shared.queue;
    let (link, node) = (queue.link(), Arc::clone(&own.node));
    let timeout = queue.config().lease() / 2;
    // Put back only if all went well: after an error it is made anew.
    let mut connection = match own.connection.take() {
        Some(connection) => connection,
        None => link.dedicated(DOING, view, &node, timeout).await?,
    };
    let (ping, at) = (redis::cmd("PING"), (view, node.as_ref()));
    let _: String = link.on(DOING, at, &mut connection, Request::Command(&ping)).await?;
    let mut failed = None;
    for (partition, keys) in (0u16..).zip(queue.partitions()) {
        if !view.master(link.slot(keys)).is_some_and(|master| Arc::ptr_eq(master, &node)) {
            continue;
        }
        match renew_partition(shared, (partition, keys), at, &mut connection).await {
            Ok(()) => {}
            // What is refused to one partition, because its slot moves or its keys are somebody else's, is none of the others'.
            Err(error) if is_refusal(&error) => {
                failed.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    own.connection = Some(connection);
    failed.map_or(Ok(()), Err)
}

/// [`renew`] for one partition.
async fn renew_partition(
    shared: &Shared,
    (partition, keys): (u16, &Keys),
    at: (&Arc<View>, &Node),
    connection: &mut MultiplexedConnection,
) -> Result<()> {
    let held = shared.held.snapshot(partition);
    let mut chunks = held.chunks(CHUNK);
    // With nothing held as well: a server that answers and takes no writes lets the leases of others run out.
    let first = chunks.next().unwrap_or_default();
    for chunk in iter::once(first).chain(chunks) {
        let mut script = script(&SCRIPTS.keep_alive, keys);
        script.arg(shared.name.as_str());
        for Holding { key, job, .. } in chunk {
            let job = job.as_ref().map_or("", |job| job.as_str());
            script.arg(lane_number(key.lane)).arg(&key.id).arg(job);
        }
        let replies: Vec<i64> =
            shared.queue.link().on(DOING, at, connection, Request::Script(&script)).await?;
        let lost =
            chunk.iter().zip(replies).filter(|(holding, reply)| *reply == 0 && shared.held.lose(holding));
        let lost = lost.count();
        if lost > 0 {
            count(&shared.stats.leases_lost, lost);
            if let Some(held_back) = RETURN.pass(Instant::now()) {
                tracing::warn!(
                    entries = lost,
                    held_back,
                    "leases were lost: the entries run elsewhere, or were flushed"
                );
            }
        }
    }
    Ok(())
}
