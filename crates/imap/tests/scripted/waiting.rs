//! Waiting for mail on servers that chatter, refuse, lie and die.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use mailfleet_imap::{Error, Interrupt, KillSwitch, MailSource, Wake, connect};
use mailfleet_model::{Class, Classify, Secret};

use crate::script::{Peer, Server, fetch, row, uids};

const LONG: Duration = Duration::from_secs(15);

/// A session with IDLE whose mailbox of 5 messages is open and that has answered the first NOOP.
fn idling(script: impl FnOnce(&mut Peer) + Send + 'static) -> Server {
    Server::session("IDLE", |peer| {
        peer.open(5, 100);
        peer.answer("NOOP", "");
        script(peer);
    })
}

fn open(server: &Server) -> Box<dyn MailSource + Send> {
    let mut source = server.connect();
    source.examine("INBOX").unwrap();
    source
}

fn wait(server: &Server) -> Result<Wake, Error> {
    open(server).wait(LONG, &Interrupt::new().unwrap())
}

#[test]
fn mail_told_during_idle_ends_the_wait_at_once() {
    let (told, when) = mpsc::channel();
    let server = idling(move |peer| {
        let tag = peer.expect("IDLE");
        peer.send("+ idling\r\n* OK Still here\r\n* 2 FETCH (FLAGS (\\Seen))\r\n* XFOO (((\r\n");
        told.send(Instant::now()).unwrap();
        peer.send("* 6 EXISTS\r\n* 1 RECENT\r\n");
        peer.expect("DONE");
        peer.send(format!("{tag} OK done\r\n"));
        peer.answer("UID FETCH", "");
    });
    let mut source = open(&server);
    assert_eq!(source.wait(LONG, &Interrupt::new().unwrap()).unwrap(), Wake::NewMail);
    let late = when.recv().unwrap().elapsed();
    assert!(late < Duration::from_secs(1), "{late:?}");
    source.list_uids(100).unwrap();
    server.finish();
}

#[test]
fn mail_told_between_idle_and_its_continuation_ends_the_wait_at_once() {
    let server = idling(|peer| {
        let tag = peer.expect("IDLE");
        peer.send("* 6 EXISTS\r\n+ idling\r\n");
        peer.expect("DONE");
        peer.send(format!("{tag} OK done\r\n"));
    });
    let before = Instant::now();
    assert_eq!(wait(&server).unwrap(), Wake::NewMail);
    assert!(before.elapsed() < Duration::from_secs(2));
    server.finish();
}

#[test]
fn mail_told_in_one_piece_with_the_continuation_ends_the_wait_at_once() {
    let server = idling(|peer| {
        let tag = peer.expect("IDLE");
        peer.send("+ idling\r\n* 6 EXISTS\r\n* 1 RECENT\r\n");
        peer.expect("DONE");
        peer.send(format!("{tag} OK done\r\n"));
    });
    let before = Instant::now();
    assert_eq!(wait(&server).unwrap(), Wake::NewMail);
    assert!(before.elapsed() < Duration::from_secs(2));
    server.finish();
}

#[test]
fn mail_told_between_done_and_its_completion_ends_the_wait() {
    let server = idling(|peer| {
        let tag = peer.expect("IDLE");
        peer.send("+ idling\r\n");
        peer.expect("DONE");
        peer.send(format!("* 6 EXISTS\r\n{tag} OK done\r\n"));
    })
    .waiting(|waits| waits.idle = Duration::from_millis(100));
    let before = Instant::now();
    assert_eq!(wait(&server).unwrap(), Wake::NewMail);
    assert!(before.elapsed() < Duration::from_secs(2));
    server.finish();
}

