//! The end of a child process when its owner is gone.
//!
//! A destructor does not run when the owner is killed by SIGKILL, and never for a `static`. So a small `sh` waits on a
//! pipe whose other end only the owner holds (Rust opens it close-on-exec). When the owner ends in whatever way, the
//! kernel closes the pipe, the shell reads the end of file and ends the child.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result};

/// Each line read replaces the set of processes that the owner has stopped by SIGSTOP: they must go on before they can
/// end. Then the child is asked by `$2`, has two seconds, and its whole process group is killed.
const END_CHILD: &str = r#"
stopped=
while read -r line; do stopped=$line; done
kill -"$2" "$1"
[ -z "$stopped" ] || kill -CONT $stopped
kill -CONT "$1"
tries=0
while [ "$tries" -lt 20 ] && kill -0 "$1"; do sleep 0.1; tries=$((tries + 1)); done
[ -z "$stopped" ] || kill -KILL $stopped
kill -KILL -- "-$1"
"#;

/// A child that is ending may still write into its directory, which makes `rm` fail: tried again for ten seconds.
const REMOVE_DIRECTORY: &str = r#"
while read -r line; do :; done
tries=0
while [ "$tries" -lt 50 ] && [ -e "$1" ]; do rm -rf -- "$1"; sleep 0.2; tries=$((tries + 1)); done
"#;

/// How a child is asked to end before its process group is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// At once; nothing is worth keeping or tidying.
    Kill,
    /// PostgreSQL's immediate shutdown: the postmaster ends its backends and gives shared memory back.
    Quit,
    /// An ordinary end; Dovecot's master takes its workers with it.
    Terminate,
}

impl Farewell {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Quit => "QUIT",
            Self::Terminate => "TERM",
        }
    }
}

/// A waiting shell. Dropping it dismisses it without any effect.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Watchdog {
    /// Ends the process `pid` and its process group when this process is gone.
    pub(crate) fn over_process(pid: u32, farewell: Farewell) -> Result<Self> {
        Self::spawn(END_CHILD, &[&pid.to_string(), farewell.name()])
    }

    /// Removes the directory `path` when this process is gone.
    pub(crate) fn over_directory(path: &str) -> Result<Self> {
        Self::spawn(REMOVE_DIRECTORY, &[path])
    }

    /// Tells which processes are stopped by SIGSTOP at the moment.
    pub(crate) fn note_stopped(&mut self, pids: &[u32]) -> Result<()> {
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        let pipe = self.pipe.as_mut().context("the watchdog has been dismissed")?;
        writeln!(pipe, "{}", pids.join(" ")).context("write to the watchdog of a server")
    }

    fn spawn(script: &str, args: &[&str]) -> Result<Self> {
        // Own process group: a Ctrl-C at the terminal or a test runner that kills the group must not hit the one
        // process that tidies up after it. No inherited output: nobody waits for the shell's end of a pipe.
        let mut shell = Command::new("sh")
            .args(["-c", script, "watchdog"])
            .args(args)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("start `sh` as the watchdog of a server")?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // Killed before the pipe closes, else it would do its work. Both calls only fail for a shell that is gone.
        self.shell.kill().ok();
        self.shell.wait().ok();
        self.pipe = None;
    }
}
