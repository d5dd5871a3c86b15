//! What happened when: printed, and kept in a directory together with what every process said if the run fails.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

/// The journal of one run. Where it is dropped by a failing test it stays and says where; else it goes.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    file: Mutex<File>,
    begun: Instant,
}

impl Journal {
    /// Begins one below the build directory.
    pub fn begin(seed: u64) -> Self {
        let name = format!("chaos-{seed}-{}", std::process::id());
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&dir).unwrap();
        let file = Mutex::new(File::create(dir.join("journal.log")).unwrap());
        Self { dir, file, begun: Instant::now() }
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
        let line = format!("{:8.3} s  {text}", self.seconds());
        println!("{line}");
        writeln!(self.file.lock().unwrap(), "{line}").unwrap();
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
