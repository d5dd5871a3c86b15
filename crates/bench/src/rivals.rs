//! Other queues on the same Redis, each a program of its own that prints one line of JSON.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mailfleet_testkit::Process;
use serde::Deserialize;

use crate::throughput::Throughput;
use crate::{cpu, server};

/// A rival that takes longer for a round than this has failed, and is ended: some 500 jobs a second at 1,000,000.
const PATIENCE: Duration = Duration::from_mins(30);

/// A rival that is installed.
pub(crate) struct Rival {
    pub(crate) name: &'static str,
    program: String,
    arguments: Vec<String>,
}

/// What the programs print.
#[derive(Deserialize)]
struct Line {
    add_per_second: f64,
    process_per_second: f64,
}

/// Those found under this directory.
pub(crate) fn installed(dir: &Path) -> Vec<Rival> {
    let script = dir.join("bullmq-node/queue.mjs");
    let binary = dir.join("bullmq-rust/release/bullmq-rust");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let node = Rival { name: "BullMQ (Node.js)", program: "node".to_owned(), arguments: vec![text(&script)] };
    let rust = Rival { name: "BullMQ (Rust port)", program: text(&binary), arguments: Vec::new() };
    let there = [(dir.join("bullmq-node/node_modules/bullmq").exists(), node), (binary.exists(), rust)];
    there.into_iter().filter_map(|(there, rival)| there.then_some(rival)).collect()
}

impl Rival {
    /// One round on a fresh Redis.
    pub(crate) async fn measure(&self, jobs: u64) -> Result<Throughput> {
        let redis = server::redis()?;
        let program = Process::program(&PathBuf::from(&self.program)).args(&self.arguments);
        let program = program.env("COUNT", jobs.to_string()).env("REDIS_URL", redis.url());
        let pid = redis.pid().context("Redis has no process")?;
        let before = cpu::of(pid)?;
        let ended = tokio::task::spawn_blocking(move || program.finish(PATIENCE)).await??;
        let Some(line) = ended.stdout.lines().rev().find_map(|line| serde_json::from_str::<Line>(line).ok())
        else {
            bail!("{} said no figures: {} {}", self.name, ended.stdout, ended.stderr);
        };
        let redis_micros = cpu::micros_each(cpu::since(pid, before)?, jobs);
        Ok(Throughput { add: line.add_per_second, process: line.process_per_second, redis_micros })
    }
}
