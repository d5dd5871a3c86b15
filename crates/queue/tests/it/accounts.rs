//! The cap of each account, and the numbers it is held against.

use std::collections::BTreeMap;
use std::time::Duration;

use mailfleet_model::{Class, JobId, Lane};
use mailfleet_queue::{Consumer, CountPlace, Delivery, Enqueued, Failure, NewJob};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

use crate::fixture::{Fixture, SOON, at, envelope};

fn mail(account: u128, uid: u32, lane: Lane) -> NewJob {
    NewJob { envelope: envelope(at(account, uid), 4), lane, raw: "mail".into() }
}

/// Every third is too long to travel inside its entry.
fn long_mail(account: u128, uid: u32, lane: Lane) -> NewJob {
    let raw = if uid.is_multiple_of(3) { format!("mail {uid}").repeat(9) } else { "mail".to_owned() };
    NewJob { envelope: envelope(at(account, uid), raw.len()), lane, raw: raw.into() }
}

fn tally(answers: &[Enqueued], what: Enqueued) -> usize {
    answers.iter().filter(|answer| **answer == what).count()
}

impl Fixture {
    /// The numbers that the cap is held against.
    async fn counted(&self) -> BTreeMap<String, u64> {
        let counted: BTreeMap<String, String> = self.redis("HGETALL K:accounts").await;
        let mut counted: BTreeMap<String, u64> =
            counted.into_iter().filter_map(|(field, number)| Some((field, number.parse().ok()?))).collect();
        counted.retain(|field, _| !field.starts_with('#'));
        counted
    }

    /// Whether the bytes that the queue tells of each lane are those of its entries and of what stands beside them, or,
    /// unless they `must` be known, that they are not known.
    async fn bytes_are_right(&self, must: bool) -> Result<(), String> {
        let depth = self.queue.depth().await.unwrap();
        for lane in Lane::ALL {
            let entries: Vec<(String, BTreeMap<String, Vec<u8>>)> =
                self.redis(&format!("XRANGE K:{lane} - +")).await;
            let mut bytes = 0;
            for (_, fields) in entries.iter().filter(|(_, fields)| fields.contains_key("e")) {
                bytes += fields["j"].len() + fields["e"].len() + fields.get("r").map_or(0, Vec::len);
                if fields.contains_key("b") {
                    let job = std::str::from_utf8(&fields["j"]).unwrap();
                    bytes += self.redis::<usize>(&format!("STRLEN K:blob:{job}")).await;
                }
            }
            let told = depth.lane(lane).bytes;
            if told != Some(bytes as u64) && (must || entries.is_empty() || told.is_some()) {
                return Err(format!("{lane}: told {told:?}, are {bytes} of {} entries", entries.len()));
            }
        }
        Ok(())
    }

    /// The entries of each account, counted in the lanes.
    async fn in_lanes(&self) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        for (lane, letter) in [("normal", 'n'), ("low", 'l')] {
            let entries: Vec<(String, BTreeMap<String, Vec<u8>>)> =
                self.redis(&format!("XRANGE K:{lane} - +")).await;
            for (_, fields) in entries {
                let job = fields.get("j").and_then(|job| JobId::parse(std::str::from_utf8(job).ok()?).ok());
                if let Some(at) = job.and_then(|job| job.mail_ref()) {
                    *found.entry(format!("{}|{letter}", at.account.0.simple())).or_default() += 1;
                }
            }
        }
        found
    }
}

