//! What is full refuses, in the order of urgency, and opens again only with room to spare.

use std::collections::BTreeMap;

use mailfleet_model::{Class, Lane};
use mailfleet_queue::{Consumer, Delivery, Enqueued, Failure, Queue, Refuses};
use mailfleet_testkit::eventually;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

use crate::fixture::{Fixture, SOON, at, envelope, job};

impl Fixture {
    async fn refuses(&self, lane: Lane) -> Refuses {
        self.queue.depth().await.unwrap().lane(lane).refuses.unwrap()
    }
}

async fn offer(queue: &Queue, uid: u32, lane: Lane) -> Enqueued {
    queue.enqueue(vec![job(uid, lane, "mail")]).await.unwrap()[0]
}

#[tokio::test]
async fn a_lane_that_was_full_refuses_until_it_is_below_its_low_mark_and_all_producers_agree() {
    let f = Fixture::start_with(&[], |config| config.low_max_entries = 10);
    let other = Queue::connect(f.queue.config()).unwrap();
    f.enqueue(Lane::Low, 1..=9).await;
    assert!(!f.refuses(Lane::Low).await.any());
    f.enqueue(Lane::Low, [10]).await;
    assert_eq!(f.refuses(Lane::Low).await, Refuses { by_entries: true, by_memory: false });
    assert!(!f.refuses(Lane::Normal).await.any());
    let consumer = f.consumer();
    for left in [9, 8] {
        consumer.done(consumer.claim(1).await.unwrap()).await.unwrap();
        assert_eq!(f.queue.depth().await.unwrap().lane(Lane::Low).total(), Some(left));
        assert_eq!(offer(&f.queue, 11, Lane::Low).await, Enqueued::LaneFull);
        assert_eq!(offer(&other, 12, Lane::Low).await, Enqueued::LaneFull);
        assert!(f.refuses(Lane::Low).await.by_entries);
    }
    // A recount keeps what is noted.
    f.recount(100).await;
    assert_eq!(offer(&other, 12, Lane::Low).await, Enqueued::LaneFull);
    consumer.done(consumer.claim(1).await.unwrap()).await.unwrap();
    assert!(!f.refuses(Lane::Low).await.any(), "told before anybody asks");
    assert_eq!(offer(&other, 12, Lane::Low).await, Enqueued::Queued);
    assert_eq!(offer(&f.queue, 13, Lane::Low).await, Enqueued::Queued);
}

#[tokio::test]
async fn what_is_urgent_is_not_refused_for_its_number() {
    let f = Fixture::start_with(&[], |config| {
        (config.normal_max_entries, config.low_max_entries) = (1, 1);
    });
    f.enqueue(Lane::High, 1..=300).await;
    f.enqueue(Lane::Normal, [301]).await;
    assert_eq!(offer(&f.queue, 302, Lane::Normal).await, Enqueued::LaneFull);
    f.enqueue(Lane::High, [303]).await;
    assert!(!f.refuses(Lane::High).await.any());
}

/// One step of the property: some mail comes, or some of it is done.
#[derive(Debug, Clone)]
enum Step {
    Enqueue { by: usize, lane: Lane, many: u32 },
    Work { many: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let lane = prop::sample::select(vec![Lane::Normal, Lane::Low]);
    let step = prop_oneof![
        (0..2usize, lane, 1..6u32).prop_map(|(by, lane, many)| Step::Enqueue { by, lane, many }),
        (1..6usize).prop_map(|many| Step::Work { many }),
    ];
    prop::collection::vec(step, 1..60)
}

/// What is known of a lane while the steps are done.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    entries: u64,
    /// The least it had since it last refused; `None` before that.
    least: Option<u64>,
}

