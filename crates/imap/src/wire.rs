//! The buffered stream that our framer and the `imap` crate share.
//!
//! Every response is read whole by the framer, whoever waits for it, and what it tells about the mailbox and the
//! connection is noted here. `hearing` is the `imap` crate's end of it.

mod hearing;

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use self::hearing::Hearing;
pub(crate) use self::hearing::Shared;
use crate::config::Config;
use crate::framer::{Frame, FrameError, read_frame};
use crate::interrupt::Interrupt;
use crate::socket::Socket;
use crate::status::{Condition, Status};
use crate::tls::TlsStream;

/// Read buffer of a connection. Mails go past it: a larger one is no faster and costs every idle connection.
const BUFFER_BYTES: usize = 8 * 1024;

/// The connection with or without TLS.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream>),
}

impl Stream {
    fn socket(&mut self) -> &mut Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &mut stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buf),
            Self::Tls(stream) => stream.read(buf),
        }
    }
}

/// The buffered stream and everything noted from it.
#[derive(Debug)]
pub(crate) struct Wire {
    reader: BufReader<Stream>,
    grace: Duration,
    rate: u32,
    max_body: u64,
    /// Messages in the open mailbox, as far as told: EXISTS sets it, EXPUNGE lowers it.
    pub(crate) exists: u32,
    /// EXISTS differed from `exists` since this was last cleared.
    pub(crate) news: bool,
    /// The server's last words.
    pub(crate) bye: Option<Status>,
    /// The last CAPABILITY response, after the word.
    pub(crate) capability: Option<Vec<u8>>,
    /// The completion of the `imap` crate's last command.
    pub(crate) completion: Option<Status>,
    /// Why the `imap` crate's last command failed, when it was the stream.
    pub(crate) fault: Option<FrameError>,
    hearing: Hearing,
    /// What may end the running IDLE, and when it ends by itself.
    interrupt: Option<Interrupt>,
    idle_until: Instant,
    /// Tag of the `imap` crate's running command.
    tag: Vec<u8>,
    frame: Frame,
    heard: Vec<u8>,
    heard_at: usize,
    unheard: u32,
}

impl Wire {
    pub(crate) fn new(stream: Stream, config: &Config) -> Self {
        Self {
            reader: BufReader::with_capacity(BUFFER_BYTES, stream),
            grace: config.read_timeout(),
            rate: config.min_bytes_per_second,
            max_body: config.max_message_bytes,
            exists: 0,
            news: false,
            bye: None,
            capability: None,
            completion: None,
            fault: None,
            hearing: Hearing::Command,
            interrupt: None,
            idle_until: Instant::now(),
            tag: Vec::new(),
            frame: Frame::default(),
            heard: Vec::new(),
            heard_at: 0,
            unheard: 0,
        }
    }

    /// Takes the plain connection out, to put TLS over it. `None` if there is TLS already, or if the server sent
    /// more than was read: bytes from before TLS must never be taken for bytes under it (CVE-2011-0411).
    pub(crate) fn into_plain(self) -> Option<Socket> {
        if !self.reader.buffer().is_empty() {
            return None;
        }
        match self.reader.into_inner() {
            Stream::Plain(socket) => Some(socket),
            Stream::Tls(_) => None,
        }
    }

    /// Starts the patience for one command.
    pub(crate) fn begin(&mut self) {
        let (grace, rate) = (self.grace, self.rate);
        self.reader.get_mut().socket().expect_progress(grace, rate);
    }

    /// How long the server may be silent in the middle of an answer.
    pub(crate) const fn grace(&self) -> Duration {
        self.grace
    }

    /// Moves the deadline by time that was not the server's.
    pub(crate) fn forgive(&mut self, spent: Duration) {
        self.reader.get_mut().socket().forgive(spent);
    }

    /// Sends one line.
    pub(crate) fn send(&mut self, line: &str) -> Result<(), FrameError> {
        let mut bytes = Vec::with_capacity(line.len() + 2);
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        self.write_through(&bytes).map_err(FrameError::Io)
    }

    fn write_through(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.reader.get_mut() {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(stream) => {
                stream.write_all(bytes)?;
                stream.flush()
            }
        }
    }

    /// Reads the next response and notes what it tells about the mailbox and the connection.
    pub(crate) fn read(&mut self, frame: &mut Frame) -> Result<(), FrameError> {
        read_frame(&mut self.reader, self.max_body, frame)?;
        self.observe(frame);
        Ok(())
    }

    /// Waits until the server has something to say, until `deadline` or until `interrupt` is raised, and tells
    /// whether it has. Nothing is consumed: a wait that ends in the middle of a line loses no half of it.
    fn await_words(&mut self, deadline: Instant, interrupt: Option<&Interrupt>) -> Result<bool, FrameError> {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        let socket = self.reader.get_mut().socket();
        socket.read_until(deadline);
        socket.listen_to(interrupt.cloned());
        let outcome = self.reader.fill_buf().map(<[u8]>::is_empty);
        self.reader.get_mut().socket().listen_to(None);
        // What has begun may take as long as any answer.
        self.begin();
        match outcome {
            Ok(at_end) => {
                if at_end {
                    Err(FrameError::Eof)
                } else {
                    Ok(true)
                }
            }
            Err(error) if is_timeout(&error) => Ok(false),
            Err(error) => Err(FrameError::Io(error)),
        }
    }

    /// Reads responses until there are news, until `deadline` or until `interrupt` is raised: what a server without
    /// IDLE says on its own, and above all that it has gone.
    pub(crate) fn listen(&mut self, deadline: Instant, interrupt: &Interrupt) -> Result<(), FrameError> {
        let mut frame = Frame::default();
        while !self.news && self.await_words(deadline, Some(interrupt))? {
            self.read(&mut frame)?;
        }
        Ok(())
    }

    fn observe(&mut self, frame: &Frame) {
        let Some(data) = frame.untagged() else { return };
        if let Some((number, word)) = numbered(data) {
            if word.eq_ignore_ascii_case(b"EXISTS") {
                // The count itself proves nothing (one expunged, one arrived); but with every EXPUNGE counted, a
                // difference is news and a repetition is none, so a server that repeats itself wakes nobody.
                self.news |= number != self.exists;
                self.exists = number;
            } else if word.eq_ignore_ascii_case(b"EXPUNGE") {
                self.exists = self.exists.saturating_sub(1);
            }
        } else if let Some(rest) = strip_word(data, b"CAPABILITY") {
            self.capability = Some(rest.to_vec());
        } else if let Some(status) = Status::parse(data).filter(|s| s.condition == Condition::Bye) {
            self.bye = Some(status);
        }
    }
}

/// Whether a read ended by deadline or interrupt.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// Splits `17 EXISTS`.
fn numbered(data: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = data.split_at(data.iter().position(u8::is_ascii_whitespace)?);
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some((number, rest.trim_ascii()))
}

/// What follows `word` and a space.
pub(crate) fn strip_word<'a>(data: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = data.split_at_checked(word.len())?;
    if !word.is_empty()
        && head.eq_ignore_ascii_case(word)
        && rest.first().is_some_and(u8::is_ascii_whitespace)
    {
        Some(rest.trim_ascii())
    } else {
        None
    }
}
