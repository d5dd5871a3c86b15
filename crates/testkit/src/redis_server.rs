//! A private Redis.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use rustix::process::Signal;

use crate::certificates::Certificates;
use crate::ports::{free_port, free_port_beside};
use crate::programs;
use crate::server::{Server, with_fresh_ports};
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
        let login = self.password().map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis://{login}127.0.0.1:{}/0", self.port)
    }

    /// `rediss://localhost:PORT/0` when started by [`RedisServer::start_tls`].
    #[must_use]
    pub fn tls_url(&self) -> Option<String> {
        self.tls.as_ref().map(|(_, port)| format!("rediss://localhost:{port}/0"))
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

    fn password(&self) -> Option<&str> {
        self.settings.iter().find(|(key, _)| key == "requirepass").map(|(_, value)| value.as_str())
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
