//! A private Dovecot with Maildir storage: any user name, one password.

mod config;
mod maildir;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::certificates::Certificates;
use crate::imap_client::{ImapClient, quoted};
use crate::ports::{free_port, free_port_beside, random};
use crate::programs::{self, Account};
use crate::server::{Server, with_fresh_ports};
use crate::watchdog::Farewell;
use crate::workdir::{Workdir, owned_dir};

/// The password of every user.
pub const PASSWORD: &str = "secret";

/// Where it listens in any case.
const LOOPBACK: &str = "127.0.0.1";

/// Where it listens when TLS is required: clients, whose own address is 127.0.0.1, come from elsewhere.
const STRICT_LOOPBACK: &str = "127.0.0.2";

/// Unix sockets are limited to 107 bytes; Dovecot appends up to about 30 to its base directory.
const MAX_BASE_DIR_BYTES: usize = 70;

/// How a Dovecot server is set up.
#[derive(Debug, Clone, Default)]
pub struct DovecotOptions {
    /// With these it speaks TLS on [`DovecotServer::tls_port`] and offers STARTTLS on [`DovecotServer::port`].
    pub tls: Option<Certificates>,
    /// Refuses to log anybody in without encryption (needs `tls`): the plain port wants STARTTLS first. Dovecot takes a
    /// client on its own address for secured, so this holds on [`DovecotServer::host`] only, which is 127.0.0.2 then;
    /// the kit's own helpers go on to use 127.0.0.1.
    pub require_tls: bool,
    /// Replaces the capabilities announced after login, for example to leave IDLE out.
    pub capability: Option<String>,
    /// More lines of dovecot.conf, put at its end.
    pub extra: String,
}

/// A Dovecot serving IMAP on 127.0.0.1.
#[derive(Debug)]
pub struct DovecotServer {
    // Dropped in this order: the server ends before its directories go.
    server: Server,
    dir: Workdir,
    /// Where sockets are, when `dir` has too long a name for them.
    base: Option<Workdir>,
    host: &'static str,
    port: u16,
    tls_port: Option<u16>,
    /// Whom mail belongs to.
    owner: Account,
    /// Distinguishes this server's greeting from that of another one which took the port first.
    greeting: String,
    /// Distinguishes its deliveries from those of an earlier server in the same directory.
    nonce: u64,
    delivered: AtomicU32,
}

impl DovecotServer {
    /// Starts one in a temporary directory, without TLS.
    pub fn start() -> Result<Self> {
        Self::start_with(&DovecotOptions::default())
    }

    /// Starts one in a temporary directory with options.
    pub fn start_with(options: &DovecotOptions) -> Result<Self> {
        with_fresh_ports(|| Self::begin(Workdir::temporary()?, options))
    }

    /// Starts one in `dir`, whose mail is kept. Started by root below a directory closed to others, it uses a temporary
    /// directory instead, because mail belongs to the user `nobody`; see [`DovecotServer::dir`].
    pub fn start_in(dir: &Path, options: &DovecotOptions) -> Result<Self> {
        with_fresh_ports(|| Self::begin(Workdir::given_for_others(dir, "dovecot")?, options))
    }

    fn begin(dir: Workdir, options: &DovecotOptions) -> Result<Self> {
        let owner =
            if programs::is_root() { Account::named("nobody", "base-passwd")? } else { Account::current()? };
        let long = dir.path().as_os_str().len() > MAX_BASE_DIR_BYTES;
        let base = if long { Some(Workdir::temporary()?) } else { None };
        let server = Server::new("dovecot", dir.path().join("dovecot.log"), Farewell::Terminate);
        let host = if options.require_tls { STRICT_LOOPBACK } else { LOOPBACK };
        let port = free_port();
        let tls_port = options.tls.as_ref().map(|_| free_port_beside(port));
        let nonce = random();
        let greeting = format!("mailfleet test server {nonce:016x}");
        let delivered = AtomicU32::new(0);
        let this = Self { server, dir, base, host, port, tls_port, owner, greeting, nonce, delivered };
        owned_dir(&this.dir.path().join("mail"), &this.owner)?;
        let text = config::render(&this, options)?;
        fs::write(this.config_file(), text)
            .with_context(|| format!("write {}", this.config_file().display()))?;
        this.start_again()?;
        Ok(this)
    }

    /// Starts it on the same ports and mail after [`DovecotServer::stop`] or [`DovecotServer::kill`].
    pub fn start_again(&self) -> Result<()> {
        // A killed master leaves its pid file; the number may be another process' by now, and Dovecot would refuse. No
        // master can be running: this value has none, and other owners are kept out by the directory's lock.
        fs::remove_file(self.base_dir().join("master.pid")).ok();
        self.free_mailboxes()?;
        let mut command = Command::new(programs::find("dovecot", "dovecot-imapd")?);
        command.current_dir(self.dir.path()).arg("-F").arg("-c").arg(self.config_file());
        self.server.launch(command, |_| greets(self.port, &self.greeting))
    }

    /// Removes the locks of sessions that were killed while they wrote the list of UIDs. Such a lock names no process, so
    /// that Dovecot waits two minutes before it takes it for left behind; here no session can be running.
    fn free_mailboxes(&self) -> Result<()> {
        for user in fs::read_dir(self.dir.path().join("mail"))? {
            let inbox = user?.path().join("Maildir");
            fs::remove_file(inbox.join(UIDLIST_LOCK)).ok();
            let Ok(folders) = fs::read_dir(inbox) else { continue };
            for folder in folders {
                fs::remove_file(folder?.path().join(UIDLIST_LOCK)).ok();
            }
        }
        Ok(())
    }

