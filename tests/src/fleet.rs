//! A fleet in small: Redis, PostgreSQL, Dovecot, one tenant with one account, and our binaries as child processes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mailfleet_testkit::{
    DovecotOptions, DovecotServer, Finished, PostgresServer, Process, ProcessBuilder, RedisServer,
    eventually_blocking,
};

use crate::lock::LedgerLock;
use crate::mails::Mail;

/// The lease in tests: short, so that a takeover is seen soon.
const LEASE_MS: u32 = 3_000;

/// What Redis may use, as in any fleet that is run with care: far more than a test needs.
const REDIS_MEMORY: &str = "256mb";

/// The servers and what the binaries need to find them. Everything ends when it is dropped.
pub struct Fleet {
    /// The private Redis.
    pub redis: RedisServer,
    /// The private PostgreSQL.
    pub postgres: PostgresServer,
    /// The private Dovecot; the account `inbox` reads the mail of the user `inbox`.
    pub dovecot: DovecotServer,
    dir: tempfile::TempDir,
}

/// Where an entry can be that is not dead.
const PLACES: [&str; 4] = ["waiting", "in_flight", "delayed", "released"];

/// The database of the fleet.
const DATABASE: &str = "fleet";

impl Fleet {
    /// Starts the servers, migrates, adds tenant `acme` (domain `acme.example`) and its account `inbox`.
    #[must_use]
    pub fn start() -> Self {
        let fleet = Self::servers();
        fleet.mailfleet(&["migrate"]);
        fleet.mailfleet(&["tenant", "add", "acme", "--domain", "acme.example"]);
        fleet.add_account("inbox", &["--tenant", "acme"]);
        fleet
    }

