use std::fs;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use mailfleet_testkit::{DovecotOptions, DovecotServer, ImapClient, eventually_blocking};

use crate::{PATIENCE, is_running, processes_mentioning};

const MAIL: &[u8] = b"Subject: one\r\n\r\nbody\r\n";

#[test]
fn delivered_and_appended_mail_is_there_unread_and_survives_kill_and_start_again() {
    let server = DovecotServer::start().expect("a server");
    server.deliver("ada@example.org", MAIL).expect("a delivery");
    server.imap_append("ada@example.org", "INBOX", MAIL, Some("01-Feb-2024 10:00:00 +0000")).expect("APPEND");
    server.deliver_to("ada@example.org", "Archive.2024", MAIL).expect("a delivery");
    assert_eq!(server.uids("ada@example.org", "INBOX").expect("UIDs"), [1, 2]);
    assert_eq!(server.search("ada@example.org", "INBOX", "SEEN").expect("UIDs"), [] as [u32; 0]);
    assert_eq!(server.uids("ada@example.org", "Archive.2024").expect("UIDs"), [1]);
    let validity = server.uidvalidity("ada@example.org", "INBOX").expect("UIDVALIDITY");
    let mut client = server.client("ada@example.org").expect("a session");
    client.command("EXAMINE INBOX").expect("EXAMINE");
    let fetched = client.command("UID FETCH 2 (INTERNALDATE BODY.PEEK[])").expect("FETCH");
    assert!(fetched.iter().any(|line| line.contains("01-Feb-2024 10:00:00 +0000")), "{fetched:?}");
    assert!(fetched.iter().any(|line| line.as_bytes() == MAIL), "{fetched:?}");

    server.kill();
    assert!(client.command("NOOP").is_err(), "sessions die with the server");
    server.start_again().expect("a start after a crash");
    assert_eq!(server.uidvalidity("ada@example.org", "INBOX").expect("UIDVALIDITY"), validity);
    server.stop().expect("an orderly end");
    server.start_again().expect("a third start");
    assert_eq!(server.uids("ada@example.org", "INBOX").expect("UIDs"), [1, 2]);
}

