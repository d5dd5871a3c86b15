//! Fetching from servers that cheat, stall and break off.

use std::ops::ControlFlow;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use mailfleet_imap::{Error, MailSource};
use mailfleet_model::{Class, Classify};

use crate::script::{Peer, Server, fetch, row, uids};

/// A session whose mailbox is open, and the script of what follows.
fn opened(script: impl FnOnce(&mut Peer) + Send + 'static) -> Server {
    Server::session("", |peer| {
        peer.open(5, 100);
        script(peer);
    })
}

fn open(server: &Server) -> Box<dyn MailSource + Send> {
    let mut source = server.connect();
    source.examine("INBOX").unwrap();
    source
}

fn bodies(mails: &[mailfleet_imap::Fetched]) -> Vec<(u32, String)> {
    mails.iter().map(|m| (m.uid.get(), String::from_utf8_lossy(&m.raw).into_owned())).collect()
}

#[test]
fn each_uid_asked_for_is_accounted_for() {
    let server = opened(|peer| {
        let rows = [
            // A flag change that another session made, a row without UID, one that was not asked for.
            "* 9 FETCH (FLAGS (\\Seen))\r\n".to_owned(),
            "* 9 FETCH (UID 12 FLAGS (\\Seen))\r\n".to_owned(),
            "* 9 FETCH (BODY[] {3}\r\nabc)\r\n".to_owned(),
            row(9, 77, "not asked"),
            row(3, 12, "third"),
            row(1, 10, "first"),
            row(1, 10, "first again"),
            "* 2 FETCH (UID 11 BODY[] NIL)\r\n".to_owned(),
            "* 3 EXPUNGE\r\n* XFOO\r\n* NO odd\r\n* 9 FETCH (((\r\n".to_owned(),
        ];
        // Ascending, with ranges, whatever order was asked in.
        peer.answer("UID FETCH 10:13 (UID FLAGS INTERNALDATE BODY.PEEK[])", &rows.concat());
    });
    let (report, mails) = fetch(open(&server).as_mut(), &[13, 12, 11, 10, 10]);
    assert_eq!(bodies(&mails), [(12, "third".to_owned()), (10, "first".to_owned())]);
    let report = report.unwrap();
    assert_eq!(report.arrived, uids(&[10, 12]));
    assert_eq!(report.missing, uids(&[11, 13]));
    assert!(!report.stopped && report.refused.is_none());
    server.finish();
}

#[test]
fn an_omitted_uid_is_told_from_an_expunged_one() {
    let server = opened(|peer| {
        peer.answer("UID FETCH 10:12", &row(1, 10, "x"));
        peer.answer("NOOP", "* 3 EXPUNGE\r\n");
        peer.answer("UID SEARCH UID 11:12", "* SEARCH 11 55\r\n");
    });
    let mut source = open(&server);
    let report = fetch(source.as_mut(), &[10, 11, 12]).0.unwrap();
    assert_eq!(report.missing, uids(&[11, 12]));
    assert_eq!(source.still_there(&report.missing).unwrap(), uids(&[11]));
    server.finish();
}

#[test]
fn a_tagged_no_keeps_what_came_and_reports_the_rest() {
    let server = opened(|peer| {
        let tag = peer.expect("UID FETCH");
        peer.send(format!("{}{tag} NO [EXPUNGEISSUED] Some are gone\r\n", row(1, 10, "x")));
        peer.answer("UID FETCH 11", &row(2, 11, "y"));
    });
    let mut source = open(&server);
    let (report, mails) = fetch(source.as_mut(), &[10, 11]);
    let report = report.unwrap();
    assert_eq!((mails.len(), &report.missing), (1, &uids(&[11])));
    assert!(report.refused.unwrap().contains("EXPUNGEISSUED"));
    assert_eq!(fetch(source.as_mut(), &[11]).1.len(), 1);
    server.finish();
}

