//! Both protocols of Redis, as `queue.url` asks for them.

use mailfleet_model::Lane;
use mailfleet_queue::{ConsumerName, Queue, Settled};

use crate::fixture::{Fixture, SOON, config, job, uids, until_it_listens, until_it_rings};

#[tokio::test]
async fn a_life_of_jobs_is_the_same_by_either_protocol() {
    let f = Fixture::start_with(&[], |config| config.partitions = 1);
    for protocol in ["resp2", "resp3"] {
        let url = format!("{}?protocol={protocol}", f.queue.config().url.expose());
        let queue = Queue::connect(&config(url)).unwrap();
        queue.prepare().await.unwrap();
        let consumer = queue.consumer(ConsumerName::for_this_process());
        queue.enqueue((1..=4).map(|uid| job(uid, Lane::Normal, vec![b'x'; 20_000])).collect()).await.unwrap();
        let mut deliveries = consumer.claim(4).await.unwrap();
        assert_eq!(uids(&deliveries), [1, 2, 3, 4], "{protocol}");
        let dead =
            deliveries.split_off(3).into_iter().map(|delivery| (delivery, "dead".to_owned())).collect();
        assert_eq!(consumer.dead_letter(dead).await.unwrap(), [Settled::Done]);
        let back = deliveries.split_off(2);
        consumer.hand_back(back).await.unwrap();
        let again = consumer.claim(4).await.unwrap();
        assert_eq!(uids(&again), [3], "{protocol}");
        assert_eq!(consumer.done(deliveries).await.unwrap(), [Settled::Done; 2]);
        assert_eq!(consumer.done(again).await.unwrap(), [Settled::Done]);
        let depth = queue.depth().await.unwrap();
        assert_eq!((depth.dead, depth.lane(Lane::Normal).total()), (Some(1), Some(0)), "{protocol}");
        let (lines, _) = queue.index_page(&mailfleet_queue::IndexPlace::default(), 10).await.unwrap();
        assert_eq!(queue.forget_lines(&lines).await.unwrap(), 1);
        until_it_listens(&consumer).await;
        let mut mails = 10..;
        until_it_rings(&consumer, SOON, || job(mails.next().unwrap(), Lane::Low, "ring")).await;
        let rung = consumer.claim(100).await.unwrap();
        assert!(!rung.is_empty());
        consumer.done(rung).await.unwrap();
    }
}
