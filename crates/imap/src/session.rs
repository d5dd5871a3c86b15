//! The logged-in session: EXAMINE, LIST, SEARCH and what they share.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use mailfleet_model::Uid;

use crate::config::{Config, Endpoint, Waits};
use crate::error::{Error, Result};
use crate::framer::{Frame, FrameError, MAX_SKIP_BYTES};
use crate::interrupt::Interrupt;
use crate::kill::KillSwitch;
use crate::response::list_entry;
use crate::source::{FetchReport, Fetched, MailSource, MailboxInfo, Selected, UidInfo, Wake};
use crate::status::{Condition, Status};
use crate::wire::{Shared, Wire, is_timeout, strip_word};

/// Responses to one command that are not part of its answer.
const MAX_STRAY_RESPONSES: usize = 10_000;
/// Mailboxes of one account.
const MAX_MAILBOXES: usize = 10_000;

/// A logged-in connection.
pub(crate) struct Session {
    pub(crate) shared: Shared,
    pub(crate) imap: imap::Session<Shared>,
    pub(crate) config: Config,
    pub(crate) waits: Waits,
    pub(crate) host: String,
    pub(crate) user: String,
    kill: KillSwitch,
    capabilities: Vec<String>,
    pub(crate) can_idle: bool,
    /// A mailbox is open.
    pub(crate) selected: bool,
    /// No message is at or above this UID as far as known; 0 = unknown.
    pub(crate) uidnext: u32,
    tag: u32,
    broken: bool,
}

/// What to do with a response.
pub(crate) enum Heard {
    /// It was part of the answer.
    Answer,
    /// It was something else; too many of those end the session.
    Stray,
}

impl Session {
    /// Asks for the capabilities, which may differ from those before login.
    pub(crate) fn start(
        endpoint: &Endpoint,
        user: &str,
        shared: Shared,
        imap: imap::Session<Shared>,
        kill: KillSwitch,
    ) -> Result<Self> {
        let mut session = Self {
            shared,
            imap,
            config: endpoint.config.clone(),
            waits: endpoint.waits,
            host: endpoint.host.clone(),
            user: user.to_owned(),
            kill,
            capabilities: Vec::new(),
            can_idle: false,
            selected: false,
            uidnext: 0,
            tag: 0,
            broken: false,
        };
        session.by_crate("CAPABILITY", |imap| imap.run_command_and_check_ok("CAPABILITY"))?;
        let line = session.shared.wire().capability.take().unwrap_or_default();
        let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let mut list: Vec<String> =
            words.map(|word| String::from_utf8_lossy(word).to_ascii_uppercase()).collect();
        list.sort();
        list.dedup();
        session.can_idle = list.iter().any(|name| name == "IDLE");
        session.capabilities = list;
        Ok(session)
    }

    /// Lets the `imap` crate run a command. It panics on some answers; that ends the session, not the thread.
    pub(crate) fn by_crate<T>(
        &mut self,
        command: &'static str,
        run: impl FnOnce(&mut imap::Session<Shared>) -> imap::Result<T>,
    ) -> Result<T> {
        self.check_usable(command)?;
        {
            let mut wire = self.shared.wire();
            wire.begin();
            wire.fault = None;
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&mut self.imap)));
        let mut wire = self.shared.wire();
        let error = match outcome {
            Ok(Ok(value)) => return Ok(value),
            Err(_) => Error::Protocol {
                host: self.host.clone(),
                what: format!("its answer to {command} made the client library panic"),
            },
            Ok(Err(_)) => match (wire.fault.take(), wire.completion.take()) {
                (Some(fault), _) => wire_error(&self.host, &wire, command, fault),
                (None, Some(status)) => refused(&self.host, command, &status),
                (None, None) => wire_error(&self.host, &wire, command, FrameError::Eof),
            },
        };
        drop(wire);
        Err(self.broken_by(error))
    }

    /// Sends a command and reads to its completion. Each response before it goes to `each`, with the time that
    /// `each` takes forgiven. NO and BAD are returned as statuses, not as errors. Only the completion with this
    /// command's own tag counts: one of an earlier command that was given up is a stray.
    pub(crate) fn run(
        &mut self,
        command: &'static str,
        line: &str,
        mut each: impl FnMut(&mut Frame, &mut Wire) -> Heard,
    ) -> Result<Status> {
        self.check_usable(command)?;
        self.tag = self.tag.wrapping_add(1);
        let tag = format!("f{}", self.tag);
        let shared = self.shared.clone();
        let mut wire = shared.wire();
        wire.begin();
        let outcome = converse(&mut wire, &tag, line, &mut each);
        match outcome {
            Ok(status) => Ok(status),
            Err(error) => {
                let error = wire_error(&self.host, &wire, command, error);
                drop(wire);
                Err(self.broken_by(error))
            }
        }
    }

    /// Marks the session unusable unless the error allows to go on.
    pub(crate) fn broken_by(&mut self, error: Error) -> Error {
        if error.leaves_session_usable() {
            return error;
        }
        self.broken = true;
        if self.kill.is_killed() { Error::Killed { host: self.host.clone() } } else { error }
    }

    pub(crate) fn check_usable(&self, during: &'static str) -> Result<()> {
        if !self.broken {
            return Ok(());
        }
        Err(Error::Disconnected {
            host: self.host.clone(),
            during,
            text: Some("after an earlier error".into()),
        })
    }

    /// An error of a command that must end with OK.
    pub(crate) fn expect_ok(&mut self, command: &'static str, status: &Status) -> Result<()> {
        if status.condition == Condition::Ok {
            return Ok(());
        }
        Err(self.broken_by(refused(&self.host, command, status)))
    }
}

