//! Real servers and the real binary around one test.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use mailfleet_model::{
    AccountId, ENVELOPE_VERSION, Encoding, Envelope, JobId, Lane, MailRef, MailboxId, Secret, SecretSource,
    TenantId, TlsMode, Uid, UidValidity, Work,
};
use mailfleet_queue::{ConsumerName, Enqueued, NewJob, Queue};
use mailfleet_store::{DeadFilter, DeadLetter, NewAccount, Store};
use mailfleet_testkit::{PostgresServer, Process, RedisServer, eventually};

/// No step of these tests takes longer on any machine.
pub const LONG: Duration = Duration::from_secs(40);

const LEASE_MS: u64 = 1_000;

/// Redis, PostgreSQL with the schema, a tenant `acme`, an account of it and a shared one.
pub struct World<'a> {
    pub redis: RedisServer,
    pub postgres: &'a PostgresServer,
    pub store: Store,
    pub queue: Queue,
    pub tenant: TenantId,
    /// The account of the tenant.
    pub own: (AccountId, MailboxId),
    /// The catch-all.
    pub shared: (AccountId, MailboxId),
    /// The lease of its consumers, in milliseconds; short, so that a test sees it run out.
    pub lease_ms: u64,
    /// How many errors an entry may have with its consumers.
    pub max_attempts: u32,
    /// What one claim of its consumers takes, in bytes.
    pub max_claim_bytes: u64,
    url: String,
    dir: tempfile::TempDir,
}

impl World<'static> {
    pub async fn new() -> Self {
        Self::on(PostgresServer::shared()).await
    }
}

impl<'a> World<'a> {
    /// With a PostgreSQL of the test's own, which may be stopped.
    pub async fn on(postgres: &'a PostgresServer) -> Self {
        let redis = RedisServer::start().unwrap();
        let url = postgres.fresh_database().unwrap();
        let config = mailfleet_store::Config { url: Secret::new(url.clone()), ..Default::default() };
        let store = Store::connect(&config).unwrap();
        store.migrate().await.unwrap();
        let config = mailfleet_queue::Config {
            url: Secret::new(redis.url()),
            lease_ms: LEASE_MS,
            response_timeout_ms: 2_000,
            ..Default::default()
        };
        let queue = Queue::connect(&config).unwrap();
        let tenant = store.add_tenant(None, "acme", &["acme.example".to_owned()]).await.unwrap();
        let own = add_account(&store, "own", Some(tenant)).await;
        let shared = add_account(&store, "shared", None).await;
        Self {
            redis,
            postgres,
            store,
            queue,
            tenant,
            own,
            shared,
            lease_ms: LEASE_MS,
            max_attempts: 5,
            max_claim_bytes: 32 << 20,
            url,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// Starts a consumer; `more` is appended to its configuration: lines of `[consumer]`, then other sections.
    pub fn consumer(&self, more: &str) -> Consumer {
        let text = format!(
            "[queue]\nurl = \"{}\"\nlease_ms = {}\nmax_attempts = {}\nmax_claim_bytes = {}\n[postgres]\nurl = \"{}\"\n[admin]\nlisten = \
             \"127.0.0.1:0\"\n[consumer]\n{more}",
            self.redis.url(),
            self.lease_ms,
            self.max_attempts,
            self.max_claim_bytes,
            self.url
        );
        let file = self.dir.path().join("mailfleet.toml");
        std::fs::write(&file, text).unwrap();
        let builder = Process::binary("mailfleet-consumer").unwrap();
        Consumer(builder.arg("--config").arg(file).spawn().unwrap())
    }

    /// Enqueues mails of the tenant's account: UID and raw mail.
    pub async fn enqueue<R: Into<Vec<u8>>>(&self, mails: impl IntoIterator<Item = (u32, R)>) -> Vec<JobId> {
        self.enqueue_for(self.own, mails).await
    }

    /// Enqueues mails of an account.
    pub async fn enqueue_for<R: Into<Vec<u8>>>(
        &self,
        account: (AccountId, MailboxId),
        mails: impl IntoIterator<Item = (u32, R)>,
    ) -> Vec<JobId> {
        let jobs: Vec<NewJob> = mails.into_iter().map(|(uid, raw)| job(account, uid, raw.into())).collect();
        let ids = jobs.iter().map(NewJob::job_id).collect();
        let answers = self.queue.enqueue(jobs).await.unwrap();
        assert!(answers.iter().all(|answer| *answer == Enqueued::Queued), "{answers:?}");
        ids
    }

    /// A consumer of the test's own, to be one that dies.
    pub fn victim(&self) -> mailfleet_queue::Consumer {
        self.queue.consumer(ConsumerName::for_this_process())
    }

    /// What SQL says in the database of this world.
    pub fn sql(&self, sql: &str) -> String {
        self.postgres.psql(self.url.rsplit('/').next().unwrap(), sql).unwrap()
    }

    /// Makes PostgreSQL act on messages before they are inserted: `action` is PL/pgSQL, with `NEW` the row. It
    /// runs as the superuser, not as the consumer's role, which may do nothing in these tests' own tables.
    pub fn on_message(&self, action: &str) {
        self.sql(&format!(
            "CREATE OR REPLACE FUNCTION act() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN {action} RETURN NEW; END $$; \
             CREATE OR REPLACE TRIGGER act BEFORE INSERT ON email_messages FOR EACH ROW EXECUTE FUNCTION act();"
        ));
    }

    /// The subjects of the stored mails, sorted.
    pub fn subjects(&self) -> Vec<String> {
        self.sql("SELECT subject FROM email_messages ORDER BY subject").lines().map(str::to_owned).collect()
    }

    /// Waits until so many mails are stored.
    pub async fn until_stored(&self, count: usize) {
        eventually(&format!("{count} stored mails"), LONG, || async {
            (self.sql("SELECT count(*) FROM email_messages") == count.to_string()).then_some(())
        })
        .await;
    }

    /// Waits until nothing is in any lane, held or delayed.
    pub async fn until_empty(&self) {
        eventually("an empty queue", LONG, || async {
            let depth = self.queue.depth().await.ok()?;
            Lane::ALL.into_iter().all(|lane| depth.lane(lane).total() == Some(0)).then_some(())
        })
        .await;
    }

    /// All dead letters, in the order of their jobs.
    pub async fn letters(&self) -> Vec<DeadLetter> {
        let filter = DeadFilter { state: None, ..DeadFilter::default() };
        let mut letters = self.store.dead_letters(&filter).await.unwrap().letters;
        letters.sort_by_key(|letter| letter.at.map(|at| at.uid));
        letters
    }

    /// Waits for the dead letter of a job.
    pub async fn until_dead(&self, job: &JobId) -> DeadLetter {
        eventually(&format!("the dead letter of {job}"), LONG, || async {
            self.store.dead_letter_by_job(job).await.unwrap()
        })
        .await
    }

    /// Runs one command line in Redis; `K:` stands for the keys' prefix. Quoted words may hold `\xff`.
    pub fn redis(&self, line: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.redis.port())).unwrap();
        let line = line.replace("K:", "mailfleet:{email:processing:0}:");
        write!(stream, "{line}\r\nQUIT\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(!answer.starts_with(b"-"), "{line}: {}", String::from_utf8_lossy(&answer));
        String::from_utf8_lossy(&answer).into_owned()
    }
}

async fn add_account(store: &Store, name: &str, tenant: Option<TenantId>) -> (AccountId, MailboxId) {
    let account = NewAccount {
        tenant,
        name: name.to_owned(),
        host: "imap.example".to_owned(),
        port: 993,
        tls: TlsMode::Tls,
        username: name.to_owned(),
        password: SecretSource::Env("NO_SUCH_PASSWORD".to_owned()),
        ca_file: None,
        mailboxes: Vec::new(),
        sent_mailboxes: Vec::new(),
        recipient_from_to_cc: false,
    };
    let account = store.add_account(account).await.unwrap();
    (account, store.mailbox(account, "INBOX").await.unwrap().id)
}

/// A running `mailfleet-consumer`.
pub struct Consumer(pub Process);

impl Consumer {
    /// What the admin server answers: the status and the body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let line = self.0.wait_for_line("admin server listens on http://", LONG).unwrap();
        let address = line.split("http://").nth(1).unwrap();
        let address: String =
            address.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let code = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (code, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// Waits until `/readyz` answers so; gives the body.
    pub async fn until_ready(&self, code: u16) -> String {
        eventually(&format!("/readyz to answer {code}"), LONG, || async {
            let (found, body) = self.get("/readyz");
            (found == code).then_some(body)
        })
        .await
    }

    /// The sum of a metric's values over all label sets that hold every one of `labels`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let (_, text) = self.get("/metrics");
        let lines = text.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            rest.starts_with(['{', ' ']) && labels.iter().all(|label| rest.contains(label))
        });
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// How many runs of entries ended with this outcome.
    pub fn processed(&self, outcome: &str) -> u64 {
        self.metric("mailfleet_processed_total", &[&format!("outcome=\"{outcome}\"")])
    }