#[test]
fn a_throttled_fetch_is_an_outage() {
    let server = opened(|peer| {
        let tag = peer.expect("UID FETCH");
        peer.send(format!("{tag} NO [THROTTLED] Backoff Time: 1500 ms\r\n"));
    });
    let error = fetch(open(&server).as_mut(), &[10]).0.unwrap_err();
    assert_eq!((error.class(), error.retry_after()), (Class::Outage, Some(Duration::from_millis(1500))));
    server.finish();
}

#[test]
fn an_end_in_the_middle_of_a_mail_is_an_error_and_the_mail_is_not_handed_over() {
    let server = opened(|peer| {
        peer.expect("UID FETCH");
        peer.send(format!("{}* 2 FETCH (UID 11 BODY[] {{500}}\r\nonly this", row(1, 10, "x")));
    });
    let mut source = open(&server);
    let (report, mails) = fetch(source.as_mut(), &[10, 11]);
    let error = report.unwrap_err();
    assert!(matches!(error, Error::Disconnected { .. }), "{error:?}");
    assert_eq!(error.class(), Class::Outage);
    assert_eq!(bodies(&mails), [(10, "x".to_owned())]);
    assert!(fetch(source.as_mut(), &[11]).0.is_err());
    server.finish();
}

#[test]
fn an_end_between_two_mails_is_an_error() {
    let server = opened(|peer| {
        peer.expect("UID FETCH");
        peer.send(row(1, 10, "x"));
    });
    assert!(matches!(fetch(open(&server).as_mut(), &[10, 11]).0, Err(Error::Disconnected { .. })));
    server.finish();
}

#[test]
fn a_completion_with_another_tag_completes_nothing() {
    let server = opened(|peer| {
        let tag = peer.expect("UID FETCH");
        peer.send(format!("f0 OK old\r\na1 OK old\r\n{}{tag} OK done\r\n", row(1, 10, "x")));
    });
    assert!(fetch(open(&server).as_mut(), &[10]).0.unwrap().missing.is_empty());
    server.finish();
}

#[test]
fn a_line_without_end_is_given_up_early() {
    let (sent, taken) = mpsc::channel();
    let server = opened(move |peer| {
        peer.expect("UID FETCH");
        let mut bytes = 0;
        while bytes < 200_000_000 && peer.send(vec![b'x'; 65_536]) {
            bytes += 65_536;
        }
        sent.send(bytes).unwrap();
    });
    let error = fetch(open(&server).as_mut(), &[10]).0.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
    assert!(error.to_string().len() < 300);
    // What the kernel buffers is on top of the cap.
    assert!(taken.recv_timeout(Duration::from_secs(10)).unwrap() < 50_000_000);
    server.finish();
}

#[test]
fn an_absurd_announcement_is_refused_before_a_byte_is_kept() {
    let server = opened(|peer| {
        peer.expect("UID FETCH");
        peer.send("* 1 FETCH (UID 10 BODY[] {4000000000}\r\n");
        peer.expect_end();
    });
    let error = fetch(open(&server).as_mut(), &[10]).0.unwrap_err();
    assert!(matches!(error, Error::TooLarge { bytes: 4_000_000_000, .. }), "{error:?}");
    assert_eq!(error.class(), Class::Hostile);
    server.finish();
}

#[test]
fn an_oversize_mail_is_reported_and_the_others_arrive() {
    let server = opened(|peer| {
        let big = "y".repeat(2_000_000);
        peer.answer("UID FETCH", &[row(1, 10, "x"), row(2, 11, &big), row(3, 12, "z")].concat());
    })
    .with(|config| config.max_message_bytes = 1_000_000);
    let (report, mails) = fetch(open(&server).as_mut(), &[10, 11, 12]);
    let report = report.unwrap();
    assert_eq!(report.oversize, [(uids(&[11])[0], 2_000_000)]);
    assert_eq!((mails.len(), report.missing.len()), (2, 0));
    server.finish();
}

