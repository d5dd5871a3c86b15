//! A stale owner: its entries were taken over while it still works on them.

use mailfleet_model::{Class, Lane};
use mailfleet_queue::{Consumer, Delivery, Failure, Settled, State};
use mailfleet_testkit::eventually;

use crate::fixture::{Fixture, SOON, claim_one, id, reclaimed, uids};

/// One entry that was `stale`'s and is `owner`'s now.
async fn taken_over(f: &Fixture, stale: &Consumer, owner: &Consumer) -> (Delivery, Delivery) {
    f.enqueue(Lane::Normal, [1]).await;
    let old = claim_one(stale).await;
    let mut new = reclaimed(owner).await;
    assert_eq!(uids(&new), [1]);
    (old, new.remove(0))
}

async fn owner_of(f: &Fixture, uid: u32) -> String {
    match f.queue.locate(&id(uid)).await.unwrap().unwrap().state {
        State::InFlight { consumer, .. } => consumer,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_stale_owner_can_do_nothing_to_an_entry() {
    for way in ["done", "retry", "dead_letter", "hand_back", "delay", "keep_alive", "leave"] {
        let f = Fixture::start();
        let (stale, owner) = (f.consumer(), f.consumer());
        let keeper = owner.spawn_keeper().unwrap();
        let (old, new) = taken_over(&f, &stale, &owner).await;
        let settled = match way {
            "done" => stale.done(vec![old]).await.unwrap()[0],
            "retry" => stale.retry(old, SOON, &Failure::new(Class::Transient, "late")).await.unwrap(),
            "dead_letter" => stale.dead_letter(vec![(old, "late".to_owned())]).await.unwrap()[0],
            "hand_back" => stale.hand_back(vec![old]).await.unwrap()[0],
            "delay" => stale.delay_uncounted(vec![old], SOON).await.unwrap()[0],
            "leave" => {
                stale.leave().await.unwrap();
                stale.done(vec![old]).await.unwrap()[0]
            }
            _ => {
                assert!(!old.lease_lost());
                let _keeper = stale.spawn_keeper().unwrap();
                eventually("the loss to be seen", SOON, || async { old.lease_lost().then_some(()) }).await;
                assert_eq!((stale.held(), stale.stats().leases_lost), (0, 1));
                stale.done(vec![old]).await.unwrap()[0]
            }
        };
        assert_eq!(settled, Settled::LostLease, "{way}");
        assert_eq!(owner_of(&f, 1).await, owner.name().as_str(), "{way}");
        assert_eq!(f.queue.locate(&id(1)).await.unwrap().unwrap().counters, new.counters(), "{way}");
        assert!(!new.lease_lost(), "{way}");
        assert_eq!(owner.done(vec![new]).await.unwrap(), [Settled::Done], "{way}");
        assert_eq!(f.queue.depth().await.unwrap().dead, Some(0), "{way}");
        drop(keeper);
    }
}

#[tokio::test]
async fn a_stale_owner_takes_neither_record_nor_mail_from_the_job_enqueued_again() {
    let f = Fixture::start();
    let mail = || {
        crate::fixture::job(
            1,
            Lane::Normal,
            (0..9_000).map(|n: u32| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect::<Vec<_>>(),
        )
    };
    f.queue.enqueue(vec![mail()]).await.unwrap();
    let (stale, owner) = (f.consumer(), f.consumer());
    let old = claim_one(&stale).await;
    f.redis.flushall().await;
    f.queue.enqueue(vec![mail()]).await.unwrap();
    assert_eq!(stale.done(vec![old]).await.unwrap(), [Settled::LostLease]);
    let new = claim_one(&owner).await;
    assert_eq!(new.raw(), &mail().raw);
    assert_eq!(owner.done(vec![new]).await.unwrap(), [Settled::Done]);
}

#[tokio::test]
async fn of_two_entries_of_one_job_the_first_to_end_leaves_the_other_its_record_and_mail() {
    let f = Fixture::start();
    let mail = || {
        let raw: Vec<u8> = (0..9_000).map(|n: u32| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        crate::fixture::job(1, Lane::Normal, raw)
    };
    f.queue.enqueue(vec![mail()]).await.unwrap();
    let consumer = f.consumer();
    let first = claim_one(&consumer).await;
    // Part of Redis' memory was lost (evicted, or deleted by hand) and the sweep brought the job again.
    let _: u64 = f.redis("DEL K:live").await;
    assert_eq!(f.queue.enqueue(vec![mail()]).await.unwrap(), [mailfleet_queue::Enqueued::Queued]);
    assert_eq!(consumer.done(vec![first]).await.unwrap(), [Settled::Done]);
    assert_eq!(f.queue.live(&[id(1)]).await.unwrap(), [true]);
    let second = claim_one(&consumer).await;
    assert_eq!((second.raw(), consumer.stats().blob_gone), (&mail().raw, 0));
    assert_eq!(consumer.done(vec![second]).await.unwrap(), [Settled::Done]);
    assert_eq!(f.queue.live(&[id(1)]).await.unwrap(), [false]);
}

/// One entry that was the consumer's, was lost to another one and has come back to it: the delivery that was lost, and
/// the one that counts.
async fn come_back(f: &Fixture, consumer: &Consumer) -> (Delivery, Delivery) {
    let other = f.consumer();
    let keeper = other.spawn_keeper().unwrap();
    let (lost, taken) = taken_over(f, consumer, &other).await;
    assert_eq!(other.hand_back(vec![taken]).await.unwrap(), [Settled::Done]);
    drop(keeper);
    let new = claim_one(consumer).await;
    assert_eq!(new.entry_id(), lost.entry_id());
    (lost, new)
}

#[tokio::test]
async fn a_lost_delivery_that_is_dropped_leaves_the_lease_of_the_next_one_alive() {
    let f = Fixture::start();
    let consumer = f.consumer();
    let (lost, new) = come_back(&f, &consumer).await;
    drop(lost);
    assert_eq!(consumer.held(), 1);
    let (name, entry) = (consumer.name(), new.entry_id());
    let _: Vec<String> =
        f.redis(&format!("XCLAIM K:normal consumers {name} 0 {entry} IDLE 600000 JUSTID")).await;
    let keeper = consumer.spawn_keeper().unwrap();
    eventually("the lease to be renewed", SOON, || async {
        match f.queue.locate(&id(1)).await.unwrap().unwrap().state {
            State::InFlight { idle_ms, .. } => (idle_ms < 600_000).then_some(()),
            other => panic!("{other:?}"),
        }
    })
    .await;
    drop(keeper);
    assert!(!new.lease_lost());
    assert_eq!(consumer.done(vec![new]).await.unwrap(), [Settled::Done]);
}

#[tokio::test]
async fn a_lost_delivery_cannot_finish_the_entry_that_came_back() {
    let f = Fixture::start();
    let consumer = f.consumer();
    let (lost, new) = come_back(&f, &consumer).await;
    assert_eq!(consumer.done(vec![lost]).await.unwrap(), [Settled::LostLease]);
    assert_eq!((owner_of(&f, 1).await.as_str(), consumer.held()), (consumer.name().as_str(), 1));
    assert_eq!(consumer.done(vec![new]).await.unwrap(), [Settled::Done]);
    assert_eq!((consumer.held(), consumer.stats().leases_lost), (0, 1));
}

#[tokio::test]
async fn a_lost_delivery_neither_puts_off_nor_recounts_the_entry_that_came_back() {
    let f = Fixture::start();
    let consumer = f.consumer();
    let (lost, new) = come_back(&f, &consumer).await;
    assert_eq!(new.counters().drains, 1);
    let failure = Failure::new(Class::Transient, "late");
    assert_eq!(consumer.retry(lost, SOON, &failure).await.unwrap(), Settled::LostLease);
    assert_eq!(owner_of(&f, 1).await, consumer.name().as_str());
    assert_eq!(f.queue.locate(&id(1)).await.unwrap().unwrap().counters, new.counters());
    assert_eq!(consumer.done(vec![new]).await.unwrap(), [Settled::Done]);
}

#[tokio::test]
async fn of_a_batch_only_the_lost_deliveries_are_refused() {
    let f = Fixture::start();
    let consumer = f.consumer();
    let (lost, new) = come_back(&f, &consumer).await;
    f.enqueue(Lane::Normal, [2]).await;
    let other = claim_one(&consumer).await;
    assert_eq!((lost.lease_lost(), new.lease_lost()), (true, false));
    let settled = consumer.done(vec![other, lost, new]).await.unwrap();
    assert_eq!(settled, [Settled::Done, Settled::LostLease, Settled::Done]);
    assert_eq!(f.queue.live(&[id(1), id(2)]).await.unwrap(), [false, false]);
}

#[tokio::test]
async fn a_stale_owner_can_do_nothing_to_another_job_that_has_the_same_entry_id() {
    for way in ["done", "retry", "dead_letter", "hand_back"] {
        let f = Fixture::start();
        let consumer = f.consumer();
        f.enqueue(Lane::Normal, [1]).await;
        let old = claim_one(&consumer).await;
        // Everything is lost and the clock was set back; of the claim of the new entry no answer arrives.
        f.redis.flushall().await;
        let (name, entry, job) = (consumer.name(), old.entry_id().to_owned(), id(2));
        let _: String = f.redis(&format!("XADD K:normal {entry} j {job} e x r x")).await;
        let _: u64 = f.redis(&format!("HSET K:live {job} Q|n|{entry}")).await;
        let _: String = f.redis("XGROUP CREATE K:normal consumers 0").await;
        let _: redis::Value = f.redis(&format!("XREADGROUP GROUP consumers {name} STREAMS K:normal >")).await;
        let settled = match way {
            "done" => consumer.done(vec![old]).await.unwrap()[0],
            "retry" => consumer.retry(old, SOON, &Failure::new(Class::Transient, "late")).await.unwrap(),
            "dead_letter" => consumer.dead_letter(vec![(old, "late".to_owned())]).await.unwrap()[0],
            _ => consumer.hand_back(vec![old]).await.unwrap()[0],
        };
        assert_eq!(settled, Settled::LostLease, "{way}");
        assert_eq!(owner_of(&f, 2).await, name.as_str(), "{way}");
    }
}

#[tokio::test]
async fn the_lease_of_another_job_under_the_same_entry_id_is_not_kept_alive() {
    let f = Fixture::start();
    let consumer = f.consumer();
    f.enqueue(Lane::Normal, [1]).await;
    let old = claim_one(&consumer).await;
    // Everything is lost, the clock is set back, and the id is given again: to job 2, for the same consumer.
    f.redis.flushall().await;
    let (entry, name) = (old.entry_id().to_owned(), consumer.name().to_string());
    let _: String = f.redis(&format!("XADD K:normal {entry} j {} e {{}} r x", id(2))).await;
    let _: String = f.redis("XGROUP CREATE K:normal consumers 0").await;
    let _: redis::Value = f.redis(&format!("XREADGROUP GROUP consumers {name} STREAMS K:normal >")).await;
    let _keeper = consumer.spawn_keeper().unwrap();
    eventually("the loss to be seen", SOON, || async { old.lease_lost().then_some(()) }).await;
    assert_eq!((consumer.held(), consumer.stats().leases_lost), (0, 1));
    assert!(!consumer.begin(&old).await.unwrap());
    assert_eq!(consumer.done(vec![old]).await.unwrap(), [Settled::LostLease]);
    assert_eq!(f.redis::<u64>("XLEN K:normal").await, 1);
}