#[tokio::test]
async fn one_accounts_backfill_waits_in_its_mailbox_and_anothers_new_mail_waits_a_bounded_number_of_entries()
{
    // In one lane of one partition: two accounts of two partitions are not before each other.
    let f = Fixture::start_with(&[], |config| config.partitions = 1);
    let cap = usize::try_from(f.queue.config().account_max_entries).unwrap();
    for lane in [Lane::Low, Lane::Normal] {
        let first = if lane == Lane::Low { 1 } else { 100_000 };
        let backfill = (first..first + 6_000).map(|uid| mail(1, uid, lane)).collect();
        let answers = f.queue.enqueue(backfill).await.unwrap();
        assert_eq!((tally(&answers, Enqueued::Queued), tally(&answers, Enqueued::AccountFull)), (cap, 1_000));
    }
    // What is urgent is taken all the same, and so is everybody else's mail.
    let urgent = (200_001..=200_050).map(|uid| mail(1, uid, Lane::High)).collect();
    assert_eq!(tally(&f.queue.enqueue(urgent).await.unwrap(), Enqueued::Queued), 50);
    assert_eq!(f.queue.enqueue(vec![mail(2, 1, Lane::Normal)]).await.unwrap(), [Enqueued::Queued]);

    // The account goes on offering, as its producer does, and never gets more than its cap before the other's mail.
    let consumer = f.consumer();
    let (mut before, mut uid) = (0, 300_000);
    loop {
        let deliveries = consumer.claim(200).await.unwrap();
        let normal: Vec<_> = deliveries.iter().filter(|delivery| delivery.lane() == Lane::Normal).collect();
        let other = normal.iter().position(|delivery| *delivery.job_id() == JobId::mail(&at(2, 1)));
        before += other.unwrap_or(normal.len());
        let found = other.is_some();
        consumer.done(deliveries).await.unwrap();
        if found {
            break;
        }
        assert!(before <= cap, "{before}");
        let more = (uid..uid + 200).map(|uid| mail(1, uid, Lane::Normal)).collect();
        f.queue.enqueue(more).await.unwrap();
        uid += 200;
    }
    assert_eq!(before, cap);
}

#[tokio::test]
async fn a_batch_of_several_accounts_is_taken_as_far_as_each_of_them_may() {
    let f = Fixture::start_with(&[], |config| config.account_max_entries = 2);
    let batch = [(1, 1), (1, 2), (2, 1), (1, 3), (2, 2), (2, 3)];
    let answers =
        f.queue.enqueue(batch.map(|(account, uid)| mail(account, uid, Lane::Low)).to_vec()).await.unwrap();
    let (queued, full) = (Enqueued::Queued, Enqueued::AccountFull);
    assert_eq!(answers, [queued, queued, queued, full, queued, full]);
    assert_eq!(f.queue.enqueue(vec![mail(1, 1, Lane::Low)]).await.unwrap(), [Enqueued::AlreadyLive]);
    // Each lane has its own share; what is done or dead makes room, what is delayed does not.
    assert_eq!(f.queue.enqueue(vec![mail(1, 9, Lane::Normal)]).await.unwrap(), [queued]);
    let consumer = f.consumer();
    let mut held = consumer.claim(10).await.unwrap();
    held.sort_by_key(|delivery| delivery.job_id().clone());
    let again = |uid| f.queue.enqueue(vec![mail(1, uid, Lane::Low)]);
    let failure = Failure::new(Class::Transient, "no");
    consumer.retry(held.remove(0), SOON, &failure).await.unwrap();
    assert_eq!(again(3).await.unwrap(), [full]);
    consumer.dead_letter(vec![(held.remove(0), "data".to_owned())]).await.unwrap();
    assert_eq!(again(3).await.unwrap(), [queued]);
    assert_eq!(f.queue.replay(vec![mail(1, 2, Lane::Low)]).await.unwrap(), [full], "a replay needs room too");
    consumer.done(held).await.unwrap();
}