#[test]
fn mail_told_between_done_and_its_completion_after_an_interrupt_ends_the_next_wait() {
    let (idles, raise) = mpsc::channel();
    let server = idling(move |peer| {
        let tag = peer.expect("IDLE");
        peer.send("+ idling\r\n");
        idles.send(()).unwrap();
        peer.expect("DONE");
        peer.send(format!("* 6 EXISTS\r\n{tag} OK done\r\n"));
    });
    let interrupt = Interrupt::new().unwrap();
    let raiser = interrupt.clone();
    let thread = std::thread::spawn(move || {
        raise.recv().unwrap();
        raiser.raise();
    });
    let mut source = open(&server);
    let wakes = [source.wait(LONG, &interrupt).unwrap(), source.wait(LONG, &interrupt).unwrap()];
    assert!(wakes.contains(&Wake::NewMail) && wakes.contains(&Wake::Interrupted), "{wakes:?}");
    thread.join().unwrap();
    server.finish();
}

#[test]
fn mail_told_with_an_earlier_answer_is_not_slept_over() {
    let server = Server::session("IDLE", |peer| {
        peer.open(5, 100);
        peer.answer("UID FETCH", "* 6 EXISTS\r\n");
        peer.expect_end();
    });
    let mut source = open(&server);
    source.list_uids(100).unwrap();
    assert_eq!(source.wait(LONG, &Interrupt::new().unwrap()).unwrap(), Wake::NewMail);
    drop(source);
    server.finish();
}

#[test]
fn mail_told_with_any_answer_before_the_wait_ends_it_at_once() {
    let server = Server::session("IDLE", |peer| {
        // In one piece with the answer to EXAMINE, behind its completion.
        let tag = peer.expect("EXAMINE");
        peer.send(format!("* 5 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n{tag} OK done\r\n* 6 EXISTS\r\n"));
        peer.answer("NOOP", "");
        peer.answer("UID SEARCH", "* SEARCH 3\r\n* 7 EXISTS\r\n");
        peer.answer("UID FETCH", &format!("{}* 8 EXISTS\r\n", row(3, 3, "x")));
        peer.answer("NOOP", "* 9 EXISTS\r\n");
        peer.answer("UID SEARCH", "* SEARCH\r\n");
        peer.expect_end();
    });
    let (mut source, interrupt) = (open(&server), Interrupt::new().unwrap());
    let wake = |source: &mut dyn MailSource| source.wait(LONG, &interrupt).unwrap();
    let before = Instant::now();
    assert_eq!(wake(source.as_mut()), Wake::NewMail, "behind EXAMINE");
    source.search_uids(1, 50).unwrap();
    assert_eq!(wake(source.as_mut()), Wake::NewMail, "with SEARCH");
    assert_eq!(fetch(source.as_mut(), &[3]).1.len(), 1);
    assert_eq!(wake(source.as_mut()), Wake::NewMail, "with a mail");
    source.still_there(&uids(&[3])).unwrap();
    assert_eq!(wake(source.as_mut()), Wake::NewMail, "with the NOOP of another question");
    assert!(before.elapsed() < Duration::from_secs(5));
    drop(source);
    server.finish();
}

#[test]
fn mail_told_before_old_mail_is_listed_is_not_slept_over() {
    let server = Server::session("IDLE", |peer| {
        peer.open(5, 100);
        // The end of the mailbox: nothing new; it comes while this is answered.
        peer.answer("UID FETCH 100:*", "* 6 EXISTS\r\n");
        // History, which tells its reader nothing of the end.
        for _ in 0..2 {
            peer.answer("UID FETCH", "* 1 FETCH (UID 3 FLAGS () RFC822.SIZE 9)\r\n");
        }
        peer.expect_end();
    })
    .with(|config| config.list_window = 50);
    let mut source = open(&server);
    assert!(source.list_uids(100).unwrap().is_empty());
    assert_eq!(source.list_uids(1).unwrap().len(), 1);
    assert_eq!(source.list_uids(2).unwrap().len(), 1);
    assert_eq!(source.wait(LONG, &Interrupt::new().unwrap()).unwrap(), Wake::NewMail);
    drop(source);
    server.finish();
}

#[test]
fn mail_that_came_before_idle_is_told_by_noop() {
    let server = Server::session("IDLE", |peer| {
        peer.open(5, 100);
        peer.answer("NOOP", "* 6 EXISTS\r\n");
    });
    assert_eq!(wait(&server).unwrap(), Wake::NewMail);
    server.finish();
}

