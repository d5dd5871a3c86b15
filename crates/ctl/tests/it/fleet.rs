//! Servers with a migrated database and a configuration file, shared by the tests of this binary where they can be.

use std::path::PathBuf;
use std::sync::OnceLock;

use mailfleet_testkit::{DovecotServer, PASSWORD, PostgresServer, RedisServer};

use crate::support::{Said, run_with};

/// A Redis of all tests that do not change the server itself. The queue's name is part of every key, and each test has
/// a queue of its own.
fn redis() -> &'static RedisServer {
    static REDIS: OnceLock<RedisServer> = OnceLock::new();
    REDIS.get_or_init(|| RedisServer::start().expect("redis"))
}

/// A Dovecot of all tests; each test has users of its own.
pub fn dovecot() -> &'static DovecotServer {
    static DOVECOT: OnceLock<DovecotServer> = OnceLock::new();
    DOVECOT.get_or_init(|| DovecotServer::start().expect("dovecot"))
}

/// One test's fleet: a database, a queue and a configuration file of its own.
#[derive(Debug)]
pub struct Fleet {
    dir: tempfile::TempDir,
    /// The configuration file.
    pub config: PathBuf,
    /// Name of the database.
    pub database: String,
    /// Name of the queue.
    pub queue: String,
    /// Redis' URL.
    pub redis_url: String,
}

impl Fleet {
    /// With a database that was migrated by `mailfleet migrate`.
    pub fn new() -> Self {
        let fleet = Self::bare();
        fleet.run(&["migrate"]).with_code(0);
        fleet
    }

    /// With an empty database.
    pub fn bare() -> Self {
        Self::with_redis(&redis().url())
    }

    /// With an empty database and a Redis of the test's own.
    pub fn with_redis(redis_url: &str) -> Self {
        let url = PostgresServer::shared().fresh_database().expect("a database");
        let database = url.rsplit('/').next().expect("a name").to_owned();
        let dir = tempfile::tempdir().expect("a directory");
        let config = dir.path().join("mailfleet.toml");
        let queue = format!("test-{database}");
        let text = format!(
            "[queue]\nurl = \"{redis_url}\"\nqueue = \"{queue}\"\nevents_queue = \"{queue}-events\"\n[postgres]\nurl = \"{url}\"\n[imap]\nconnect_timeout_ms = 2000\n"
        );
        std::fs::write(&config, text).expect("written");
        std::fs::write(dir.path().join("password"), PASSWORD).expect("written");
        std::fs::write(dir.path().join("wrong-password"), "not it").expect("written");
        Self { config, database, queue, redis_url: redis_url.to_owned(), dir }
    }

    /// A file in the fleet's own directory.
    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Runs `mailfleet` on it.
    pub fn run(&self, args: &[&str]) -> Said {
        run_with(&self.config, args)
    }

    /// Runs SQL.
    pub fn sql(&self, sql: &str) -> String {
        PostgresServer::shared().psql(&self.database, sql).expect("the SQL works")
    }

    /// Adds an account on the shared Dovecot that logs in as `user`; `more` are further options.
    pub fn add_account(&self, name: &str, user: &str, more: &[&str]) -> Said {
        let port = dovecot().port().to_string();
        let password = self.path("password");
        let mut words = vec![
            "account",
            "add",
            name,
            "--host",
            "127.0.0.1",
            "--port",
            &port,
            "--tls",
            "plain",
            "--user",
            user,
        ];
        words.extend(["--password-file", &password]);
        words.extend(more);
        self.run(&words)
    }

    /// The library's view of the same database.
    pub fn store(&self) -> mailfleet_store::Store {
        let config = mailfleet_store::Config {
            url: mailfleet_model::Secret::new(PostgresServer::shared().url(&self.database)),
            ..mailfleet_store::Config::default()
        };
        mailfleet_store::Store::connect(&config).expect("a store")
    }

    /// The library's view of the same queue.
    pub fn queue(&self) -> mailfleet_queue::Queue {
        let config = mailfleet_queue::Config {
            url: mailfleet_model::Secret::new(self.redis_url.clone()),
            queue: self.queue.clone(),
            events_queue: format!("{}-events", self.queue),
            ..mailfleet_queue::Config::default()
        };
        mailfleet_queue::Queue::connect(&config).expect("a queue")
    }
}