#[tokio::test]
async fn a_number_that_is_wrong_keeps_no_account_out_and_flushall_leaves_none_behind() {
    let f = Fixture::start_with(&[], |config| config.account_max_entries = 10);
    let offer = |uid| f.queue.enqueue(vec![mail(1, uid, Lane::Low)]);
    let _: u64 = f.redis("HSET K:accounts 00000000000000000000000000000001|l 1000000").await;
    assert_eq!(offer(1).await.unwrap(), [Enqueued::AccountFull]);
    // That refusal had the entries counted.
    assert_eq!(offer(1).await.unwrap(), [Enqueued::Queued]);
    assert_eq!(f.counted().await, f.in_lanes().await);
    // A minute later, or when it was flushed, it is so again; in between the numbers are taken for right.
    let _: u64 = f.redis("HSET K:accounts 00000000000000000000000000000001|l 1000000").await;
    assert_eq!(offer(2).await.unwrap(), [Enqueued::AccountFull]);
    assert_eq!(offer(2).await.unwrap(), [Enqueued::AccountFull]);
    let _: u64 = f.redis("HINCRBY K:accounts #ended -60001").await;
    assert_eq!(offer(2).await.unwrap(), [Enqueued::AccountFull]);
    assert_eq!(offer(2).await.unwrap(), [Enqueued::Queued]);
    let _: String = f.redis("FLUSHALL").await;
    let refill = f.queue.enqueue((1..=11).map(|uid| mail(1, uid, Lane::Low)).collect()).await.unwrap();
    assert_eq!((tally(&refill, Enqueued::Queued), tally(&refill, Enqueued::AccountFull)), (10, 1));
    // A number that is too low ends at none, and an entry that somebody deleted is counted out with its record.
    let _: String = f.redis("FLUSHALL").await;
    offer(1).await.unwrap();
    offer(2).await.unwrap();
    let entry = f.queue.locate(&JobId::mail(&at(1, 2))).await.unwrap().unwrap().entry_id;
    let _: u64 = f.redis(&format!("XDEL K:low {entry}")).await;
    assert_eq!(f.queue.live(&[JobId::mail(&at(1, 2))]).await.unwrap(), [false]);
    assert_eq!(f.counted().await, f.in_lanes().await);
    let _: u64 = f.redis("DEL K:accounts").await;
    let consumer = f.consumer();
    consumer.done(consumer.claim(10).await.unwrap()).await.unwrap();
    assert_eq!(f.counted().await, BTreeMap::new());
}

/// Something that happens to the queue.
#[derive(Debug, Clone)]
enum Step {
    Enqueue {
        account: u128,
        uid: u32,
        lane: usize,
        many: u32,
    },
    /// By another program, with this text for a job.
    ByHand {
        job: &'static str,
    },
    Claim {
        most: usize,
    },
    /// The `n`th of what is held comes to one of its ends.
    Settle {
        n: usize,
        end: End,
    },
    Replay,
    /// The consumer goes, another comes.
    Leave,
    Recount {
        entries: usize,
    },
    Live,
    Flush,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Done,
    Retry,
    Delay,
    Dead,
    HandBack,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end =
        prop::sample::select(vec![End::Done, End::Done, End::Retry, End::Delay, End::Dead, End::HandBack]);
    let step = prop_oneof![
        8 => (1..4u128, 1..40u32, 0..3usize, 1..8u32)
            .prop_map(|(account, uid, lane, many)| Step::Enqueue { account, uid, lane, many }),
        1 => prop::sample::select(vec!["", "e:7", "m:1:2:3:4", "m:00000000000000000000000000000001:1:7:x"])
            .prop_map(|job| Step::ByHand { job }),
        4 => (1..9usize).prop_map(|most| Step::Claim { most }),
        8 => (0..9usize, end).prop_map(|(n, end)| Step::Settle { n, end }),
        1 => Just(Step::Replay),
        1 => Just(Step::Leave),
        6 => (1..4usize).prop_map(|entries| Step::Recount { entries }),
        1 => Just(Step::Live),
        1 => Just(Step::Flush),
    ];
    prop::collection::vec(step, 1..60)
}

/// What a run has in its hands.
struct Run<'a> {
    f: &'a Fixture,
    consumer: Consumer,
    held: Vec<Delivery>,
    dead: Vec<NewJob>,
}

