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
        let dir = here.join(".local").join(format!("demo-{}", std::process::id()));
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
