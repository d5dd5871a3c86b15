//! HTTP as a sender speaks it, by hand: what is sent is exactly what stands here.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::world::LONG;

/// Every code with which a door refuses, and its word.
const REFUSALS: [(u16, &str); 9] = [
    (400, "malformed"),
    (401, "unauthorized"),
    (404, "not_found"),
    (405, "method_not_allowed"),
    (408, "slow"),
    (413, "too_large"),
    (422, "unknown_reference"),
    (429, "rate_limited"),
    (503, "unavailable"),
];

/// A door's address.
#[derive(Debug, Clone)]
pub struct Client {
    address: String,
}

/// What the door said.
#[derive(Debug, Clone)]
pub struct Answer {
    pub code: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The body as JSON: every answer is.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The word for what is wrong.
    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }

    /// What holds for every refusal, whatever its code: JSON that is called so, with the word of the code, and with a
    /// message. Each answer that a test of the doors gets passes here.
    fn check(&self) {
        if self.code < 400 {
            return;
        }
        let word = REFUSALS.iter().find(|(code, _)| *code == self.code).map(|(_, word)| *word);
        assert!(word.is_some(), "a refusal that nobody knows: {self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let body = self.json();
        let text = |key: &str| body[key].as_str().filter(|text| !text.is_empty());
        assert_eq!(text("error"), word, "{self:?}");
        assert!(text("message").is_some(), "{self:?}");
    }

    /// A header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

impl Client {
    pub fn new(address: String) -> Self {
        Self { address }
    }

    /// The address as programs take it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A connection of its own.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    pub fn post<H: AsRef<str>>(&self, path: &str, headers: &[(&str, H)], body: &[u8]) -> Answer {
        self.send("POST", path, headers, body)
    }

    pub fn send<H: AsRef<str>>(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, H)],
        body: &[u8],
    ) -> Answer {
        let mut stream = self.connect();
        stream.write_all(&request(method, path, headers, body)).unwrap();
        answer(stream)
    }
}

/// A whole request, after which the connection ends.
pub fn request<H: AsRef<str>>(method: &str, path: &str, headers: &[(&str, H)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: door.test\r\nConnection: close\r\n");
    for (name, value) in headers {
        write!(text, "{name}: {}\r\n", value.as_ref()).unwrap();
    }
    if !text.contains("Transfer-Encoding") {
        write!(text, "Content-Length: {}\r\n", body.len()).unwrap();
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}

/// Everything until the connection ends.
pub fn answer(mut stream: TcpStream) -> Answer {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    parse(&text)
}

/// Sends what there is of a request and then `b' '` after `b' '`, always in time not to be silent, until the door answers.
pub fn answer_while_sending(mut stream: TcpStream, begun: &[u8]) -> Answer {
    let pause = Duration::from_millis(100);
    stream.set_read_timeout(Some(pause)).unwrap();
    stream.write_all(begun).unwrap();
    let mut buffer = vec![0; 64 << 10];
    for _ in 0..LONG.as_millis() / pause.as_millis() {
        match stream.read(&mut buffer) {
            // An answer is small: it comes in one piece.
            Ok(length) => return parse(std::str::from_utf8(&buffer[..length]).unwrap()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                stream.write_all(b" ").unwrap();
            }
            Err(error) => panic!("no answer: {error}"),
        }
    }
    panic!("no answer within {LONG:?}");
}

fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    let answer = Answer { code, head: head.to_owned(), body: body.to_owned() };
    answer.check();
    answer
}
