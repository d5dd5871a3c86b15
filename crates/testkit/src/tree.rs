//! Signals for a process and everything it has started, through /proc.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::poll;

/// How often the tree is read again for processes that appeared while it was being stopped.
const ROUNDS: usize = 16;
/// How long killed processes are waited for.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Sends `signal`; a process that is gone already is no error.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // Only ESRCH (gone) and EPERM (another user's process reuses the number) are possible: nothing to do in both.
        kill_process(pid, signal).ok();
    }
}

/// Stops `root` and all that descend from it with SIGSTOP and returns them, `root` first.
///
/// A stopped process starts no children, so the loop ends: each round can only find what was started before the
/// previous round reached the starter.
pub(crate) fn freeze(root: u32) -> Vec<u32> {
    signal(root, Signal::STOP);
    let mut frozen = vec![root];
    let mut seen = BTreeSet::from([root]);
    for _ in 0..ROUNDS {
        let fresh: Vec<u32> = descendants(root).into_iter().filter(|pid| seen.insert(*pid)).collect();
        if fresh.is_empty() {
            break;
        }
        for pid in &fresh {
            signal(*pid, Signal::STOP);
        }
        frozen.extend(fresh);
    }
    frozen
}

/// Kills `root` and all that descend from it with SIGKILL: none of them gets to write a last word. Returns when they are
/// gone, because what they shared (PostgreSQL's memory, a port) is only free then.
pub(crate) fn kill(root: u32) {
    // Frozen first: once the root is dead its children belong to init and are not found any more.
    let all = freeze(root);
    for pid in &all {
        signal(*pid, Signal::KILL);
    }
    // SIGKILL cannot be refused, so the bound only guards against a process stuck in the kernel.
    poll(GONE_WITHIN, Duration::from_millis(2), || (!all.iter().any(|pid| is_running(*pid))).then_some(()));
}

/// Every process below `root`, without `root`.
pub(crate) fn descendants(root: u32) -> Vec<u32> {
    let parents = processes();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        next += 1;
        let children = parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid);
        found.extend(children.filter(|pid| !found.contains(pid)).collect::<Vec<_>>());
    }
    found.split_off(1)
}

/// Whether the process exists and is more than a zombie waiting for its parent.
pub(crate) fn is_running(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| parse_stat(&stat).is_some_and(|(s, _)| s != 'Z'))
}

/// (process, its parent) of everything that runs.
fn processes() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, parse_stat(&stat)?.1))
        })
        .collect()
}

/// State and parent from `/proc/<pid>/stat` (proc(5)): the name stands in parentheses and may hold any character.
fn parse_stat(stat: &str) -> Option<(char, u32)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_blanks_and_parentheses_does_not_shift_the_columns() {
        assert_eq!(parse_stat("17 (a) (b c) S 4 17 17 0"), Some(('S', 4)));
        assert_eq!(parse_stat("17 no name"), None);
    }

    #[test]
    fn this_process_runs_and_has_a_parent() {
        let own = std::process::id();
        assert!(is_running(own));
        assert!(processes().iter().any(|(pid, parent)| *pid == own && *parent != 0));
    }
}
