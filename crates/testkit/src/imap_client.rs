//! Raw IMAP for tests: just enough to put mail in, look at it and take it out. Not the client under test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long the server may stay silent.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest line and literal that is read.
const MAX_BYTES: u64 = 64 << 20;

/// One logged-in, unencrypted session on 127.0.0.1.
#[derive(Debug)]
pub struct ImapClient {
    reader: BufReader<TcpStream>,
    commands: u32,
}

impl ImapClient {
    /// Connects to a port on 127.0.0.1 and logs in.
    pub fn login(port: u16, user: &str, password: &str) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("connect to the IMAP server on 127.0.0.1:{port}"))?;
        stream.set_read_timeout(Some(READ_TIMEOUT)).context("set the read timeout")?;
        stream.set_nodelay(true).context("set TCP_NODELAY")?;
        let mut client = Self { reader: BufReader::new(stream), commands: 0 };
        let greeting = client.line()?;
        if !greeting.starts_with("* OK") {
            bail!("the IMAP server's greeting is not OK: {greeting}");
        }
        client.command(&format!("LOGIN {} {}", quoted(user), quoted(password)))?;
        Ok(client)
    }

    /// Sends a command (without tag and line end) and returns the untagged lines before its OK; a literal follows its
    /// line as one more element. NO and BAD are errors.
    pub fn command(&mut self, command: &str) -> Result<Vec<String>> {
        self.commands += 1;
        let tag = format!("t{}", self.commands);
        self.send(format!("{tag} {command}\r\n").as_bytes())?;
        self.answer(&tag, command)
    }

    /// APPENDs a mail; `internal_date` as IMAP writes it: `01-Feb-2024 10:00:00 +0000`.
    pub fn append(&mut self, mailbox: &str, mail: &[u8], internal_date: Option<&str>) -> Result<()> {
        self.commands += 1;
        let tag = format!("t{}", self.commands);
        let date = internal_date.map(|date| format!(" \"{date}\"")).unwrap_or_default();
        let command = format!("APPEND {}{date} {{{}}}", quoted(mailbox), mail.len());
        self.send(format!("{tag} {command}\r\n").as_bytes())?;
        let go_ahead = self.line()?;
        if !go_ahead.starts_with('+') {
            bail!("IMAP `{command}` was refused: {go_ahead}");
        }
        self.send(mail)?;
        self.send(b"\r\n")?;
        self.answer(&tag, &command).map(drop)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.reader.get_mut().write_all(bytes).context("write to the IMAP server")
    }

    fn answer(&mut self, tag: &str, command: &str) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            if let Some(status) = line.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) {
                if status.starts_with("OK") {
                    return Ok(lines);
                }
                let verb = command.split(' ').next().unwrap_or_default();
                bail!("IMAP {verb} was refused: {status}");
            }
            let literal =
                line.strip_suffix('}').and_then(|line| line.rsplit_once('{')?.1.parse::<u64>().ok());
            lines.push(line);
            if let Some(length) = literal.filter(|length| *length <= MAX_BYTES) {
                let mut bytes = Vec::new();
                self.reader.by_ref().take(length).read_to_end(&mut bytes).context("read a literal")?;
                lines.push(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut bytes = Vec::new();
        self.reader
            .by_ref()
            .take(MAX_BYTES)
            .read_until(b'\n', &mut bytes)
            .context("read from the IMAP server")?;
        if bytes.is_empty() {
            bail!("the IMAP server closed the connection");
        }
        Ok(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned())
    }
}

/// A quoted string of RFC 3501; mailbox names must be in modified UTF-7 already.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