impl Run<'_> {
    async fn take(&mut self, step: Step) {
        let f = self.f;
        match step {
            Step::Enqueue { account, uid, lane, many } => {
                let jobs = (uid..uid + many).map(|uid| long_mail(account, uid, Lane::ALL[lane])).collect();
                f.queue.enqueue(jobs).await.unwrap();
            }
            Step::ByHand { job } => {
                let mut command = redis::cmd("XADD");
                command.arg("mailfleet:{email:processing:0}:low").arg("*").arg("j").arg(job);
                let _: String = command.query_async(&mut f.redis.connection().await).await.unwrap();
            }
            Step::Claim { most } => self.held.extend(self.consumer.claim(most).await.unwrap()),
            Step::Settle { n, end } => {
                if !self.held.is_empty() {
                    let delivery = self.held.remove(n % self.held.len());
                    self.settle(delivery, end).await;
                }
            }
            Step::Replay => {
                f.queue.replay(std::mem::take(&mut self.dead)).await.unwrap();
            }
            Step::Leave => {
                self.consumer.leave().await.unwrap();
                self.held.clear();
                self.consumer = f.consumer();
            }
            Step::Recount { entries } => {
                f.queue.recount_accounts(CountPlace::default(), entries).await.unwrap();
            }
            Step::Live => {
                let jobs: Vec<_> = (1..40).map(|uid| JobId::mail(&at(1, uid))).collect();
                f.queue.live(&jobs).await.unwrap();
            }
            Step::Flush => {
                let _: String = f.redis("FLUSHALL").await;
            }
        }
    }

    async fn settle(&mut self, delivery: Delivery, end: End) {
        let consumer = &self.consumer;
        let soon = Duration::from_millis(1);
        match end {
            End::Done => drop(consumer.done(vec![delivery]).await.unwrap()),
            End::Retry => {
                let failure = Failure::new(Class::Transient, "no");
                consumer.retry(delivery, soon, &failure).await.unwrap();
            }
            End::Delay => drop(consumer.delay_uncounted(vec![delivery], soon).await.unwrap()),
            End::Dead => {
                if let Some(at) = delivery.envelope().work.mail() {
                    let envelope = envelope(at, 4);
                    self.dead.push(NewJob { envelope, lane: delivery.lane(), raw: "mail".into() });
                }
                consumer.dead_letter(vec![(delivery, "data".to_owned())]).await.unwrap();
            }
            End::HandBack => drop(consumer.hand_back(vec![delivery]).await.unwrap()),
        }
    }
}

#[test]
fn whatever_happens_the_numbers_are_those_of_the_lanes_in_the_midst_of_a_recount_too() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let f = runtime.block_on(async {
        Fixture::start_with(&[], |config| {
            (config.account_max_entries, config.inline_bytes, config.partitions) = (12, 8, 1);
        })
    });
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&steps(), |steps| {
        runtime.block_on(async {
            let _: String = f.redis("FLUSHALL").await;
            let mut run = Run { f: &f, consumer: f.consumer(), held: Vec::new(), dead: Vec::new() };
            for (n, step) in steps.into_iter().enumerate() {
                let text = format!("after step {n}, {step:?}");
                run.take(step).await;
                let counted = f.counted().await;
                prop_assert_eq!(&counted, &f.in_lanes().await, "{}", text);
                prop_assert!(counted.values().all(|entries| *entries <= 12), "{}: {:?}", text, counted);
                f.bytes_are_right(false)
                    .await
                    .map_err(|why| TestCaseError::fail(format!("{text}: {why}")))?;
            }
            // However far a recount has come, its end gives the same.
            f.recount(3).await;
            prop_assert_eq!(f.counted().await, f.in_lanes().await, "after the recount");
            f.bytes_are_right(true).await.map_err(TestCaseError::fail)?;
            Ok(())
        })
    });
    outcome.unwrap();
}
