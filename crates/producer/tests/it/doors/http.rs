//! HTTP as a sender speaks it, by hand: what is sent is exactly what stands here.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::world::LONG;

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

    /// The word for what is wrong; every refusal has one, and says what to do.
    pub fn error(&self) -> String {
        let body = self.json();
        assert!(!body["message"].as_str().unwrap().is_empty(), "{body}");
        body["error"].as_str().unwrap().to_owned()
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
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { code, head: head.to_owned(), body: body.to_owned() }
}
