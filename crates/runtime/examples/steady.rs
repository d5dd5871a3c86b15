//! A process that does nothing, well: the shell in its smallest use, and what the shutdown tests send signals to.
//!
//! `steady.mode` says how it behaves; `steady.release` names a file that a draining process waits for, so that a test
//! decides when the drain is over.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use mailfleet_model::{Lane, Secret};
use mailfleet_runtime::{
    AdminConfig, Args, LogConfig, Process, Settings, Shell, ShutdownConfig, Spec, Unread, run,
};
use serde::Deserialize;

const SPEC: Spec = Spec {
    name: "steady",
    version: env!("CARGO_PKG_VERSION"),
    admin_listen: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
};

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

    fn shell(&self) -> Shell {
        Shell { log: self.log.clone(), admin: self.admin.clone(), shutdown: self.shutdown.clone() }
    }

    fn validate(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.steady.token.expose().is_empty(), "`steady.token` is empty: give one");
        Ok(())
    }
}

fn main() -> ExitCode {
    run::<Config, _, _>(&SPEC, &Cli::parse().args, start)
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
            tracing::info!("steady drains");
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
    tracing::info!("steady started");
    Ok(())
}

/// Waits for the file; the caller's deadline bounds the wait.
async fn released(file: PathBuf) {
    while !file.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
