//! Whatever happened, in whatever order, counted in whatever steps: the numbers are those of a rebuild.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{CAMPAIGN, Message, OTHER_CAMPAIGN, dump, event, rebuild, recipient, run, tables};
use crate::support::World;

const KEYS: [&str; 4] = ["k0", "k1", "k2", "k3"];
const DAYS: [&str; 2] = ["2026-03-01 23:59:59+00", "2026-03-02 00:00:00+00"];
const CAMPAIGNS: [Option<&str>; 3] = [None, Some(CAMPAIGN), Some(OTHER_CAMPAIGN)];
/// Shared ones make an inbound mail the copy of an outbound one.
const IDS: [Option<&str>; 3] = [None, Some("a@acme.example"), Some("b@acme.example")];
const KINDS: [&str; 3] = ["opened", "clicked", "unsubscribed"];

/// One step of a history.
#[derive(Debug, Clone)]
enum Step {
    Message {
        key: usize,
        outbound: bool,
        id: usize,
        campaign: usize,
        day: usize,
        parent: usize,
        latency: u32,
    },
    Move {
        key: usize,
        campaign: usize,
        day: usize,
    },
    Recipient {
        key: usize,
        recipient: u8,
        status: u8,
    },
    Event {
        key: usize,
        recipient: u8,
        kind: usize,
    },
    Delete {
        key: usize,
    },
    Run,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4usize, any::<bool>(), 0..3usize, 0..3usize, 0..2usize, 0..4usize, 0..5_000u32).prop_map(
            |(key, outbound, id, campaign, day, parent, latency)| {
                Step::Message { key, outbound, id, campaign, day, parent, latency }
            }
        ),
        2 => (0..4usize, 0..3usize, 0..2usize).prop_map(|(key, campaign, day)| Step::Move { key, campaign, day }),
        4 => (0..4usize, 0..3u8, 0..7u8).prop_map(|(key, recipient, status)| Step::Recipient { key, recipient, status }),
        2 => (0..4usize, 0..3u8, 0..3usize).prop_map(|(key, recipient, kind)| Step::Event { key, recipient, kind }),
        1 => (0..4usize).prop_map(|key| Step::Delete { key }),
        2 => Just(Step::Run),
    ]
}

fn sql(world: &World, number: usize, step: &Step) -> String {
    match *step {
        Step::Message { key, outbound, id, campaign, day, parent, latency } => {
            let message = Message {
                key: KEYS[key],
                direction: if outbound { "outbound" } else { "inbound" },
                kind: if latency % 5 == 0 { "auto_reply" } else { "email" },
                id: IDS[id],
                campaign: CAMPAIGNS[campaign],
                parent: Some(KEYS[parent]),
                evidence: Some(if latency % 7 == 0 { "x_campaign_id" } else { "references" }),
                bytes: latency,
                latency_ms: (latency % 3 != 0).then_some(latency),
                created: DAYS[day],
            };
            message.sql(world).replace(
                ';',
                " ON CONFLICT (storage_key) DO UPDATE SET direction = excluded.direction, parent_storage_key = \
                 excluded.parent_storage_key, message_id = excluded.message_id, campaign_id = excluded.campaign_id, latency_ms = excluded.latency_ms",
            )
        }
        Step::Move { key, campaign, day } => format!(
            "UPDATE mailfleet.messages SET campaign_id = {}, created = '{}' WHERE storage_key = '{}'",
            CAMPAIGNS[campaign].map_or("NULL".to_owned(), |id| format!("'{id}'")),
            DAYS[day],
            KEYS[key]
        ),
        Step::Recipient { key, recipient: number, status } => {
            recipient(world, KEYS[key], &format!("{number}@lead.example"), status).replace(
                ';',
                " ON CONFLICT (storage_key, recipient) DO UPDATE SET status = \
                 greatest(message_recipients.status, excluded.status)",
            )
        }
        Step::Event { key, recipient, kind } => event(
            world,
            &format!("w:{number}:0"),
            KEYS[key],
            &format!("{recipient}@lead.example"),
            KINDS[kind],
        ),
        Step::Delete { key } => format!(
            "DELETE FROM mailfleet.messages WHERE storage_key = '{0}'; \
             DELETE FROM mailfleet.message_recipients WHERE storage_key = '{0}'",
            KEYS[key]
        ),
        Step::Run => String::new(),
    }
}

#[test]
fn a_rebuild_gives_the_numbers_that_random_histories_have_left() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let world = runtime.block_on(World::new());
    let client = runtime.block_on(world.rival());
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let histories = proptest::collection::vec(step(), 1..40);
    let counted = std::cell::Cell::new(0);
    let outcome = runner.run(&histories, |history| {
        runtime.block_on(async {
            let empty = format!(
                "TRUNCATE mailfleet.messages, mailfleet.message_recipients, mailfleet.delivery_events, \
                 mailfleet.analytics_changes, {}",
                tables(&world).join(", ")
            );
            client.batch_execute(&empty).await.unwrap();
            for (number, step) in history.iter().enumerate() {
                match step {
                    Step::Run => run(&world.store).await,
                    step => client.batch_execute(&sql(&world, number, step)).await.unwrap(),
                }
            }
            run(&world.store).await;
            let left = dump(&world);
            counted.set(counted.get() + left.lines().count());
            world.sql(&format!("TRUNCATE {}", tables(&world).join(", ")));
            rebuild(&world.store).await;
            prop_assert_eq!(left, dump(&world));
            Ok(())
        })
    });
    outcome.unwrap();
    assert!(counted.get() > 24, "histories that leave nothing behind prove nothing");
}
