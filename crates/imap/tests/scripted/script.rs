//! A server that follows a script for one connection.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::thread::JoinHandle;
use std::time::Duration;

use mailfleet_imap::{Config, Endpoint, Error, FetchReport, Fetched, KillSwitch, MailSource, Waits, connect};
use mailfleet_model::{Secret, TlsMode, Uid};

/// The scripted server's side of the connection.
pub struct Peer {
    reader: BufReader<TcpStream>,
    pub stream: TcpStream,
    /// Every line the client sent.
    pub lines: Vec<String>,
}

impl Peer {
    /// Sends bytes. A client that has gone is no failure of the script: the test sees it from the client's side.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Reads one line; empty at the end of the stream.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        // A reset is an end as well.
        self.reader.read_line(&mut line).ok();
        let line = line.trim_end().to_owned();
        self.lines.push(line.clone());
        line
    }

    /// Reads a command that must contain `what` and returns its tag.
    pub fn expect(&mut self, what: &str) -> String {
        let line = self.line();
        assert!(line.contains(what), "expected {what:?}, the client sent {line:?}");
        line.split(' ').next().unwrap().to_owned()
    }

    /// Reads a command that must contain `what` and answers it: `untagged` and OK.
    pub fn answer(&mut self, what: &str, untagged: &str) {
        let tag = self.expect(what);
        self.send(format!("{untagged}{tag} OK done\r\n"));
    }

    /// Greeting, LOGIN and CAPABILITY.
    pub fn log_in(&mut self, capability: &str) {
        self.send("* OK ready\r\n");
        self.answer("LOGIN", "");
        self.answer("CAPABILITY", &format!("* CAPABILITY IMAP4rev1 {capability}\r\n"));
    }

    /// Answers EXAMINE of a mailbox with `exists` messages.
    pub fn open(&mut self, exists: u32, uidnext: u32) {
        self.answer(
            "EXAMINE",
            &format!("* {exists} EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT {uidnext}] next\r\n"),
        );
    }

    /// The client must go away, by itself.
    pub fn expect_end(&mut self) {
        assert_eq!(self.line(), "", "the client should have closed the connection");
    }
}

/// A scripted server that has been started.
pub struct Server {
    pub endpoint: Endpoint,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Server {
    /// Serves one connection by `script`.
    pub fn start(script: impl FnOnce(&mut Peer) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            // A script never hangs the suite.
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.set_nodelay(true).unwrap();
            let reader = BufReader::new(stream.try_clone().unwrap());
            let mut peer = Peer { reader, stream, lines: Vec::new() };
            script(&mut peer);
            peer.lines
        });
        let mut endpoint = Endpoint::new("127.0.0.1", port, TlsMode::Plain);
        endpoint.config = Config { read_timeout_ms: 2_000, ..Config::default() };
        Self { endpoint, thread: Some(thread) }
    }

    /// Serves a logged-in session with `capability`.
    pub fn session(capability: &'static str, script: impl FnOnce(&mut Peer) + Send + 'static) -> Self {
        Self::start(move |peer| {
            peer.log_in(capability);
            script(peer);
        })
    }

    pub fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.endpoint.config);
        self
    }

    pub fn waiting(mut self, change: impl FnOnce(&mut Waits)) -> Self {
        change(&mut self.endpoint.waits);
        self
    }

    pub fn try_connect(&self) -> Result<Box<dyn MailSource + Send>, Error> {
        connect(&self.endpoint, "ann", &Secret::new("pass\"w\\rd"), &KillSwitch::new())
    }

    pub fn connect(&self) -> Box<dyn MailSource + Send> {
        self.try_connect().unwrap()
    }

    /// Why the connection fails.
    pub fn refusal(&self) -> Error {
        match self.try_connect() {
            Ok(_) => panic!("the connection should have failed"),
            Err(error) => error,
        }
    }

    /// Waits for the script to end, with its assertions, and returns what the client sent.
    pub fn finish(mut self) -> Vec<String> {
        self.thread.take().unwrap().join().unwrap()
    }
}

pub fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

pub fn uids(numbers: &[u32]) -> Vec<Uid> {
    numbers.iter().copied().map(uid).collect()
}

/// Fetches and keeps what came.
pub fn fetch(source: &mut dyn MailSource, numbers: &[u32]) -> (Result<FetchReport, Error>, Vec<Fetched>) {
    let mut mails = Vec::new();
    let report = source.fetch(&uids(numbers), &mut |mail| {
        mails.push(mail);
        ControlFlow::Continue(())
    });
    (report, mails)
}

/// A FETCH response with a mail.
pub fn row(seq: u32, uid: u32, mail: &str) -> String {
    format!("* {seq} FETCH (UID {uid} FLAGS () BODY[] {{{}}}\r\n{mail})\r\n", mail.len())
}
