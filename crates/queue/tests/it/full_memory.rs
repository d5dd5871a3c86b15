//! Redis is at its memory limit, and processes come and go: what empties it must not wait for room.

use mailfleet_model::Lane;
use mailfleet_queue::{Enqueued, Queue, Settled};

use crate::fixture::{Fixture, job, uids};

impl Fixture {
    /// From now on Redis has more in it than it may, or again no limit.
    fn limit(&self, limited: bool) {
        let bytes = if limited { "1" } else { "0" };
        for done in self.everywhere::<String>(&format!("CONFIG SET maxmemory {bytes}")) {
            assert_eq!(done, "OK");
        }
    }
}

#[tokio::test]
async fn a_consumer_that_starts_while_redis_is_full_empties_it() {
    // With groups that are there, and with none.
    for is_new in [false, true] {
        let f = Fixture::start();
        if !is_new {
            f.queue.ensure_groups().await.unwrap();
        }
        f.enqueue(Lane::Normal, 1..=3).await;
        f.limit(true);
        let queue = Queue::connect(f.queue.config()).unwrap();
        queue.prepare().await.unwrap();
        let consumer = queue.consumer(mailfleet_queue::ConsumerName::for_this_process());
        let deliveries = consumer.claim(3).await.unwrap();
        assert_eq!(uids(&deliveries), [1, 2, 3]);
        assert!(f.queue.enqueue(vec![job(4, Lane::Normal, "more")]).await.unwrap_err().is_outage());
        assert_eq!(consumer.done(deliveries).await.unwrap(), [Settled::Done; 3]);
        consumer.leave().await.unwrap();
        f.limit(false);
        let enqueued = f.queue.enqueue(vec![job(4, Lane::Normal, "more")]).await.unwrap();
        assert_eq!(enqueued, [Enqueued::Queued]);
    }
}

#[tokio::test]
async fn whatever_asks_or_orders_works_while_redis_is_full() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=3).await;
    let before = f.queue.run_id().await.unwrap();
    f.limit(true);
    assert_eq!(f.queue.run_id().await.unwrap(), before);
    assert_eq!(f.queue.live(&[crate::fixture::id(1)]).await.unwrap(), [true]);
    f.queue.pause(Some(Lane::Low), "me", "").await.unwrap();
    f.queue.close("me", "full").await.unwrap();
    let depth = f.queue.depth().await.unwrap();
    assert_eq!((depth.closed, depth.lane(Lane::Low).paused), (Some(true), Some(true)));
    assert!(f.queue.resume(None).await.unwrap());
    assert_eq!(f.queue.depth().await.unwrap().lane(Lane::Normal).total(), Some(3));
}
