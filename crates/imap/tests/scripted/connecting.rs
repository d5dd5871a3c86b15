//! Greeting, STARTTLS and login.

use std::time::{Duration, Instant};

use mailfleet_imap::{Error, KillSwitch, TlsProblem, connect};
use mailfleet_model::{Class, Classify, Secret, TlsMode};

use crate::script::Server;

#[test]
fn what_is_no_imap_server_is_told_with_its_own_words() {
    let server = Server::start(|peer| {
        peer.send("SSH-2.0-OpenSSH_9.2p1 Debian\r\n");
    });
    let error = server.refusal();
    assert_eq!(error.class(), Class::Fault);
    let text = error.to_string();
    assert!(text.contains("127.0.0.1:") && text.contains("SSH-2.0") && text.contains("port"), "{text}");
    server.finish();
}

#[test]
fn a_greeting_that_says_bye_is_an_outage_with_its_reason() {
    let server = Server::start(|peer| {
        peer.send("* BYE Too many connections from your address\r\n");
    });
    let error = server.refusal();
    assert_eq!(error.class(), Class::Outage);
    assert!(error.to_string().contains("Too many connections"), "{error}");
    server.finish();
}

#[test]
fn a_preauthenticated_connection_is_refused() {
    let server = Server::start(|peer| {
        peer.send("* PREAUTH welcome root\r\n");
        peer.expect_end();
    });
    assert!(matches!(server.refusal(), Error::Greeting { .. }));
    server.finish();
}

#[test]
fn a_server_that_never_greets_is_given_up_with_a_hint() {
    let server = Server::start(super::script::Peer::expect_end).with(|config| config.read_timeout_ms = 300);
    let before = Instant::now();
    let error = server.refusal();
    assert!(before.elapsed() < Duration::from_secs(3));
    assert!(error.to_string().contains("tls"), "{error}");
    assert_eq!(error.class(), Class::Outage);
    server.finish();
}

#[test]
fn a_good_password_is_not_called_wrong_for_a_stale_answer() {
    let server = Server::start(|peer| {
        peer.send("* OK ready\r\n");
        let tag = peer.expect("LOGIN");
        peer.send(format!("a0 NO something older\r\n* X-ODD (((\r\n* NO wait\r\n{tag} OK\r\n"));
        peer.answer("CAPABILITY", "* CAPABILITY IMAP4rev2 idle X=é\r\n* PRIVATE 1\r\n");
    });
    let source = server.connect();
    assert!(source.idles());
    assert_eq!(source.capabilities()[0], "IDLE");
    let lines = server.finish();
    assert!(lines[0].contains(r#"LOGIN "ann" "pass\"w\\rd""#), "{lines:?}");
}

#[test]
fn a_rejected_login_names_the_user_and_never_the_password() {
    let server = Server::start(|peer| {
        peer.send("* OK ready\r\n");
        let tag = peer.expect("LOGIN");
        peer.send(format!("{tag} NO [AUTHENTICATIONFAILED] no: ann pass\"w\\rd\r\n"));
    });
    let error = server.refusal();
    assert!(matches!(error, Error::AuthenticationRejected { .. }), "{error:?}");
    assert_eq!(error.class(), Class::Fault);
    let text = format!("{error} {error:?}");
    assert!(text.contains("ann") && !text.contains("w\\rd") && !text.contains("w\\\\rd"), "{text}");
    server.finish();
}

#[test]
fn a_throttled_login_is_an_outage_that_says_how_long() {
    let server = Server::start(|peer| {
        peer.send("* OK ready\r\n");
        let tag = peer.expect("LOGIN");
        peer.send(format!("{tag} BAD Request is throttled. Suggested Backoff Time: 299961 milliseconds\r\n"));
    });
    let error = server.refusal();
    assert_eq!(error.class(), Class::Outage);
    assert_eq!(error.retry_after(), Some(Duration::from_millis(299_961)));
    server.finish();
}

#[test]
fn a_busy_authentication_service_is_no_wrong_password() {
    let server = Server::start(|peer| {
        peer.send("* OK ready\r\n");
        let tag = peer.expect("LOGIN");
        peer.send(format!("{tag} NO [UNAVAILABLE] Temporary authentication failure.\r\n"));
    });
    assert!(matches!(server.refusal(), Error::Throttled { .. }));
    server.finish();
}

#[test]
fn a_server_that_wants_encryption_first_says_what_to_set() {
    let server = Server::start(|peer| {
        peer.send("* OK ready\r\n");
        let tag = peer.expect("LOGIN");
        peer.send(format!("{tag} NO [PRIVACYREQUIRED] Plaintext authentication disallowed\r\n"));
    });
    let error = server.refusal();
    assert_eq!(error.class(), Class::Fault);
    assert!(error.to_string().contains("starttls"), "{error}");
    server.finish();
}

#[test]
fn a_connection_that_drops_right_after_login_is_an_outage() {
    let server = Server::start(|peer| {
        peer.send("* OK ready\r\n");
        peer.answer("LOGIN", "");
        peer.send("* BYE [UNAVAILABLE] Session limit\r\n");
    });
    let error = server.refusal();
    assert_eq!(error.class(), Class::Outage);
    assert!(error.to_string().contains("Session limit"), "{error}");
    server.finish();
}

#[test]
fn bytes_slipped_in_before_tls_are_never_taken_for_protected_ones() {
    let mut server = Server::start(|peer| {
        peer.send("* OK ready\r\n");
        let tag = peer.expect("STARTTLS");
        peer.send(format!("{tag} OK begin\r\na1 OK you are logged in\r\n"));
        peer.expect_end();
    });
    server.endpoint.tls = TlsMode::StartTls;
    let error = server.refusal();
    assert!(matches!(&error, Error::Tls { problem: TlsProblem::Other(_), .. }), "{error:?}");
    let lines = server.finish();
    assert!(lines.iter().all(|line| !line.contains("LOGIN")), "{lines:?}");
}

#[test]
fn a_refused_starttls_never_falls_back_to_plain() {
    let mut server = Server::start(|peer| {
        peer.send("* OK ready\r\n");
        let tag = peer.expect("STARTTLS");
        peer.send(format!("{tag} BAD what?\r\n"));
        peer.expect_end();
    });
    server.endpoint.tls = TlsMode::StartTls;
    let error = server.refusal();
    assert_eq!(error.class(), Class::Fault);
    assert!(error.to_string().contains("refuses STARTTLS"), "{error}");
    server.finish();
}

#[test]
fn a_user_name_with_a_line_end_is_never_sent() {
    let server = Server::start(|peer| {
        peer.send("* OK ready\r\n");
        peer.expect_end();
    });
    let secret = Secret::new("x");
    let result = connect(&server.endpoint, "ann\r\na2 DELETE INBOX", &secret, &KillSwitch::new());
    assert!(matches!(result.err(), Some(Error::AuthenticationRejected { .. })));
    server.finish();
}

#[test]
fn a_thrown_kill_switch_ends_a_login_and_every_later_connection() {
    let kill = KillSwitch::new();
    let thrower = kill.clone();
    let server = Server::start(move |peer| {
        peer.send("* OK ready\r\n");
        peer.expect("LOGIN");
        thrower.kill();
        peer.expect_end();
    });
    let secret = Secret::new("x");
    for _ in 0..2 {
        let error = connect(&server.endpoint, "ann", &secret, &kill).err();
        assert!(matches!(error, Some(Error::Killed { .. } | Error::Unreachable { .. })), "{error:?}");
    }
    assert!(kill.is_killed());
    server.finish();
}
