//! The demo's private servers and its reference data: one tenant, an account of its own, a shared account.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use mailfleet_model::{SecretSource, TlsMode};
use mailfleet_store::{Account, NewAccount, Store};
use mailfleet_testkit::{
    DovecotOptions, DovecotServer, PASSWORD, PostgresOptions, PostgresServer, RedisServer,
};

/// The database's name.
pub const DATABASE: &str = "mailfleet";
/// The tenant's domain: mail to the shared account is delivered to addresses of it.
pub const DOMAIN: &str = "acme.example";
/// Login of the tenant's own account.
pub const SALES: &str = "sales";
/// Login of the shared account.
pub const CATCH_ALL: &str = "catchall";

/// The running servers. They end with this value.
#[derive(Debug)]
pub struct Servers {
    /// Redis.
    pub redis: RedisServer,
    /// PostgreSQL, commits on disk as in production.
    pub postgres: Arc<PostgresServer>,
    /// Dovecot.
    pub dovecot: Arc<DovecotServer>,
}

impl Servers {
    /// Starts all three, at once, below `dir`. Blocks for some seconds, bounded by testkit.
    pub fn start(dir: &Path) -> anyhow::Result<Self> {
        let durable = PostgresOptions { durable: true, ..PostgresOptions::default() };
        std::thread::scope(|scope| {
            let redis = scope.spawn(|| RedisServer::start_in(&dir.join("redis")).context("redis"));
            let postgres =
                scope.spawn(|| PostgresServer::start_in(&dir.join("postgres"), &durable).context("postgres"));
            let dovecot = scope.spawn(|| {
                DovecotServer::start_in(&dir.join("dovecot"), &DovecotOptions::default()).context("dovecot")
            });
            let (redis, postgres, dovecot) = (join(redis)?, join(postgres)?, join(dovecot)?);
            postgres.create_database(DATABASE)?;
            Ok(Self { redis, postgres: Arc::new(postgres), dovecot: Arc::new(dovecot) })
        })
    }

    /// Writes the configuration file for the whole fleet and returns its path. `door` is where webhooks are taken.
    pub fn write_config(&self, dir: &Path, door: SocketAddr) -> anyhow::Result<PathBuf> {
        let path = dir.join("mailfleet.toml");
        let text = format!(
            "# Written by `mailfleet demo`.\n[queue]\nurl = \"{}\"\n\n[postgres]\nurl = \"{}\"\n\n\
             [webhooks]\nlisten = \"{door}\"\n",
            self.redis.url(),
            self.postgres.url(DATABASE)
        );
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

/// The two accounts of the demo.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// The tenant's own.
    pub sales: Account,
    /// The shared one.
    pub catch_all: Account,
}

/// Adds the tenant, its domain and the two accounts.
pub async fn populate(store: &Store, dovecot: &DovecotServer, dir: &Path) -> anyhow::Result<Accounts> {
    let file = private_file(&dir.join("imap-password"), PASSWORD)?;
    let tenant = store.add_tenant(None, "acme", &[DOMAIN.to_owned()]).await?;
    for (name, user, tenant) in [("acme-sales", SALES, Some(tenant)), ("catch-all", CATCH_ALL, None)] {
        let account = NewAccount {
            tenant,
            name: name.to_owned(),
            host: "127.0.0.1".to_owned(),
            port: dovecot.port(),
            tls: TlsMode::Plain,
            username: user.to_owned(),
            password: SecretSource::File(file.clone()),
            ca_file: None,
            mailboxes: vec!["INBOX".to_owned()],
            sent_mailboxes: Vec::new(),
            recipient_from_to_cc: false,
        };
        store.add_account(account).await?;
    }
    let accounts = store.accounts(true).await?;
    let find = |user: &str| {
        accounts
            .iter()
            .find(|account| account.username == user)
            .cloned()
            .context("an account just added is missing")
    };
    Ok(Accounts { sales: find(SALES)?, catch_all: find(CATCH_ALL)? })
}

/// Writes a secret where only this user reads it.
pub fn private_file(path: &Path, secret: &str) -> anyhow::Result<PathBuf> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    std::io::Write::write_all(&mut file, format!("{secret}\n").as_bytes())?;
    Ok(path.to_path_buf())
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, anyhow::Result<T>>) -> anyhow::Result<T> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
