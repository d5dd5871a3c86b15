//! Real servers and the real binary around one test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mailfleet_model::{
    AccountId, ENVELOPE_VERSION, Encoding, Envelope, JobId, Lane, MailRef, Secret, SecretSource, TenantId,
    TlsMode, Uid, UidValidity, Work,
};
use mailfleet_queue::{ConsumerName, NewJob, Queue};
use mailfleet_store::{NewAccount, Store};
use mailfleet_testkit::{DovecotServer, PostgresServer, Process, RedisServer, eventually};

/// No step of these tests takes longer on any machine.
pub const LONG: Duration = Duration::from_secs(30);

/// Dovecot, Redis, PostgreSQL with the schema, and a configuration file for a producer.
pub struct World<'a> {
    pub redis: RedisServer,
    pub dovecot: DovecotServer,
    pub store: Store,
    pub queue: Queue,
    pub tenant: TenantId,
    postgres: &'a PostgresServer,
    postgres_url: String,
    dir: tempfile::TempDir,
}

impl World<'static> {
    /// Servers, schema, a tenant, and one account `box` of user `ada` that watches INBOX.
    pub async fn new() -> Self {
        let world = Self::without_accounts().await;
        world.account("box", "ada", &["INBOX"], "secret").await;
        world
    }

    /// As [`World::new`], without an account.
    pub async fn without_accounts() -> Self {
        Self::on(PostgresServer::shared()).await
    }
}

impl<'a> World<'a> {
    /// As [`World::without_accounts`], with a PostgreSQL of its own, which may be stopped.
    pub async fn on(postgres: &'a PostgresServer) -> Self {
        let redis = RedisServer::start().unwrap();
        let dovecot = DovecotServer::start().unwrap();
        let postgres_url = postgres.fresh_database().unwrap();
        let store_config = mailfleet_store::Config {
            url: Secret::new(postgres_url.clone()),
            ..mailfleet_store::Config::default()
        };
        let store = Store::connect(&store_config).unwrap();
        store.migrate().await.unwrap();
        let queue_config =
            mailfleet_queue::Config { url: Secret::new(redis.url()), ..mailfleet_queue::Config::default() };
        let queue = Queue::connect(&queue_config).unwrap();
        let tenant = store.add_tenant(None, "acme", &["acme.example".to_owned()]).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        Self { redis, dovecot, store, queue, tenant, postgres, postgres_url, dir }
    }

    /// Adds an account at the Dovecot of this world.
    pub async fn account(&self, name: &str, user: &str, mailboxes: &[&str], password: &str) -> AccountId {
        self.add(name, user, mailboxes, password, Some(self.tenant)).await
    }

    /// Adds a shared account, whose mail belongs to whom it was delivered to.
    pub async fn shared_account(&self, name: &str, user: &str) -> AccountId {
        self.add(name, user, &["INBOX"], "secret", None).await
    }

    async fn add(
        &self,
        name: &str,
        user: &str,
        mailboxes: &[&str],
        password: &str,
        tenant: Option<TenantId>,
    ) -> AccountId {
        let file = self.dir.path().join(format!("{name}.password"));
        std::fs::write(&file, password).unwrap();
        let account = NewAccount {
            tenant,
            name: name.to_owned(),
            host: "127.0.0.1".to_owned(),
            port: self.dovecot.port(),
            tls: TlsMode::Plain,
            username: user.to_owned(),
            password: SecretSource::File(file),
            ca_file: None,
            mailboxes: mailboxes.iter().map(|name| (*name).to_owned()).collect(),
            sent_mailboxes: Vec::new(),
            recipient_from_to_cc: false,
        };
        self.store.add_account(account).await.unwrap()
    }

    /// Writes a configuration file: the servers of this world, sensible waits for a test, then `more` (whole lines; a
    /// section header in it starts another section than `[producer]`).
    pub fn config(&self, more: &str) -> PathBuf {
        let mut text = format!(
            "[queue]\nurl = \"{}\"\n[postgres]\nurl = \"{}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [producer]\naccounts_refresh_seconds = 1\n",
            self.redis.url(),
            self.postgres_url
        );
        // Unless a test says otherwise nothing is swept in its time, and nothing polled: what happens, happens because
        // somebody noticed.
        for (key, value) in [("sweep_seconds", 3600), ("poll_seconds", 3600)] {
            if !more.contains(key) {
                writeln!(text, "{key} = {value}").unwrap();
            }
        }
        text.push_str(more);
        let file = self.dir.path().join("mailfleet.toml");
        std::fs::write(&file, text).unwrap();
        file
    }

    /// Starts a producer with [`World::config`].
    pub fn producer(&self, more: &str) -> Producer {
        Producer::start(&self.config(more))
    }

    /// Delivers numbered mails, 1 to `count`, into a mailbox.
    pub fn deliver(&self, user: &str, mailbox: &str, what: &str, count: usize) {
        for number in 1..=count {
            self.dovecot.deliver_to(user, mailbox, &mail(&format!("{what} {number}"), "")).unwrap();
        }
    }

    /// Entries that wait in the queue, over all lanes.
    pub async fn waiting(&self) -> u64 {
        let depth = self.queue.depth().await.unwrap();
        Lane::ALL.into_iter().map(|lane| depth.lane(lane).waiting.unwrap()).sum()
    }

    /// Waits until so many entries wait in the queue.
    pub async fn until_waiting(&self, count: u64) {
        eventually(&format!("{count} entries in the queue"), LONG, || async {
            self.queue.depth().await.ok()?;
            (self.waiting().await == count).then_some(())
        })
        .await;
    }

