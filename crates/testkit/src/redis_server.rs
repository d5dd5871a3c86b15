//! A private Redis.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue};
use rustix::process::Signal;

use crate::certificates::Certificates;
use crate::ports::{free_port, free_port_beside};
use crate::programs;
use crate::server::{STARTUP_LIMIT, Server, with_fresh_ports};
use crate::wait::poll;
use crate::watchdog::Farewell;
use crate::workdir::Workdir;

/// How long a command of [`RedisServer::connection`] may take. The crate's default of 500 ms is too short for a busy
/// machine.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A Redis server with the append-only file on (`everysec`), no snapshots and no eviction.
#[derive(Debug)]
pub struct RedisServer {
    // Dropped in this order: the server ends before its directory goes.
    server: Server,
    dir: Workdir,
    port: u16,
    settings: Vec<(String, String)>,
    /// Kept because the files must stay for [`RedisServer::start_again`].
    tls: Option<(Certificates, u16)>,
}

impl RedisServer {
    /// Starts one in a temporary directory.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// Starts one in a temporary directory with more settings of redis.conf, such as `("maxmemory", "50mb")`; they win
    /// over this crate's own.
    pub fn start_with(settings: &[(&str, &str)]) -> Result<Self> {
        with_fresh_ports(|| Self::begin(Workdir::temporary()?, settings, None))
    }

    /// Starts one in `dir`, whose data is kept.
    pub fn start_in(dir: &Path) -> Result<Self> {
        Self::start_in_with(dir, &[])
    }

    /// Starts one in `dir` with more settings of redis.conf.
    pub fn start_in_with(dir: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        with_fresh_ports(|| Self::begin(Workdir::given(dir, "redis")?, settings, None))
    }

    /// Starts one in a temporary directory that speaks TLS as well, see [`RedisServer::tls_url`].
    pub fn start_tls(certificates: &Certificates) -> Result<Self> {
        with_fresh_ports(|| Self::begin(Workdir::temporary()?, &[], Some(certificates)))
    }

    fn begin(dir: Workdir, settings: &[(&str, &str)], tls: Option<&Certificates>) -> Result<Self> {
        let server = Server::new("redis-server", dir.path().join("redis.log"), Farewell::Kill);
        let mut settings: Vec<_> =
            settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let port = free_port();
        let tls = tls.map(|certificates| (certificates.clone(), free_port_beside(port)));
        if let Some((certificates, port)) = &tls {
            let files = [
                ("tls-cert-file", certificates.certificate()),
                ("tls-key-file", certificates.key()),
                ("tls-ca-cert-file", certificates.ca()),
            ];
            settings.extend(files.map(|(key, path)| (key.to_owned(), path.to_string_lossy().into_owned())));
            settings.push(("tls-port".to_owned(), port.to_string()));
            settings.push(("tls-auth-clients".to_owned(), "no".to_owned()));
        }
        let this = Self { server, dir, port, settings, tls };
        this.start_again()?;
        Ok(this)
    }

