//! Our own binaries as child processes.

mod output;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use self::output::Output;
pub use self::output::{Line, Origin};
use crate::tree;
use crate::wait::poll;
use crate::watchdog::{Farewell, Watchdog};

/// Names the directory of the binaries when they are not beside the running test.
const BIN_DIR_VARIABLE: &str = "MAILFLEET_BIN_DIR";

/// How much output is shown when a test fails while the process is alive.
const LINES_ON_PANIC: usize = 60;

/// Where the binary `name` is: in `MAILFLEET_BIN_DIR` when that is set, else in the build directory this program runs
/// from, else in `CARGO_TARGET_DIR/debug`.
pub fn binary_path(name: &str) -> Result<PathBuf> {
    let mut places = Vec::new();
    if let Some(dir) = std::env::var_os(BIN_DIR_VARIABLE) {
        places.push(PathBuf::from(dir));
    } else {
        let program = std::env::current_exe().context("find this program's own path")?;
        // target/debug/deps/<test> → target/debug/<binary>; two levels are enough for tests, examples and binaries.
        places.extend(program.ancestors().skip(1).take(2).map(Path::to_path_buf));
        if let Some(dir) = std::env::var_os("CARGO_TARGET_DIR") {
            places.push(PathBuf::from(dir).join("debug"));
        }
    }
    places.iter().map(|place| place.join(name)).find(|path| path.is_file()).with_context(|| {
        format!(
            "the binary `{name}` is in none of {places:?}: build it first (cargo build --workspace --bins) or set \
             {BIN_DIR_VARIABLE}"
        )
    })
}

/// What to start, and how.
#[derive(Debug)]
pub struct ProcessBuilder {
    name: String,
    command: Command,
    log: Option<PathBuf>,
}

impl ProcessBuilder {
    /// One argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// One environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The working directory.
    #[must_use]
    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// What it is called in messages; by default the binary's name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Appends every line of its output to this file, too.
    #[must_use]
    pub fn log_to(mut self, file: impl Into<PathBuf>) -> Self {
        self.log = Some(file.into());
        self
    }

    /// Starts it.
    pub fn spawn(mut self) -> Result<Process> {
        // Own process group, as for the servers: a Ctrl-C at the terminal is for the owner to act on.
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = self.command.spawn().with_context(|| format!("start {}", self.name))?;
        let pid = child.id();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let begun = Watchdog::over_process(pid, Farewell::Kill)
            .and_then(|watchdog| Ok((watchdog, Output::collect(stdout, stderr, self.log.as_deref())?)));
        match begun {
            Ok((watchdog, output)) => {
                let state = State { child, watchdog: Some(watchdog), status: None };
                Ok(Process { name: self.name, pid, state: Mutex::new(state), output })
            }
            Err(error) => {
                tree::kill(pid);
                child.wait().ok();
                Err(error)
            }
        }
    }

    /// Starts it, waits for its end and returns all it said; an error when it takes longer than `within`.
    pub fn finish(self, within: Duration) -> Result<Finished> {
        let process = self.spawn()?;
        let status = process.wait_exit(within)?;
        Ok(Finished { status, stdout: process.stdout(), stderr: process.stderr() })
    }
}

/// A process that has ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote to standard output, lines joined by `\n`.
    pub stdout: String,
    /// What it wrote to standard error, lines joined by `\n`.
    pub stderr: String,
}

/// A running binary of ours. Killed (SIGKILL) when dropped, and when this process ends in any other way.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: u32,
    state: Mutex<State>,
    output: Output,
}

#[derive(Debug)]
struct State {
    child: Child,
    watchdog: Option<Watchdog>,
    status: Option<ExitStatus>,
}

impl Process {
    /// Prepares the binary `name` of this workspace (see [`binary_path`]). It does not inherit `MAILFLEET_` variables:
    /// what configures it is in the test.
    pub fn binary(name: &str) -> Result<ProcessBuilder> {
        let mut builder = Self::program(&binary_path(name)?);
        for (variable, _) in std::env::vars_os() {
            if is_ours(&variable) {
                builder.command.env_remove(variable);
            }
        }
        Ok(builder)
    }