#[test]
fn one_expunged_and_one_arrived_is_news_and_a_repeated_count_is_none() {
    let server = Server::session("IDLE", |peer| {
        peer.open(5, 100);
        peer.answer("NOOP", "* 5 EXISTS\r\n");
        let tag = peer.expect("IDLE");
        peer.send("+ idling\r\n* 5 EXISTS\r\n* 2 EXPUNGE\r\n* 5 EXISTS\r\n");
        peer.expect("DONE");
        peer.send(format!("{tag} OK done\r\n"));
    });
    assert_eq!(wait(&server).unwrap(), Wake::NewMail);
    server.finish();
}

#[test]
fn chatter_does_not_keep_an_idle_from_ending() {
    let server = idling(|peer| {
        let tag = peer.expect("IDLE");
        peer.send("+ idling\r\n");
        peer.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        while peer.line().is_empty() {
            peer.send("* OK Still here\r\n* 5 EXISTS\r\n");
        }
        peer.stream.set_read_timeout(Some(LONG)).unwrap();
        peer.send(format!("{tag} OK done\r\n"));
        peer.answer("NOOP", "");
    });
    let before = Instant::now();
    let wake = open(&server).wait(Duration::from_millis(400), &Interrupt::new().unwrap());
    assert_eq!(wake.unwrap(), Wake::Timeout);
    assert!(before.elapsed() < Duration::from_secs(3));
    server.finish();
}

#[test]
fn an_interrupt_in_the_middle_of_a_line_loses_no_half_of_it() {
    let (half, halfway) = mpsc::channel();
    let (go_on, go) = mpsc::channel();
    let server = idling(move |peer| {
        let tag = peer.expect("IDLE");
        peer.send("+ idling\r\n* 6 EXI");
        half.send(()).unwrap();
        go.recv().unwrap();
        peer.send("STS\r\n");
        peer.expect("DONE");
        peer.send(format!("{tag} OK done\r\n"));
    });
    let interrupt = Interrupt::new().unwrap();
    let handle = interrupt.clone();
    let thread = std::thread::spawn(move || {
        halfway.recv().unwrap();
        handle.raise();
        go_on.send(()).unwrap();
    });
    let mut source = open(&server);
    let wakes = [source.wait(LONG, &interrupt).unwrap(), source.wait(LONG, &interrupt).unwrap()];
    assert!(wakes.contains(&Wake::NewMail) && wakes.contains(&Wake::Interrupted), "{wakes:?}");
    thread.join().unwrap();
    server.finish();
}

#[test]
fn a_connection_that_died_silently_is_noticed_at_the_end_of_a_slice() {
    let server = idling(|peer| {
        peer.expect("IDLE");
        peer.send("+ idling\r\n");
        peer.expect("DONE");
        peer.expect_end();
    })
    .with(|config| config.read_timeout_ms = 300)
    .waiting(|waits| waits.idle = Duration::from_millis(200));
    let before = Instant::now();
    let error = wait(&server).unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert!(before.elapsed() < Duration::from_secs(3));
    server.finish();
}

#[test]
fn a_connection_that_closes_during_idle_is_an_outage_at_once() {
    let server = idling(|peer| {
        peer.expect("IDLE");
        peer.send("+ idling\r\n* BYE Server shutting down\r\n");
    });
    let before = Instant::now();
    let error = wait(&server).unwrap_err();
    assert_eq!(error.class(), Class::Outage);
    assert!(error.to_string().contains("shutting down"), "{error}");
    assert!(before.elapsed() < Duration::from_secs(2));
    server.finish();
}

