//! The fleet's processes as children of the demo: started, watched, stopped.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use mailfleet_testkit::{Process, free_port};

use super::progress::step;
use crate::text;

/// How long a child may take to drain after SIGTERM before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// Lines of a failed child's log that are shown.
const TAIL_LINES: usize = 15;

/// One process of the fleet.
#[derive(Debug)]
pub struct Member {
    /// Where its metrics are.
    pub admin: SocketAddr,
    /// Its standard output and error.
    pub log: PathBuf,
    process: Process,
}

impl Member {
    /// Its name in messages.
    pub fn name(&self) -> &str {
        self.process.name()
    }

    /// Shows the last lines it has written.
    fn show_last_words(&self) {
        let lines = self.process.lines();
        step(&format!("{} ({}) wrote at its end:", self.name(), self.log.display()));
        for line in lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default() {
            step(&format!("  {}", text::printable(&line.text)));
        }
    }
}

/// The processes of the fleet. They end with this value, and with the demo's process whatever its end.
#[derive(Debug, Default)]
pub struct Fleet {
    /// In the order of their start.
    pub members: Vec<Member>,
}

impl Fleet {
    /// Starts `program`, which stands beside this executable, with the demo's configuration and no other.
    pub fn start(&mut self, program: &str, name: &str, dir: &Path, config: &Path) -> anyhow::Result<()> {
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let log = dir.join(format!("{name}.log"));
        let mut builder = Process::binary(program)?
            .named(name)
            .arg("--config")
            .arg(config)
            .env("MAILFLEET_ADMIN__LISTEN", admin.to_string())
            .log_to(&log);
        if let Some(filter) = std::env::var_os("MAILFLEET_LOG") {
            builder = builder.env("MAILFLEET_LOG", filter);
        }
        self.members.push(Member { admin, log, process: builder.spawn()? });
        Ok(())
    }

    /// An error with the log's end if a child has ended by itself.
    pub fn check(&self) -> anyhow::Result<()> {
        for member in &self.members {
            if let Some(status) = member.process.status() {
                member.show_last_words();
                bail!("{} ended by itself ({status})", member.name());
            }
        }
        Ok(())
    }

    /// Shows the last lines of all, when it is not known which is at fault.
    pub fn show_last_words(&self) {
        self.members.iter().for_each(Member::show_last_words);
    }

    /// SIGTERM to all at once, then waits for each. Says which did not end well. Blocks.
    pub fn stop(&mut self) -> Vec<String> {
        for member in &self.members {
            member.process.sigterm();
        }
        let mut bad = Vec::new();
        for member in self.members.drain(..) {
            match member.process.wait_exit(STOP_WITHIN) {
                Ok(status) if status.success() => {}
                Ok(status) => {
                    member.show_last_words();
                    bad.push(format!("{} ended with {status}", member.name()));
                }
                Err(_) => {
                    member.show_last_words();
                    let seconds = STOP_WITHIN.as_secs();
                    bad.push(format!("{} did not drain within {seconds} s and was killed", member.name()));
                }
            }
        }
        bad
    }
}
