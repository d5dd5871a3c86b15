//! Plain, TLS, STARTTLS, and everything that keeps a login from happening.

use mailfleet_imap::{Endpoint, Error, KillSwitch, TlsProblem, connect};
use mailfleet_model::{Class, Classify, Secret, TlsMode};
use mailfleet_testkit::{Certificates, DovecotOptions, DovecotServer, free_port};

use super::{fetch, inbox, log_in, plain, shared};

fn tls(server: &DovecotServer, certificates: Option<&Certificates>) -> Endpoint {
    let mut endpoint = Endpoint::new("localhost", server.tls_port().unwrap(), TlsMode::Tls);
    // `localhost` may be ::1 first; the attempt at it is refused and the next address taken.
    endpoint.ca_file = certificates.map(Certificates::ca);
    endpoint
}

fn refusal(endpoint: &Endpoint) -> Error {
    match log_in(endpoint, "ann") {
        Ok(_) => panic!("the connection should have failed"),
        Err(error) => error,
    }
}

#[test]
fn plain_tls_and_starttls_all_bring_the_same_mail() {
    let (server, certificates) = shared();
    let mail = [b"Subject: x\r\n\r\n".to_vec(), vec![b'y'; 3_000_000], b"\r\n".to_vec()].concat();
    server.imap_append("modes", "INBOX", &mail, None).unwrap();
    let mut starttls = plain(server);
    starttls.tls = TlsMode::StartTls;
    starttls.ca_file = Some(certificates.ca());
    for endpoint in [plain(server), tls(server, Some(certificates)), starttls] {
        let mut source = inbox(&endpoint, "modes");
        let (report, mails) = fetch(source.as_mut(), &[1]);
        assert!(report.missing.is_empty());
        assert!(mails[0].raw == mail, "{}", endpoint.tls);
        for capability in ["IDLE", "CONDSTORE", "QRESYNC", "UIDPLUS", "LITERAL+", "IMAP4REV1"] {
            assert!(source.capabilities().iter().any(|c| c == capability), "{:?}", source.capabilities());
        }
        source.logout().unwrap();
    }
}

#[test]
fn a_wrong_password_is_a_fault_that_names_user_and_host() {
    let (server, _) = shared();
    let error =
        connect(&plain(server), "ann", &Secret::new("wrong-password"), &KillSwitch::new()).err().unwrap();
    assert!(matches!(error, Error::AuthenticationRejected { .. }), "{error:?}");
    assert_eq!(error.class(), Class::Fault);
    let text = error.to_string();
    assert!(text.contains("ann") && text.contains("127.0.0.1") && !text.contains("wrong-password"), "{text}");
}

#[test]
fn an_unreachable_host_is_an_outage_that_names_host_and_port() {
    let port = free_port();
    let error = refusal(&Endpoint::new("127.0.0.1", port, TlsMode::Plain));
    assert_eq!(error.class(), Class::Outage);
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    let error = refusal(&Endpoint::new("no-such-host.invalid", 993, TlsMode::Tls));
    assert!(matches!(error, Error::Unreachable { .. }) && error.to_string().contains("no-such-host.invalid"));
}

#[test]
fn an_untrusted_certificate_names_the_host_and_ca_file() {
    let certificates = Certificates::self_signed().unwrap();
    let options = DovecotOptions { tls: Some(certificates.clone()), ..DovecotOptions::default() };
    let server = DovecotServer::start_with(&options).unwrap();
    let error = refusal(&tls(&server, None));
    assert!(matches!(&error, Error::Tls { problem: TlsProblem::UnknownIssuer(_), .. }), "{error:?}");
    assert_eq!(error.class(), Class::Fault);
    let text = error.to_string();
    assert!(text.contains("localhost") && text.contains("ca_file"), "{text}");
    // The remedy works.
    log_in(&tls(&server, Some(&certificates)), "ann").unwrap();
}

#[test]
fn an_expired_certificate_and_one_for_another_name_say_so() {
    for (certificates, word) in
        [(Certificates::expired().unwrap(), "renew"), (Certificates::wrong_name().unwrap(), "another name")]
    {
        let options = DovecotOptions { tls: Some(certificates.clone()), ..DovecotOptions::default() };
        let server = DovecotServer::start_with(&options).unwrap();
        let error = refusal(&tls(&server, Some(&certificates)));
        assert_eq!(error.class(), Class::Fault);
        let text = error.to_string();
        assert!(text.contains(word) && text.contains("localhost") && text.contains("ca_file"), "{text}");
        // By STARTTLS as well.
        let mut starttls = plain(&server);
        starttls.tls = TlsMode::StartTls;
        starttls.ca_file = Some(certificates.ca());
        assert!(refusal(&starttls).to_string().contains(word));
    }
}

#[test]
fn a_ca_file_that_cannot_be_used_is_named() {
    let (server, certificates) = shared();
    for path in [certificates.dir().join("missing.pem"), certificates.key()] {
        let mut endpoint = tls(server, None);
        endpoint.ca_file = Some(path.clone());
        let error = refusal(&endpoint);
        assert_eq!(error.class(), Class::Fault);
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn tls_on_a_plain_port_and_plain_on_a_tls_port_say_what_to_set() {
    let (server, _) = shared();
    let mut endpoint = Endpoint::new("127.0.0.1", server.port(), TlsMode::Tls);
    assert!(matches!(refusal(&endpoint), Error::Tls { problem: TlsProblem::NotTls, .. }));
    endpoint.tls = TlsMode::Plain;
    endpoint.port = server.tls_port().unwrap();
    endpoint.config.read_timeout_ms = 300;
    assert!(refusal(&endpoint).to_string().contains("tls"));
}

#[test]
fn a_server_that_requires_tls_takes_no_plain_password() {
    let certificates = Certificates::good().unwrap();
    let options =
        DovecotOptions { tls: Some(certificates.clone()), require_tls: true, ..DovecotOptions::default() };
    let server = DovecotServer::start_with(&options).unwrap();
    let mut endpoint = plain(&server);
    let error = refusal(&endpoint);
    assert!(matches!(error, Error::InsecureLogin { .. }), "{error:?}");
    endpoint.tls = TlsMode::StartTls;
    endpoint.ca_file = Some(certificates.ca());
    log_in(&endpoint, "ann").unwrap();
}

#[test]
fn starttls_is_never_skipped_where_it_is_not_offered() {
    let server = DovecotServer::start().unwrap();
    let mut endpoint = plain(&server);
    endpoint.tls = TlsMode::StartTls;
    let error = refusal(&endpoint);
    assert!(matches!(&error, Error::Tls { problem: TlsProblem::Other(_), .. }), "{error:?}");
}
