//! Mail put into the store behind the server's back, as a delivery agent on the same machine does.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use anyhow::{Context, Result};

use super::DovecotServer;
use crate::workdir::{give_to, owned_dir};

impl DovecotServer {
    /// The Maildir of `user`.
    #[must_use]
    pub fn maildir(&self, user: &str) -> PathBuf {
        self.dir.path().join("mail").join(user).join("Maildir")
    }

    /// Delivers a mail into the user's INBOX and returns the file.
    pub fn deliver(&self, user: &str, mail: &[u8]) -> Result<PathBuf> {
        self.deliver_to(user, "INBOX", mail)
    }

    /// Delivers a mail into a mailbox (name in modified UTF-7, levels separated by `.`), created where it is missing,
    /// and returns the file. Written under `tmp` and then renamed into `new`: the server sees all of it or nothing.
    pub fn deliver_to(&self, user: &str, mailbox: &str, mail: &[u8]) -> Result<PathBuf> {
        let folder = self.ensure_folder(user, mailbox)?;
        let number = self.delivered.fetch_add(1, Ordering::Relaxed);
        // Unique by the nonce. Dovecot gives UIDs in the order of the leading number, which is a time elsewhere; the
        // internal date is the file's own time, not this.
        let name = format!("{}.N{:016x}.mailfleet", 1_000_000_000 + u64::from(number), self.nonce);
        let (written, delivered) = (folder.join("tmp").join(&name), folder.join("new").join(&name));
        fs::write(&written, mail).with_context(|| format!("write the mail {}", written.display()))?;
        give_to(&written, &self.owner)?;
        fs::rename(&written, &delivered)
            .with_context(|| format!("move a mail to {}", delivered.display()))?;
        Ok(delivered)
    }

    /// Gives the mailbox another UIDVALIDITY (returned), as after a restore from backup or a repaired index: all mail is
    /// still there, every UID is counted anew from 1. Sessions that have it open are cut by the server.
    pub fn reset_uidvalidity(&self, user: &str, mailbox: &str) -> Result<u32> {
        let next = self.uidvalidity(user, mailbox)?.wrapping_add(1).max(1);
        let folder = self.folder(user, mailbox);
        // The header of version 3: V UIDVALIDITY, N next UID. No mail is listed, so each gets a fresh UID.
        let written = folder.join("tmp").join("dovecot-uidlist.new");
        fs::write(&written, format!("3 V{next} N1\n"))
            .with_context(|| format!("write the UID list {}", written.display()))?;
        give_to(&written, &self.owner)?;
        for index in ["dovecot.index", "dovecot.index.log", "dovecot.index.log.2", "dovecot.index.cache"] {
            remove_if_there(&folder.join(index))?;
        }
        let list = folder.join("dovecot-uidlist");
        fs::rename(&written, &list).with_context(|| format!("replace the UID list {}", list.display()))?;
        Ok(next)
    }

    /// Maildir++: INBOX is the Maildir itself, every other mailbox a folder in it whose name starts with a dot.
    fn folder(&self, user: &str, mailbox: &str) -> PathBuf {
        let maildir = self.maildir(user);
        if mailbox.eq_ignore_ascii_case("INBOX") { maildir } else { maildir.join(format!(".{mailbox}")) }
    }

    fn ensure_folder(&self, user: &str, mailbox: &str) -> Result<PathBuf> {
        let home = self.dir.path().join("mail").join(user);
        let folder = self.folder(user, mailbox);
        for dir in [&home, &self.maildir(user), &folder] {
            owned_dir(dir, &self.owner)?;
        }
        for part in ["tmp", "new", "cur"] {
            owned_dir(&folder.join(part), &self.owner)?;
        }
        if folder != self.maildir(user) {
            let marker = folder.join("maildirfolder");
            if !marker.exists() {
                fs::write(&marker, "").with_context(|| format!("write {}", marker.display()))?;
                give_to(&marker, &self.owner)?;
            }
        }
        Ok(folder)
    }
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