    /// Prepares any program.
    #[must_use]
    pub fn program(path: &Path) -> ProcessBuilder {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        ProcessBuilder { name, command: Command::new(path), log: None }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All lines so far (the last 100,000 at most), in the order of arrival.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.output.lines()
    }

    /// Standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.output.text(Some(Origin::Stdout))
    }

    /// Standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.output.text(Some(Origin::Stderr))
    }

    /// How many lines it has written: a mark for [`Process::wait_for_line_after`].
    #[must_use]
    pub fn mark(&self) -> usize {
        self.output.count()
    }

    /// The first line that contains `what`, whether written already or within the given time.
    pub fn wait_for_line(&self, what: &str, within: Duration) -> Result<String> {
        self.wait_for_line_after(0, what, within)
    }

    /// As [`Process::wait_for_line`], but lines before `mark` do not count.
    pub fn wait_for_line_after(&self, mark: usize, what: &str, within: Duration) -> Result<String> {
        match self.output.wait_for(mark, what, within) {
            Some(line) => Ok(line),
            None => bail!("{} did not write `{what}` in {within:?}; {}", self.name, self.last_words()),
        }
    }

    /// SIGTERM: the polite request to drain and end.
    pub fn sigterm(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGINT, as from a Ctrl-C.
    pub fn sigint(&self) {
        self.signal(Signal::INT);
    }

    /// SIGKILL: sudden death. Returns when the process is gone.
    pub fn sigkill(&self) {
        self.signal(Signal::KILL);
        let mut state = self.lock();
        if state.status.is_none() {
            state.status = state.child.wait().ok();
            state.watchdog = None;
        }
    }

    /// SIGSTOP: it holds everything it has and does nothing. [`Process::sigcont`] lets it go on.
    pub fn sigstop(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT after [`Process::sigstop`].
    pub fn sigcont(&self) {
        self.signal(Signal::CONT);
    }

    /// Stands still for `pause`, as on an overloaded or suspended machine, and goes on.
    pub fn stop_cont(&self, pause: Duration) {
        self.sigstop();
        std::thread::sleep(pause);
        self.sigcont();
    }

    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.status().is_none()
    }

    /// Its exit status, once it has ended.
    #[must_use]
    pub fn status(&self) -> Option<ExitStatus> {
        let mut state = self.lock();
        if state.status.is_none() {
            state.status = state.child.try_wait().ok().flatten();
            if state.status.is_some() {
                // Dismissed as soon as the number is free for others to use.
                state.watchdog = None;
            }
        }
        state.status
    }

    /// Waits for its end, and for the end of its output.
    pub fn wait_exit(&self, within: Duration) -> Result<ExitStatus> {
        let Some(status) = poll(within, Duration::from_millis(5), || self.status()) else {
            bail!("{} did not end in {within:?}; {}", self.name, self.last_words());
        };
        self.output.wait_for_end();
        Ok(status)
    }

    fn signal(&self, signal: Signal) {
        // Under the lock, and only while nobody has waited for it: until then the number cannot be another process'.
        let state = self.lock();
        if state.status.is_none() {
            tree::signal(self.pid, signal);
        }
    }

    fn last_words(&self) -> String {
        format!("its output ends with:\n{}", self.output.tail(LINES_ON_PANIC))
    }

    /// The state is consistent between any two steps, so a panic elsewhere does not matter.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {} ({}): {}", self.name, self.pid, self.last_words());
        }
        if self.status().is_none() {
            // With everything it has started, which would keep its pipes open.
            tree::kill(self.pid);
            self.sigkill();
        }
    }
}

fn is_ours(variable: &OsString) -> bool {
    variable.to_string_lossy().starts_with("MAILFLEET_")
}

/// Creates the directory of a log file.
fn ensure_parent(file: &Path) -> Result<()> {
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir).with_context(|| format!("create the directory {}", dir.display()))?;
    }
    Ok(())
}
