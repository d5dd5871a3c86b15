//! What happened when: printed, and kept in a directory together with what every process and server said if the run fails.
//!
//! Each line has the time of day as well, in UTC as in the logs of processes and servers, so that they can be laid side by
//! side.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use chrono::DateTime;
use mailfleet_model::{Clock as _, SystemClock};
use mailfleet_tests::Fleet;

use super::checker::Item;

/// The journal of one run. Where it is dropped by a failing test it stays and says where; else it goes.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    file: Mutex<File>,
    /// When each item was handed over.
    items: Mutex<File>,
    begun: Instant,
}

impl Journal {
    /// Begins one below the build directory.
    pub fn begin(seed: u64) -> Self {
        let name = format!("chaos-{seed}-{}", std::process::id());
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&dir).unwrap();
        let create = |name: &str| Mutex::new(File::create(dir.join(name)).unwrap());
        let (file, items) = (create("journal.log"), create("items.log"));
        Self { dir, file, items, begun: Instant::now() }
    }

    /// Where it is; processes log beside it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Seconds since the beginning.
    pub fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// Writes one line, or several.
    pub fn note(&self, text: &str) {
        let line = format!("{}  {text}", self.time());
        println!("{line}");
        writeln!(self.file.lock().unwrap(), "{line}").unwrap();
    }

    /// Writes down, and does not print, that an item was accepted.
    pub fn accepted(&self, item: &Item) {
        writeln!(self.items.lock().unwrap(), "{}  {item:?}", self.time()).unwrap();
    }

    fn time(&self) -> String {
        let now = DateTime::from_timestamp_millis(SystemClock.now_ms()).unwrap();
        format!("{:8.3} s  {}", self.seconds(), now.format("%H:%M:%S%.3f"))
    }
}

/// Keeps what the servers have said beside the journal of a run that fails; their own directories go with them.
pub struct Keep<'a>(pub &'a Fleet, pub &'a Journal);

impl Drop for Keep<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(fleet, journal) = self;
            for log in [
                fleet.redis.dir().join("redis.log"),
                fleet.postgres.dir().join("postgres.log"),
                fleet.dovecot.log().to_owned(),
            ] {
                let kept = log.file_name().map(|name| fs::copy(&log, journal.dir().join(name)));
                if let Some(Err(error)) = kept {
                    println!("{} is not kept: {error}", log.display());
                }
            }
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("journal and what each process said: {}", self.dir.display());
        } else {
            // It has been printed as well; a directory that stays is no reason to fail.
            fs::remove_dir_all(&self.dir).ok();
        }
    }
}
