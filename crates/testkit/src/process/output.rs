//! The lines a child process writes, kept in memory and in a file.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{ChildStderr, ChildStdout};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::ensure_parent;

/// Older lines are forgotten (the file has them).
const MAX_LINES: usize = 100_000;

/// A longer line is cut into several.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// How long a pipe may stay open after the process' end, held by something it has started.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Which stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which stream it came from.
    pub origin: Origin,
    /// Without its line end; bytes that are not UTF-8 are replaced.
    pub text: String,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<Line>,
    /// How many lines have been forgotten.
    forgotten: usize,
    /// How many of the two streams are still open.
    open: usize,
    file: Option<File>,
}

#[derive(Debug)]
struct Shared {
    kept: Mutex<Kept>,
    changed: Condvar,
}

/// What a process has written so far. Two threads read the pipes until they end, so the child never blocks on them.
#[derive(Debug)]
pub(super) struct Output {
    shared: Arc<Shared>,
}

impl Output {
    pub(super) fn collect(
        stdout: Option<ChildStdout>,
        stderr: Option<ChildStderr>,
        file: Option<&Path>,
    ) -> Result<Self> {
        let file = file.map(open).transpose()?;
        let kept = Kept { file, ..Kept::default() };
        let shared = Arc::new(Shared { kept: Mutex::new(kept), changed: Condvar::new() });
        if let Some(stdout) = stdout {
            follow(&shared, stdout, Origin::Stdout)?;
        }
        if let Some(stderr) = stderr {
            follow(&shared, stderr, Origin::Stderr)?;
        }
        Ok(Self { shared })
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        self.shared.lock().lines.iter().cloned().collect()
    }

    pub(super) fn text(&self, origin: Option<Origin>) -> String {
        let kept = self.shared.lock();
        let wanted = kept.lines.iter().filter(|line| origin.is_none_or(|origin| line.origin == origin));
        wanted.map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
    }

    pub(super) fn tail(&self, count: usize) -> String {
        let kept = self.shared.lock();
        let skipped = kept.lines.len().saturating_sub(count);
        kept.lines.iter().skip(skipped).map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
    }

    pub(super) fn count(&self) -> usize {
        let kept = self.shared.lock();
        kept.forgotten + kept.lines.len()
    }

    /// The first line from number `mark` on that contains `what`. Ends early when the process has closed its output.
    pub(super) fn wait_for(&self, mark: usize, what: &str, within: Duration) -> Option<String> {
        let deadline = Instant::now() + within;
        let mut kept = self.shared.lock();
        let mut next = mark;
        loop {
            let from = next.saturating_sub(kept.forgotten);
            if let Some(line) = kept.lines.iter().skip(from).find(|line| line.text.contains(what)) {
                return Some(line.text.clone());
            }
            next = next.max(kept.forgotten + kept.lines.len());
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || kept.open == 0 {
                return None;
            }
            kept = self.shared.changed.wait_timeout(kept, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until both pipes are read to their end; the process itself has ended.
    pub(super) fn wait_for_end(&self) {
        let kept = self.shared.lock();
        // A timeout is no error: then something the process started lives on and writes to its pipes.
        drop(self.shared.changed.wait_timeout_while(kept, END_LIMIT, |kept| kept.open > 0));
    }
}

impl Shared {
    /// Lines are complete between any two steps, so a panic elsewhere does not matter.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, origin: Origin, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes).trim_end_matches(['\n', '\r']).to_owned();
        let mut kept = self.lock();
        if let Some(file) = &mut kept.file {
            // The file is a convenience for people; a full disk must not fail the test that reads the lines here.
            writeln!(file, "{text}").ok();
        }
        if kept.lines.len() == MAX_LINES {
            kept.lines.pop_front();
            kept.forgotten += 1;
        }
        kept.lines.push_back(Line { origin, text });
        drop(kept);
        self.changed.notify_all();
    }
}

fn follow(shared: &Arc<Shared>, pipe: impl Read + Send + 'static, origin: Origin) -> Result<()> {
    shared.lock().open += 1;
    let shared = Arc::clone(shared);
    let read = move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        // A read error is the end of the pipe as far as this is concerned.
        while reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            shared.add(origin, &line);
            line.clear();
        }
        shared.lock().open -= 1;
        shared.changed.notify_all();
    };
    thread::Builder::new()
        .name("output".to_owned())
        .spawn(read)
        .context("start a thread that reads output")?;
    Ok(())
}

fn open(path: &Path) -> Result<File> {
    ensure_parent(path)?;
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.with_context(|| format!("open the log file {}", path.display()))
}