    /// The address to connect to: 127.0.0.1, or 127.0.0.2 with [`DovecotOptions::require_tls`].
    #[must_use]
    pub fn host(&self) -> &'static str {
        self.host
    }

    /// The IMAP port: plain, with STARTTLS where TLS is set up. It stays the same over [`DovecotServer::start_again`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port with TLS from the first byte.
    #[must_use]
    pub fn tls_port(&self) -> Option<u16> {
        self.tls_port
    }

    /// The server's directory, with `dovecot.conf`, `dovecot.log` and `mail/<user>/Maildir` in it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The master's process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// The end of the server's log: logins, disconnects, errors.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.server.log_tail()
    }

    /// Where the log is.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.server.log()
    }

    /// A raw session of `user` on the plain port.
    pub fn client(&self, user: &str) -> Result<ImapClient> {
        ImapClient::login(self.port, user, PASSWORD)
    }

    /// Creates a mailbox (name in modified UTF-7).
    pub fn create_mailbox(&self, user: &str, mailbox: &str) -> Result<()> {
        self.client(user)?.command(&format!("CREATE {}", quoted(mailbox))).map(drop)
    }

    /// APPENDs a mail over IMAP, line ends exactly as given; `internal_date` as `01-Feb-2024 10:00:00 +0000`.
    pub fn imap_append(
        &self,
        user: &str,
        mailbox: &str,
        mail: &[u8],
        internal_date: Option<&str>,
    ) -> Result<()> {
        self.client(user)?.append(mailbox, mail, internal_date)
    }

    /// The UIDs that the mailbox holds, ascending.
    pub fn uids(&self, user: &str, mailbox: &str) -> Result<Vec<u32>> {
        self.search(user, mailbox, "ALL")
    }

    /// The UIDs that a SEARCH (such as `SEEN`) finds, ascending. Looks with EXAMINE and so changes no flag.
    pub fn search(&self, user: &str, mailbox: &str, criteria: &str) -> Result<Vec<u32>> {
        let mut client = self.client(user)?;
        client.command(&format!("EXAMINE {}", quoted(mailbox)))?;
        let lines = client.command(&format!("UID SEARCH {criteria}"))?;
        let found = lines
            .iter()
            .filter_map(|line| line.strip_prefix("* SEARCH"))
            .flat_map(str::split_ascii_whitespace);
        let mut uids: Vec<u32> = found.filter_map(|uid| uid.parse().ok()).collect();
        uids.sort_unstable();
        Ok(uids)
    }

    /// The mailbox's UIDVALIDITY.
    pub fn uidvalidity(&self, user: &str, mailbox: &str) -> Result<u32> {
        let lines = self.client(user)?.command(&format!("STATUS {} (UIDVALIDITY)", quoted(mailbox)))?;
        lines
            .iter()
            .find_map(|line| line.split_once("UIDVALIDITY ")?.1.trim_end_matches(')').parse().ok())
            .with_context(|| format!("no UIDVALIDITY in the answer {lines:?}"))
    }

    /// Removes the given UIDs for good, as another mail client would.
    pub fn expunge(&self, user: &str, mailbox: &str, uids: &[u32]) -> Result<()> {
        if uids.is_empty() {
            return Ok(());
        }
        let set: Vec<String> = uids.iter().map(u32::to_string).collect();
        let mut client = self.client(user)?;
        client.command(&format!("SELECT {}", quoted(mailbox)))?;
        client.command(&format!("UID STORE {} +FLAGS.SILENT (\\Deleted)", set.join(",")))?;
        client.command("EXPUNGE").map(drop)
    }

    /// Removes everything in the mailbox.
    pub fn expunge_all(&self, user: &str, mailbox: &str) -> Result<()> {
        let uids = self.uids(user, mailbox)?;
        self.expunge(user, mailbox, &uids)
    }

    /// An orderly end: sessions get a BYE. Waits for it.
    pub fn stop(&self) -> Result<()> {
        self.server.stop(Signal::TERM)
    }

    /// SIGKILL for the master and every session.
    pub fn kill(&self) {
        self.server.kill();
    }

    /// SIGSTOP for the master and every session: connections stay open and nothing answers.
    pub fn pause(&self) -> Result<()> {
        self.server.pause()
    }

    /// SIGCONT after [`DovecotServer::pause`].
    pub fn resume(&self) -> Result<()> {
        self.server.resume()
    }

    fn config_file(&self) -> PathBuf {
        self.dir.path().join("dovecot.conf")
    }

    /// Where Dovecot keeps its sockets and its pid file.
    fn base_dir(&self) -> PathBuf {
        self.base.as_ref().unwrap_or(&self.dir).path().join("run")
    }
}

/// Held in a mailbox while its list of UIDs is written.
const UIDLIST_LOCK: &str = "dovecot-uidlist.lock";

/// Whether the server with this greeting answers on `port`.
fn greets(port: u16, greeting: &str) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return false };
    if stream.set_read_timeout(Some(Duration::from_secs(5))).is_err() {
        return false;
    }
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .is_ok_and(|_| line.starts_with("* OK") && line.contains(greeting))
}
