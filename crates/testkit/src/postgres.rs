//! A private PostgreSQL, driven through its own programs (`initdb`, `postgres`, `psql`).

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::bounded::run_bounded;
use crate::certificates::Certificates;
use crate::ports::free_port;
use crate::programs::{self, Account};
use crate::server::{Server, with_fresh_ports};
use crate::watchdog::Farewell;
use crate::workdir::{Workdir, give_to, owned_dir};

/// Longer than any statement of a test takes.
const PSQL_LIMIT: Duration = Duration::from_mins(10);

/// How a PostgreSQL server is set up.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Whether commits reach the disk (`fsync`, `full_page_writes`). Off by default: tests gain speed, and killing the
    /// process loses nothing, only a crash of the machine would. `synchronous_commit` stays on in both cases: without
    /// it, a committed transaction may still be in the killed server's own memory.
    pub durable: bool,
    /// With these it speaks TLS to clients that ask for it (`sslmode=require` and above).
    pub tls: Option<Certificates>,
    /// More settings of postgresql.conf, such as `("max_connections", "20")`; they win over this crate's own.
    pub settings: Vec<(String, String)>,
}

/// A PostgreSQL cluster whose superuser `postgres` needs no password, on 127.0.0.1 only.
#[derive(Debug)]
pub struct PostgresServer {
    // Dropped in this order: the server ends before its directory goes.
    server: Server,
    dir: Workdir,
    port: u16,
    bin: PathBuf,
    /// Root may not run PostgreSQL; whom it is run as instead.
    owner: Account,
    databases: AtomicU32,
}

impl PostgresServer {
    /// Starts one in a temporary directory.
    pub fn start() -> Result<Self> {
        Self::start_with(&PostgresOptions::default())
    }

    /// Starts one in a temporary directory with options.
    pub fn start_with(options: &PostgresOptions) -> Result<Self> {
        with_fresh_ports(|| Self::begin(Workdir::temporary()?, options))
    }

    /// Starts one in `dir`, whose data is kept and used again. Started by root below a directory closed to others, it
    /// uses a temporary directory instead, because the server runs as the user `postgres`; see [`PostgresServer::dir`].
    pub fn start_in(dir: &Path, options: &PostgresOptions) -> Result<Self> {
        with_fresh_ports(|| Self::begin(Workdir::given_for_others(dir, "postgres")?, options))
    }

