//! One process at a time.

use std::time::Duration;

use mailfleet_store::{ANALYTICS_LEASE, Marked, RolledUp};

use super::{Message, page, run};
use crate::support::World;

const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_ask_at_once_one_holds_the_lease() {
    let world = World::new().await;
    let asked: Vec<_> = (0..6)
        .map(|number| {
            let store = world.store.clone();
            tokio::spawn(async move { store.take_lease(ANALYTICS_LEASE, &format!("p{number}"), LONG).await })
        })
        .collect();
    let mut taken = Vec::new();
    for lease in asked {
        taken.extend(lease.await.unwrap().unwrap());
    }
    assert_eq!(taken.len(), 1);
    assert!(world.store.take_roller("late").await.unwrap().is_none());
    assert!(world.store.renew_lease(&taken[0], LONG).await.unwrap());
    assert!(world.store.release_lease(&taken[0]).await.unwrap());
    let next = world.store.take_lease(ANALYTICS_LEASE, "late", LONG).await.unwrap().unwrap();
    assert_eq!(next.epoch(), taken[0].epoch() + 1);
    assert!(!world.store.renew_lease(&taken[0], LONG).await.unwrap(), "the epoch has gone on");
    assert!(!world.store.release_lease(&taken[0]).await.unwrap());
    assert!(world.store.renew_lease(&next, LONG).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_takes_its_own_lease_again_and_a_lease_that_ran_out_is_anybodys() {
    let world = World::new().await;
    let first = world.store.take_lease(ANALYTICS_LEASE, "one", LONG).await.unwrap().unwrap();
    let again = world.store.take_lease(ANALYTICS_LEASE, "one", LONG).await.unwrap().unwrap();
    assert_eq!(again.epoch(), first.epoch() + 1);
    assert_eq!(world.store.take_lease(ANALYTICS_LEASE, "two", LONG).await.unwrap(), None);
    world.sql("UPDATE mailfleet.leases SET expires = now()");
    assert!(world.store.take_lease(ANALYTICS_LEASE, "two", LONG).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stale_holder_counted_is_refused() {
    let world = World::new().await;
    run(&world.store).await;
    let mut stale = world.store.take_roller("stale").await.unwrap().expect("a free lease");
    world.sql("UPDATE mailfleet.leases SET expires = now()");
    let fresh =
        world.store.take_lease(ANALYTICS_LEASE, "fresh", LONG).await.unwrap().expect("one that ran out");
    world.sql(&Message::default().sql(&world));
    assert_eq!(stale.mark().await.unwrap(), Marked::LeaseLost);
    assert_eq!(page(stale).await.unwrap(), RolledUp::LeaseLost);
    assert_eq!(world.count("analytics.tenant_day"), 0);
    assert_eq!(world.count("mailfleet.analytics_changes"), 1);
    assert!(world.store.renew_lease(&fresh, LONG).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_lost_in_the_middle_of_a_page_refuses_its_commit() {
    let world = World::new().await;
    world.sql(&Message::default().sql(&world));
    let rival = world.rival().await;
    rival.batch_execute("BEGIN; LOCK TABLE analytics.tenant_day IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let store = world.store.clone();
    let slow = tokio::spawn(async move { page(store.seize_roller("slow").await.unwrap()).await });
    world.waiting_backend().await;
    let operator = world.store.seize_roller("operator").await.unwrap();
    rival.batch_execute("COMMIT").await.unwrap();
    assert_eq!(slow.await.unwrap().unwrap(), RolledUp::LeaseLost);
    assert_eq!(world.count("analytics.mailbox_day"), 0);
    assert!(operator.lease().epoch() > 1);
    run(&world.store).await;
    assert_eq!(world.count("analytics.mailbox_day"), 1);
}
