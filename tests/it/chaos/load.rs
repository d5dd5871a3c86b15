//! The work: mail that comes into four mailboxes, messages that are sent, and what their provider tells of them.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mailfleet_tests::door::event;
use mailfleet_tests::{Door, Fleet, numbered};
use serde_json::json;

use super::checker::{Asked, Item};
use super::journal::Journal;

/// The accounts that mail comes to, and whose they are.
pub const ACCOUNTS: [(&str, &str); 3] = [("inbox", "acme"), ("sales", "acme"), ("contact", "globex")];
/// An account that is shared: its mail belongs to a tenant by its recipient, or to none.
pub const SHARED: &str = "catchall";

/// Between two mails of the trickle that never stops.
const TRICKLE: Duration = Duration::from_millis(40);
/// Between two messages that are sent.
const SENDS: Duration = Duration::from_millis(200);
/// One mail of so many is followed by one that belongs to nobody.
const STRAY: u32 = 40;
/// Lines of 72 bytes in a large mail.
const LARGE_LINES: usize = 800;
/// No more calls wait for their answer than these before messages are sent no more.
const OPEN_CALLS: usize = 600;

/// A call that has not been answered yet.
#[derive(Debug, Clone, Copy)]
enum Call {
    Register(u32),
    /// Left and arrived, in one call, the later first.
    Delivered(u32),
    Opened(u32),
}

/// What was asked so far, and whether to go on.
#[derive(Debug)]
pub struct Load<'a> {
    journal: &'a Journal,
    asked: Mutex<Asked>,
    /// The number of the last mail that was delivered; held while one is.
    mails: Mutex<u32>,
    stopped: AtomicBool,
    /// The run has failed: nobody waits for answers any more.
    given_up: AtomicBool,
}

impl<'a> Load<'a> {
    /// None yet.
    pub const fn new(journal: &'a Journal) -> Self {
        Self {
            journal,
            asked: Mutex::new(Asked { attempted: BTreeSet::new(), accepted: BTreeSet::new() }),
            mails: Mutex::new(0),
            stopped: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
        }
    }

    /// Delivers so many mails and gives the number of the last: all up to it are in their mailboxes.
    pub fn deliver(&self, fleet: &Fleet, many: u32) -> u32 {
        self.deliver_each(fleet, many, |number| numbered(number).raw)
    }

    /// The same with large ones.
    pub fn deliver_large(&self, fleet: &Fleet, many: u32) -> u32 {
        self.deliver_each(fleet, many, large)
    }

    fn deliver_each(&self, fleet: &Fleet, many: u32, raw: impl Fn(u32) -> Vec<u8>) -> u32 {
        let mut last = self.mails.lock().unwrap();
        for number in *last + 1..=*last + many {
            let account = account_of(number);
            self.attempt(Item::Mail(number, account.to_owned()));
            fleet.dovecot.deliver(account, &raw(number)).unwrap();
            self.accept(Item::Mail(number, account.to_owned()));
            if number % STRAY == 0 {
                self.attempt(Item::Stray(number));
                fleet.dovecot.deliver(SHARED, &stray(number)).unwrap();
                self.accept(Item::Stray(number));
            }
        }
        *last += many;
        *last
    }

    /// Mail comes until it is told to stop.
    pub fn trickle(&self, fleet: &Fleet) {
        while !self.stopped.load(Ordering::Relaxed) {
            self.deliver(fleet, 1);
            std::thread::sleep(TRICKLE);
        }
    }

