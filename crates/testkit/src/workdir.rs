//! The directory of one server.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::programs::{self, Account};
use crate::watchdog::Watchdog;

/// Removed with this value (or with this process) when temporary, left alone when given.
#[derive(Debug)]
pub(crate) struct Workdir {
    path: PathBuf,
    // Order of the fields is order of dropping: the directory goes first, then its watchdog is dismissed.
    temporary: Option<TempDir>,
    _watchdog: Option<Watchdog>,
    /// Held on a given directory: two Redis servers on one append-only file would spoil it without noticing.
    _lock: Option<File>,
}

impl Workdir {
    /// A fresh directory under the system's temporary directory.
    pub(crate) fn temporary() -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("mailfleet-")
            .tempdir()
            .context("create a temporary directory (is TMPDIR writable?)")?;
        let path = dir.path().to_path_buf();
        open_for_all(&path)?;
        let name = path.to_str().with_context(|| format!("the path {} is not UTF-8", path.display()))?;
        let watchdog = Watchdog::over_directory(name)?;
        Ok(Self { path, temporary: Some(dir), _watchdog: Some(watchdog), _lock: None })
    }

    /// The directory `path` for a server of the given kind, created where it is missing; an error while another one of
    /// that kind uses it.
    pub(crate) fn given(path: &Path, kind: &str) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("create the directory {}", path.display()))?;
        let path = fs::canonicalize(path).with_context(|| format!("read the path {}", path.display()))?;
        open_for_all(&path)?;
        let lock = lock(&path, kind)?;
        Ok(Self { path, temporary: None, _watchdog: None, _lock: Some(lock) })
    }

    /// Like [`Workdir::given`], for a server that runs as another user when started by root: where a directory above
    /// is closed to others (root's home is), a temporary one takes its place.
    pub(crate) fn given_for_others(path: &Path, kind: &str) -> Result<Self> {
        let given = Self::given(path, kind)?;
        if programs::is_root() && !reachable_by_all(&given.path) { Self::temporary() } else { Ok(given) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nothing in here outlives this value.
    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }
}

/// The kernel lets go of the lock when this process ends, in whatever way.
fn lock(dir: &Path, kind: &str) -> Result<File> {
    let path = dir.join(format!("{kind}.lock"));
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    if file.try_lock().is_err() {
        bail!("{} is in use by another {kind}: stop that one, or choose another directory", dir.display());
    }
    Ok(file)
}

/// Creates `path` where it is missing and gives it to `owner`; a no-op for the owner itself.
pub(crate) fn owned_dir(path: &Path, owner: &Account) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("create the directory {}", path.display()))?;
    give_to(path, owner)
}

/// Makes `owner` the owner of `path` when this process is root; else this process' user owns it already.
pub(crate) fn give_to(path: &Path, owner: &Account) -> Result<()> {
    if programs::is_root() {
        chown(path, Some(owner.uid), Some(owner.gid))
            .with_context(|| format!("give {} to the user {}", path.display(), owner.name))?;
    }
    Ok(())
}

/// Others may enter (the server's own user has to), whatever the umask and the 0700 of a temporary directory say.
fn open_for_all(path: &Path) -> Result<()> {
    let mode =
        fs::metadata(path).with_context(|| format!("look at {}", path.display()))?.permissions().mode();
    if mode & 0o055 == 0o055 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o755))
        .with_context(|| format!("open {} for the server's user", path.display()))
}

fn reachable_by_all(path: &Path) -> bool {
    path.ancestors().all(|dir| fs::metadata(dir).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0))
}
