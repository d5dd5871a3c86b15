//! `mailfleet-producer`: watches mailboxes over IMAP and puts what is new into the queue.
//!
//! - `fleet` keeps one thread per enabled account (`account`), steered by its `control`;
//! - `mailbox` is one mailbox and a visit to it: `scan` reads what is new, `sweep` brings back what was lost on the way;
//! - `ingest` takes UIDs to jobs in the queue, on the lane that `priority` chooses;
//! - `plan` is the arithmetic of the cursor, which moves only over what was enqueued;
//! - `redis_watch` notices when Redis may have lost something, `looks` is what happens then; `replays` brings back dead letters that were lost on their
//!   second way; `doors` takes webhooks and registrations over HTTP; `dead_letters` shows how many are open; `startup` refuses what waiting cannot mend.

mod account;
mod config;
mod control;
mod dead_letters;
mod descriptors;
mod doors;
mod fleet;
mod ingest;
mod looks;
mod mailbox;
mod metrics;
mod plan;
mod priority;
mod problem;
mod redis_watch;
mod replays;
mod scan;
mod services;
mod startup;
mod sweep;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use mailfleet_queue::Queue;
use mailfleet_runtime::{Args, Process, Spec};
use mailfleet_store::Store;

use crate::config::Config;
use crate::fleet::Fleet;
use crate::metrics::ProducerMetrics;
use crate::services::Services;

/// Watches the mailboxes of every enabled account and puts new mail into the queue.
///
/// Where `webhooks.listen` is set it also takes delivery events and registrations of outbound messages over HTTP.
/// Nothing is ever marked as read. Accounts are added with `mailfleet account add`; the producer notices without a
/// restart. SIGTERM finishes the batch in hand and ends; a second SIGTERM ends at once. Run one producer.
///
/// Exit codes: 0 ended as asked, 1 could not start or go on, 64 the command line or the configuration cannot be used.
#[derive(Debug, Parser)]
#[command(name = "mailfleet-producer", version)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

const SPEC: Spec = Spec {
    name: "mailfleet-producer",
    version: env!("CARGO_PKG_VERSION"),
    admin_listen: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9101),
};

/// Progress of Redis, PostgreSQL and the accounts may be this much older than its rhythm before the process is not ready.
const MAX_AGE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    match mailfleet_runtime::parse::<Cli>(SPEC.name) {
        Ok(cli) => mailfleet_runtime::run::<Config, _, _>(&SPEC, &cli.args, start),
        Err(code) => code,
    }
}

async fn start(process: Process<Config>) -> anyhow::Result<()> {
    let metrics = ProducerMetrics::register(&process.metrics)?;
    descriptors::raise_limit();
    let refresh = process.config.producer.refresh_every();
    let store_beat = process.health.component("store", MAX_AGE + refresh);
    let queue_beat = process.health.component("queue", MAX_AGE);
    let accounts_beat = process.health.component("accounts", MAX_AGE);
    let store = Store::connect(&process.config.postgres)?;
    let pool = store.clone();
    mailfleet_runtime::postgres_connections(&process.metrics, move || pool.pool_usage())?;
    let queue = Queue::connect(&process.config.queue)?;
    if startup::store(&store, &process.shutdown, &store_beat).await?.is_none() {
        return Ok(());
    }
    let services = Arc::new(Services::new(
        Arc::clone(&process.config),
        store,
        queue,
        metrics,
        Arc::clone(&process.clock),
    ));
    // Calls are kept in PostgreSQL alone: they are taken while Redis is still away.
    doors::open(&process, &services).await?;
    if startup::queue(&services.queue, &process.shutdown, &queue_beat).await?.is_none() {
        return Ok(());
    }
    let watch = redis_watch::watch(Arc::clone(&services), process.shutdown.clone(), queue_beat);
    process.components.spawn("redis watch", watch);
    let replays = replays::watch(Arc::clone(&services), process.shutdown.clone());
    process.components.spawn("lost replays", replays);
    let dead_letters = dead_letters::watch(Arc::clone(&services), process.shutdown.clone());
    process.components.spawn("dead letters", dead_letters);
    let fleet = Fleet::new(services, process.shutdown.clone(), accounts_beat, store_beat);
    process.components.spawn("fleet", fleet.run());
    Ok(())
}