#[test]
fn a_bomb_of_parentheses_does_not_reach_the_parser() {
    let server = opened(|peer| {
        let bomb = format!("BODYSTRUCTURE {}", "(".repeat(200_000));
        let mail = format!("* 1 FETCH (UID 10 {bomb} BODY[] {{1}}\r\nx)\r\n");
        peer.answer("UID FETCH", &[mail, row(2, 11, "y")].concat());
    });
    // A worker's stack: a parser that followed the nesting would abort the process.
    let mails = std::thread::scope(|scope| {
        let fetching = std::thread::Builder::new().stack_size(512 * 1024);
        let fetching = fetching.spawn_scoped(scope, || {
            let (report, mails) = fetch(open(&server).as_mut(), &[10, 11]);
            report.unwrap();
            mails
        });
        fetching.unwrap().join().unwrap()
    });
    assert_eq!(bodies(&mails).last().unwrap(), &(11, "y".to_owned()));
    server.finish();
}

#[test]
fn answers_without_end_are_given_up() {
    let server = opened(|peer| {
        peer.expect("UID FETCH");
        let noise = "* OK still working\r\n".repeat(1000);
        for _ in 0..1000 {
            if !peer.send(&noise) {
                break;
            }
        }
    });
    assert!(matches!(fetch(open(&server).as_mut(), &[10]).0, Err(Error::Protocol { .. })));
    server.finish();
}

#[test]
fn silence_ends_at_the_read_timeout() {
    let server = opened(|peer| {
        peer.expect("UID FETCH");
        peer.send("* 1 FETCH (UID 10 BODY[] {100}\r\nabc");
        peer.expect_end();
    })
    .with(|config| config.read_timeout_ms = 300);
    let mut source = open(&server);
    let before = Instant::now();
    let error = fetch(source.as_mut(), &[10]).0.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert!(before.elapsed() >= Duration::from_millis(290) && before.elapsed() < Duration::from_secs(5));
    assert_eq!(error.class(), Class::Outage);
    drop(source);
    server.finish();
}

#[test]
fn a_trickle_of_single_bytes_ends_soon_after_the_read_timeout() {
    let server = opened(|peer| {
        peer.expect("UID FETCH");
        peer.send("* 1 FETCH (UID 10 BODY[] {100000}\r\n");
        let pace = mpsc::channel::<()>();
        while peer.send("x") {
            // One byte per 100 ms: the pace is the fault that is injected.
            let _ = pace.1.recv_timeout(Duration::from_millis(100));
        }
    })
    .with(|config| config.read_timeout_ms = 500);
    let mut source = open(&server);
    let before = Instant::now();
    let error = fetch(source.as_mut(), &[10]).0.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    drop(source);
    server.finish();
}

#[test]
fn a_slow_link_may_take_longer_than_the_read_timeout() {
    let mail = "m".repeat(60_000);
    let text = row(1, 10, &mail);
    let server = opened(move |peer| {
        let tag = peer.expect("UID FETCH");
        let pace = mpsc::channel::<()>();
        for piece in text.as_bytes().chunks(4_000) {
            peer.send(piece);
            let _ = pace.1.recv_timeout(Duration::from_millis(100));
        }
        peer.send(format!("{tag} OK done\r\n"));
    })
    .with(|config| config.read_timeout_ms = 1_000);
    let before = Instant::now();
    let (report, mails) = fetch(open(&server).as_mut(), &[10]);
    report.unwrap();
    assert_eq!(mails[0].raw.len(), mail.len());
    assert!(before.elapsed() > Duration::from_millis(1_000));
    server.finish();
}

