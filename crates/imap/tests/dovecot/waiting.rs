//! New mail, told by IDLE or found by asking, and a server that goes away meanwhile.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use mailfleet_imap::{Endpoint, Error, Interrupt, Wake};
use mailfleet_model::{Class, Classify, TlsMode};
use mailfleet_testkit::{DovecotOptions, DovecotServer};

use super::{fetch, inbox, plain, shared};

const LONG: Duration = Duration::from_secs(20);

/// Three mails, each told by IDLE, and an interrupt after them.
fn is_woken(endpoint: &Endpoint, user: &'static str) {
    let mut source = inbox(endpoint, user);
    assert!(source.idles());
    let interrupt = Interrupt::new().unwrap();
    for number in 1..=3 {
        let delivery = std::thread::spawn(move || {
            shared().0.imap_append(user, "INBOX", b"Subject: new\r\n\r\n", None).unwrap();
        });
        assert_eq!(source.wait(LONG, &interrupt).unwrap(), Wake::NewMail);
        assert_eq!(source.list_uids(number).unwrap().len(), 1);
        assert_eq!(fetch(source.as_mut(), &[number]).1.len(), 1);
        delivery.join().unwrap();
    }
    let handle = interrupt.clone();
    let thread = std::thread::spawn(move || handle.raise());
    assert_eq!(source.wait(LONG, &interrupt).unwrap(), Wake::Interrupted);
    thread.join().unwrap();
    assert_eq!(source.search_uids(1, u32::MAX).unwrap().len(), 3);
}

#[test]
fn mail_that_arrives_wakes_an_idle_session() {
    is_woken(&plain(&shared().0), "idle");
}

#[test]
fn mail_that_arrives_wakes_an_idle_session_under_tls() {
    let (server, certificates) = shared();
    let mut endpoint = Endpoint::new("127.0.0.1", server.tls_port().unwrap(), TlsMode::Tls);
    endpoint.ca_file = Some(certificates.ca());
    is_woken(&endpoint, "idle-tls");
}

#[test]
fn a_wait_without_news_ends_in_time_and_an_interrupt_before_it() {
    let (server, _) = shared();
    let mut source = inbox(&plain(server), "quiet");
    let interrupt = Interrupt::new().unwrap();
    let before = Instant::now();
    assert_eq!(source.wait(Duration::from_millis(300), &interrupt).unwrap(), Wake::Timeout);
    assert!((300..3_000).contains(&before.elapsed().as_millis()));
    interrupt.raise();
    assert_eq!(source.wait(LONG, &interrupt).unwrap(), Wake::Interrupted);
    let raiser = interrupt.clone();
    let thread = std::thread::spawn(move || raiser.raise());
    assert_eq!(source.wait(LONG, &interrupt).unwrap(), Wake::Interrupted);
    thread.join().unwrap();
    assert!(source.list_uids(1).unwrap().is_empty());
}

#[test]
fn idle_is_renewed_in_slices_without_losing_mail() {
    let (server, _) = shared();
    let mut endpoint = plain(server);
    endpoint.waits.idle = Duration::from_millis(100);
    let mut source = inbox(&endpoint, "slices");
    let (go, start) = mpsc::channel::<()>();
    let delivery = std::thread::spawn(move || {
        // Some slices later.
        let _ = start.recv_timeout(Duration::from_millis(450));
        shared().0.imap_append("slices", "INBOX", b"Subject: new\r\n\r\n", None).unwrap();
    });
    assert_eq!(source.wait(LONG, &Interrupt::new().unwrap()).unwrap(), Wake::NewMail);
    assert_eq!(source.list_uids(1).unwrap().len(), 1);
    drop(go);
    delivery.join().unwrap();
}

#[test]
fn a_server_without_idle_is_asked_at_intervals() {
    let capability = Some("IMAP4rev1 UIDPLUS".to_owned());
    let server =
        DovecotServer::start_with(&DovecotOptions { capability, ..DovecotOptions::default() }).unwrap();
    let mut endpoint = plain(&server);
    endpoint.waits.poll = Duration::from_millis(100);
    let mut source = inbox(&endpoint, "poll");
    assert!(!source.idles());
    assert_eq!(source.capabilities(), ["IMAP4REV1", "UIDPLUS"]);
    std::thread::scope(|scope| {
        scope.spawn(|| server.imap_append("poll", "INBOX", b"Subject: new\r\n\r\n", None).unwrap());
        assert_eq!(source.wait(LONG, &Interrupt::new().unwrap()).unwrap(), Wake::NewMail);
    });
    assert_eq!(source.list_uids(1).unwrap().len(), 1);
}

#[test]
fn a_server_that_stops_ends_the_wait_as_an_outage() {
    let server = DovecotServer::start().unwrap();
    let endpoint = plain(&server);
    let mut source = inbox(&endpoint, "stopped");
    let waiting = std::thread::spawn(move || source.wait(LONG, &Interrupt::new().unwrap()));
    server.kill();
    let error = waiting.join().unwrap().unwrap_err();
    assert_eq!(error.class(), Class::Outage, "{error:?}");
    server.start_again().unwrap();
    inbox(&endpoint, "stopped");
}

#[test]
fn a_server_that_hangs_is_given_up_within_the_timeout() {
    let server = DovecotServer::start().unwrap();
    let mut endpoint = plain(&server);
    endpoint.config.read_timeout_ms = 400;
    let mut source = inbox(&endpoint, "hung");
    server.pause().unwrap();
    let before = Instant::now();
    let error = source.list_mailboxes().unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert!(before.elapsed() < Duration::from_secs(3));
    server.resume().unwrap();
}