    /// The one server of this test process, started by the first call. It ends with the process.
    ///
    /// # Panics
    /// When it cannot be started; the message says why.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().expect("a PostgreSQL server for this test process"))
    }

    fn begin(dir: Workdir, options: &PostgresOptions) -> Result<Self> {
        let bin = programs::postgres_bin()?;
        let owner =
            if programs::is_root() { Account::named("postgres", "postgresql")? } else { Account::current()? };
        let server = Server::new("postgres", dir.path().join("postgres.log"), Farewell::Quit);
        let this = Self { server, dir, port: free_port(), bin, owner, databases: AtomicU32::new(0) };
        this.initialise()?;
        this.configure(options)?;
        this.start_again()?;
        Ok(this)
    }

    /// `initdb`, unless the directory holds a cluster already.
    fn initialise(&self) -> Result<()> {
        let data = self.data();
        if data.join("PG_VERSION").exists() {
            return Ok(());
        }
        owned_dir(&data, &self.owner)?;
        let mut command = self.as_owner("initdb")?;
        command.arg("-D").arg(&data).args(["-A", "trust", "-U", "postgres"]);
        // Flushing an empty cluster to disk costs more than creating it. The C.UTF-8 locale is on every machine.
        command.args(["--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C.UTF-8"]);
        succeed("initdb", &command.output().context("run initdb")?)?;
        let config = data.join("postgresql.conf");
        let mut file = OpenOptions::new()
            .append(true)
            .open(&config)
            .with_context(|| format!("open {}", config.display()))?;
        writeln!(file, "include = 'mailfleet.conf'").with_context(|| format!("write {}", config.display()))
    }

    /// Our settings in a file of their own, so that a cluster started again in a given directory gets a fresh port.
    fn configure(&self, options: &PostgresOptions) -> Result<()> {
        let durable = if options.durable { "on" } else { "off" };
        let mut text = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = ''\nlogging_collector = off\n\
             max_connections = 200\nshared_buffers = 128MB\nmax_wal_size = 1GB\ntimezone = 'UTC'\n\
             log_line_prefix = '%m [%p] '\nfsync = {durable}\nfull_page_writes = {durable}\n\
             synchronous_commit = on\n",
            self.port
        );
        if let Some(certificates) = &options.tls {
            // Copied beside the data: the server insists on owning its key.
            for (from, to) in [(certificates.certificate(), "server.crt"), (certificates.key(), "server.key")]
            {
                let to = self.data().join(to);
                fs::copy(&from, &to)
                    .with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
                give_to(&to, &self.owner)?;
            }
            text.push_str("ssl = on\n");
        }
        for (key, value) in &options.settings {
            writeln!(text, "{key} = '{}'", value.replace('\'', "''"))?;
        }
        let path = self.data().join("mailfleet.conf");
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        give_to(&path, &self.owner)
    }

    /// Starts it on the same port and data after [`PostgresServer::stop`] or [`PostgresServer::kill`].
    pub fn start_again(&self) -> Result<()> {
        let mut command = self.as_owner("postgres")?;
        command.arg("-D").arg(self.data());
        let pid_file = self.data().join("postmaster.pid");
        self.server.launch(command, |pid| says_ready(&pid_file, pid))
    }

    /// The connection string of database `name`.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// The TCP port; it stays the same over [`PostgresServer::start_again`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's directory, with `data` and `postgres.log` in it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The postmaster's process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// The end of the server's log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.server.log_tail()
    }

    /// The path of `psql`, for people who want to look around.
    #[must_use]
    pub fn psql_program(&self) -> PathBuf {
        self.bin.join("psql")
    }

    /// Creates an empty database.
    pub fn create_database(&self, name: &str) -> Result<()> {
        self.create_from(name, "template1")
    }

    /// Creates a database with a name of its own and returns its connection string.
    pub fn fresh_database(&self) -> Result<String> {
        self.fresh_database_from("template1")
    }

    /// [`PostgresServer::fresh_database`] as a copy of `template`, to which nobody may be connected. Copying a migrated
    /// database is much quicker than migrating again.
    pub fn fresh_database_from(&self, template: &str) -> Result<String> {
        // The process id makes names unique in a directory that several processes have used one after the other.
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("mailfleet_{}_{number}", std::process::id());
        self.create_from(&name, template)?;
        Ok(self.url(&name))
    }

    fn create_from(&self, name: &str, template: &str) -> Result<()> {
        let (name, template) = (quoted(name), quoted(template));
        self.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}")).map(drop)
    }

    /// Runs SQL (one or more statements) in database `name` and returns the rows: one a line, columns separated by `|`.
    /// The first error ends it, and so do ten minutes: a server that stands still answers nobody.
    pub fn psql(&self, name: &str, sql: &str) -> Result<String> {
        let mut command = Command::new(self.psql_program());
        let url = self.url(name);
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-", "-d", url.as_str()]);
        forget_pg_variables(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = run_bounded(command.spawn().context("run psql")?, sql, PSQL_LIMIT)?;
        succeed("psql", &output)?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// An orderly "fast" end: sessions are cut, everything committed is on disk. Waits for it.
    pub fn stop(&self) -> Result<()> {
        self.server.stop(Signal::INT)
    }

    /// SIGKILL for the postmaster and all backends; the next start recovers from the log.
    pub fn kill(&self) {
        self.server.kill();
    }

    /// SIGSTOP for the postmaster and all backends: connections stay open and nothing answers.
    pub fn pause(&self) -> Result<()> {
        self.server.pause()
    }

    /// SIGCONT after [`PostgresServer::pause`].
    pub fn resume(&self) -> Result<()> {
        self.server.resume()
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A program of PostgreSQL, run as the data's owner.
    fn as_owner(&self, program: &str) -> Result<Command> {
        let program = self.bin.join(program);
        let mut command = if programs::is_root() {
            let mut command = Command::new(programs::find("setpriv", "util-linux")?);
            command.arg(format!("--reuid={}", self.owner.uid)).arg(format!("--regid={}", self.owner.gid));
            command.arg("--clear-groups").arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.dir.path());
        forget_pg_variables(&mut command);
        Ok(command)
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // Temporary data needs no checkpoint. Immediate instead of SIGKILL, so that shared memory is given back; a
        // failure has no reader here, and the process is killed in any case.
        let signal = if self.dir.is_temporary() { Signal::QUIT } else { Signal::INT };
        self.server.stop(signal).ok();
    }
}

/// Whether the postmaster with this process id has written `ready` into its pid file (line 8, as `pg_ctl -w` reads it).
fn says_ready(pid_file: &Path, pid: u32) -> bool {
    let text = fs::read_to_string(pid_file).unwrap_or_default();
    let mut lines = text.lines();
    let ours = lines.next().is_some_and(|line| line.trim() == pid.to_string());
    ours && lines.nth(6).is_some_and(|line| line.trim() == "ready")
}

/// The developer's own PGHOST, PGOPTIONS and the like must not lead to another server.
fn forget_pg_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn succeed(program: &str, output: &Output) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    bail!("{program} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
}
