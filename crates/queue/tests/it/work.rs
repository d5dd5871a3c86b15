//! Several consumers at work.

use std::collections::BTreeMap;
use std::time::Duration;

use mailfleet_model::Lane;
use mailfleet_queue::{Consumer, Enqueued, NewJob, Settled};

use crate::fixture::{Fixture, Patience, at, envelope, uids};

/// Works until the queue has been found empty, and returns what it did.
async fn work(
    consumer: Consumer,
    expected_total: usize,
    done: std::sync::Arc<std::sync::atomic::AtomicUsize>,
) -> Vec<u32> {
    let _keeper = consumer.spawn_keeper().unwrap();
    let mut seen = Vec::new();
    let patience = Patience::with("the work of all");
    while done.load(std::sync::atomic::Ordering::Relaxed) < expected_total {
        patience.lasts();
        let deliveries = consumer.claim(37).await.unwrap();
        if deliveries.is_empty() {
            consumer.wait(Duration::from_millis(100)).await;
            continue;
        }
        for delivery in &deliveries {
            assert_eq!(delivery.raw(), &format!("mail {}", delivery.envelope().work.mail().unwrap().uid));
        }
        seen.extend(uids(&deliveries));
        let settled = consumer.done(deliveries).await.unwrap();
        assert!(settled.iter().all(|settled| *settled == Settled::Done));
        done.fetch_add(settled.len(), std::sync::atomic::Ordering::Relaxed);
    }
    consumer.leave().await.unwrap();
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_consumers_do_two_thousand_jobs_once_each() {
    let f = Fixture::start();
    let done = std::sync::Arc::default();
    let workers = [(); 2].map(|()| tokio::spawn(work(f.consumer(), 2_000, std::sync::Arc::clone(&done))));
    for chunk in (1..=2_000u32).collect::<Vec<_>>().chunks(100) {
        let lane = Lane::ALL[chunk[0] as usize / 100 % 3];
        f.enqueue(lane, chunk.iter().copied()).await;
    }
    let mut times = BTreeMap::new();
    for worker in workers {
        for uid in worker.await.unwrap() {
            *times.entry(uid).or_insert(0) += 1;
        }
    }
    assert_eq!(times.len(), 2_000);
    assert!(times.values().all(|times| *times == 1));
    let depth = f.queue.depth().await.unwrap();
    assert!(depth.lanes.iter().all(|lane| lane.total() == Some(0)), "{depth:?}");
    assert_eq!(f.redis::<u64>("HLEN K:live").await, 0);
}

#[tokio::test]
async fn several_partitions_are_one_queue() {
    let f = Fixture::start_with(&[], |config| config.partitions = 4);
    let of = |account: u128, lane| NewJob { envelope: envelope(at(account, 1), 4), lane, raw: "mail".into() };
    let mut jobs: Vec<_> = (1..=40).map(|account| of(account, Lane::Low)).collect();
    jobs.extend((101..=140).map(|account| of(account, Lane::High)));
    let ids: Vec<_> = jobs.iter().map(NewJob::job_id).collect();
    let enqueued = f.queue.enqueue(jobs.clone()).await.unwrap();
    assert!(enqueued.iter().all(|enqueued| *enqueued == Enqueued::Queued));
    assert!(f.queue.enqueue(jobs).await.unwrap().iter().all(|enqueued| *enqueued == Enqueued::AlreadyLive));
    assert!(f.queue.live(&ids).await.unwrap().iter().all(|live| *live));
    assert_eq!(f.queue.depth().await.unwrap().lane(Lane::High).waiting, Some(40));

    let consumer = f.consumer();
    let deliveries = consumer.claim(50).await.unwrap();
    assert_eq!(deliveries.len(), 50);
    let high = deliveries.iter().filter(|delivery| delivery.lane() == Lane::High).count();
    assert!(high >= 40, "{high} of 50: the high lanes of all partitions go before the low lane of any");
    let rest = consumer.claim(50).await.unwrap();
    assert_eq!(rest.len(), 30);
    let all: Vec<_> = deliveries.into_iter().chain(rest).collect();
    assert_eq!(consumer.done(all).await.unwrap(), [Settled::Done; 80]);
    let depth = f.queue.depth().await.unwrap();
    assert!(depth.lanes.iter().all(|lane| lane.total() == Some(0)), "{depth:?}");
}
