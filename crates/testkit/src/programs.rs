//! Finding the servers' programs and the users they run as.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};

/// Where Debian keeps server programs that are not always on an ordinary user's `PATH`.
const EXTRA: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/bin"];

/// A program that is not installed, and the Debian package that brings it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The program's name.
    pub program: &'static str,
    /// The Debian package to install.
    pub package: &'static str,
}

/// Which of the programs that the servers need are missing here; empty when all can be started.
#[must_use]
pub fn missing_programs() -> Vec<Missing> {
    let mut missing = Vec::new();
    for (program, package) in [("redis-server", "redis-server"), ("dovecot", "dovecot-imapd")] {
        if find(program, package).is_err() {
            missing.push(Missing { program, package });
        }
    }
    if postgres_bin().is_err() {
        missing.push(Missing { program: "postgres", package: "postgresql" });
    }
    missing
}

/// The path of `program`, or an error that names the Debian package.
pub(crate) fn find(program: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(EXTRA.iter().map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|candidate| is_executable(candidate))
        .ok_or_else(|| missing(program, package))
}

/// The directory of PostgreSQL's programs: Debian's newest version, else where `PATH` has `postgres`.
pub(crate) fn postgres_bin() -> Result<PathBuf> {
    let newest = fs::read_dir("/usr/lib/postgresql").ok().and_then(|versions| {
        versions
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let version: u32 = entry.file_name().to_str()?.parse().ok()?;
                let bin = entry.path().join("bin");
                is_executable(&bin.join("postgres")).then_some((version, bin))
            })
            .max()
    });
    if let Some((_, bin)) = newest {
        return Ok(bin);
    }
    let postgres = find("postgres", "postgresql")?;
    // Distributions link single programs into PATH; the others stand beside the link's target.
    let real =
        fs::canonicalize(&postgres).with_context(|| format!("read the path {}", postgres.display()))?;
    real.parent().map(Path::to_path_buf).ok_or_else(|| missing("postgres", "postgresql"))
}

fn missing(program: &str, package: &str) -> anyhow::Error {
    anyhow!(
        "`{program}` is not installed: install the Debian package `{package}` (apt-get install {package})"
    )
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// One line of the user database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

impl Account {
    /// The user this process runs as.
    pub(crate) fn current() -> Result<Self> {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let output = Command::new("id").arg("-un").output().context("run `id -un`")?;
        let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() || name.is_empty() {
            return Err(anyhow!("uid {uid} has no name in the user database: add it to /etc/passwd"));
        }
        Ok(Self { name, uid, gid })
    }

    /// The user `name`, or an error that names the Debian package which creates it.
    pub(crate) fn named(name: &str, package: &str) -> Result<Self> {
        let passwd = fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
        passwd.lines().find_map(|line| Self::parse(line).filter(|account| account.name == name)).ok_or_else(
            || {
                anyhow!(
                    "there is no user `{name}` in /etc/passwd: it comes with the Debian package `{package}`"
                )
            },
        )
    }

    /// The name of this account's first group (Dovecot wants it by name), or its number.
    pub(crate) fn group_name(&self) -> String {
        let groups = fs::read_to_string("/etc/group").unwrap_or_default();
        let wanted = self.gid.to_string();
        groups
            .lines()
            .find_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next()?;
                (fields.nth(1)? == wanted).then(|| name.to_owned())
            })
            .unwrap_or(wanted)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Self { name, uid, gid })
    }
}

/// Whether this process may change users.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_its_package() {
        let error = find("no-such-program", "no-such-package").expect_err("must be missing").to_string();
        assert!(
            error.contains("no-such-program") && error.contains("apt-get install no-such-package"),
            "{error}"
        );
    }

    #[test]
    fn a_user_line_is_read_by_its_columns() {
        let account = Account::parse("mail:x:8:12:mail:/var/mail:/usr/sbin/nologin").expect("a valid line");
        assert_eq!(account, Account { name: "mail".to_owned(), uid: 8, gid: 12 });
        assert_eq!(Account::parse("broken"), None);
    }
}
