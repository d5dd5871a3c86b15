//! A mail that waits is found by its Message-ID, and a search knows its bounds.

use std::time::Duration;

use mailfleet_model::{Class, Lane, lookup_message_id};
use mailfleet_queue::{FOUND_MAX, Failure, NewJob, State};

use crate::fixture::{Fixture, at, envelope, id};

fn with_id(account: u128, uid: u32, lane: Lane, message_id: &str) -> NewJob {
    let mut envelope = envelope(at(account, uid), 4);
    envelope.message_id = lookup_message_id(message_id);
    NewJob { envelope, lane, raw: "mail".into() }
}

#[tokio::test]
async fn a_mail_is_found_by_its_message_id_whatever_its_state() {
    let f = Fixture::start();
    let consumer = f.consumer();
    f.queue.enqueue(vec![with_id(1, 1, Lane::Normal, "<held@b>")]).await.unwrap();
    let held = consumer.claim(1).await.unwrap();
    f.queue.enqueue(vec![with_id(1, 2, Lane::Normal, "<late@b>")]).await.unwrap();
    for delivery in consumer.claim(1).await.unwrap() {
        let failure = Failure::new(Class::Transient, "again");
        consumer.retry(delivery, Duration::from_secs(600), &failure).await.unwrap();
    }
    f.queue.enqueue(vec![with_id(1, 3, Lane::Normal, "<back@b>")]).await.unwrap();
    consumer.hand_back(consumer.claim(1).await.unwrap()).await.unwrap();
    f.queue.enqueue(vec![with_id(1, 4, Lane::Low, "<new@b>"), with_id(1, 5, Lane::High, "")]).await.unwrap();

    for (message_id, uid) in [("held@b", 1), ("<late@b>", 2), (" <back@b> ", 3), ("new@b", 4)] {
        let found = f.queue.find_message(message_id, 1_000).await.unwrap();
        assert!(found.whole && found.looked_at == 5, "{found:?}");
        let [(job, location)] = found.jobs.as_slice() else { panic!("{message_id}: {found:?}") };
        assert_eq!(
            (job, &f.queue.locate(job).await.unwrap().unwrap().entry_id),
            (&id(uid), &location.entry_id)
        );
        let as_it_is = match uid {
            1 => matches!(location.state, State::InFlight { .. }),
            2 => matches!(location.state, State::Delayed { .. }) && location.counters.attempts == 1,
            3 => location.state == State::Waiting && location.counters.drains == 1,
            _ => location.state == State::Waiting && location.lane == Lane::Low,
        };
        assert!(as_it_is, "{location:?}");
    }
    consumer.done(held).await.unwrap();
    let gone = f.queue.find_message("held@b", 1_000).await.unwrap();
    assert!(gone.jobs.is_empty() && gone.whole && gone.looked_at == 4, "{gone:?}");
    for nothing in ["", "<>", "hel", "HELD@b"] {
        assert_eq!(f.queue.find_message(nothing, 1_000).await.unwrap().jobs, [], "{nothing}");
    }
}

#[tokio::test]
async fn every_partition_and_every_page_is_searched() {
    let f = Fixture::start_with(&[], |config| config.partitions = 4);
    for account in 1..=4 {
        let jobs = (1..=700).map(|uid| with_id(account, uid, Lane::Normal, "<filler@b>")).collect();
        f.queue.enqueue(jobs).await.unwrap();
        f.queue.enqueue(vec![with_id(account, 701, Lane::Normal, "<all@b>")]).await.unwrap();
    }
    let found = f.queue.find_message("all@b", 10_000).await.unwrap();
    assert_eq!((found.jobs.len(), found.looked_at, found.whole), (4, 2_804, true));
}

#[tokio::test]
async fn a_search_that_reached_a_bound_says_that_it_has_not_seen_all() {
    let f = Fixture::start();
    let jobs = (1..=300).map(|uid| with_id(1, uid, Lane::Normal, "<same@b>")).collect();
    f.queue.enqueue(jobs).await.unwrap();
    f.queue.enqueue(vec![with_id(1, 301, Lane::Low, "<last@b>")]).await.unwrap();

    let short = f.queue.find_message("last@b", 300).await.unwrap();
    assert_eq!((short.jobs.len(), short.looked_at, short.whole), (0, 300, false));
    let exact = f.queue.find_message("last@b", 301).await.unwrap();
    assert_eq!((exact.jobs.len(), exact.looked_at, exact.whole), (1, 301, true));
    let many = f.queue.find_message("same@b", 10_000).await.unwrap();
    assert_eq!((many.jobs.len(), many.looked_at, many.whole), (FOUND_MAX, FOUND_MAX, false));
    let none = f.queue.find_message("same@b", 0).await.unwrap();
    assert_eq!((none.jobs.len(), none.looked_at, none.whole), (0, 0, false));
}

#[tokio::test]
async fn entries_that_cannot_be_read_do_not_stop_a_search() {
    let f = Fixture::start();
    let _: String = f.redis("XADD K:normal * odd thing").await;
    let _: String = f.redis("XADD K:normal * j x e {} r y").await;
    f.queue.enqueue(vec![with_id(1, 1, Lane::Normal, "<a@b>")]).await.unwrap();
    let found = f.queue.find_message("a@b", 10).await.unwrap();
    assert_eq!((found.jobs.len(), found.looked_at, found.whole), (1, 3, true));
}