#[test]
fn an_interrupt_ends_the_wait_and_leaves_the_session_in_step() {
    let (idles, raise) = mpsc::channel();
    let server = idling(move |peer| {
        let tag = peer.expect("IDLE");
        peer.send("+ idling\r\n");
        idles.send(()).unwrap();
        peer.expect("DONE");
        peer.send(format!("{tag} OK done\r\n"));
        peer.answer("UID SEARCH", "* SEARCH 3\r\n");
    });
    let interrupt = Interrupt::new().unwrap();
    let raiser = interrupt.clone();
    let thread = std::thread::spawn(move || {
        raise.recv().unwrap();
        raiser.raise();
        Instant::now()
    });
    let mut source = open(&server);
    assert_eq!(source.wait(LONG, &interrupt).unwrap(), Wake::Interrupted);
    assert!(thread.join().unwrap().elapsed() < Duration::from_secs(2));
    assert!(!interrupt.is_raised());
    assert_eq!(source.search_uids(1, 50).unwrap().len(), 1);
    server.finish();
}

#[test]
fn a_thrown_kill_switch_ends_the_wait_at_once() {
    let kill = KillSwitch::new();
    let thrower = kill.clone();
    let server = idling(move |peer| {
        peer.expect("IDLE");
        peer.send("+ idling\r\n");
        thrower.kill();
        while !peer.line().is_empty() {}
    });
    let mut source = connect(&server.endpoint, "ann", &Secret::new("x"), &kill).unwrap();
    source.examine("INBOX").unwrap();
    let before = Instant::now();
    let error = source.wait(LONG, &Interrupt::new().unwrap()).unwrap_err();
    assert!(matches!(error, Error::Killed { .. }), "{error:?}");
    assert!(before.elapsed() < Duration::from_secs(2));
    server.finish();
}

/// A server that answers IDLE with a completion is asked by NOOP from then on.
fn refuses_to_idle(completion: &'static str, continuation: &'static str) {
    let server = idling(move |peer| {
        let tag = peer.expect("IDLE");
        peer.send(format!("{continuation}{tag} {completion}\r\n"));
        peer.answer("NOOP", "");
        peer.answer("NOOP", "* 6 EXISTS\r\n");
    })
    .waiting(|waits| waits.poll = Duration::from_millis(100));
    let mut source = open(&server);
    assert_eq!(source.wait(LONG, &Interrupt::new().unwrap()).unwrap(), Wake::NewMail);
    assert!(!source.idles());
    server.finish();
}

#[test]
fn a_server_that_refuses_to_idle_is_polled() {
    refuses_to_idle("NO not today", "");
    refuses_to_idle("BAD what?", "");
}

#[test]
fn a_server_that_ends_idle_by_itself_is_polled() {
    refuses_to_idle("OK done already", "");
    refuses_to_idle("OK done already", "+ idling\r\n");
}

#[test]
fn a_server_without_idle_is_polled_and_its_own_words_are_heard_in_between() {
    let server = Server::session("", |peer| {
        peer.open(5, 100);
        peer.answer("NOOP", "");
        peer.answer("NOOP", "");
        peer.send("* OK hello\r\n* 6 EXISTS\r\n");
    })
    .waiting(|waits| waits.poll = Duration::from_millis(100));
    assert_eq!(wait(&server).unwrap(), Wake::NewMail);
    server.finish();
}

#[test]
fn polling_notices_an_end_and_an_interrupt_between_two_questions() {
    let server = Server::session("", |peer| {
        peer.open(5, 100);
        peer.answer("NOOP", "");
    });
    let before = Instant::now();
    assert!(matches!(wait(&server), Err(Error::Disconnected { .. })));
    assert!(before.elapsed() < Duration::from_secs(5));
    server.finish();

    let (asked, raise) = mpsc::channel();
    let server = Server::session("", move |peer| {
        peer.open(5, 100);
        peer.answer("NOOP", "");
        asked.send(()).unwrap();
        peer.expect_end();
    });
    let interrupt = Interrupt::new().unwrap();
    let raiser = interrupt.clone();
    let thread = std::thread::spawn(move || {
        raise.recv().unwrap();
        raiser.raise();
    });
    let mut source = open(&server);
    assert_eq!(source.wait(LONG, &interrupt).unwrap(), Wake::Interrupted);
    drop(source);
    thread.join().unwrap();
    server.finish();
}
