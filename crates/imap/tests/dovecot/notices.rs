//! No notice of new mail is lost around the start of IDLE, whoever looked at what before.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, chown};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use mailfleet_imap::{Interrupt, MailSource, Wake};

use super::{inbox, plain, shared};

/// A lost notice costs this and fails the test. Dovecot itself holds a notice back for half a second.
const LONG: Duration = Duration::from_secs(20);
/// Later than any notice comes on a busy machine, sooner than Dovecot's own second thoughts by default (30 s).
const SOON: Duration = Duration::from_secs(10);

const SESSIONS: u32 = 16;
const ROUNDS: u32 = 20;
/// A round's questions and the start of its IDLE take about this long.
const WINDOW_MICROS: u32 = 5_000;

/// One look as the producer takes it: the end of the mailbox, what is there at all, a page of old mail; then the wait.
/// Returns once UID `next` was seen at the end of the mailbox.
fn until_seen(source: &mut dyn MailSource, next: u32, interrupt: &Interrupt) {
    loop {
        if !source.list_uids(next).unwrap().is_empty() {
            return;
        }
        source.search_uids(1, next).unwrap();
        assert!(!source.list_uids(1).unwrap().is_empty());
        assert_eq!(source.wait(LONG, interrupt).unwrap(), Wake::NewMail, "the notice of UID {next} was lost");
    }
}

/// Many mails, each delivered at another moment between the questions and the IDLE after them.
fn hammer(session: u32) {
    let (server, _) = shared();
    let user = format!("hammer-{session}");
    server.imap_append(&user, "INBOX", b"Subject: old\r\n\r\n", None).unwrap();
    let mut source = inbox(&plain(server), &user);
    let interrupt = Interrupt::new().unwrap();
    let (go, rounds) = mpsc::channel();
    thread::scope(|scope| {
        let delivery = scope.spawn(move || {
            let mut client = server.client(&user).unwrap();
            let mut delivered = Vec::new();
            for (round, ()) in (0..).zip(rounds) {
                // Spread evenly over the window, in no order, and at another place for every session.
                let micros = (session * ROUNDS + round) * 3_089 % WINDOW_MICROS;
                // The moment of delivery is what is tried out; nothing relies on it.
                thread::sleep(Duration::from_micros(micros.into()));
                client.append("INBOX", b"Subject: new\r\n\r\n", None).unwrap();
                delivered.push(Instant::now());
            }
            delivered
        });
        let mut seen = Vec::new();
        for round in 0..ROUNDS {
            go.send(()).unwrap();
            until_seen(source.as_mut(), round + 2, &interrupt);
            seen.push(Instant::now());
        }
        drop(go);
        for (delivered, seen) in delivery.join().unwrap().into_iter().zip(seen) {
            let late = seen.saturating_duration_since(delivered);
            assert!(late < SOON, "{late:?}");
        }
    });
}

#[test]
fn no_notice_is_lost_wherever_mail_falls_around_the_start_of_idle() {
    thread::scope(|scope| {
        for session in 0..SESSIONS {
            scope.spawn(move || hammer(session));
        }
    });
}

/// The kernel's notices can fail a server: its user has no inotify instance left, or the folder is on a network drive.
/// Here the watched folder is put aside for another of its name, of which the kernel tells nothing.
#[test]
fn mail_that_the_servers_own_watch_misses_is_told_soon_all_the_same() {
    let (server, _) = shared();
    let stream = TcpStream::connect((server.host(), server.port())).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let (mut lines, mut out) = (BufReader::new(&stream).lines(), &stream);
    write!(out, "a LOGIN unwatched secret\r\nb EXAMINE INBOX\r\nc IDLE\r\n").unwrap();
    assert!(lines.any(|line| line.unwrap().starts_with("+ ")), "it idles");

    let folder = server.maildir("unwatched").join("new");
    let owner = fs::metadata(&folder).unwrap();
    fs::rename(&folder, folder.with_file_name("put-aside")).unwrap();
    fs::create_dir(&folder).unwrap();
    chown(&folder, Some(owner.uid()), Some(owner.gid())).unwrap();
    server.deliver("unwatched", b"Subject: new\r\n\r\n").unwrap();
    assert!(lines.any(|line| line.unwrap() == "* 1 EXISTS"), "it is told of the mail");
}
