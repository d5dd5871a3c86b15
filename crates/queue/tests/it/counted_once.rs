//! A lost lease is counted once, and what was given up on purpose is none.

use mailfleet_model::Lane;
use mailfleet_queue::Settled;
use mailfleet_testkit::eventually;

use crate::fixture::{Fixture, SOON};

#[tokio::test]
async fn a_lost_lease_is_counted_when_it_is_noticed_and_not_again_when_its_delivery_ends() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=3).await;
    let consumer = f.consumer();
    let deliveries = consumer.claim(3).await.unwrap();
    f.redis.flushall().await;
    for node in &f.others {
        node.flushall().await;
    }
    let keeper = consumer.spawn_keeper().unwrap();
    eventually("the losses to be seen", SOON, || async { (consumer.held() == 0).then_some(()) }).await;
    drop(keeper);
    assert_eq!(consumer.stats().leases_lost, 3);
    assert_eq!(consumer.done(deliveries).await.unwrap(), [Settled::LostLease; 3]);
    assert_eq!(consumer.stats().leases_lost, 3);
}

#[tokio::test]
async fn what_was_handed_back_with_the_good_bye_is_no_lost_lease() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=3).await;
    let consumer = f.consumer();
    let deliveries = consumer.claim(3).await.unwrap();
    consumer.leave().await.unwrap();
    assert_eq!(consumer.done(deliveries).await.unwrap(), [Settled::LostLease; 3]);
    assert_eq!(consumer.stats().leases_lost, 0);
}