    /// The servers and the configuration alone.
    #[must_use]
    pub fn servers() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let redis = RedisServer::start_with(&[("maxmemory", REDIS_MEMORY)]).unwrap();
        let postgres = PostgresServer::start().unwrap();
        let dovecot = DovecotServer::start_with(&DovecotOptions::default()).unwrap();
        postgres.create_database(DATABASE).unwrap();
        let fleet = Self { redis, postgres, dovecot, dir };
        std::fs::write(fleet.path("password"), format!("{}\n", mailfleet_testkit::PASSWORD)).unwrap();
        fleet.configure("");
        fleet
    }

    /// Writes the configuration anew, with `more` at its end.
    pub fn configure(&self, more: &str) {
        let mut text = String::new();
        writeln!(text, "[queue]\nurl = \"{}\"\nlease_ms = {LEASE_MS}", self.redis.url()).unwrap();
        writeln!(text, "\n[postgres]\nurl = \"{}\"", self.postgres.url(DATABASE)).unwrap();
        writeln!(text, "\n[producer]\nsweep_seconds = 5\naccounts_refresh_seconds = 2\n{more}").unwrap();
        std::fs::write(self.config(), text).unwrap();
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.path("mailfleet.toml")
    }

    /// A path in the fleet's own directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Adds an account of the Dovecot user of the same name.
    pub fn add_account(&self, name: &str, more: &[&str]) {
        let port = self.dovecot.port().to_string();
        let password = self.path("password");
        let mut args = vec!["account", "add", name, "--host", "127.0.0.1", "--port", &port, "--tls", "plain"];
        args.extend(["--user", name, "--password-file", password.to_str().unwrap()]);
        args.extend(more);
        self.mailfleet(&args);
    }

    /// Runs `mailfleet` and expects it to succeed.
    pub fn mailfleet(&self, args: &[&str]) -> Finished {
        let finished = self.try_mailfleet(args);
        assert!(finished.status.success(), "mailfleet {args:?}: {}\n{}", finished.stdout, finished.stderr);
        finished
    }

    /// Runs `mailfleet`, whatever comes of it.
    pub fn try_mailfleet(&self, args: &[&str]) -> Finished {
        self.builder("mailfleet").args(args).finish(Duration::from_secs(60)).unwrap()
    }

    /// Runs `mailfleet … --json` and reads what it prints: one object.
    pub fn mailfleet_json(&self, args: &[&str]) -> serde_json::Value {
        let finished = self.mailfleet(&[args, &["--json"]].concat());
        serde_json::from_str(&finished.stdout)
            .unwrap_or_else(|error| panic!("{args:?}: {error}: {}", finished.stdout))
    }

    /// A builder for one of our binaries with this fleet's configuration and an admin port of its own choice.
    #[must_use]
    pub fn builder(&self, binary: &str) -> ProcessBuilder {
        Process::binary(binary)
            .unwrap()
            .env("MAILFLEET_CONFIG", self.config())
            .env("MAILFLEET_ADMIN__LISTEN", "127.0.0.1:0")
            .current_dir(self.dir.path())
    }

    /// Starts a producer and waits until it says that it has started.
    #[must_use]
    pub fn producer(&self) -> Process {
        self.started(self.builder("mailfleet-producer"))
    }

    /// Starts a consumer and waits until it says that it has started.
    #[must_use]
    pub fn consumer(&self) -> Process {
        self.started(self.builder("mailfleet-consumer"))
    }

    /// Starts a prepared process and waits until it says that it has started.
    #[must_use]
    pub fn started(&self, builder: ProcessBuilder) -> Process {
        let process = builder.spawn().unwrap();
        process.wait_for_line("admin server listens", Duration::from_secs(20)).unwrap();
        process
    }

    /// Delivers mails to the user `inbox`.
    pub fn deliver(&self, mails: impl IntoIterator<Item = Mail>) {
        for mail in mails {
            self.dovecot.deliver("inbox", &mail.raw).unwrap();
        }
    }

    /// Runs SQL and gives what psql prints, unaligned.
    #[must_use]
    pub fn sql(&self, sql: &str) -> String {
        self.postgres.psql(DATABASE, sql).unwrap().trim().to_owned()
    }

    /// The same as long as PostgreSQL answers.
    #[must_use]
    pub fn try_sql(&self, sql: &str) -> Option<String> {
        Some(self.postgres.psql(DATABASE, sql).ok()?.trim().to_owned())
    }

    /// The address of the fleet's database by way of another port of 127.0.0.1.
    #[must_use]
    pub fn postgres_url_by(&self, port: u16) -> String {
        let direct = format!(":{}/", self.postgres.port());
        self.postgres.url(DATABASE).replace(&direct, &format!(":{port}/"))
    }

    /// One number out of the database.
    #[must_use]
    pub fn count(&self, sql: &str) -> u64 {
        self.sql(sql).parse().unwrap()
    }

    /// Messages with an outcome; 0 as long as the database cannot be asked.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        let asked = self.try_sql("SELECT count(*) FROM mailfleet.mailbox_messages");
        asked.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Waits until at least `many` messages have an outcome.
    pub fn wait_accounted(&self, many: u64, within: Duration) {
        eventually_blocking(&format!("{many} messages with an outcome"), within, || {
            (self.accounted() >= many).then_some(())
        });
    }

    /// Keeps every consumer from committing until it is released.
    #[must_use]
    pub fn hold_ledger(&self) -> LedgerLock {
        let lock = LedgerLock::take(&self.postgres.psql_program(), &self.postgres.url(DATABASE));
        let held = "SELECT count(*) FROM pg_locks WHERE granted AND mode = 'ShareLock' AND \
                    relation = 'mailfleet.mailbox_messages'::regclass";
        eventually_blocking("the lock on the ledger", Duration::from_secs(10), || {
            (self.count(held) > 0).then_some(())
        });
        lock
    }

    /// The job id of the message with this UID in the account `inbox`.
    #[must_use]
    pub fn job(&self, uid: u32) -> String {
        self.sql(&format!(
            "SELECT 'm:' || replace(account_id::text, '-', '') || ':' || b.id || ':' || uidvalidity || ':{uid}' \
             FROM mailfleet.mailboxes b JOIN mailfleet.email_accounts a ON a.id = account_id WHERE a.name = 'inbox'"
        ))
    }

    /// Entries that a consumer holds.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.depth("in_flight")
    }

    /// Entries that wait for a consumer.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.depth("waiting")
    }

    /// Entries of both queues in any state but dead.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.depths().iter().flat_map(|queue| PLACES.map(|state| sum(queue, state))).sum()
    }

    /// The sum of one state over the lanes of the queue of mails.
    fn depth(&self, state: &str) -> u64 {
        let queues = self.depths();
        let mails = queues.iter().find(|queue| queue["kind"] == "mails");
        sum(mails.unwrap_or_else(|| panic!("no mails in {queues:?}")), state)
    }

    /// What `mailfleet queue depth --json` says of each queue.
    fn depths(&self) -> Vec<serde_json::Value> {
        parse_depths(&self.mailfleet(&["queue", "depth", "--json"]).stdout)
    }

    /// Asserts promise 1 to 3 for the mails `1..=many`: each is there once and whole, nothing is dead, nothing is
    /// unaccounted for, and nothing is left in the queue.
    pub fn assert_all_once(&self, many: u32) {
        assert_eq!(self.count("SELECT count(*) FROM mailfleet.dead_letters"), 0, "dead letters");
        let persisted = "SELECT count(*) FROM mailfleet.mailbox_messages WHERE outcome = 3";
        assert_eq!(self.count(persisted), u64::from(many), "ledger rows");
        let inbound = "SELECT count(*) FROM email_messages WHERE direction = 'inbound'";
        assert_eq!(self.count(inbound), u64::from(many), "messages");
        let ids = "SELECT count(DISTINCT headers->>'message-id') FROM email_content";
        assert_eq!(self.count(ids), u64::from(many), "distinct mails");
        let missing = format!(
            "SELECT coalesce(string_agg(n::text, ' '), '') FROM generate_series(1, {many}) n WHERE NOT EXISTS \
             (SELECT FROM email_content c JOIN email_messages m USING (storage_key) WHERE m.subject = 'Number ' || n \
              AND c.content_text LIKE '%This is mail ' || n || '.%')"
        );
        assert_eq!(self.sql(&missing), "", "missing or not whole");
        assert_eq!(self.count("SELECT count(*) FROM attachments"), u64::from(many / 5), "attachments");
        // What is committed may still be on its way out, and a server that was lost not yet be replaced.
        eventually_blocking("an empty queue", Duration::from_secs(20), || {
            let said = self.try_mailfleet(&["queue", "depth", "--json"]);
            let is_empty = said.status.success()
                && parse_depths(&said.stdout)
                    .iter()
                    .all(|queue| PLACES.map(|state| sum(queue, state)) == [0; PLACES.len()]);
            is_empty.then_some(())
        });
        let audit = self.try_mailfleet(&["audit", "--older-than", "0"]);
        assert!(audit.status.success(), "audit: {}\n{}", audit.stdout, audit.stderr);
    }

    /// The directory of the fleet, for what a test wants to keep there.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

fn parse_depths(said: &str) -> Vec<serde_json::Value> {
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The sum of one state over the lanes of a queue.
fn sum(queue: &serde_json::Value, state: &str) -> u64 {
    let lanes = queue["lanes"].as_object().unwrap_or_else(|| panic!("no lanes in {queue}"));
    lanes.values().map(|lane| lane[state].as_u64().unwrap_or_else(|| panic!("no {state} in {queue}"))).sum()
}
