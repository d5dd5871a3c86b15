//! Processor time of processes, from `/proc` (proc(5), fields 14 and 15 of `stat`).

use std::time::Duration;

use anyhow::{Context, Result};

/// Ticks a second of these fields; the same on every Linux of our time (`getconf CLK_TCK`).
const TICKS: u64 = 100;

/// User and system time of the process so far.
pub(crate) fn of(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    // The second field is a name in brackets and may hold blanks.
    let after = text.rsplit_once(") ").with_context(|| format!("{path} has an odd form"))?.1;
    let field = |n: usize| -> Result<u64> {
        let text = after.split(' ').nth(n).with_context(|| format!("{path} is too short"))?;
        Ok(text.parse()?)
    };
    Ok(Duration::from_millis((field(11)? + field(12)?) * 1_000 / TICKS))
}

/// What the process has used since it had used `before`.
pub(crate) fn since(pid: u32, before: Duration) -> Result<Duration> {
    Ok(of(pid)?.saturating_sub(before))
}

/// That of this process.
pub(crate) fn own() -> Result<Duration> {
    of(std::process::id())
}

/// Microseconds for each of so many jobs.
pub(crate) fn micros_each(spent: Duration, jobs: u64) -> f64 {
    // Precision: counts of jobs are far below 2^52.
    #[expect(clippy::cast_precision_loss)]
    let jobs = jobs as f64;
    spent.as_secs_f64() * 1e6 / jobs
}
