//! Entries that cannot be delivered as they should.

use std::time::{Duration, Instant};

use mailfleet_model::{Class, Lane, MailRef};
use mailfleet_queue::{Failure, Settled, State};
use mailfleet_testkit::eventually;

use crate::fixture::{
    Fixture, LEASE, SOON, at, claim_one, die_with, envelope, id, job, keys, reclaimed, uids,
};

impl Fixture {
    async fn normal_in_flight(&self) -> Option<u64> {
        self.queue.depth().await.unwrap().lane(Lane::Normal).in_flight
    }

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
    let (consumer, given_back) = (f.consumer(), Instant::now());
    assert!(consumer.claim(10).await.unwrap().is_empty());
    assert_eq!((consumer.stats().unknown_version, consumer.held()), (1, 0));
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
    assert!(given_back.elapsed() > LEASE, "{:?}", given_back.elapsed());
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
async fn entries_without_a_job_stop_nobody_and_stay_until_whoever_found_them_has_kept_them() {
    let f = Fixture::start();
    let fields = (0..9_000).map(|n| format!("field{n} value{n}")).collect::<Vec<_>>().join(" ");
    let many: String = f.redis(&format!("XADD K:normal * {fields}")).await;
    let _: String = f.redis("XADD K:normal * j nonsense e {} r x").await;
    f.enqueue(Lane::Normal, [1]).await;
    let consumer = f.consumer();
    let deliveries = consumer.claim(10).await.unwrap();
    assert_eq!(uids(&deliveries), [1]);
    consumer.done(deliveries).await.unwrap();

    let found = consumer.take_strays();
    assert!(consumer.take_strays().is_empty(), "told once");
    let config = f.queue.config();
    let name = format!("u:{}:{}:normal:{many}", config.queue, 1 % config.partitions);
    assert_eq!((found[0].name().as_str(), found[0].lane(), found.len()), (name.as_str(), Lane::Normal, 2));
    assert_eq!(found[0].fields().len(), 9_000);
    assert_eq!(found[0].fields()[8_999], (b"field8999".to_vec(), b"value8999".to_vec()));
    assert_eq!(found[1].fields()[0], (b"j".to_vec(), b"nonsense".to_vec()));
    assert_eq!(
        (f.redis::<u64>("XLEN K:normal").await, consumer.held()),
        (2, 2),
        "nothing is kept of them yet"
    );
    consumer.put_away(found).await.unwrap();
    assert_eq!(
        (f.redis::<u64>("XLEN K:normal").await, consumer.held(), consumer.stats().quarantined),
        (0, 0, 2)
    );
    assert_eq!(f.queue.depth().await.unwrap().lane(Lane::Normal).total(), Some(0));
}

#[tokio::test]
async fn an_entry_without_a_job_whose_finder_dies_is_found_again_under_the_same_name_and_not_taken_from_whoever_has_it()
 {
    let f = Fixture::start();
    let _: String = f.redis("XADD K:normal * note hello").await;
    let (dead, living) = (f.consumer(), f.consumer());
    let _keeper = living.spawn_keeper().unwrap();
    assert!(dead.claim(10).await.unwrap().is_empty());
    let lost = dead.take_strays();
    let found = eventually("it to be found again", SOON, || async {
        assert!(living.reclaim(10).await.unwrap().is_empty());
        living.take_strays().pop()
    })
    .await;
    assert_eq!(found.name(), lost[0].name());
    dead.put_away(lost).await.unwrap();
    assert_eq!((dead.stats().quarantined, f.redis::<u64>("XLEN K:normal").await), (0, 1), "it is another's");
    living.put_away(vec![found]).await.unwrap();
    assert_eq!((living.stats().quarantined, f.redis::<u64>("XLEN K:normal").await), (1, 0));
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

#[tokio::test]
async fn what_hands_took_off_the_pending_list_runs_again_once_the_sweep_has_asked_for_it() {
    let f = Fixture::start();
    for way in ["XACK", "DELCONSUMER", "SETID"] {
        let _: String = f.redis("FLUSHALL").await;
        f.enqueue(Lane::Normal, 1..=3).await;
        let (consumer, other) = (f.consumer(), f.consumer());
        let held = consumer.claim(if way == "SETID" { 1 } else { 2 }).await.unwrap();
        let name = consumer.name();
        let (first, last) = (held[0].entry_id().to_owned(), held[held.len() - 1].entry_id().to_owned());
        let _: redis::Value = match way {
            "XACK" => f.redis(&format!("XACK K:normal consumers {first} {last}")).await,
            "DELCONSUMER" => f.redis(&format!("XGROUP DELCONSUMER K:normal consumers {name}")).await,
            _ => f.redis("XGROUP SETID K:normal consumers $").await,
        };
        let new = other.claim(10).await.unwrap();
        assert_eq!(
            uids(&new),
            if way == "SETID" { vec![] } else { vec![3] },
            "{way}: nobody gets the others"
        );
        assert_eq!(f.queue.live(&[id(1), id(2), id(3)]).await.unwrap(), [true; 3], "{way}");
        let back = other.claim(10).await.unwrap();
        assert_eq!(uids(&back), if way == "SETID" { vec![2, 3] } else { vec![1, 2] }, "{way}");
        assert!(
            back.iter().all(|delivery| !delivery.run_alone() && delivery.counters().crashes == 0),
            "{way}"
        );
        // What is in somebody's hands or waits for its turn is left there.
        assert_eq!(f.queue.live(&[id(1), id(2), id(3)]).await.unwrap(), [true; 3], "{way}");
        assert_eq!((other.claim(10).await.unwrap().len(), f.normal_in_flight().await), (0, Some(3)), "{way}");
        let old = consumer.done(held).await.unwrap();
        let expected = if way == "SETID" { vec![Settled::Done] } else { vec![Settled::LostLease; 2] };
        assert_eq!(old, expected, "{way}");
        let rest: Vec<_> = new.into_iter().chain(back).collect();
        assert!(other.done(rest).await.unwrap().iter().all(|settled| *settled == Settled::Done), "{way}");
    }
}

#[tokio::test]
async fn a_retry_whose_due_time_was_lost_runs_once_the_sweep_has_asked_for_it_and_one_that_has_its_own_waits()
{
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=3).await;
    let consumer = f.consumer();
    let mut held = consumer.claim(3).await.unwrap();
    let entry = held[1].entry_id().to_owned();
    let failure = Failure::new(Class::Transient, "no");
    let an_hour = Duration::from_secs(3_600);
    consumer.retry(held.remove(0), an_hour, &failure).await.unwrap();
    consumer.crashed(held.remove(0), an_hour, &failure).await.unwrap();
    let _: u64 = f.redis("DEL K:delayed").await;
    consumer.retry(held.remove(0), an_hour, &failure).await.unwrap();
    assert!(consumer.claim(10).await.unwrap().is_empty());
    assert_eq!(f.queue.live(&[id(1), id(2), id(3)]).await.unwrap(), [true; 3]);
    let back = consumer.claim(10).await.unwrap();
    assert_eq!(uids(&back), [1, 2], "3 has its due time");
    assert_eq!(back[0].counters().attempts, 1);
    consumer.done(back).await.unwrap();

    // Of what is known to have crashed, the mark by which it runs alone is lost with the pending list; the crash is not.
    f.enqueue(Lane::Normal, [2]).await;
    let again = claim_one(&consumer).await;
    assert_ne!(again.entry_id(), entry);
    consumer.crashed(again, Duration::ZERO, &failure).await.unwrap();
    let again = eventually("it to be due", SOON, || async { consumer.claim(1).await.unwrap().pop() }).await;
    let _: u64 = f.redis(&format!("XACK K:normal consumers {}", again.entry_id())).await;
    f.queue.live(&[id(2)]).await.unwrap();
    let alone = claim_one(&consumer).await;
    assert!(alone.run_alone() && alone.counters().crashes == 1, "{alone:?}");
    consumer.done(vec![alone]).await.unwrap();
    drop(again);
}
