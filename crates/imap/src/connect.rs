//! From a host name to a logged-in session.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use mailfleet_model::{Secret, TlsMode};

use crate::config::Endpoint;
use crate::error::{Error, Result, TlsProblem, excerpt};
use crate::framer::{Frame, FrameError};
use crate::kill::KillSwitch;
use crate::session::{Session, wire_error};
use crate::socket::Socket;
use crate::source::MailSource;
use crate::status::{Condition, Status};
use crate::tls;
use crate::wire::{Shared, Stream, Wire, strip_word};

/// Addresses of one host that are tried.
const MAX_ADDRESSES: usize = 8;

/// Connects, secures the connection and logs in.
///
/// `kill` ends the session from another thread. The password travels in LOGIN and is kept nowhere.
pub fn connect(
    endpoint: &Endpoint,
    username: &str,
    password: &Secret,
    kill: &KillSwitch,
) -> Result<Box<dyn MailSource + Send>> {
    let session = open(endpoint, kill).and_then(|wire| login(endpoint, username, password, wire, kill));
    match session {
        Ok(session) => Ok(Box::new(session)),
        // Whatever a thrown switch broke, the switch is the reason.
        Err(_) if kill.is_killed() => Err(Error::Killed { host: endpoint.host.clone() }),
        Err(error) => Err(error),
    }
}

/// Up to the moment before LOGIN.
fn open(endpoint: &Endpoint, kill: &KillSwitch) -> Result<Wire> {
    let config = &endpoint.config;
    let stream = Arc::new(connect_tcp(endpoint)?);
    if !kill.watch(&stream) {
        return Err(Error::Killed { host: endpoint.host.clone() });
    }
    let socket = Socket::new(stream, config.connect_timeout(), config.write_timeout())
        .map_err(|source| unreachable(endpoint, source))?;
    match endpoint.tls {
        TlsMode::Tls => {
            let stream = tls::handshake(endpoint, socket)?;
            let mut wire = Wire::new(Stream::Tls(Box::new(stream)), config);
            greeting(endpoint, &mut wire)?;
            Ok(wire)
        }
        TlsMode::StartTls => {
            let mut wire = Wire::new(Stream::Plain(socket), config);
            greeting(endpoint, &mut wire)?;
            start_tls(endpoint, wire)
        }
        TlsMode::Plain => {
            let mut wire = Wire::new(Stream::Plain(socket), config);
            greeting(endpoint, &mut wire)?;
            Ok(wire)
        }
    }
}

fn unreachable(endpoint: &Endpoint, source: io::Error) -> Error {
    Error::Unreachable { host: endpoint.host.clone(), port: endpoint.port, source }
}

