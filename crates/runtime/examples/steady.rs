//! A process that does nothing, well: the shell in its smallest use, and what the shutdown tests send signals to.
//!
//! `steady.mode` says how it behaves; `steady.release` names a file that a draining process waits for, so that a test
//! decides when the drain is over. The variable STEADY_ADMIN is the default of `admin.listen`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use mailfleet_model::{Lane, Secret};
use mailfleet_runtime::{
    AdminConfig, Args, Invalid, LogConfig, Process, Settings, Shell, ShutdownConfig, Spec, Unread, parse, run,
};
use serde::Deserialize;

/// What our own log lines are filed under; the lines of all others are held back.
const OWN: &str = "mailfleet::steady";

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    log: LogConfig,
    #[serde(default)]
    admin: AdminConfig,
    #[serde(default)]
    shutdown: ShutdownConfig,
    steady: Steady,
    /// A section of the shared file that this binary does not read.
    #[serde(default, rename = "redis")]
    _redis: Option<Unread>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Steady {
    mode: Mode,
    release: PathBuf,
    #[serde(default)]
    token: Secret,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    /// Drains when the release file is there.
    Drain,
    /// Keeps every worker thread busy and sees no token.
    Busy,
    /// A component fails once the release file is there.
    Fail,
    /// Start-up fails.
    NoStart,
}

impl Settings for Config {
    const SECRETS: &'static [&'static str] = &["steady.token"];
    const ELSEWHERE: &'static [(&'static str, &'static str)] = &[("redis", "restless")];

    fn shell(&self) -> Shell {
        Shell { log: self.log.clone(), admin: self.admin.clone(), shutdown: self.shutdown.clone() }
    }

    fn validate(&self) -> Result<(), Invalid> {
        match self.steady.token.expose() {
            "" => Err(Invalid::new("steady.token", "is empty, give one")),
            _ => Ok(()),
        }
    }
}

fn main() -> ExitCode {
    let default = std::env::var("STEADY_ADMIN").ok().and_then(|address| address.parse().ok());
    let spec = Spec {
        name: "steady",
        version: env!("CARGO_PKG_VERSION"),
        admin_listen: default.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)),
    };
    match parse::<Cli>(spec.name) {
        Ok(cli) => run::<Config, _, _>(&spec, &cli.args, start),
        Err(code) => code,
    }
}

async fn start(process: Process<Config>) -> anyhow::Result<()> {
    let work = process.metrics.counters::<Lane>("steady_work_total", "Work done, by lane.")?;
    process.metrics.depths("steady_depth", "Depth, by lane.", &["lane"])?;
    let beat = process.health.component("steady", Duration::from_mins(1));
    let Process { components, shutdown, config, .. } = process;
    let release = config.steady.release.clone();
    match config.steady.mode {
        Mode::NoStart => {
            return Err(std::io::Error::other("connection refused")).context("cannot reach the other side");
        }
        Mode::Busy => {
            let threads = std::thread::available_parallelism().map_or(1, usize::from) * 2;
            for thread in 0..threads {
                components.spawn_job(format!("busy {thread}"), async {
                    loop {
                        std::thread::park_timeout(Duration::from_mins(1));
                    }
                });
            }
        }
        Mode::Drain => components.spawn("steady", async move {
            shutdown.soft.cancelled().await;
            tracing::info!(target: OWN, "steady drains");
            released(release).await;
            work.get(Lane::Low).inc();
            Ok(())
        }),
        Mode::Fail => components.spawn("steady", async move {
            released(release).await;
            anyhow::bail!("lost its way")
        }),
    }
    beat.ok();
    chatter();
    tracing::info!(target: OWN, "steady started");
    Ok(())
}

/// Waits for the file; the caller's deadline bounds the wait.
async fn released(file: PathBuf) {
    while !file.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What a database client and others say, in both ways in which crates log.
fn chatter() {
    let mail = "Dear Ada, this is between us";
    log::trace!(target: "tokio_postgres::connection", "sending {mail}");
    log::debug!(target: "tokio_postgres::query", "executing statement s0 with parameters: [{mail:?}]");
    log::info!(target: "tokio_postgres::connection", "NOTICE: {mail}");
    tracing::debug!(target: "hyper::proto", mail, "read");
    tracing::info!(target: "h2", mail, "sent");
    log::warn!(target: "tokio_postgres::connection", "the connection was odd");
    tracing::debug!(target: OWN, "steady says much");
}
