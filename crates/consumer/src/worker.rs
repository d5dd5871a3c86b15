//! The loop of a worker, and the reclaimer beside it: claim, decide, settle, until told to stop.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mailfleet_queue::Delivery;
use mailfleet_runtime::Shutdown;
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::admission::Room;
use crate::batch::{Context, Kind};
use crate::deadline::{self, Step};
use crate::settle::Settler;

/// An idle worker looks at the queue this often even when no doorbell rings.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Claims and works until the process stops; then what is not finished in time is handed back.
pub async fn work<K: Kind>(context: Arc<Context<K>>, batch_count: usize, shutdown: Shutdown) {
    let mut failures = 0;
    while !shutdown.is_stopping() {
        // Nothing is claimed while PostgreSQL is away: what is not claimed needs no lease and no memory.
        if shutdown.unless_stopping(context.gate.opened()).await.is_none() {
            return;
        }
        let Some(room) = shutdown.unless_stopping(context.room()).await else { return };
        let claimed = tokio::select! {
            biased;
            claimed = context.consumer.claim(batch_count) => claimed,
            // Dropped half-way its answer is lost; what it took is given back with the good-bye, uncounted.
            () = deadline::over(&shutdown, Step::Work) => return,
        };
        match claimed {
            Ok(batch) => {
                failures = 0;
                context.settler.answered();
                let room = room.map(|room| room.filled_with(&batch));
                context.bury_strays(&shutdown).await;
                if batch.is_empty() {
                    shutdown.unless_stopping(context.consumer.wait(LOOK_EVERY)).await;
                } else {
                    run(&context, batch, room, &shutdown).await;
                }
            }
            Err(error) => {
                drop(room);
                failures += 1;
                context.settler.note(&error);
                shutdown.sleep(Settler::pause(failures)).await;
            }
        }
    }
}

/// Works on what takes long, one by one, beside the workers.
pub async fn work_apart<K: Kind>(
    context: Arc<Context<K>>,
    mut work: mpsc::Receiver<(Delivery, Option<Room>)>,
    shutdown: Shutdown,
) {
    while let Some(Some((delivery, _room))) = shutdown.unless_stopping(work.recv()).await {
        work_off(&context, VecDeque::from([vec![delivery]]), &shutdown).await;
    }
    // What was sent before the end is handed back like all else; what comes now its sender keeps.
    work.close();
    while let Some((delivery, _room)) = work.recv().await {
        context.hand_back(vec![delivery]).await;
    }
}

/// Works a claim off. What must run alone does so first: if the process dies of it, what was claimed with it has not run
/// yet. What takes long is left to [`work_apart`].
async fn run<K: Kind>(
    context: &Context<K>,
    claimed: Vec<Delivery>,
    mut room: Option<Room>,
    shutdown: &Shutdown,
) {
    let (out, rest): (Vec<_>, Vec<_>) = claimed.into_iter().partition(Delivery::exhausted_crashes);
    let (alone, together): (Vec<_>, Vec<_>) = rest.into_iter().partition(Delivery::run_alone);
    let (long, alone): (Vec<_>, Vec<_>) = alone.into_iter().partition(K::takes_long);
    for delivery in long {
        let share = room.as_mut().map(|room| room.split(std::slice::from_ref(&delivery)));
        // No place is free for one whose lease was lost long ago, or when the process stops.
        if let Err(TrySendError::Full((delivery, _)) | TrySendError::Closed((delivery, _))) =
            context.apart.try_send((delivery, share))
        {
            context.hand_back(vec![delivery]).await;
        }
    }
    let mut batches: VecDeque<Vec<Delivery>> = VecDeque::from([out]);
    batches.extend(alone.into_iter().map(|delivery| vec![delivery]));
    batches.push_back(together);
    work_off(context, batches, shutdown).await;
}

/// Works batches off, one after the other, each to its settlement.
async fn work_off<K: Kind>(context: &Context<K>, mut batches: VecDeque<Vec<Delivery>>, shutdown: &Shutdown) {
    while let Some(batch) = batches.pop_front() {
        if batch.is_empty() {
            continue;
        }
        let verdicts = tokio::select! {
            biased;
            () = context.cutoff(shutdown) => None,
            verdicts = context.decide(&batch) => Some(verdicts),
        };
        if let Some((verdicts, turn)) = verdicts {
            context.settle(batch, verdicts).await;
            drop(turn);
        } else {
            let unfinished = std::iter::once(batch).chain(batches.drain(..)).flatten().collect();
            context.hand_back(unfinished).await;
        }
    }
}

impl<K> Context<K> {
    /// Comes when a stopping worker must hand back what it holds: when little of the drain is left, or at once while
    /// PostgreSQL is away.
    pub async fn cutoff(&self, shutdown: &Shutdown) {
        shutdown.soft.cancelled().await;
        tokio::select! {
            () = deadline::over(shutdown, Step::Work) => {}
            () = self.gate.closed() => {}
        }
    }
}

/// Takes over what other consumers let go: their leases ran out because they died or stood still.
pub async fn reclaim<K: Kind>(context: Arc<Context<K>>, lease: Duration, shutdown: Shutdown) {
    /// Looked at in one call; more is found by the next.
    const AT_ONCE: usize = 100;
    let every = (lease / 4).clamp(Duration::from_millis(200), Duration::from_secs(2));
    while shutdown.sleep(every).await {
        if !context.gate.is_open() {
            continue;
        }
        let Some(room) = shutdown.unless_stopping(context.room()).await else { return };
        let reclaimed = tokio::select! {
            biased;
            reclaimed = context.consumer.reclaim(AT_ONCE) => reclaimed,
            () = deadline::over(&shutdown, Step::Work) => return,
        };
        match reclaimed {
            Ok(batch) => {
                let room = room.map(|room| room.filled_with(&batch));
                context.bury_strays(&shutdown).await;
                run(&context, batch, room, &shutdown).await;
            }
            Err(error) => context.settler.note(&error),
        }
    }
}
