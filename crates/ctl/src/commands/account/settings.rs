//! The settings of an account on the command line: the same when it is added and when it is changed.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use clap::builder::{EnumValueParser, TypedValueParser as _};
use mailfleet_model::{SecretSource, TlsMode};
use mailfleet_store::NewAccount;

use crate::commands::values;
use crate::failure;

/// What may be given; what is not given stays as it is.
#[derive(Debug, clap::Args)]
pub struct Settings {
    /// The IMAP server: a host name or an address
    #[arg(long, value_parser = values::host)]
    pub host: Option<String>,
    /// Its port; a new account has 993 for tls, 143 otherwise, where none is given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// How the connection is protected, of a new account tls; plain is for servers on the same machine
    #[arg(long, value_parser = EnumValueParser::<Protection>::new().map(TlsMode::from))]
    pub tls: Option<TlsMode>,
    /// The login
    #[arg(long, visible_alias = "username", value_parser = values::login)]
    pub user: Option<String>,
    /// File whose first line is the password, as the producer sees it
    #[arg(long, value_name = "FILE", conflicts_with = "password_env")]
    pub password_file: Option<PathBuf>,
    /// Environment variable of the producer that holds the password
    #[arg(long, value_name = "VARIABLE", value_parser = values::variable)]
    pub password_env: Option<String>,
    /// A folder to watch, of a new account INBOX; may be given several times
    #[arg(long = "mailbox", value_name = "FOLDER", value_parser = values::mailbox)]
    pub mailboxes: Vec<String>,
    /// A folder to watch that holds what was sent from this account; may be given several times
    #[arg(long = "sent-mailbox", value_name = "FOLDER", value_parser = values::mailbox)]
    pub sent_mailboxes: Vec<String>,
    /// Certificates (PEM) that the server's certificate is checked against, instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// The word for each way to protect a connection.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Protection {
    /// TLS from the first byte
    Tls,
    /// Plain greeting, then STARTTLS, before the login
    Starttls,
    /// No protection at all
    Plain,
}

impl From<Protection> for TlsMode {
    fn from(protection: Protection) -> Self {
        match protection {
            Protection::Tls => Self::Tls,
            Protection::Starttls => Self::StartTls,
            Protection::Plain => Self::Plain,
        }
    }
}

/// The port of a server that says nothing else.
pub const fn usual_port(tls: TlsMode) -> u16 {
    match tls {
        TlsMode::Tls => 993,
        TlsMode::StartTls | TlsMode::Plain => 143,
    }
}

/// Settings whose paths are as the producer can use them.
#[derive(Debug)]
pub struct Checked {
    settings: Settings,
    password: Option<SecretSource>,
}

impl Settings {
    /// Makes paths absolute, and says where the password is not to be found from here.
    pub fn checked(mut self) -> anyhow::Result<Checked> {
        let password = match (&self.password_file, &self.password_env) {
            (Some(file), _) => Some(SecretSource::File(absolute(file)?)),
            (None, variable) => variable.clone().map(SecretSource::Env),
        };
        // The file may stand on the producer's machine alone, so that this is a hint and no error.
        if let Some(Err(error)) = password.as_ref().map(SecretSource::read) {
            failure::note(&format!("{error} here; the producer must be able to read it"));
        }
        self.ca_file = self.ca_file.as_deref().map(absolute).transpose()?;
        Ok(Checked { settings: self, password })
    }
}

impl Checked {
    /// Writes what was given into an account.
    pub fn apply(self, account: &mut NewAccount) {
        let Self { settings, password } = self;
        let Settings { host, port, tls, user, mailboxes, sent_mailboxes, ca_file, .. } = settings;
        account.host = host.unwrap_or_else(|| std::mem::take(&mut account.host));
        account.port = port.unwrap_or(account.port);
        account.tls = tls.unwrap_or(account.tls);
        account.username = user.unwrap_or_else(|| std::mem::take(&mut account.username));
        if let Some(password) = password {
            account.password = password;
        }
        if ca_file.is_some() {
            account.ca_file = ca_file;
        }
        if !mailboxes.is_empty() {
            account.mailboxes = mailboxes;
        }
        if !sent_mailboxes.is_empty() {
            account.sent_mailboxes = sent_mailboxes;
        }
    }
}

/// The path as the producer can use it, whose working directory is another one.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot make {} absolute", path.display()))
}