    /// Waits until a metric has a value.
    pub async fn until_metric(&self, name: &str, labels: &[&str], value: u64) {
        eventually(&format!("{name} at {value}"), LONG, || async {
            (self.metric(name, labels) == value).then_some(())
        })
        .await;
    }
}

pub fn job((account, mailbox): (AccountId, MailboxId), uid: u32, raw: Vec<u8>) -> NewJob {
    let at =
        MailRef { account, mailbox, uidvalidity: UidValidity::new(7).unwrap(), uid: Uid::new(uid).unwrap() };
    let envelope = Envelope {
        v: ENVELOPE_VERSION,
        work: Work::Mail(at),
        size: raw.len() as u64,
        message_id: None,
        direction: mailfleet_model::Direction::Inbound,
        flags: Vec::new(),
        internal_date_ms: Some(1_700_000_000_000),
        enqueued_at_ms: 1_700_000_000_000,
        encoding: Encoding::Identity,
        traceparent: None,
    };
    NewJob { envelope, lane: Lane::Normal, raw: raw.into() }
}

/// A small mail. `more` is put into its header, whole lines with CRLF.
pub fn mail(subject: &str, more: &str) -> Vec<u8> {
    let id = subject.replace(' ', ".");
    format!(
        "Message-ID: <{id}@acme.example>\r\nFrom: lead@example.org\r\nTo: ada@acme.example\r\nSubject: {subject}\r\n\
         {more}\r\nHello, this is {subject}.\r\n"
    )
    .into_bytes()
}

/// Numbered small mails.
pub fn mails(numbers: std::ops::RangeInclusive<u32>) -> impl Iterator<Item = (u32, Vec<u8>)> {
    numbers.map(|number| (number, mail(&format!("mail {number}"), "")))
}