    /// Where a message of a mailbox stands in the ledger, under the UIDVALIDITY that the server tells.
    pub async fn at(&self, account: AccountId, user: &str, mailbox: &str, uid: u32) -> MailRef {
        let uidvalidity = self.dovecot.uidvalidity(user, mailbox).unwrap();
        MailRef {
            account,
            mailbox: self.store.mailbox(account, mailbox).await.unwrap().id,
            uidvalidity: UidValidity::new(uidvalidity).unwrap(),
            uid: Uid::new(uid).unwrap(),
        }
    }

    /// Takes everything out of the queue and finishes it as a consumer does, ledger first: job id → (lane, subject).
    pub async fn drain(&self) -> BTreeMap<JobId, (Lane, String)> {
        let consumer = self.queue.consumer(ConsumerName::for_this_process());
        let mut taken = BTreeMap::new();
        loop {
            let batch = consumer.claim(100).await.unwrap();
            if batch.is_empty() {
                return taken;
            }
            for delivery in &batch {
                let subject = subject(delivery.raw());
                let twice = taken.insert(delivery.job_id().clone(), (delivery.lane(), subject));
                assert!(twice.is_none(), "{} was in the queue twice", delivery.job_id());
            }
            let rows: Vec<String> = batch
                .iter()
                .map(|delivery| {
                    let at = delivery.job_id().mail_ref().unwrap();
                    format!("({}, {}, {}, 3)", at.mailbox, at.uidvalidity, at.uid)
                })
                .collect();
            // Raises `dead` like a consumer does; a mail that was finished before is one that came twice.
            let raised = self.sql(&format!(
                "WITH raised AS (INSERT INTO mailfleet.mailbox_messages AS l (mailbox_id, uidvalidity, uid, outcome) \
                 VALUES {} ON CONFLICT (mailbox_id, uidvalidity, uid) DO UPDATE SET outcome = excluded.outcome \
                 WHERE excluded.outcome > l.outcome RETURNING 1) SELECT count(*) FROM raised",
                rows.join(", ")
            ));
            assert_eq!(raised, batch.len().to_string(), "some of these were finished before: {rows:?}");
            consumer.done(batch).await.unwrap();
        }
    }

    /// The stored cursor of a mailbox.
    pub async fn cursor(&self, account: AccountId, mailbox: &str) -> u32 {
        self.store.mailbox(account, mailbox).await.unwrap().last_uid
    }

    /// Waits until the stored cursor of a mailbox stands at `uid`.
    pub async fn until_cursor(&self, account: AccountId, mailbox: &str, uid: u32) {
        eventually(&format!("the cursor at {uid}"), LONG, || async {
            (self.cursor(account, mailbox).await == uid).then_some(())
        })
        .await;
    }

    /// The account of this name.
    pub async fn id(&self, name: &str) -> AccountId {
        self.store.account_by_name(name).await.unwrap().unwrap().id
    }

    /// Runs SQL in the database of this world.
    pub fn sql(&self, sql: &str) -> String {
        let name = self.postgres_url.rsplit('/').next().unwrap();
        self.postgres.psql(name, sql).unwrap().trim().to_owned()
    }
}

/// A running `mailfleet-producer`.
pub struct Producer {
    pub process: Process,
}

impl Producer {
    pub fn start(config: &Path) -> Self {
        let process =
            Process::binary("mailfleet-producer").unwrap().arg("--config").arg(config).spawn().unwrap();
        Self { process }
    }

    /// Lines of the log that contain this text.
    pub fn logged(&self, text: &str) -> usize {
        self.process.stderr().lines().filter(|line| line.contains(text)).count()
    }

    /// Waits until `/readyz` answers with this code.
    pub async fn until_ready(&self, code: u16) {
        eventually(&format!("{code} from /readyz"), LONG, || async {
            (self.get("/readyz").0 == code).then_some(())
        })
        .await;
    }

    /// Waits until an account is being watched.
    pub fn until_logged_in(&self) {
        self.process.wait_for_line("logged in", LONG).unwrap();
    }

    /// What the admin server answers: the status line's code and the body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let line = self.process.wait_for_line("admin server listens on http://", LONG).unwrap();
        let address: String = line
            .split("http://")
            .nth(1)
            .unwrap()
            .chars()
            .take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':'))
            .collect();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let code = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (code, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// The value of one metric, labels included in `name`; `None` when it is absent.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(value.trim().parse().unwrap())
    }

    /// Waits until a metric has a value.
    pub async fn until_metric(&self, name: &str, value: f64) {
        let what = format!("{name} at {value}");
        eventually(&what, LONG, || async { (self.metric(name)? - value).abs().lt(&0.5).then_some(()) }).await;
    }
}

/// A job as the producer makes it.
pub fn job(at: MailRef, lane: Lane, raw: &[u8]) -> NewJob {
    let envelope = Envelope {
        v: ENVELOPE_VERSION,
        work: Work::Mail(at),
        size: raw.len() as u64,
        message_id: None,
        direction: mailfleet_model::Direction::Inbound,
        flags: Vec::new(),
        internal_date_ms: None,
        enqueued_at_ms: 1,
        encoding: Encoding::Identity,
        traceparent: None,
    };
    NewJob { envelope, lane, raw: raw.to_vec().into() }
}

/// A small mail. `more` is put into its header, whole lines with CRLF.
pub fn mail(subject: &str, more: &str) -> Vec<u8> {
    let id = subject.replace(' ', ".");
    format!(
        "Message-ID: <{id}@acme.example>\r\nFrom: lead@example.org\r\nTo: ada@acme.example\r\nSubject: {subject}\r\n\
         {more}Date: Mon, 01 Jan 2024 10:00:00 +0000\r\n\r\nHello, this is {subject}.\r\n"
    )
    .into_bytes()
}

fn subject(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default().trim().to_owned()
}