#[test]
fn between_a_refusal_and_what_is_taken_next_a_lane_falls_below_its_low_mark() {
    const HIGH: u64 = 10;
    const LOW: u64 = 7;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let f = runtime.block_on(async {
        Fixture::start_with(&[], |config| {
            (config.normal_max_entries, config.low_max_entries) = (HIGH, HIGH);
            config.reopen_percent = 70;
        })
    });
    let queues = [f.queue.clone(), Queue::connect(f.queue.config()).unwrap()];
    let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
    let opened = std::cell::Cell::new(0);
    let outcome = TestRunner::new(config).run(&steps(), |steps| {
        runtime.block_on(async {
            let _: String = f.redis("FLUSHALL").await;
            let (consumer, mut uid) = (f.consumer(), 0);
            let mut seen: BTreeMap<Lane, Seen> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Enqueue { by, lane, many } => {
                        let jobs = (uid + 1..=uid + many).map(|uid| job(uid, lane, "mail")).collect();
                        uid += many;
                        for answer in queues[by].enqueue(jobs).await.unwrap() {
                            let lane = seen.entry(lane).or_default();
                            match (answer, lane.least) {
                                (Enqueued::Queued, None) => lane.entries += 1,
                                (Enqueued::Queued, Some(least)) if least < LOW => {
                                    (lane.entries, lane.least) = (lane.entries + 1, None);
                                }
                                (Enqueued::LaneFull, None) if lane.entries == HIGH => {
                                    lane.least = Some(HIGH);
                                }
                                // It reached its mark before, and nobody asked since.
                                (Enqueued::LaneFull, Some(least)) if least >= LOW => {}
                                other => {
                                    return Err(TestCaseError::fail(format!("{other:?} with {lane:?}")));
                                }
                            }
                            // Full is refusing, whether somebody was refused or not.
                            if lane.entries == HIGH {
                                lane.least = Some(lane.least.unwrap_or(HIGH));
                            }
                            prop_assert!(lane.entries <= HIGH);
                        }
                    }
                    Step::Work { many } => {
                        let held = consumer.claim(many).await.unwrap();
                        for delivery in &held {
                            let lane = seen.get_mut(&delivery.lane()).unwrap();
                            lane.entries -= 1;
                            lane.least = lane.least.map(|least| least.min(lane.entries));
                        }
                        consumer.done(held).await.unwrap();
                    }
                }
                for (lane, seen) in &seen {
                    let told = f.refuses(*lane).await;
                    let refuses = seen.least.is_some_and(|least| least >= LOW);
                    prop_assert_eq!(told.any(), refuses, "{}: {:?}", lane, seen);
                    opened.set(opened.get() + u32::from(seen.least.is_some_and(|least| least < LOW)));
                }
            }
            Ok(())
        })
    });
    outcome.unwrap();
    assert!(opened.get() > 0, "no lane ever opened again");
}

/// Sets the limit so that Redis uses about so many per cent of it, for what is asked a second later and on.
async fn use_percent(f: &Fixture, percent: u64) {
    let used = f.queue.memory().await.unwrap().used_bytes.unwrap();
    let _: String = f.redis(&format!("CONFIG SET maxmemory {}", used * 100 / percent)).await;
}

#[tokio::test]
async fn when_memory_gets_short_backfill_stops_first_then_new_mail_and_what_is_urgent_last_and_all_go_on_by_themselves()
 {
    let f = Fixture::start();
    // Beside this the buffers of a client or two are nothing.
    let _: u64 = f.redis("SETRANGE ballast 50000000 x").await;
    let mut uid = 0;
    // Asked again until the memory was looked at once more.
    let until = async |answers: [Option<Enqueued>; 3], uid: &mut u32| {
        eventually("the lanes to answer so", SOON, || {
            *uid += 3;
            let first = *uid;
            let queue = &f.queue;
            async move {
                let mut told = [None; 3];
                for lane in Lane::ALL {
                    let uid = first + u32::try_from(lane.index()).unwrap();
                    let answer = queue.enqueue(vec![job(uid, lane, "mail")]).await;
                    told[lane.index()] = match answer {
                        Ok(answer) => Some(answer[0]),
                        Err(error) => {
                            assert!(error.is_outage() && error.to_string().contains("OOM"), "{error}");
                            None
                        }
                    };
                }
                (told == answers).then_some(())
            }
        })
        .await;
    };
    let (queued, full) = (Some(Enqueued::Queued), Some(Enqueued::LaneFull));
    until([queued; 3], &mut uid).await;
    use_percent(&f, 75).await;
    until([queued, queued, full], &mut uid).await;
    assert_eq!(f.refuses(Lane::Low).await, Refuses { by_entries: false, by_memory: true });
    use_percent(&f, 90).await;
    until([queued, full, full], &mut uid).await;
    use_percent(&f, 110).await;
    until([None, full, full], &mut uid).await;
    assert_eq!(f.queue.depth().await.unwrap().lane(Lane::High).refuses, Some(Refuses::default()));
    // Not at once below the mark, but with some room.
    use_percent(&f, 82).await;
    until([queued, full, full], &mut uid).await;
    use_percent(&f, 74).await;
    until([queued, queued, full], &mut uid).await;
    use_percent(&f, 67).await;
    // Below the mark, and not by enough: so it stays, also after two more looks at the memory, each of which is an INFO.
    let _: String = f.redis("CONFIG RESETSTAT").await;
    let mut asked = 0;
    eventually("two later looks at the memory", SOON, || {
        asked += 1;
        let (f, asked) = (&f, asked);
        async move {
            assert!(f.refuses(Lane::Low).await.by_memory);
            let stats: String = f.redis("INFO commandstats").await;
            let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_info:calls="));
            let calls =
                calls.and_then(|line| line.split(',').next()).map_or(0, |calls| calls.parse().unwrap());
            // Of those, all but this last question were asked here before.
            (calls >= asked - 1 + 2).then_some(())
        }
    })
    .await;
    use_percent(&f, 50).await;
    until([queued; 3], &mut uid).await;
    let _: String = f.redis("CONFIG SET maxmemory 0").await;
    assert!(!f.refuses(Lane::Low).await.any());
}