    /// `redis://127.0.0.1:PORT/0`, with the password where `requirepass` is set.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}127.0.0.1:{}/0", self.login(), self.port)
    }

    /// `rediss://localhost:PORT/0` when started by [`RedisServer::start_tls`].
    #[must_use]
    pub fn tls_url(&self) -> Option<String> {
        self.tls.as_ref().map(|(_, port)| format!("rediss://localhost:{port}/0"))
    }

    /// The TCP port for TLS when started by [`RedisServer::start_tls`].
    #[must_use]
    pub fn tls_port(&self) -> Option<u16> {
        self.tls.as_ref().map(|(_, port)| *port)
    }

    /// The TCP port; it stays the same over [`RedisServer::start_again`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the append-only file and the log (`redis.log`) are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// The end of the server's log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.server.log_tail()
    }

    /// An orderly end by SIGTERM: everything is on disk afterwards. Waits for it.
    pub fn stop(&self) -> Result<()> {
        self.server.stop(Signal::TERM)
    }

    /// SIGKILL: what has not been written to the append-only file is lost. That is little, because Redis writes before
    /// it replies and only leaves the fsync for later; [`RedisServer::flushall`] is the way to lose everything.
    pub fn kill(&self) {
        self.server.kill();
    }

    /// Starts it on the same port and directory after [`RedisServer::stop`] or [`RedisServer::kill`].
    pub fn start_again(&self) -> Result<()> {
        let program = programs::find("redis-server", "redis-server")?;
        let mut command = Command::new(program);
        command.current_dir(self.dir.path()).arg("--dir").arg(self.dir.path());
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string()]);
        command.args(["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]);
        command.args(["--maxmemory-policy", "noeviction", "--daemonize", "no"]);
        for (key, value) in &self.settings {
            command.arg(format!("--{key}")).arg(value);
        }
        self.server.launch(command, |pid| answers(self.port, pid, self.password()))
    }

    /// Makes it a replica of another one, or with `None` a master, and waits until the data has come.
    pub fn replicate(&self, master: Option<&Self>) -> Result<()> {
        let Some(master) = master else { return self.ask("REPLICAOF NO ONE") };
        if let Some(password) = master.password() {
            self.ask::<()>(&format!("CONFIG SET masterauth {password}"))?;
        }
        self.ask::<()>(&format!("REPLICAOF 127.0.0.1 {}", master.port))?;
        let follows =
            || self.ask::<String>("INFO replication").is_ok_and(|info| info.contains("link_status:up"));
        poll(STARTUP_LIMIT, Duration::from_millis(20), || follows().then_some(()))
            .ok_or_else(|| anyhow!("the replica did not follow; its log ends with:\n{}", self.log_tail()))
    }

    /// Waits until `replica` has all that was written here so far.
    pub fn wait_for_replica(&self, replica: &Self) -> Result<()> {
        let offset = |server: &Self, key: &str| -> Option<u64> {
            let info = server.ask::<String>("INFO replication").ok()?;
            info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')?.trim().parse().ok())
        };
        let written = offset(self, "master_repl_offset").context("a master tells its offset")?;
        let is_there = || offset(replica, "slave_repl_offset").is_some_and(|offset| offset >= written);
        poll(STARTUP_LIMIT, Duration::from_millis(5), || is_there().then_some(()))
            .ok_or_else(|| anyhow!("the replica did not get to offset {written} in {STARTUP_LIMIT:?}"))
    }

    /// Lets no replica hear of anything that is written from now on.
    pub fn cut_replicas(&self) -> Result<()> {
        // Who is asked for the rights again is the replica that connects again.
        self.ask::<()>("ACL SETUSER default -psync -sync")?;
        self.ask::<u64>("CLIENT KILL TYPE replica").map(drop)
    }

    /// Runs one command, its words separated by spaces, on a connection of its own.
    pub fn ask<T: FromRedisValue>(&self, line: &str) -> Result<T> {
        ask(self.port, self.password(), line)
    }

    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn password(&self) -> Option<&str> {
        self.setting("requirepass")
    }

    /// The login as it stands in a URL: nothing, or the password with its separators.
    pub(crate) fn login(&self) -> String {
        self.password().map(|password| format!(":{password}@")).unwrap_or_default()
    }

    /// SIGSTOP: connections stay open and nothing answers.
    pub fn pause(&self) -> Result<()> {
        self.server.pause()
    }

    /// SIGCONT after [`RedisServer::pause`].
    pub fn resume(&self) -> Result<()> {
        self.server.resume()
    }

    /// A connection with a response timeout of 5 s.
    ///
    /// # Panics
    /// When the server cannot be reached.
    pub async fn connection(&self) -> MultiplexedConnection {
        self.try_connection().await.expect("a connection to the test's Redis")
    }

    /// Removes every key of every database.
    ///
    /// # Panics
    /// When the server refuses or cannot be reached.
    pub async fn flushall(&self) {
        let mut connection = self.connection().await;
        let () = redis::cmd("FLUSHALL").query_async(&mut connection).await.expect("FLUSHALL");
    }

    async fn try_connection(&self) -> Result<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(RESPONSE_TIMEOUT));
        let client = redis::Client::open(self.url()).context("read the Redis URL")?;
        client.get_multiplexed_async_connection_with_config(&config).await.context("connect to Redis")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if !self.dir.is_temporary() {
            // Kept data should be complete. A failure has no reader here, and the process is killed in any case.
            self.stop().ok();
        }
    }
}

/// Runs one command on the server of this port.
pub(crate) fn ask<T: FromRedisValue>(port: u16, password: Option<&str>, line: &str) -> Result<T> {
    let login = password.map(|password| format!(":{password}@")).unwrap_or_default();
    let client =
        redis::Client::open(format!("redis://{login}127.0.0.1:{port}")).context("read the Redis URL")?;
    let mut connection = client.get_connection_with_timeout(RESPONSE_TIMEOUT).context("connect to Redis")?;
    connection.set_read_timeout(Some(RESPONSE_TIMEOUT)).context("bound the wait for Redis")?;
    let mut words = line.split(' ');
    let mut command = redis::cmd(words.next().unwrap_or_default());
    words.for_each(|word| {
        command.arg(word);
    });
    command.query(&mut connection).with_context(|| format!("{line} on port {port}"))
}

/// Whether it is *our* process that serves `port` and has loaded its data: another test's Redis may have been quicker.
fn answers(port: u16, pid: u32, password: Option<&str>) -> bool {
    ask_info(port, password).is_ok_and(|info| {
        let ours = info.lines().any(|line| line.trim_end() == format!("process_id:{pid}"));
        let loaded = info.lines().any(|line| line.trim_end() == "loading:0");
        ours && loaded
    })
}

fn ask_info(port: u16, password: Option<&str>) -> std::io::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    if let Some(password) = password {
        write!(stream, "AUTH {password}\r\n")?;
    }
    stream.write_all(b"INFO\r\nQUIT\r\n")?;
    // QUIT makes the server close the connection, so reading to its end is bounded by its answer.
    let mut answer = Vec::new();
    stream.take(1 << 20).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
