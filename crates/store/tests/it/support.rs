//! What the tests share: a migrated database, mails to store, a look past the store.

use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use mailfleet_model::{
    AccountId, Class, Counters, Direction, Disposition, JobId, Lane, MailRef, SecretSource, StorageKey,
    TenantId, TlsMode, Uid, UidValidity,
};
use mailfleet_store::{AttachmentRow, Config, MailRow, Mailbox, NewAccount, NewDeadLetter, Refs, Store};
use mailfleet_testkit::PostgresServer;
use serde_json::json;

/// The bound of every wait in these tests.
pub const SOON: Duration = Duration::from_secs(20);

/// A migrated database with a tenant, an account and a mailbox.
pub struct World {
    pub server: &'static PostgresServer,
    pub url: String,
    pub store: Store,
    pub tenant: TenantId,
    pub account: AccountId,
    pub mailbox: Mailbox,
}

pub fn config(url: &str) -> Config {
    Config { url: mailfleet_model::Secret::new(url), ..Config::default() }
}

pub fn store(url: &str) -> Store {
    Store::connect(&config(url)).unwrap()
}

pub fn new_account(name: &str, tenant: Option<TenantId>) -> NewAccount {
    NewAccount {
        tenant,
        name: name.to_owned(),
        host: "imap.example".to_owned(),
        port: 993,
        tls: TlsMode::Tls,
        username: name.to_owned(),
        password: SecretSource::Env("SALES_PASSWORD".to_owned()),
        ca_file: None,
        mailboxes: Vec::new(),
        sent_mailboxes: Vec::new(),
        recipient_from_to_cc: false,
    }
}

impl World {
    pub async fn new() -> Self {
        Self::in_schema("public").await
    }

    pub async fn in_schema(schema: &str) -> Self {
        let server = PostgresServer::shared();
        let url = server.fresh_database().unwrap();
        Self::at(server, url, schema).await
    }

    pub async fn at(server: &'static PostgresServer, url: String, schema: &str) -> Self {
        let store = Store::connect(&Config { schema: schema.to_owned(), ..config(&url) }).unwrap();
        store.migrate().await.unwrap();
        let tenant = store.add_tenant(None, "acme", &["acme.example".to_owned()]).await.unwrap();
        let account = store.add_account(new_account("sales", Some(tenant))).await.unwrap();
        let mailbox = store.mailbox(account, "INBOX").await.unwrap();
        Self { server, url, store, tenant, account, mailbox }
    }

    /// What SQL says, past the store.
    pub fn sql(&self, sql: &str) -> String {
        let database = self.url.rsplit('/').next().unwrap();
        self.server.psql(database, sql).unwrap()
    }

    pub fn count(&self, from: &str) -> u64 {
        self.sql(&format!("SELECT count(*) FROM {from}")).parse().unwrap()
    }

    pub fn at_uid(&self, number: u32) -> MailRef {
        MailRef { account: self.account, mailbox: self.mailbox.id, uidvalidity: epoch(7), uid: uid(number) }
    }

    /// A mail with two attachments, every text of it telling its number.
    pub fn mail(&self, number: u32) -> MailRow {
        let raw = format!("raw mail {number}");
        let id = format!("{number}@mail.example");
        let at = self.at_uid(number);
        let attachment = |ordinal: u32, disposition| AttachmentRow {
            ordinal,
            filename: Some(format!("{number}-{ordinal}.bin")),
            mime_type: "application/octet-stream".to_owned(),
            content: Bytes::from(vec![u8::try_from(ordinal).unwrap(), 0, 255, 10, 13]),
            disposition,
            content_id: None,
            content_hash: [9; 32],
        };
        let mut content_hash = [0; 32];
        content_hash[..4].copy_from_slice(&number.to_be_bytes());
        MailRow {
            job: JobId::mail(&at),
            at,
            tenant: self.tenant,
            key: StorageKey::inbound(Some(&id), self.account, raw.as_bytes()),
            content_hash,
            content_text: format!("text {number}"),
            content_html: format!("<p>text {number}</p>"),
            headers: json!({"subject": format!("subject {number}"), "received": ["one", "two"]}),
            raw_size_bytes: raw.len() as u64,
            message_type: "email".to_owned(),
            direction: Direction::Inbound,
            from_email: "ann@customer.example".to_owned(),
            to_email: "sales@acme.example,info@acme.example".to_owned(),
            subject: format!("subject {number}"),
            created: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            attachments: vec![attachment(0, Disposition::Inline), attachment(1, Disposition::Attachment)],
            message_id: Some(id),
            refs: Refs::default(),
            campaign_hint: None,
            enqueued: None,
            events: Vec::new(),
            recipients: Vec::new(),
        }
    }

    pub fn mails(&self, numbers: std::ops::RangeInclusive<u32>) -> Vec<MailRow> {
        numbers.map(|number| self.mail(number)).collect()
    }

    pub fn letter(&self, number: u32) -> NewDeadLetter {
        let mail = self.mail(number);
        NewDeadLetter {
            job: mail.job,
            at: Some(mail.at),
            lane: Lane::Normal,
            envelope_json: json!({"v": 1, "uid": number}),
            raw: Some(Bytes::from(format!("raw mail {number}"))),
            reason: "unknown_tenant".to_owned(),
            class: Class::Policy,
            error: "nobody owns the domain nobody.example".to_owned(),
            counters: Counters { attempts: 2, crashes: 1, drains: 3 },
            history: json!([{"at_ms": 1, "class": "policy"}]),
            tenant: None,
            account: Some(self.account),
            message_id: Some(format!("<{number}@mail.example>")),
        }
    }

    /// The outcome of a message: 0 where there is none.
    pub fn outcome(&self, number: u32) -> i16 {
        let sql =
            format!("SELECT COALESCE(max(outcome), 0) FROM mailfleet.mailbox_messages WHERE uid = {number}");
        self.sql(&sql).parse().unwrap()
    }

    /// A connection of the test's own, to hold locks with.
    pub async fn rival(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Waits until a backend of this database waits for a lock, and returns its process id.
    pub async fn waiting_backend(&self) -> i32 {
        mailfleet_testkit::eventually("a backend that waits for a lock", SOON, async || {
            let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
                       AND wait_event_type = 'Lock' AND application_name = 'mailfleet' LIMIT 1";
            self.sql(sql).parse().ok()
        })
        .await
    }
}

pub fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

pub fn epoch(number: u32) -> UidValidity {
    UidValidity::new(number).unwrap()
}
