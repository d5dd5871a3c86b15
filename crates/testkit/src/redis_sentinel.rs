//! Private Redis Sentinels, alone or with the servers that they watch.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::Signal;

use crate::certificates::Certificates;
use crate::ports::free_port;
use crate::programs;
use crate::redis_server::{RedisServer, ask};
use crate::server::{STARTUP_LIMIT, Server, with_fresh_ports};
use crate::wait::poll;
use crate::watchdog::Farewell;
use crate::workdir::Workdir;

/// A master that does not answer for so many milliseconds is failed over.
const DOWN_AFTER_MS: u32 = 600;

/// A sentinel that watches one master on 127.0.0.1, under the name [`RedisSentinel::MASTER`].
#[derive(Debug)]
pub struct RedisSentinel {
    // Dropped in this order: the server ends before its directory goes.
    server: Server,
    dir: Workdir,
    port: u16,
    /// Kept because the files must stay while it runs.
    tls: Option<(Certificates, u16)>,
}

impl RedisSentinel {
    /// The name of the master that it watches.
    pub const MASTER: &'static str = "mymaster";

    /// Starts `count` of them, of which `quorum` must agree that the master is gone; waits until all know the replica and
    /// each other.
    pub fn start(master: &RedisServer, count: usize, quorum: usize) -> Result<Vec<Self>> {
        let one = || with_fresh_ports(|| Self::begin(master, quorum, ""));
        let all = (0..count).map(|_| one()).collect::<Result<Vec<_>>>()?;
        let ready = || all.iter().all(|sentinel| sentinel.knows(1, count - 1));
        poll(STARTUP_LIMIT, Duration::from_millis(50), || ready().then_some(()))
            .ok_or_else(|| anyhow!("the sentinels did not find the replica and each other in time"))?;
        Ok(all)
    }

    /// Starts one that speaks TLS to its clients and to `master`, which must do so too and needs no replica. Its port
    /// for them is [`RedisSentinel::tls_port`].
    pub fn start_tls(master: &RedisServer, certificates: &Certificates) -> Result<Self> {
        with_fresh_ports(|| {
            let port = free_port();
            let tls = format!(
                "tls-port {port}\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\ntls-auth-clients no\n\
                 tls-replication yes\n",
                certificates.certificate().display(),
                certificates.key().display(),
                certificates.ca().display(),
            );
            Ok(Self { tls: Some((certificates.clone(), port)), ..Self::begin(master, 1, &tls)? })
        })
    }

    fn begin(master: &RedisServer, quorum: usize, tls: &str) -> Result<Self> {
        let (dir, port) = (Workdir::temporary()?, free_port());
        let name = Self::MASTER;
        let login = master.setting("requirepass");
        let login =
            login.map(|password| format!("sentinel auth-pass {name} {password}\n")).unwrap_or_default();
        let config = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {name} 127.0.0.1 {} {quorum}\n\
             sentinel down-after-milliseconds {name} {DOWN_AFTER_MS}\nsentinel failover-timeout {name} 3000\n\
             sentinel parallel-syncs {name} 1\n{login}{tls}",
            dir.path().display(),
            master.tls_port().filter(|_| !tls.is_empty()).unwrap_or(master.port()),
        );
        // Sentinel writes what it learns back into this file.
        fs::write(dir.path().join("sentinel.conf"), config).context("write sentinel.conf")?;
        let server = Server::new("redis-sentinel", dir.path().join("sentinel.log"), Farewell::Kill);
        let this = Self { server, dir, port, tls: None };
        this.start_again()?;
        Ok(this)
    }

    /// Starts it on the same port and directory after [`RedisSentinel::stop`].
    pub fn start_again(&self) -> Result<()> {
        let mut command = Command::new(programs::find("redis-server", "redis-server")?);
        command.current_dir(self.dir.path()).arg(self.dir.path().join("sentinel.conf")).arg("--sentinel");
        let ours = |pid| {
            let info = ask::<String>(self.port, None, "INFO server");
            info.is_ok_and(|info| info.lines().any(|line| line.trim_end() == format!("process_id:{pid}")))
        };
        self.server.launch(command, ours)
    }

    /// An orderly end.
    pub fn stop(&self) -> Result<()> {
        self.server.stop(Signal::TERM)
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The TCP port for TLS when started by [`RedisSentinel::start_tls`].
    #[must_use]
    pub fn tls_port(&self) -> Option<u16> {
        self.tls.as_ref().map(|(_, port)| *port)
    }

    /// The port of the master as it sees things.
    pub fn master_port(&self) -> Result<u16> {
        let found: (String, u16) =
            ask(self.port, None, &format!("SENTINEL GET-MASTER-ADDR-BY-NAME {}", Self::MASTER))?;
        Ok(found.1)
    }

    fn knows(&self, replicas: usize, others: usize) -> bool {
        let info = ask::<String>(self.port, None, "INFO sentinel").unwrap_or_default();
        info.contains(&format!("slaves={replicas},sentinels={}", others + 1))
    }
}

/// A master with a replica, and three sentinels over both, of which two must agree that the master is gone.
#[derive(Debug)]
pub struct GuardedRedis {
    /// The master at the start.
    pub master: RedisServer,
    /// What becomes the master when that one is gone.
    pub replica: RedisServer,
    /// Who watches over them.
    pub sentinels: Vec<RedisSentinel>,
    password: Option<String>,
}

impl GuardedRedis {
    /// Starts all five. With a password it is asked for by both servers, not by the sentinels.
    pub fn start(password: Option<&str>) -> Result<Self> {
        let mut settings = vec![("repl-diskless-sync-delay", "0")];
        settings.extend(password.into_iter().flat_map(|word| [("requirepass", word), ("masterauth", word)]));
        let (master, replica) = (RedisServer::start_with(&settings)?, RedisServer::start_with(&settings)?);
        replica.replicate(Some(&master))?;
        let sentinels = RedisSentinel::start(&master, 3, 2)?;
        Ok(Self { master, replica, sentinels, password: password.map(str::to_owned) })
    }

    /// The URL that names the sentinels, with the login at the servers.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_at(self.sentinels.iter().map(RedisSentinel::port))
    }

    /// The same with the sentinels at these ports of 127.0.0.1.
    #[must_use]
    pub fn url_at(&self, ports: impl Iterator<Item = u16>) -> String {
        let login = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        let hosts: Vec<_> = ports.map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://{login}{}/{}", hosts.join(","), RedisSentinel::MASTER)
    }

    /// Whether the replica is the master and a sentinel says so.
    #[must_use]
    pub fn is_promoted(&self) -> bool {
        // Sentinel closes the connections of whom it promotes: an answer may fail.
        let info = self.replica.ask::<String>("INFO replication").unwrap_or_default();
        let named = self.sentinels[0].master_port().ok();
        info.contains("role:master") && named == Some(self.replica.port())
    }
}
