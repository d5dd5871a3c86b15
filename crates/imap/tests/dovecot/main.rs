//! Against a real Dovecot.

mod connecting;
mod mailboxes;
mod notices;
mod waiting;

use std::ops::ControlFlow;
use std::sync::OnceLock;

use mailfleet_imap::{Endpoint, Error, FetchReport, Fetched, KillSwitch, MailSource, connect};
use mailfleet_model::{Secret, TlsMode, Uid};
use mailfleet_testkit::{Certificates, DovecotOptions, DovecotServer, PASSWORD};

/// One server with TLS for all tests that do not stop it; each test has users of its own.
fn shared() -> &'static (DovecotServer, Certificates) {
    static SERVER: OnceLock<(DovecotServer, Certificates)> = OnceLock::new();
    SERVER.get_or_init(|| {
        let certificates = Certificates::good().unwrap();
        let options = DovecotOptions { tls: Some(certificates.clone()), ..DovecotOptions::default() };
        (DovecotServer::start_with(&options).unwrap(), certificates)
    })
}

fn plain(server: &DovecotServer) -> Endpoint {
    Endpoint::new(server.host(), server.port(), TlsMode::Plain)
}

fn log_in(endpoint: &Endpoint, user: &str) -> Result<Box<dyn MailSource + Send>, Error> {
    connect(endpoint, user, &Secret::new(PASSWORD), &KillSwitch::new())
}

/// Logs `user` in and opens INBOX.
fn inbox(endpoint: &Endpoint, user: &str) -> Box<dyn MailSource + Send> {
    let mut source = log_in(endpoint, user).unwrap();
    source.examine("INBOX").unwrap();
    source
}

fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

/// Fetches and keeps what came.
fn fetch(source: &mut dyn MailSource, numbers: &[u32]) -> (FetchReport, Vec<Fetched>) {
    let uids: Vec<Uid> = numbers.iter().copied().map(uid).collect();
    let mut mails = Vec::new();
    let report = source.fetch(&uids, &mut |mail| {
        mails.push(mail);
        ControlFlow::Continue(())
    });
    (report.unwrap(), mails)
}
