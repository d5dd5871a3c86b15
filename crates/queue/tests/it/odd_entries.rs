//! Entries that cannot be delivered as they should.

use std::time::Instant;

use mailfleet_model::{Lane, MailRef};
use mailfleet_queue::{Settled, State};
use mailfleet_testkit::eventually;

use crate::fixture::{
    Fixture, LEASE, SOON, at, claim_one, die_with, envelope, id, job, keys, reclaimed, uids,
};

impl Fixture {
    /// Writes an entry by hand, as another program would.
    async fn add_by_hand(&self, job: &str, envelope: &[u8], raw: &[u8]) {
        let mut connection = self.redis.connection().await;
        let prefix = keys(self.queue.config());
        let mut command = redis::cmd("XADD");
        command
            .arg(format!("{prefix}normal"))
            .arg("*")
            .arg("j")
            .arg(job)
            .arg("e")
            .arg(envelope)
            .arg("r")
            .arg(raw);
        let entry: String = command.query_async(&mut connection).await.unwrap();
        let mut command = redis::cmd("HSET");
        command.arg(format!("{prefix}live")).arg(job).arg(format!("Q|n|{entry}"));
        let _: u64 = command.query_async(&mut connection).await.unwrap();
    }
}

fn noise() -> Vec<u8> {
    (0..20_000).map(|_| fastrand::u8(..)).collect()
}

#[tokio::test]
async fn an_entry_whose_mail_is_gone_is_closed_and_counted_and_not_delivered() {
    let f = Fixture::start();
    f.queue.enqueue(vec![job(1, Lane::Normal, noise()), job(2, Lane::Normal, noise())]).await.unwrap();
    let _: u64 = f.redis("DEL K:blob:m:00000000000000000000000000000001:1:7:1").await;
    let consumer = f.consumer();
    let deliveries = consumer.claim(10).await.unwrap();
    assert_eq!(uids(&deliveries), [2]);
    assert_eq!((consumer.stats().blob_gone, consumer.held()), (1, 1));
    assert_eq!(f.queue.live(&[id(1)]).await.unwrap(), [false], "the sweep may enqueue it again");
    assert_eq!(f.redis::<u64>("XLEN K:normal").await, 1);
    assert_eq!(f.queue.depth().await.unwrap().dead, Some(0));
    consumer.done(deliveries).await.unwrap();
}