    /// Messages are sent and reported on until it is told to stop; then until every call is answered, or `patience` is
    /// over. Gives how many calls were not.
    pub fn send(&self, doors: &Mutex<Vec<Door>>, patience: Duration) -> usize {
        let (mut open, mut number): (Vec<Call>, u32) = (Vec::new(), 0);
        let mut stopped: Option<Instant> = None;
        let mut turn = 0_usize;
        loop {
            if stopped.is_none() && self.stopped.load(Ordering::Relaxed) {
                stopped = Some(Instant::now());
            }
            if stopped.is_none() && open.len() < OPEN_CALLS {
                number += 1;
                let mut calls = [Call::Register(number), Call::Delivered(number), Call::Opened(number)];
                // Of every second one the report comes first.
                calls.rotate_left(usize::from(number % 2 == 0));
                calls.iter().flat_map(|call| call.items()).for_each(|item| self.attempt(item));
                open.extend(calls);
            }
            let mut tried = 0;
            open.retain(|call| {
                turn += 1;
                // After a few that nobody answered the rest waits too.
                tried > 3 || {
                    let unanswered = !self.call(*call, doors, turn);
                    tried += usize::from(unanswered);
                    unanswered
                }
            });
            match stopped {
                Some(_) if self.given_up.load(Ordering::Relaxed) => return open.len(),
                Some(at) if open.is_empty() || at.elapsed() > patience => return open.len(),
                _ => std::thread::sleep(SENDS),
            }
        }
    }

    /// Makes one call; true when it was answered.
    fn call(&self, call: Call, doors: &Mutex<Vec<Door>>, turn: usize) -> bool {
        let door = {
            let doors = doors.lock().unwrap();
            doors[turn % doors.len()].clone()
        };
        let answer = match call {
            Call::Register(number) => door.try_register(number),
            Call::Delivered(number) => {
                door.try_tell(&json!([event("delivered", number), event("sent", number)]))
            }
            Call::Opened(number) => door.try_tell(&event("opened", number)),
        };
        // No answer, or refused for now (503): it is repeated, as providers do.
        let answered = answer.is_ok_and(|answer| match answer.status {
            200 | 201 => true,
            503 => false,
            status => panic!("{call:?}: {status} {}", answer.body),
        });
        if answered {
            call.items().into_iter().for_each(|item| self.accept(item));
        }
        answered
    }

    /// No new work from now on.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Nor any waiting for answers.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// What was asked so far.
    pub fn asked(&self) -> Asked {
        self.asked.lock().unwrap().clone()
    }

    fn attempt(&self, item: Item) {
        self.asked.lock().unwrap().attempted.insert(item);
    }

    fn accept(&self, item: Item) {
        self.journal.accepted(&item);
        self.asked.lock().unwrap().accepted.insert(item);
    }
}

impl Call {
    fn items(self) -> Vec<Item> {
        let event = |number, kind: &str| Item::Event(number, kind.to_owned());
        match self {
            Self::Register(number) => vec![Item::Sent(number)],
            Self::Delivered(number) => vec![event(number, "delivered"), event(number, "sent")],
            Self::Opened(number) => vec![event(number, "opened")],
        }
    }
}

/// Whom the mail of a number is for.
pub fn account_of(number: u32) -> &'static str {
    ACCOUNTS[number as usize % ACCOUNTS.len()].0
}

/// The mail of a number with some 56 KiB of text, unless it has an attachment.
fn large(number: u32) -> Vec<u8> {
    let mut raw = numbered(number).raw;
    if !number.is_multiple_of(5) {
        let mut dice = fastrand::Rng::with_seed(u64::from(number));
        for _ in 0..LARGE_LINES {
            raw.extend((0..70).map(|_| dice.alphanumeric() as u8));
            raw.extend(b"\r\n");
        }
    }
    raw
}

/// A mail to a domain that belongs to no tenant.
fn stray(number: u32) -> Vec<u8> {
    format!(
        "Return-Path: <sender@lead.example>\r\nDelivered-To: who@nobody.example\r\nFrom: sender@lead.example\r\n\
         To: who@nobody.example\r\nSubject: Stray {number}\r\nMessage-ID: <stray-{number}@run.example>\r\n\
         Date: Tue, 24 Nov 2026 10:00:00 +0000\r\n\r\nThis belongs to nobody.\r\n"
    )
    .into_bytes()
}