fn converse(
    wire: &mut Wire,
    tag: &str,
    line: &str,
    each: &mut impl FnMut(&mut Frame, &mut Wire) -> Heard,
) -> Result<Status, FrameError> {
    wire.send(&format!("{tag} {line}"))?;
    let mut frame = Frame::default();
    let mut strays = 0;
    loop {
        wire.read(&mut frame)?;
        if let Some(status) = strip_word(&frame.text, tag.as_bytes()).and_then(Status::parse) {
            return Ok(status);
        }
        let heard = if frame.text.starts_with(b"* ") { each(&mut frame, wire) } else { Heard::Stray };
        if matches!(heard, Heard::Stray) {
            strays += 1;
            if strays > MAX_STRAY_RESPONSES {
                return Err(FrameError::Limit("responses without end to one command"));
            }
        }
    }
}

/// NO or BAD to a command that should have worked.
pub(crate) fn refused(host: &str, command: &'static str, status: &Status) -> Error {
    let (host, text) = (host.to_owned(), status.text.clone());
    if status.is_temporary() {
        Error::Throttled { host, text, retry_after: status.retry_after() }
    } else {
        Error::Refused { host, command, text }
    }
}

/// An error of the stream, with the server's last words where it had some.
pub(crate) fn wire_error(host: &str, wire: &Wire, during: &'static str, error: FrameError) -> Error {
    let host = host.to_owned();
    match error {
        FrameError::Io(error) if is_timeout(&error) => {
            Error::Timeout { host, during, after: wire.grace(), hint: "" }
        }
        FrameError::Limit(what) => Error::Protocol { host, what: format!("{what} (during {during})") },
        FrameError::TooLarge(bytes) => Error::TooLarge { host, bytes, limit: MAX_SKIP_BYTES },
        FrameError::Eof | FrameError::Io(_) => match &wire.bye {
            Some(bye) if bye.is_temporary() => {
                Error::Throttled { host, text: bye.text.clone(), retry_after: bye.retry_after() }
            }
            bye => Error::Disconnected { host, during, text: bye.as_ref().map(|bye| bye.text.clone()) },
        },
    }
}

impl MailSource for Session {
    fn examine(&mut self, mailbox: &str) -> Result<Selected> {
        self.examine_mailbox(mailbox)
    }

    fn list_uids(&mut self, from: u32) -> Result<Vec<UidInfo>> {
        self.list_page(from)
    }

    fn search_uids(&mut self, from: u32, to: u32) -> Result<Vec<Uid>> {
        self.search_range(from, to)
    }

    fn still_there(&mut self, uids: &[Uid]) -> Result<Vec<Uid>> {
        self.search_given(uids)
    }

    fn fetch(
        &mut self,
        uids: &[Uid],
        sink: &mut dyn FnMut(Fetched) -> ControlFlow<()>,
    ) -> Result<FetchReport> {
        self.fetch_mails(uids, sink)
    }

    fn list_mailboxes(&mut self) -> Result<Vec<MailboxInfo>> {
        let mut found = Vec::new();
        let status = self.run("LIST", "LIST \"\" \"*\"", |frame, _| match list_entry(frame) {
            Some(entry) if found.len() < MAX_MAILBOXES => {
                found.push(entry);
                Heard::Answer
            }
            _ => Heard::Stray,
        })?;
        self.expect_ok("LIST", &status)?;
        Ok(found)
    }

    fn wait(&mut self, at_most: Duration, interrupt: &Interrupt) -> Result<Wake> {
        self.wait_for_news(at_most, interrupt)
    }

    fn capabilities(&self) -> &[String] {
        &self.capabilities
    }

    fn idles(&self) -> bool {
        self.can_idle
    }

    fn logout(mut self: Box<Self>) -> Result<()> {
        self.by_crate("LOGOUT", imap::Session::logout)
    }
}
