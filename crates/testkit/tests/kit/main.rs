//! The kit itself: each server starts, answers, comes back with its data, and leaves nothing behind.

mod dovecot;
mod owner;
mod postgres;
mod processes;
mod proxy;
mod redis;
mod tls;

use std::time::Duration;

/// Long enough for a busy machine; nothing waits for it in the ordinary case.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether the process exists and is more than a zombie.
fn is_running(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    })
}

/// Everything that was started with `text` in its command line.
fn processes_mentioning(text: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("/proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        is_running(*pid) && String::from_utf8_lossy(&command).contains(text)
    })
    .collect()
}
