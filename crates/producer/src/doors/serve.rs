//! The server of the doors: binding, routing, and stopping.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::routing::post;
use mailfleet_queue::Queue;
use mailfleet_runtime::{Bounded, LogGate, Process, Shutdown};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::enqueue::Missed;
use super::notes::Notes;
use super::rate::Buckets;
use super::{Door, Inbox, enqueue, messages, reply, sweep, webhooks};
use crate::config::Config;
use crate::services::Services;

/// Connections at once; more wait in the kernel's backlog.
const CONNECTIONS: usize = 512;
/// Longest silence on a connection.
const SILENCE: Duration = Duration::from_secs(30);
/// Longest time from the first byte of a call to its answer: more than the body and PostgreSQL may take.
const REQUEST: Duration = Duration::from_secs(60);
/// How old the last sign of PostgreSQL may be before the door is not ready.
const MAX_AGE: Duration = Duration::from_secs(30);
/// At the end of the drain this much is left for the rest of the process.
const RESERVE: Duration = Duration::from_secs(3);

/// Opens the doors where the configuration says so, and starts what brings the inbox into the queue in any case: calls may
/// wait there from before.
pub async fn open(process: &Process<Config>, services: &Arc<Services>) -> anyhow::Result<()> {
    let events = Queue::connect(&services.config.queue.for_events())?;
    let missed = Missed::default();
    let inbox = Inbox { services: Arc::clone(services), events, missed: missed.clone() };
    let shutdown = process.shutdown.clone();
    process.components.spawn("inbox sweep", sweep::watch(inbox.clone(), shutdown.clone()));
    let config = &services.config.webhooks;
    let beat = config.listen.map(|_| process.health.component("doors", MAX_AGE));
    process.components.spawn("inbox count", sweep::count(inbox.clone(), shutdown.clone(), beat));
    let Some(listen) = config.listen else { return Ok(()) };

    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("cannot listen on {listen} for webhooks (set `webhooks.listen` to a free address)")
    })?;
    let address = listener.local_addr().context("cannot tell the address of the doors")?;
    let (hint, hints) = enqueue::hints(missed);
    let closed = CancellationToken::new();
    // A job and no service: it ends when the door is closed, which takes until the last call has been answered.
    process.components.spawn_job("inbox queue", enqueue::run(inbox, hints, closed.clone()));
    let door = Door {
        services: Arc::clone(services),
        shutdown: shutdown.clone(),
        buckets: Buckets::new(config.rate_per_second, config.rate_burst),
        notes: Notes::default(),
        hint,
        slots: Semaphore::new((services.config.postgres.pool_size / 2).max(1)),
        unusable_log: LogGate::each_second(),
    };
    process.components.spawn("doors", async move {
        let _closed = closed.drop_guard();
        serve(listener, router(door), shutdown).await
    });
    tracing::info!("webhooks and registrations are taken on http://{address}");
    Ok(())
}

/// Nothing stands around these routes that sees a path: it holds the token.
fn router(door: Door) -> Router {
    Router::new()
        .route("/webhooks/{provider}/{token}", post(webhooks::receive).fallback(reply::only_post))
        .route("/v1/messages", post(messages::register).fallback(reply::only_post))
        .fallback(reply::no_such_path)
        .with_state(Arc::new(door))
}

/// Serves until the process stops; then takes nothing new, and answers what was begun.
async fn serve(listener: TcpListener, router: Router, shutdown: Shutdown) -> anyhow::Result<()> {
    let soft = shutdown.soft.clone();
    let serving = axum::serve(Bounded::new(listener, CONNECTIONS, SILENCE, REQUEST), router)
        .with_graceful_shutdown(soft.clone().cancelled_owned())
        .into_future();
    let drained = async {
        soft.cancelled().await;
        let left = shutdown.time_left().unwrap_or_default();
        tokio::time::sleep(left.saturating_sub(RESERVE).max(left / 2)).await;
    };
    tokio::select! {
        biased;
        served = serving => served.context("the server of webhooks failed"),
        () = drained => {
            tracing::info!("some callers did not finish in time and were cut off; they will call again");
            Ok(())
        }
    }
}
