//! The producer's doors, called as the platform that sends and the provider that delivers would call them.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, UNIX_EPOCH};

use mailfleet_testkit::{Process, ProcessBuilder};
use serde_json::{Value, json};

use crate::fleet::Fleet;
use crate::mails::{sent_message_id, sent_to};

/// The name of the webhook endpoint that [`Door::open`] adds.
pub const ENDPOINT: &str = "acme-events";

const SECRET: &str = "a secret shared with the provider";

/// How long a call waits for its answer, unless [`Door::patience`] says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// What opens the doors: an endpoint of the generic provider and an API token, both of tenant `acme`.
#[derive(Debug, Clone)]
pub struct Keys {
    path: String,
    token: String,
}

impl Keys {
    /// Adds endpoint and token.
    #[must_use]
    pub fn add(fleet: &Fleet) -> Self {
        let secret = fleet.path("webhook-secret");
        std::fs::write(&secret, SECRET).unwrap();
        let add = ["webhook", "add", "--tenant", "acme", "--provider", "generic", "--name", ENDPOINT];
        let endpoint =
            fleet.mailfleet_json(&[&add[..], &["--secret-file", secret.to_str().unwrap()]].concat());
        let token = fleet.mailfleet_json(&["token", "add", "--tenant", "acme", "acme-platform"]);
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned();
        Self { path: text(&endpoint["path"]), token: text(&token["token"]) }
    }
}

/// The open doors of a producer, with the keys to them.
#[derive(Debug, Clone)]
pub struct Door {
    address: String,
    keys: Keys,
    patience: Duration,
}

/// What a door said.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body: every answer is JSON.
    pub body: Value,
}

impl Door {
    /// Adds endpoint and token and starts a producer with open doors.
    #[must_use]
    pub fn open(fleet: &Fleet) -> (Self, Process) {
        Self::start(fleet, &Keys::add(fleet), fleet.builder("mailfleet-producer"))
    }

    /// Starts a prepared producer with open doors.
    #[must_use]
    pub fn start(fleet: &Fleet, keys: &Keys, producer: ProcessBuilder) -> (Self, Process) {
        let producer = fleet.started(producer.env("MAILFLEET_WEBHOOKS__LISTEN", "127.0.0.1:0"));
        let line = producer.wait_for_line("are taken on http://", Duration::from_secs(20)).unwrap();
        let (_, address) = line.split_once("http://").unwrap();
        let address = address.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
        (Self { address, keys: keys.clone(), patience: PATIENCE }, producer)
    }

    /// Starts a producer, in the place of one that is gone, with the same endpoint and token.
    pub fn reopen(&mut self, fleet: &Fleet) -> Process {
        let (door, producer) = Self::start(fleet, &self.keys, fleet.builder("mailfleet-producer"));
        self.address = door.address;
        producer
    }

    /// The same door, called by somebody who waits no longer than this for an answer.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The address of the endpoint, with its token.
    #[must_use]
    pub fn endpoint_url(&self) -> String {
        format!("http://{}{}", self.address, self.keys.path)
    }

    /// Registers the message of a number, from `inbox` to [`sent_to`], by `POST /v1/messages`.
    #[must_use]
    pub fn register(&self, number: u32) -> Answer {
        self.try_register(number).unwrap()
    }

    /// The same where the door may be shut.
    ///
    /// # Errors
    /// There was no answer, or no whole one: nobody knows whether the call took effect.
    pub fn try_register(&self, number: u32) -> io::Result<Answer> {
        let message = json!({
            "message_id": sent_message_id(number), "from": "inbox@acme.example", "to": [sent_to(number)],
            "subject": format!("Offer {number}"),
        });
        let token = format!("Bearer {}", self.keys.token);
        self.try_post("/v1/messages", "Authorization", &token, &message.to_string())
    }

    /// Calls the webhook with an event, or a list of them, signed now.
    #[must_use]
    pub fn tell(&self, events: &Value) -> Answer {
        self.try_tell(events).unwrap()
    }

    /// The same where the door may be shut.
    ///
    /// # Errors
    /// There was no answer, or no whole one: nobody knows whether the call took effect.
    pub fn try_tell(&self, events: &Value) -> io::Result<Answer> {
        self.call(events, SECRET)
    }

    /// The same under a secret that is not the endpoint's.
    #[must_use]
    pub fn tell_badly_signed(&self, events: &Value) -> Answer {
        self.call(events, "a secret of somebody else").unwrap()
    }

    fn call(&self, events: &Value, secret: &str) -> io::Result<Answer> {
        let body = events.to_string();
        let seconds = i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
        let signature = mailfleet_webhooks::sign(secret.as_bytes(), seconds, body.as_bytes());
        self.try_post(&self.keys.path, "X-Mailfleet-Signature", &signature, &body)
    }

    /// Posts a body with one more header.
    #[must_use]
    pub fn post(&self, path: &str, header: &str, value: &str, body: &str) -> Answer {
        self.try_post(path, header, value, body).unwrap()
    }

    fn try_post(&self, path: &str, header: &str, value: &str, body: &str) -> io::Result<Answer> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(self.patience))?;
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: door.test\r\nConnection: close\r\nContent-Length: {length}\r\n{header}: {value}\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let cut_off = || io::Error::new(io::ErrorKind::UnexpectedEof, format!("no answer: {answer:?}"));
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut_off)?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(cut_off)?;
        Ok(Answer { status, body: serde_json::from_str(body)? })
    }
}

/// An event of the message of a number in the generic schema; a bounce is a hard one.
#[must_use]
pub fn event(kind: &str, number: u32) -> Value {
    let mut event =
        json!({ "event": kind, "recipient": sent_to(number), "message_id": sent_message_id(number) });
    if kind == "bounced" {
        event["permanence"] = json!("hard");
        event["code"] = json!(550);
    }
    event
}
