//! The platform that sends, and the provider that delivers for it: what they tell the doors, until each call is answered.

use std::time::Duration;

use mailfleet_testkit::{Process, eventually_blocking};
use serde_json::json;

use crate::door::{Door, event};
use crate::fleet::Fleet;

/// A call that has not been answered yet.
#[derive(Debug, Clone, Copy)]
enum Call {
    Register(u32),
    /// Left and arrived, in one call, the later first.
    Delivered(u32),
    Opened(u32),
}

/// Registers messages and reports on them. Whoever gets no answer calls again, as providers do.
#[derive(Debug)]
pub struct Platform {
    door: Door,
    messages: u32,
    open: Vec<Call>,
}

impl Platform {
    /// Opens the doors of a producer.
    #[must_use]
    pub fn start(fleet: &Fleet) -> (Self, Process) {
        let (door, producer) = Door::open(fleet);
        (Self { door, messages: 0, open: Vec::new() }, producer)
    }

    /// Starts a producer in the place of one that is gone.
    pub fn producer(&mut self, fleet: &Fleet) -> Process {
        self.door.reopen(fleet)
    }

    /// Sends more messages: each is registered and reported on, of every second one the report comes first. Then every
    /// call that is not answered yet is made once.
    pub fn send(&mut self, more: u32) {
        for number in self.messages + 1..=self.messages + more {
            let mut calls = [Call::Register(number), Call::Delivered(number), Call::Opened(number)];
            calls.rotate_left(usize::from(number % 2 == 0));
            self.open.extend(calls);
        }
        self.messages += more;
        self.call();
    }

    fn call(&mut self) {
        let door = &self.door;
        self.open.retain(|call| {
            let answer = match *call {
                Call::Register(number) => door.try_register(number),
                Call::Delivered(number) => {
                    door.try_tell(&json!([event("delivered", number), event("sent", number)]))
                }
                Call::Opened(number) => door.try_tell(&event("opened", number)),
            };
            // Refused for now (503), or no answer: it is repeated.
            answer.map_or(true, |answer| match answer.status {
                200 | 201 => false,
                503 => true,
                status => panic!("{call:?}: {status} {}", answer.body),
            })
        });
    }

    /// Calls until all is answered, and asserts that each message is there once, delivered, and each event once.
    pub fn assert_all_once(&mut self, fleet: &Fleet, within: Duration) {
        eventually_blocking("every call answered", within, || {
            self.call();
            self.open.is_empty().then_some(())
        });
        let messages = u64::from(self.messages);
        let applied = "SELECT count(*) FROM mailfleet.delivery_events WHERE storage_key IS NOT NULL";
        eventually_blocking("every event applied", within, || {
            (fleet.count(applied) >= 3 * messages).then_some(())
        });
        assert_eq!(fleet.count("SELECT count(*) FROM mailfleet.delivery_events"), 3 * messages, "events");
        let outbound = "SELECT count(*) FROM email_messages WHERE direction = 'outbound'";
        assert_eq!(fleet.count(outbound), messages, "outbound messages");
        let delivered = "SELECT count(*) FROM mailfleet.message_recipients r JOIN email_messages m USING (storage_key) \
             WHERE r.status = 3 AND m.status = 'delivered'";
        assert_eq!(fleet.count(delivered), messages, "delivered");
    }
}
