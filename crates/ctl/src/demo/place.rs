//! Where the demo puts its servers, and how the place is cleaned up.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::failure;

/// The demo's directory. Removed on drop, unless `keep_files` was called.
#[derive(Debug)]
pub struct Place {
    dir: PathBuf,
    keep: bool,
}

impl Place {
    /// `.local/demo-<pid>` of the working directory. Servers whose own user cannot enter it (root's home is closed to
    /// others) take a temporary directory instead, which goes with them.
    pub fn create() -> anyhow::Result<Self> {
        let here = std::env::current_dir().context("cannot tell the working directory")?;
        let local = here.join(".local");
        remove_stale(&local);
        let dir = local.join(format!("demo-{}", std::process::id()));
        // A directory of an earlier process of this number that was killed: its servers died with it.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Self { dir, keep: false })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Leaves the files where they are, for someone who wants to see what went wrong.
    pub fn keep_files(&mut self) {
        self.keep = true;
    }
}

/// Removes what earlier demos left in `.local` whose process is gone: killed ones, and those whose logs were kept.
/// One whose number is in use again stays until that process has ended too.
fn remove_stale(local: &Path) {
    // Without a `.local` there is nothing stale; what cannot be removed is in nobody's way.
    for entry in fs::read_dir(local).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("demo-")?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            failure::note(&format!("cannot remove {}: {error}", self.dir.display()));
        }
        // `.local` goes too when nothing else is in it; the call refuses otherwise.
        if self.dir.parent().is_some_and(|parent| parent.ends_with(".local")) {
            let _ = self.dir.parent().map(fs::remove_dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_demo_left_is_removed_and_nothing_else() {
        let local = tempfile::tempdir().unwrap();
        let alive = format!("demo-{}", std::process::id());
        // Above the kernel's largest process number (pid_max is at most 2²²).
        for name in ["demo-4194305", alive.as_str(), "demo-notes", "other"] {
            fs::create_dir_all(local.path().join(name).join("redis")).unwrap();
        }
        remove_stale(local.path());
        let mut left: Vec<_> =
            fs::read_dir(local.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        let mut want = [alive.as_str(), "demo-notes", "other"];
        want.sort_unstable();
        assert_eq!(left, want);
    }
}