#[tokio::test]
async fn an_envelope_of_an_unknown_version_is_given_back_for_a_lease_and_costs_nothing() {
    let f = Fixture::start();
    f.add_by_hand(id(1).as_str(), br#"{"v":2,"news":true}"#, b"raw").await;
    let consumer = f.consumer();
    assert!(consumer.claim(10).await.unwrap().is_empty());
    assert_eq!((consumer.stats().unknown_version, consumer.held()), (1, 0));
    let given_back = Instant::now();
    let location = f.queue.locate(&id(1)).await.unwrap().unwrap();
    assert!(matches!(location.state, State::Delayed { .. }), "{location:?}");
    assert_eq!(location.counters, mailfleet_model::Counters::default());
    // Whoever claims next once a lease has passed gets it, by its name a consumer that is new.
    let newer = f.consumer();
    eventually("it to come again", SOON, || async {
        assert!(newer.claim(10).await.unwrap().is_empty());
        (newer.stats().unknown_version == 1).then_some(())
    })
    .await;
    assert!(given_back.elapsed() > LEASE * 9 / 10, "{:?}", given_back.elapsed());
    let counters = f.queue.locate(&id(1)).await.unwrap().unwrap().counters;
    assert_eq!(counters, mailfleet_model::Counters::default(), "however often it is given back");
}

#[tokio::test]
async fn a_kind_of_work_that_only_a_newer_version_knows_waits_for_it_as_well() {
    let f = Fixture::start();
    f.add_by_hand("x:a-new-kind:1", br#"{"v":2,"kind":"new"}"#, b"raw").await;
    let consumer = f.consumer();
    assert!(consumer.claim(10).await.unwrap().is_empty());
    let stats = consumer.stats();
    assert_eq!((stats.unknown_version, stats.quarantined, consumer.held()), (1, 0, 0));
    let depth = f.queue.depth().await.unwrap();
    assert_eq!((depth.lane(Lane::Normal).delayed, depth.dead), (Some(1), Some(0)));
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_delivered_as_malformed_with_its_raw_bytes() {
    let f = Fixture::start();
    let of_another = envelope(at(1, 77), 3).encode();
    let mut packed = envelope(at(1, 3), 3);
    packed.encoding = mailfleet_model::Encoding::Zstd;
    f.add_by_hand(id(1).as_str(), b"\xff\x00 no envelope", b"raw 1").await;
    f.add_by_hand(id(2).as_str(), &of_another, b"raw 2").await;
    f.add_by_hand(id(3).as_str(), &packed.encode(), b"raw 3").await;
    let consumer = f.consumer();
    let deliveries = consumer.claim(10).await.unwrap();
    assert_eq!(uids(&deliveries), [1, 2, 3]);
    for (delivery, raw) in deliveries.iter().zip(["raw 1", "raw 2", "raw 3"]) {
        assert!(delivery.malformed().is_some());
        assert_eq!(delivery.raw(), raw);
        assert_eq!(JobOf(delivery.job_id().mail_ref()), JobOf(delivery.envelope().work.mail()));
    }
    assert_eq!(consumer.stats().malformed, 3);
    // Whoever looks at it later sees every byte.
    let rubbish = [
        (b"j".to_vec(), id(1).as_str().as_bytes().to_vec()),
        (b"e".to_vec(), b"\xff\x00 no envelope".to_vec()),
    ];
    assert_eq!(deliveries[0].fields(), rubbish);
    assert_eq!(deliveries[1].fields()[1].1, of_another);
    let letters = deliveries.into_iter().map(|delivery| (delivery, "malformed".to_owned())).collect();
    assert_eq!(consumer.dead_letter(letters).await.unwrap(), [Settled::Done; 3]);
}

#[tokio::test]
async fn the_mail_of_an_unreadable_entry_is_unpacked_and_an_entry_without_one_is_shown_all_the_same() {
    let f = Fixture::start();
    let mail = b"Subject: packed\r\n\r\n".repeat(200);
    let packed = zstd::bulk::compress(&mail, 1).unwrap();
    f.add_by_hand(id(1).as_str(), b"no envelope", &packed).await;
    let _: String = f.redis(&format!("XADD K:normal * j {} e rubbish x more x again", id(2))).await;
    let consumer = f.consumer();
    let deliveries = consumer.claim(10).await.unwrap();
    assert_eq!(uids(&deliveries), [1, 2]);
    assert_eq!((deliveries[0].raw().as_ref(), deliveries[1].raw().as_ref()), (&mail[..], &b""[..]));
    assert_eq!((consumer.stats().malformed, consumer.stats().blob_gone), (2, 0));
    let fields: Vec<&[u8]> = deliveries[1].fields().iter().map(|(_, value)| value.as_slice()).collect();
    assert_eq!(fields[1..], [&b"rubbish"[..], b"more", b"again"]);
    let letters = deliveries.into_iter().map(|delivery| (delivery, "malformed".to_owned())).collect();
    assert_eq!(consumer.dead_letter(letters).await.unwrap(), [Settled::Done; 2]);
}

#[derive(Debug, PartialEq)]
struct JobOf(Option<MailRef>);

#[tokio::test]
async fn an_entry_without_a_job_goes_to_the_dead_stream_as_it_is_and_stops_nobody() {
    let f = Fixture::start();
    let _: String = f.redis("XADD K:normal * note hello").await;
    let _: String = f.redis("XADD K:normal * j nonsense e {} r x").await;
    f.enqueue(Lane::Normal, [1]).await;
    let consumer = f.consumer();
    let deliveries = consumer.claim(10).await.unwrap();
    assert_eq!(uids(&deliveries), [1]);
    assert_eq!((consumer.stats().quarantined, consumer.held()), (2, 1));
    let dead: redis::Value = f.redis("XRANGE K:dead - +").await;
    let dead = format!("{dead:?}");
    assert!(dead.contains("note") && dead.contains("hello") && dead.contains("nonsense"), "{dead}");
    consumer.done(deliveries).await.unwrap();
}

#[tokio::test]
async fn an_entry_of_any_number_of_fields_is_quarantined_whole() {
    let f = Fixture::start();
    let fields =
        |from: u32, to: u32| (from..to).map(|n| format!("field{n} value{n}")).collect::<Vec<_>>().join(" ");
    let _: String = f.redis(&format!("XADD K:normal * {}", fields(0, 33))).await;
    let _: String = f.redis(&format!("XADD K:normal * {}", fields(33, 9_000))).await;
    let consumer = f.consumer();
    assert!(consumer.claim(10).await.unwrap().is_empty());
    assert_eq!((consumer.stats().quarantined, f.redis::<u64>("XLEN K:normal").await), (2, 0));
    let lines: Vec<(String, std::collections::BTreeMap<String, String>)> = f.redis("XRANGE K:dead - +").await;
    let mut kept: Vec<u32> = Vec::new();
    for (field, value) in lines.iter().flat_map(|(_, fields)| fields) {
        let number = field.strip_prefix("field").unwrap();
        assert_eq!(value.strip_prefix("value"), Some(number));
        kept.push(number.parse().unwrap());
    }
    kept.sort_unstable();
    assert_eq!(kept, (0..9_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_entry_deleted_behind_our_back_harms_nobody_and_its_job_can_be_enqueued_again() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=3).await;
    let (dead, living) = (f.consumer(), f.consumer());
    let _keeper = living.spawn_keeper().unwrap();
    let held = dead.claim(2).await.unwrap();
    let entry = held[0].entry_id().to_owned();
    let _: u64 = f.redis(&format!("XDEL K:normal {entry}")).await;
    die_with(held);
    let deliveries = reclaimed(&living).await;
    assert_eq!(uids(&deliveries), [2]);
    living.done(deliveries).await.unwrap();
    assert_eq!(f.queue.live(&[id(1)]).await.unwrap(), [false]);
    f.enqueue(Lane::Normal, [1]).await;
    assert_eq!(uids(&[claim_one(&living).await]), [3]);
    assert_eq!(uids(&[claim_one(&living).await]), [1]);
}
