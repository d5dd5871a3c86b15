//! The doors of the producer: webhooks and registrations over HTTP.

mod http;
mod inbox;
mod messages;
mod missed;
mod outages;
mod readme;
mod refusals;
mod secrets;
mod stopping;
mod unusable;
mod webhooks;

use std::path::PathBuf;

use mailfleet_model::{InboxId, JobId, SecretSource, TenantId};
use mailfleet_queue::Queue;
use mailfleet_store::NewEndpoint;
use serde_json::{Value, json};

use crate::world::{LONG, Producer, World};
use http::{Answer, Client};

/// The secret of generic endpoints.
pub const SECRET: &str = "a shared secret of the tests";

/// The section that opens the door; `more` are further keys of it.
pub fn section(more: &str) -> String {
    format!("[webhooks]\nlisten = \"127.0.0.1:0\"\n{more}")
}

/// A producer with an open door.
pub fn open(world: &World<'_>, more: &str) -> (Producer, Client) {
    let producer = world.producer(&section(more));
    let client = client(&producer);
    (producer, client)
}

/// A client of a producer's door.
pub fn client(producer: &Producer) -> Client {
    let line = producer.process.wait_for_line("are taken on http://", LONG).unwrap();
    let address = line.split("http://").nth(1).unwrap();
    Client::new(address.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect())
}

/// A file with a secret, in a directory that lasts as long as the test.
pub fn secret_file(name: &str, secret: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    std::fs::write(&file, secret).unwrap();
    (dir, file)
}

/// One endpoint, with its path and its secret's file.
pub struct Endpoint {
    pub path: String,
    pub token: String,
    pub file: PathBuf,
    _dir: tempfile::TempDir,
}

/// Adds an endpoint of the world's tenant.
pub async fn endpoint(world: &World<'_>, provider: &str, secret: &str) -> Endpoint {
    endpoint_of(world, world.tenant, provider, provider, secret).await
}

/// Adds an endpoint.
pub async fn endpoint_of(
    world: &World<'_>,
    tenant: TenantId,
    name: &str,
    provider: &str,
    secret: &str,
) -> Endpoint {
    let (dir, file) = secret_file(name, secret);
    let new = NewEndpoint {
        tenant,
        provider: provider.to_owned(),
        name: name.to_owned(),
        secret: SecretSource::File(file.clone()),
        topic: (provider == "ses-sns").then(|| "arn:aws:sns:us-east-1:123456789012:ses-events".to_owned()),
    };
    let token = world.store.add_endpoint(&new).await.unwrap().expose().to_owned();
    Endpoint { path: format!("/webhooks/{provider}/{token}"), token, file, _dir: dir }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

/// HMAC-SHA256 of the parts.
pub fn hmac(secret: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    use ring::hmac::{HMAC_SHA256, Key, sign};
    sign(&Key::new(HMAC_SHA256, secret), &parts.concat()).as_ref().to_vec()
}

pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// The header of a generic call, signed at that time.
pub fn signature(body: &str, at: i64, secret: &str) -> (&'static str, String) {
    let at = at.to_string();
    let mac = hmac(secret.as_bytes(), &[at.as_bytes(), b".", body.as_bytes()]);
    ("X-Mailfleet-Signature", format!("t={at},v1={}", hex(&mac)))
}

/// One event in our own schema.
pub fn event(number: u32) -> Value {
    json!({
        "event": "bounced", "recipient": format!("r{number}@example.com"), "message_id": format!("<m{number}@acme.example>"),
        "permanence": "hard", "code": 550, "diagnostic": "550 5.1.1 user unknown",
    })
}

impl Client {
    /// Posts a generic call, signed now.
    pub fn generic(&self, endpoint: &Endpoint, body: &Value) -> Answer {
        let body = body.to_string();
        self.post(&endpoint.path, &[signature(&body, now(), SECRET)], body.as_bytes())
    }
}

/// The queue of events of a world.
pub fn events_queue(world: &World<'_>) -> Queue {
    Queue::connect(&world.queue.config().for_events()).unwrap()
}

/// Rows of the inbox.
pub fn rows(world: &World<'_>) -> u64 {
    world.sql("SELECT count(*) FROM mailfleet.webhook_inbox").parse().unwrap()
}

/// The job of the only row of the inbox.
pub fn only_job(world: &World<'_>) -> JobId {
    JobId::events(InboxId(world.sql("SELECT id FROM mailfleet.webhook_inbox").parse().unwrap()))
}

/// Waits until a job is in the queue of events.
pub async fn until_live(queue: &Queue, job: &JobId) {
    mailfleet_testkit::eventually("the job in the queue of events", LONG, || async {
        (queue.live(std::slice::from_ref(job)).await.ok()? == [true]).then_some(())
    })
    .await;
}
