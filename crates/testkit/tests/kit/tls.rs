use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mailfleet_testkit::{Certificates, DovecotOptions, DovecotServer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore, StreamOwned};

fn server(tls: &Certificates, require_tls: bool) -> DovecotServer {
    let options = DovecotOptions { tls: Some(tls.clone()), require_tls, ..DovecotOptions::default() };
    DovecotServer::start_with(&options).expect("a server with TLS")
}

/// The answer to LOGIN over TLS, after STARTTLS where `starttls` says so.
fn log_in(host: &str, port: u16, starttls: bool, trusted: &Path) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).expect("PEM")).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());

    let socket = TcpStream::connect((host, port))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    if starttls {
        let mut plain = BufReader::new(&socket);
        line(&mut plain)?;
        writeln!(&socket, "a STARTTLS\r")?;
        assert!(line(&mut plain)?.starts_with("a OK"), "STARTTLS is offered");
    }
    let name = ServerName::try_from(host.to_owned()).expect("a name");
    let mut tls = StreamOwned::new(ClientConnection::new(config, name).expect("a connection"), socket);
    tls.flush()?;
    writeln!(tls, "b LOGIN ada secret\r")?;
    let mut reader = BufReader::new(tls);
    loop {
        let line = line(&mut reader)?;
        if line.starts_with("b ") {
            return Ok(line);
        }
    }
}

fn line(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if line.is_empty() { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(line) }
}

fn certificate_error(outcome: std::io::Result<String>) -> CertificateError {
    let error = outcome.expect_err("the certificate must be refused");
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(reason)) => reason.clone(),
        _ => panic!("not about the certificate: {error:?}"),
    }
}

#[test]
fn a_good_certificate_is_taken_over_tls_and_over_starttls_by_name_and_by_address() {
    let certificates = Certificates::good().expect("certificates");
    let server = server(&certificates, false);
    let (plain, tls) = (server.port(), server.tls_port().expect("a TLS port"));
    for host in ["localhost", "127.0.0.1"] {
        assert!(log_in(host, tls, false, &certificates.ca()).expect("TLS").starts_with("b OK"));
        assert!(log_in(host, plain, true, &certificates.ca()).expect("STARTTLS").starts_with("b OK"));
    }
    server.client("ada").expect("plain is allowed as well");
}

#[test]
fn where_tls_is_required_a_plain_login_is_refused_and_the_helpers_still_work() {
    let certificates = Certificates::good().expect("certificates");
    let server = server(&certificates, true);
    assert!(
        log_in(server.host(), server.port(), true, &certificates.ca()).expect("STARTTLS").starts_with("b OK")
    );

    let socket = TcpStream::connect((server.host(), server.port())).expect("a connection");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let mut reader = BufReader::new(&socket);
    assert!(line(&mut reader).expect("a greeting").contains("LOGINDISABLED"));
    writeln!(&socket, "a LOGIN ada secret\r").expect("to write");
    let mut answer = line(&mut reader).expect("an answer");
    while answer.starts_with('*') {
        answer = line(&mut reader).expect("an answer");
    }
    assert!(answer.contains("PRIVACYREQUIRED"), "{answer}");

    server.imap_append("ada", "INBOX", b"Subject: x\r\n\r\n", None).expect("APPEND");
    assert_eq!(server.uids("ada", "INBOX").expect("UIDs"), [1]);
}

#[test]
fn each_bad_certificate_is_bad_in_its_own_way() {
    let expired = Certificates::expired().expect("certificates");
    let dovecot = server(&expired, false);
    let port = dovecot.tls_port().expect("a TLS port");
    let reason = certificate_error(log_in("localhost", port, false, &expired.ca()));
    assert!(
        matches!(reason, CertificateError::Expired | CertificateError::ExpiredContext { .. }),
        "{reason:?}"
    );

    let wrong = Certificates::wrong_name().expect("certificates");
    let dovecot = server(&wrong, false);
    let port = dovecot.tls_port().expect("a TLS port");
    let reason = certificate_error(log_in("localhost", port, false, &wrong.ca()));
    let named =
        matches!(reason, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. });
    assert!(named, "{reason:?}");

    let own = Certificates::self_signed().expect("certificates");
    let dovecot = server(&own, false);
    let port = dovecot.tls_port().expect("a TLS port");
    let stranger = Certificates::good().expect("certificates");
    let reason = certificate_error(log_in("localhost", port, false, &stranger.ca()));
    assert!(matches!(reason, CertificateError::UnknownIssuer), "{reason:?}");
    assert!(log_in("localhost", port, false, &own.ca()).expect("pinned").starts_with("b OK"));
}