#[test]
fn a_mail_is_handed_over_before_the_next_one_has_come() {
    let (seen, wait) = mpsc::channel();
    let server = opened(move |peer| {
        let tag = peer.expect("UID FETCH");
        peer.send(row(1, 10, "x"));
        // The second mail leaves only once the sink has had the first.
        wait.recv_timeout(Duration::from_secs(10)).unwrap();
        peer.send(format!("{}{tag} OK done\r\n", row(2, 11, "y")));
    });
    let mut count = 0;
    let report = open(&server).fetch(&uids(&[10, 11]), &mut |_| {
        count += 1;
        seen.send(()).ok();
        ControlFlow::Continue(())
    });
    assert_eq!((count, report.unwrap().missing.len()), (2, 0));
    server.finish();
}

#[test]
fn a_slow_sink_is_not_the_servers_delay() {
    let (_keep, never) = mpsc::channel::<()>();
    let server = opened(|peer| {
        let tag = peer.expect("UID FETCH");
        peer.send(row(1, 10, "x"));
        // The rest comes after the sink's delay began and would be late by the clock.
        let pace = mpsc::channel::<()>();
        let _ = pace.1.recv_timeout(Duration::from_millis(1_500));
        peer.send(format!("{}{tag} OK done\r\n", row(2, 11, "y")));
    })
    .with(|config| config.read_timeout_ms = 1_000);
    let report = open(&server).fetch(&uids(&[10, 11]), &mut |_| {
        let _ = never.recv_timeout(Duration::from_millis(1_300));
        ControlFlow::Continue(())
    });
    assert!(report.unwrap().missing.is_empty());
    server.finish();
}

#[test]
fn a_sink_that_breaks_leaves_the_session_in_step() {
    let server = opened(|peer| {
        peer.answer("UID FETCH", &[row(1, 10, "x"), row(2, 11, "y"), row(3, 12, "z")].concat());
        peer.answer("UID FETCH 12", &row(3, 12, "z"));
    });
    let mut source = open(&server);
    let report = source.fetch(&uids(&[10, 11, 12]), &mut |_| ControlFlow::Break(())).unwrap();
    assert!(report.stopped);
    assert_eq!((report.arrived, report.missing), (uids(&[10]), uids(&[11, 12])));
    assert_eq!(bodies(&fetch(source.as_mut(), &[12]).1), [(12, "z".to_owned())]);
    server.finish();
}

#[test]
fn a_conversation_in_single_bytes_reads_the_same() {
    let server = opened(|peer| {
        let tag = peer.expect("UID FETCH");
        let text = format!("{}{}{tag} OK done\r\n", row(1, 10, "From: a\r\n\r\n{3}\r\n"), row(2, 11, ""));
        for byte in text.bytes() {
            peer.send([byte]);
        }
    });
    let (report, mails) = fetch(open(&server).as_mut(), &[10, 11]);
    assert!(report.unwrap().missing.is_empty());
    assert_eq!(bodies(&mails), [(10, "From: a\r\n\r\n{3}\r\n".to_owned()), (11, String::new())]);
    server.finish();
}

#[test]
fn a_session_never_asks_to_write_or_for_structures() {
    let server = Server::session("IDLE", |peer| {
        peer.open(2, 100);
        peer.answer("UID FETCH", "* 1 FETCH (UID 10 RFC822.SIZE 1)\r\n");
        peer.answer("UID FETCH", &row(1, 10, "x"));
        peer.answer("UID SEARCH", "* SEARCH 10\r\n");
        peer.answer("LIST", "");
        peer.answer("LOGOUT", "* BYE\r\n");
    });
    let mut source = open(&server);
    source.list_uids(99).unwrap();
    fetch(source.as_mut(), &[10]).0.unwrap();
    source.search_uids(1, 50).unwrap();
    source.list_mailboxes().unwrap();
    source.logout().unwrap();
    for line in server.finish() {
        let words = ["ENVELOPE", "BODYSTRUCTURE", "SELECT", "STORE", " BODY[", "RFC822 ", "EXPUNGE"];
        assert!(!words.iter().any(|word| line.contains(word)), "{line}");
    }
}
