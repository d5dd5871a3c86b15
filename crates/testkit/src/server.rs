//! One running daemon: start, readiness, orderly end, sudden death, pause. The three servers are built on it.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::Signal;

use crate::tree;
use crate::wait::poll;
use crate::watchdog::{Farewell, Watchdog};

/// The longest that a server may take until it answers.
pub const STARTUP_LIMIT: Duration = Duration::from_mins(1);

/// The longest that an orderly end may take.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How often readiness and end are looked at; short, because every test pays for it several times.
const POLL: Duration = Duration::from_millis(5);

/// How much of a log an error carries.
const LOG_TAIL_LINES: usize = 30;

/// A daemon that is running, stopped, or was killed.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    log: PathBuf,
    farewell: Farewell,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    watchdog: Watchdog,
    paused: Vec<u32>,
}

impl Server {
    /// A server that is not started yet; its output is appended to `log`.
    pub(crate) fn new(name: &'static str, log: PathBuf, farewell: Farewell) -> Self {
        Self { name, log, farewell, running: Mutex::new(None) }
    }

    /// Starts `command` and waits until `ready`, given the process id, says yes.
    pub(crate) fn launch(&self, mut command: Command, mut ready: impl FnMut(u32) -> bool) -> Result<()> {
        let mut slot = self.lock();
        if slot.as_mut().is_some_and(Running::is_alive) {
            bail!("{} is running already: stop it before starting it again", self.name);
        }
        let log = open_log(&self.log)?;
        let copy = log.try_clone().with_context(|| format!("open {} twice", self.log.display()))?;
        // Own process group: a Ctrl-C at the terminal ends the owner, which then ends its servers in its own order.
        command.stdin(Stdio::null()).stdout(log).stderr(copy).process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("start {} ({})", self.name, command.get_program().display()))?;
        let pid = child.id();
        let mut running = match Watchdog::over_process(pid, self.farewell) {
            Ok(watchdog) => Running { child, watchdog, paused: Vec::new() },
            Err(error) => {
                tree::kill(pid);
                return Err(error);
            }
        };
        let outcome = poll(STARTUP_LIMIT, POLL, || match running.child.try_wait() {
            Ok(Some(status)) => Some(Err(anyhow!("{} ended while starting ({status})", self.name))),
            Ok(None) => ready(pid).then_some(Ok(())),
            Err(error) => Some(Err(error.into())),
        });
        let outcome =
            outcome.unwrap_or_else(|| Err(anyhow!("{} did not answer in {STARTUP_LIMIT:?}", self.name)));
        if let Err(error) = outcome {
            drop(running);
            return Err(anyhow!("{error:#}; its log ends with:\n{}", self.log_tail()));
        }
        *slot = Some(running);
        Ok(())
    }

    /// The process id while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        let mut slot = self.lock();
        slot.as_mut().and_then(|running| running.is_alive().then(|| running.child.id()))
    }

    /// Sends `signal` and waits for the end; after 30 s it is killed, which is an error.
    pub(crate) fn stop(&self, signal: Signal) -> Result<()> {
        let Some(mut running) = self.lock().take() else { return Ok(()) };
        if !running.is_alive() {
            return Ok(());
        }
        running.resume()?;
        tree::signal(running.child.id(), signal);
        if running.ended_within(STOP_LIMIT) {
            return Ok(());
        }
        drop(running);
        bail!(
            "{} did not stop in {STOP_LIMIT:?} and was killed; its log ends with:\n{}",
            self.name,
            self.log_tail()
        );
    }

    /// SIGKILL for the server and all of its processes; returns when it is gone.
    pub(crate) fn kill(&self) {
        // The destructor of `Running` does it.
        drop(self.lock().take());
    }

    /// SIGSTOP for the server and all of its processes: connections stay open and nothing answers.
    pub(crate) fn pause(&self) -> Result<()> {
        let mut slot = self.lock();
        let running = slot.as_mut().and_then(|running| running.is_alive().then_some(running));
        let running = running.with_context(|| format!("{} is not running", self.name))?;
        running.paused = tree::freeze(running.child.id());
        running.watchdog.note_stopped(&running.paused)
    }

    /// SIGCONT after [`Server::pause`].
    pub(crate) fn resume(&self) -> Result<()> {
        let mut slot = self.lock();
        slot.as_mut().with_context(|| format!("{} is not running", self.name))?.resume()
    }

    /// The last lines of the log, for error messages.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let skipped = lines.len().saturating_sub(LOG_TAIL_LINES);
        lines.into_iter().skip(skipped).collect::<Vec<_>>().join("\n")
    }

    /// Where the output goes.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// A panic elsewhere leaves the slot as it was between two steps, which every method copes with.
    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// It may have ended by itself: by a command over its own protocol, or because it crashed.
    fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn resume(&mut self) -> Result<()> {
        for pid in std::mem::take(&mut self.paused) {
            tree::signal(pid, Signal::CONT);
        }
        self.watchdog.note_stopped(&[])
    }

    fn ended_within(&mut self, limit: Duration) -> bool {
        poll(limit, POLL, || matches!(self.child.try_wait(), Ok(Some(_))).then_some(())).is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The number is still ours as long as the child has not been waited for; `try_wait` remembers that it was.
        if self.is_alive() {
            tree::kill(self.child.id());
            self.child.wait().ok();
        }
    }
}

fn open_log(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("open the server's log {}", path.display()))
}

/// Starts a server by `start(port…)` on ports that looked free; three times when another process was quicker.
pub(crate) fn with_fresh_ports<T>(mut start: impl FnMut() -> Result<T>) -> Result<T> {
    let mut last = None;
    for _ in 0..3 {
        match start() {
            Ok(server) => return Ok(server),
            Err(error) if format!("{error:#}").to_ascii_lowercase().contains("in use") => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| anyhow!("no attempt was made")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_was_taken_meanwhile_is_given_up_for_another_one_three_times() {
        let mut attempts = 0;
        let started = with_fresh_ports(|| {
            attempts += 1;
            if attempts < 3 { Err(anyhow!("bind: Address already in use")) } else { Ok(attempts) }
        });
        assert_eq!(started.expect("the third attempt"), 3);
        let mut attempts = 0;
        let failed = with_fresh_ports::<()>(|| {
            attempts += 1;
            Err(anyhow!("bind: Address already in use"))
        });
        assert!(failed.is_err() && attempts == 3);
    }

    #[test]
    fn any_other_failure_is_final() {
        let mut attempts = 0;
        let failed = with_fresh_ports::<()>(|| {
            attempts += 1;
            Err(anyhow!("bad configuration"))
        });
        assert!(failed.is_err() && attempts == 1);
    }
}