/// Tries the addresses of the host within one deadline. Each gets its share of what is left, so that one that never
/// answers does not take the time of the next.
fn connect_tcp(endpoint: &Endpoint) -> Result<TcpStream> {
    let deadline = Instant::now() + endpoint.config.connect_timeout();
    let addresses = (endpoint.host.as_str(), endpoint.port)
        .to_socket_addrs()
        .map_err(|source| unreachable(endpoint, source))?;
    let addresses: Vec<_> = addresses.take(MAX_ADDRESSES).collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for (waiting, address) in (1..=MAX_ADDRESSES).rev().skip(MAX_ADDRESSES - addresses.len()).zip(&addresses)
    {
        let share = deadline.saturating_duration_since(Instant::now()) / u32::try_from(waiting).unwrap_or(1);
        if share.is_zero() {
            last = io::ErrorKind::TimedOut.into();
            break;
        }
        match TcpStream::connect_timeout(address, share) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(unreachable(endpoint, last))
}

fn greeting(endpoint: &Endpoint, wire: &mut Wire) -> Result<()> {
    wire.begin();
    let mut frame = Frame::default();
    let refuse =
        |text, remedy| Error::Greeting { host: endpoint.host.clone(), port: endpoint.port, text, remedy };
    match wire.read(&mut frame) {
        Err(FrameError::Io(error)) if error.kind() == io::ErrorKind::TimedOut => {
            return Err(Error::Timeout {
                host: endpoint.host.clone(),
                during: "with a greeting",
                after: endpoint.config.read_timeout(),
                hint: "; a port for TLS waits for the client: check port and tls",
            });
        }
        result => result.map_err(|error| wire_error(&endpoint.host, wire, "the greeting", error))?,
    }
    let status = frame.untagged().and_then(Status::parse);
    match status.as_ref().map(|status| (status.condition, status)) {
        Some((Condition::Ok, _)) => Ok(()),
        Some((Condition::Bye | Condition::No | Condition::Bad, status)) => Err(Error::Throttled {
            host: endpoint.host.clone(),
            text: status.text.clone(),
            retry_after: status.retry_after(),
        }),
        // Logged in without our password, as nobody we asked for; a known way to trick clients out of STARTTLS.
        Some((Condition::PreAuth, status)) => {
            Err(refuse(status.text.clone(), "use a server that takes logins instead of PREAUTH"))
        }
        None => Err(refuse(excerpt(&frame.text), "check host and port")),
    }
}

fn start_tls(endpoint: &Endpoint, mut wire: Wire) -> Result<Wire> {
    let fail = |wire: &Wire, error| wire_error(&endpoint.host, wire, "STARTTLS", error);
    wire.begin();
    wire.send("s1 STARTTLS").map_err(|error| fail(&wire, error))?;
    let mut frame = Frame::default();
    let status = loop {
        wire.read(&mut frame).map_err(|error| fail(&wire, error))?;
        if let Some(status) = strip_word(&frame.text, b"s1").and_then(Status::parse) {
            break status;
        }
    };
    let tls_error = |problem| Error::Tls { host: endpoint.host.clone(), port: endpoint.port, problem };
    if status.condition != Condition::Ok {
        return Err(tls_error(TlsProblem::Other(format!(
            "it refuses STARTTLS (\"{}\"); enable TLS on the server, or use its TLS port with tls = \"tls\"",
            status.text
        ))));
    }
    let mut socket = wire.into_plain().ok_or_else(|| {
        tls_error(TlsProblem::Other("it sent data before TLS that must not be trusted".into()))
    })?;
    socket.read_until(Instant::now() + endpoint.config.connect_timeout());
    let stream = tls::handshake(endpoint, socket)?;
    Ok(Wire::new(Stream::Tls(Box::new(stream)), &endpoint.config))
}

fn login(
    endpoint: &Endpoint,
    username: &str,
    password: &Secret,
    mut wire: Wire,
    kill: &KillSwitch,
) -> Result<Session> {
    wire.begin();
    let shared = Shared(Arc::new(Mutex::new(wire)));
    let mut client = imap::Client::new(shared.clone());
    // We read it ourselves, to tell a server from anything else.
    client.greeting_read = true;
    let attempt = catch_unwind(AssertUnwindSafe(|| {
        client.login(username, password.expose()).map_err(|(error, _)| Box::new(error))
    }));
    match attempt {
        Ok(Ok(session)) => Session::start(endpoint, username, shared, session, kill.clone()),
        Ok(Err(error)) => Err(login_error(endpoint, username, password, &shared, &error)),
        Err(_) => Err(Error::Protocol {
            host: endpoint.host.clone(),
            what: "its answer to LOGIN made the client library panic".into(),
        }),
    }
}

fn login_error(
    endpoint: &Endpoint,
    username: &str,
    password: &Secret,
    shared: &Shared,
    error: &imap::Error,
) -> Error {
    let host = endpoint.host.clone();
    let user = username.to_owned();
    if matches!(error, imap::Error::Validate(_)) {
        let text = "user name or password contains a line end, which LOGIN cannot carry".to_owned();
        return Error::AuthenticationRejected { host, user, text };
    }
    let mut wire = shared.wire();
    if let Some(fault) = wire.fault.take() {
        return wire_error(&host, &wire, "LOGIN", fault);
    }
    let Some(status) = wire.completion.take() else {
        return wire_error(&host, &wire, "LOGIN", FrameError::Eof);
    };
    // Some servers repeat the command they refuse.
    let text = match password.expose() {
        "" => status.text.clone(),
        secret => status.text.replace(secret, "[redacted]"),
    };
    if status.is_temporary() {
        return Error::Throttled { host, text, retry_after: status.retry_after() };
    }
    match (status.condition, status.code.as_str()) {
        (_, "PRIVACYREQUIRED") => Error::InsecureLogin { host, text },
        (Condition::No, _) => Error::AuthenticationRejected { host, user, text },
        _ => Error::Refused { host, command: "LOGIN", text },
    }
}
