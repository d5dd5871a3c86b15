//! After the good-bye nothing is taken any more, whoever was about to.

use std::time::Duration;

use mailfleet_model::Lane;
use mailfleet_testkit::eventually;
use tokio::sync::mpsc;
use tokio::task::coop::has_budget_remaining;

use crate::fixture::{Fixture, LEASE, SOON, die_with};

/// Uses up what the runtime lets a task do at one go: at its next wait it has to stand back, although nothing holds it up.
async fn tire() {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    while has_budget_remaining() {
        sender.send(()).unwrap();
        receiver.recv().await.unwrap();
    }
}

#[tokio::test]
async fn a_claim_that_began_before_the_good_bye_and_has_its_turn_after_it_takes_nothing() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=3).await;
    let leaving = f.consumer();
    let claim = tokio::spawn({
        let consumer = leaving.clone();
        async move {
            tire().await;
            consumer.claim(3).await.unwrap()
        }
    });
    tokio::task::yield_now().await;
    leaving.leave().await.unwrap();
    let late = claim.await.unwrap();
    assert!(late.is_empty(), "{late:?}");
}

#[tokio::test]
async fn a_reclaim_that_began_before_the_good_bye_and_has_its_turn_after_it_takes_nothing() {
    let f = Fixture::start();
    let leaving = f.consumer();
    f.enqueue(Lane::Normal, [1]).await;
    die_with(f.consumer().claim(1).await.unwrap());
    // Until it may reclaim, which takes a lease of contact.
    let _keeper = leaving.spawn_keeper().unwrap();
    eventually("a whole lease of contact", SOON, || async {
        let depth = f.queue.depth().await.unwrap();
        let age = Duration::from_millis(depth.lane(Lane::Normal).oldest.in_flight?);
        (age > LEASE * 2).then_some(())
    })
    .await;
    let reclaim = tokio::spawn({
        let consumer = leaving.clone();
        async move {
            tire().await;
            consumer.reclaim(3).await.unwrap()
        }
    });
    tokio::task::yield_now().await;
    leaving.leave().await.unwrap();
    let late = reclaim.await.unwrap();
    assert!(late.is_empty(), "{late:?}");
}
