//! `mailfleet-consumer`: claims entries, reads the mails, persists them, and tells Redis.
//!
//! - `worker` is the loop; `batch` takes one batch from claim to settlement, PostgreSQL first, Redis second; `attempt` is
//!   one try of it at PostgreSQL. All three serve every kind of work: mails (`persist`) and delivery `events`;
//! - `ingest` turns a raw mail into rows, `reports` reads what it says of messages of ours; `tenants` says whose it is;
//!   `persist` stores them, `letters` the dead ones, `strays` what names no job;
//! - `gate` holds everybody back while PostgreSQL is away; `blame` tells one bad mail from a bad day, `policy` what each
//!   class of error costs;
//! - `admission` bounds the raw mail in hand; `rehearsal` lets a child process read first what a consumer died on, `turns`
//!   lets it run with nothing beside it, `replayed` ends it where it was given a last chance;
//! - `settle` waits out Redis' outages; `deadline` shares out the time of a drain;
//! - `roll_up` keeps the analytics roll-ups, in one replica at a time;
//! - `startup` refuses what waiting cannot mend; `depth` shows the queues' depths.

mod admission;
mod attempt;
mod batch;
mod blame;
mod config;
mod deadline;
mod depth;
mod events;
mod gate;
mod ingest;
mod letters;
mod metrics;
mod persist;
mod policy;
mod rehearsal;
mod replayed;
mod reports;
mod roll_up;
mod settle;
mod startup;
mod strays;
mod tenants;
mod turns;
mod worker;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use clap::Parser;
use mailfleet_runtime::{Args, Spec};

use crate::config::Config;

/// Takes mails and delivery events from their queues into PostgreSQL.
///
/// Run as many as you like: they share the work through the queues, and one of them keeps the roll-ups. SIGTERM finishes what can be finished within
/// `shutdown.drain_seconds` and hands back the rest, uncounted; a second SIGTERM ends at once.
///
/// Exit codes: 0 ended as asked, 1 could not start or go on, 64 the command line or the configuration cannot be used.
#[derive(Debug, Parser)]
#[command(name = "mailfleet-consumer", version)]
struct Cli {
    #[command(flatten)]
    args: Args,

    /// Read one mail from standard input within narrow limits and end: what a consumer starts for a mail that it died on
    #[arg(long, hide = true)]
    rehearse: bool,
}

const SPEC: Spec = Spec {
    name: "mailfleet-consumer",
    version: env!("CARGO_PKG_VERSION"),
    admin_listen: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9102),
};

fn main() -> ExitCode {
    match mailfleet_runtime::parse::<Cli>(SPEC.name) {
        Ok(cli) if cli.rehearse => rehearsal::perform(SPEC.name),
        Ok(cli) => mailfleet_runtime::run::<Config, _, _>(&SPEC, &cli.args, startup::start),
        Err(code) => code,
    }
}