#[test]
fn a_mailbox_is_readable_at_once_whenever_its_server_was_killed() {
    let server = DovecotServer::start().expect("a server");
    for folder in ["INBOX", "Archive"] {
        let mail = server.deliver_to("ada", folder, MAIL).expect("a delivery");
        assert_eq!(server.uids("ada", folder).expect("UIDs"), [1]);
        // What a session leaves that dies while it writes the list of UIDs.
        let inbox = mail.parent().and_then(std::path::Path::parent).expect("a folder");
        fs::write(inbox.join("dovecot-uidlist.lock"), "").expect("a lock");
    }
    server.kill();
    server.start_again().expect("a start after a crash");
    for folder in ["INBOX", "Archive"] {
        server.deliver_to("ada", folder, MAIL).expect("a delivery");
        let begun = Instant::now();
        assert_eq!(server.uids("ada", folder).expect("UIDs"), [1, 2]);
        assert!(begun.elapsed() < PATIENCE, "{folder}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_session_sees_what_is_delivered_behind_the_servers_back() {
    let server = DovecotServer::start().expect("a server");
    let mut client = server.client("ada").expect("a session");
    client.command("SELECT INBOX").expect("SELECT");
    server.deliver("ada", MAIL).expect("a delivery");
    eventually_blocking("the mail is announced", PATIENCE, || {
        let lines = client.command("NOOP").expect("NOOP");
        lines.iter().any(|line| line == "* 1 EXISTS").then_some(())
    });
}

#[test]
fn mail_gets_its_uids_in_the_order_of_delivery() {
    let server = DovecotServer::start().expect("a server");
    for number in 1..=12 {
        server.deliver("ada", format!("Subject: {number}\r\n\r\n").as_bytes()).expect("a delivery");
    }
    for number in 1..=12 {
        assert_eq!(
            server.search("ada", "INBOX", &format!("UID {number} SUBJECT {number}")).expect("UIDs"),
            [number]
        );
    }
}

#[test]
fn a_session_that_is_open_over_a_change_of_uidvalidity_is_cut() {
    let server = DovecotServer::start().expect("a server");
    server.deliver("ada", MAIL).expect("a delivery");
    let mut client = server.client("ada").expect("a session");
    client.command("SELECT INBOX").expect("SELECT");
    server.reset_uidvalidity("ada", "INBOX").expect("another UIDVALIDITY");
    server.deliver("ada", MAIL).expect("a delivery");
    eventually_blocking("the session ends", PATIENCE, || client.command("NOOP").is_err().then_some(()));
}

#[test]
fn expunged_mail_is_gone_and_the_rest_keeps_its_uids() {
    let server = DovecotServer::start().expect("a server");
    for _ in 0..3 {
        server.deliver("ada", MAIL).expect("a delivery");
    }
    assert_eq!(server.uids("ada", "INBOX").expect("UIDs"), [1, 2, 3]);
    server.expunge("ada", "INBOX", &[2]).expect("EXPUNGE");
    assert_eq!(server.uids("ada", "INBOX").expect("UIDs"), [1, 3]);
    server.expunge_all("ada", "INBOX").expect("EXPUNGE");
    assert_eq!(server.uids("ada", "INBOX").expect("UIDs"), [] as [u32; 0]);
    server.deliver("ada", MAIL).expect("a delivery");
    assert_eq!(server.uids("ada", "INBOX").expect("UIDs"), [4]);
}

#[test]
fn another_uidvalidity_keeps_the_mail_and_counts_from_one() {
    let server = DovecotServer::start().expect("a server");
    for mailbox in ["INBOX", "Archive"] {
        for _ in 0..3 {
            server.deliver_to("ada", mailbox, MAIL).expect("a delivery");
        }
        assert_eq!(server.uids("ada", mailbox).expect("UIDs"), [1, 2, 3]);
        server.expunge("ada", mailbox, &[1]).expect("EXPUNGE");
        let before = server.uidvalidity("ada", mailbox).expect("UIDVALIDITY");
        let next = server.reset_uidvalidity("ada", mailbox).expect("another UIDVALIDITY");
        assert_ne!(next, before);
        assert_eq!(server.uidvalidity("ada", mailbox).expect("UIDVALIDITY"), next);
        assert_eq!(server.uids("ada", mailbox).expect("UIDs"), [1, 2]);
        server.deliver_to("ada", mailbox, MAIL).expect("a delivery");
        assert_eq!(server.uids("ada", mailbox).expect("UIDs"), [1, 2, 3]);
    }
}

#[test]
fn wrong_passwords_are_refused_at_once() {
    let server = DovecotServer::start().expect("a server");
    let begun = Instant::now();
    for _ in 0..3 {
        let error =
            ImapClient::login(server.port(), "ada", "wrong").expect_err("must be refused").to_string();
        assert!(error.contains("LOGIN was refused: NO [AUTHENTICATIONFAILED]"), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "took {:?}", begun.elapsed());
}

#[test]
fn a_capability_can_be_left_out() {
    let capability = Some("IMAP4rev1 UIDPLUS".to_owned());
    let server =
        DovecotServer::start_with(&DovecotOptions { capability, ..DovecotOptions::default() }).unwrap();
    let answer =
        server.client("ada").expect("a session").command("CAPABILITY").expect("CAPABILITY").join(" ");
    assert!(answer.contains("UIDPLUS") && !answer.contains("IDLE"), "{answer}");
}

#[test]
fn a_paused_dovecot_holds_its_sessions_and_goes_on() {
    let server = DovecotServer::start().expect("a server");
    let mut client = server.client("ada").expect("a session");
    server.pause().expect("a pause");
    // The kernel completes the connection, but no greeting comes.
    let mut silent = TcpStream::connect((server.host(), server.port())).expect("a connection");
    silent.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    assert_eq!(silent.read(&mut [0]).expect_err("no answer may come").kind(), ErrorKind::WouldBlock);
    server.resume().expect("to go on");
    client.command("NOOP").expect("the session is still there");
}

#[test]
fn dropping_dovecot_is_prompt_and_leaves_neither_process_nor_directory() {
    let server = DovecotServer::start().expect("a server");
    let session = server.client("ada").expect("a session");
    let (pid, dir) = (server.pid().expect("a process"), server.dir().to_path_buf());
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("children");
    let children: Vec<u32> =
        children.split_ascii_whitespace().map(|pid| pid.parse().expect("a number")).collect();
    assert!(children.len() > 2, "login, imap, auth and others: {children:?}");
    let begun = Instant::now();
    drop(server);
    assert!(begun.elapsed() < Duration::from_secs(2), "took {:?}", begun.elapsed());
    assert!(!is_running(pid) && !dir.exists());
    eventually_blocking("no worker is left", PATIENCE, || {
        children.iter().all(|pid| !is_running(*pid)).then_some(())
    });
    let dir = dir.to_string_lossy().into_owned();
    eventually_blocking("no watchdog is left", PATIENCE, || {
        processes_mentioning(&dir).is_empty().then_some(())
    });
    drop(session);
}

#[test]
fn a_directory_with_a_long_name_works_all_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let long = dir.path().join("a".repeat(60)).join("b".repeat(60));
    let server = DovecotServer::start_in(&long, &DovecotOptions::default()).expect("a server");
    server.deliver("ada", MAIL).expect("a delivery");
    assert_eq!(server.uids("ada", "INBOX").expect("UIDs"), [1]);
}