/// Claims, and ends what came in every way there is.
async fn every_way_out(consumer: &Consumer, most: usize) -> usize {
    let held = consumer.claim(most).await.unwrap();
    let number = held.len();
    for (n, delivery) in held.into_iter().enumerate() {
        end(consumer, delivery, n % 5).await;
    }
    number
}

async fn end(consumer: &Consumer, delivery: Delivery, way: usize) {
    match way {
        0 => drop(consumer.done(vec![delivery]).await.unwrap()),
        1 => {
            let failure = Failure::new(Class::Transient, "no");
            consumer.retry(delivery, SOON, &failure).await.unwrap();
        }
        2 => drop(consumer.dead_letter(vec![(delivery, "data".to_owned())]).await.unwrap()),
        3 => drop(consumer.hand_back(vec![delivery]).await.unwrap()),
        _ => drop(consumer.delay_uncounted(vec![delivery], SOON).await.unwrap()),
    }
}

#[tokio::test]
async fn a_server_filled_to_its_limit_is_emptied_by_its_consumers_and_takes_mail_again() {
    let f = Fixture::start_with(&[("maxmemory", "8mb")], |config| {
        (config.normal_max_memory_percent, config.low_max_memory_percent) = (0, 0);
    });
    let noise = |uid: u32| {
        let raw: Vec<u8> = (0..50_000).map(|_| fastrand::u8(..)).collect();
        mailfleet_queue::NewJob {
            envelope: envelope(at(1, uid), raw.len()),
            lane: Lane::Normal,
            raw: raw.into(),
        }
    };
    let mut queued = 0;
    let error = loop {
        match f.queue.enqueue(vec![noise(queued + 1)]).await {
            Ok(answers) => assert_eq!(answers, [Enqueued::Queued]),
            Err(error) => break error,
        }
        queued += 1;
        assert!(queued < 1_000, "8 MiB hold no {queued} mails of 50 kB");
    };
    assert!(error.is_outage() && error.to_string().contains("OOM"), "{error}");
    let depth = f.queue.depth().await.unwrap();
    let normal = depth.lane(Lane::Normal);
    assert_eq!(normal.waiting, Some(u64::from(queued)), "what was refused is not there");
    assert!(normal.bytes.unwrap() >= u64::from(queued) * 50_000);
    let consumer = f.consumer();
    assert_eq!(every_way_out(&consumer, 50).await, 50.min(queued as usize));
    // As soon as the answer of that claim is no longer in a buffer of Redis.
    eventually("room for one more", SOON, || async {
        match f.queue.enqueue(vec![noise(queued + 1)]).await {
            Ok(answers) => {
                assert_eq!(answers, [Enqueued::Queued]);
                Some(())
            }
            Err(error) => {
                assert!(error.is_outage(), "{error}");
                None
            }
        }
    })
    .await;
    let depth = f.queue.depth().await.unwrap();
    let bytes = depth.lane(Lane::Normal).bytes.unwrap();
    let entries = depth.lane(Lane::Normal).total().unwrap();
    assert!((entries * 50_000..entries * 51_000).contains(&bytes), "{bytes} in {entries}");
}
