//! The loop of a worker, and the reclaimer beside it: claim, decide, settle, until told to stop.

use std::sync::Arc;
use std::time::Duration;

use mailfleet_queue::Delivery;
use mailfleet_runtime::Shutdown;

use crate::batch::Context;
use crate::settle::Settler;

/// An idle worker looks at the queue this often even when no doorbell rings.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is kept of the drain for handing back: at most this, at most half of it.
const HAND_BACK: Duration = Duration::from_secs(2);

/// Claims and works until the process stops; then what is not finished in time is handed back.
pub async fn work(context: Arc<Context>, batch_count: usize, shutdown: Shutdown) {
    let mut failures = 0;
    loop {
        // Nothing is claimed while PostgreSQL is away: what is not claimed needs no lease and no memory.
        if shutdown.unless_stopping(context.gate.opened()).await.is_none() {
            return;
        }
        // A claim is never dropped half-way: its answer would be lost and its entries wait for adoption.
        match take(&context, batch_count).await {
            Ok(batch) if batch.is_empty() => {
                failures = 0;
                if shutdown.unless_stopping(context.consumer.wait(LOOK_EVERY)).await.is_none() {
                    return;
                }
            }
            Ok(batch) => {
                failures = 0;
                run(&context, batch, &shutdown).await;
            }
            Err(error) => {
                failures += 1;
                context.settler.note(&error);
                if !shutdown.sleep(Settler::pause(failures)).await {
                    return;
                }
            }
        }
        if shutdown.is_stopping() {
            return;
        }
    }
}

/// Claims; after a failure first takes in what is ours already, because the answer that gave it to us was lost.
async fn take(context: &Context, batch_count: usize) -> mailfleet_queue::Result<Vec<Delivery>> {
    if context.settler.take_failed() {
        match context.consumer.adopt().await {
            Ok(adopted) if adopted.is_empty() => {}
            taken => return taken,
        }
    }
    let batch = context.consumer.claim(batch_count).await?;
    context.settler.answered();
    Ok(batch)
}

/// Works a batch off. What a consumer has died on before runs by itself, so that it takes nobody along.
async fn run(context: &Context, batch: Vec<Delivery>, shutdown: &Shutdown) {
    let (alone, together): (Vec<_>, Vec<_>) = batch.into_iter().partition(Delivery::run_alone);
    let batches = std::iter::once(together).chain(alone.into_iter().map(|delivery| vec![delivery]));
    for batch in batches.filter(|batch| !batch.is_empty()) {
        let verdicts = tokio::select! {
            verdicts = context.decide(&batch) => Some(verdicts),
            () = cutoff(context, shutdown) => None,
        };
        match verdicts {
            Some(verdicts) => context.settle(batch, verdicts).await,
            None => context.hand_back(batch).await,
        }
    }
}

/// Comes when a stopping worker must hand back what it holds: when little of the drain is left, or at once while
/// PostgreSQL is away.
async fn cutoff(context: &Context, shutdown: &Shutdown) {
    shutdown.soft.cancelled().await;
    let left = shutdown.time_left().unwrap_or_default();
    let keep = HAND_BACK.min(shutdown.drain() / 2);
    tokio::select! {
        () = tokio::time::sleep(left.saturating_sub(keep)) => {}
        () = context.gate.closed() => {}
    }
}

/// Takes over what other consumers let go: their leases ran out because they died or stood still.
pub async fn reclaim(context: Arc<Context>, lease: Duration, shutdown: Shutdown) {
    /// Looked at in one call; more is found by the next.
    const AT_ONCE: usize = 100;
    let every = (lease / 4).clamp(Duration::from_millis(200), Duration::from_secs(2));
    while shutdown.sleep(every).await {
        if !context.gate.is_open() {
            continue;
        }
        match context.consumer.reclaim(AT_ONCE).await {
            Ok(batch) => run(&context, batch, &shutdown).await,
            Err(error) => context.settler.note(&error),
        }
    }
}
