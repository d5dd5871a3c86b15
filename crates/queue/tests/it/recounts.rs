//! A process that dies in the middle of a count of the accounts' entries, between any two of its round trips: another goes
//! on where it stopped, while entries come and go, and the numbers are exact at the end.

use std::collections::BTreeMap;

use mailfleet_model::Lane;
use mailfleet_queue::{Config, ConsumerName, CountPlace, Enqueued, NewJob, Queue};
use mailfleet_testkit::{Cut, Proxy, RedisServer};

use crate::fixture::{Fixture, Patience, at, config, envelope};

fn connect(queue: &str, port: u16) -> Queue {
    Queue::connect(&Config { queue: queue.to_owned(), ..config(format!("redis://127.0.0.1:{port}")) })
        .unwrap()
}

/// Enqueues one mail of each number; their accounts are 1 to 3, in turns.
async fn enqueue(queue: &Queue, numbers: std::ops::Range<u32>) {
    let job = |number: u32| NewJob {
        envelope: envelope(at(u128::from(number % 3 + 1), number + 1), 3),
        lane: if number.is_multiple_of(2) { Lane::Normal } else { Lane::Low },
        raw: "raw".into(),
    };
    let answers = queue.enqueue(numbers.map(job).collect()).await.unwrap();
    assert!(answers.iter().all(|answer| *answer == Enqueued::Queued), "{answers:?}");
}

/// What the queue says of the accounts, and what is there.
async fn numbers(redis: &RedisServer, queue: &str) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
    let mut connection = redis.connection().await;
    let prefix = format!("mailfleet:{{{queue}:0}}:");
    let mut command = redis::cmd("HGETALL");
    command.arg(format!("{prefix}accounts"));
    let fields: BTreeMap<String, String> = command.query_async(&mut connection).await.unwrap();
    let told = fields.into_iter().filter(|(field, _)| !field.starts_with('#'));
    let told = told.map(|(field, number)| (field, number.parse().unwrap())).collect();
    let mut counted = BTreeMap::new();
    for lane in ["normal", "low"] {
        let mut command = redis::cmd("XRANGE");
        command.arg(format!("{prefix}{lane}")).arg("-").arg("+");
        let entries: Vec<(String, BTreeMap<String, Vec<u8>>)> =
            command.query_async(&mut connection).await.unwrap();
        for (_, fields) in entries {
            let job = String::from_utf8(fields["j"].clone()).unwrap();
            let account = job.split(':').nth(1).unwrap();
            *counted.entry(format!("{account}|{}", &lane[..1])).or_default() += 1;
        }
    }
    (told, counted)
}

/// Dies at the n-th round trip of a count, if there are so many; whether it did.
async fn die_counting(redis: &RedisServer, n: u64, cut: Cut) -> bool {
    let name = format!("recount-{n}-{cut:?}");
    let queue = connect(&name, redis.port());
    enqueue(&queue, 0..40).await;
    // Somebody's hands, or a program of another version.
    for field in ["00000000000000000000000000000001|n", "00000000000000000000000000000009|l"] {
        let mut command = redis::cmd("HSET");
        command.arg(format!("mailfleet:{{{name}:0}}:accounts")).arg(field).arg(4_711);
        let _: i64 = command.query_async(&mut redis.connection().await).await.unwrap();
    }
    let proxy = Proxy::start(redis.port()).unwrap();
    let dying = connect(&name, proxy.port());
    dying.ping().await.unwrap();
    proxy.cut_at(n, cut);
    let mut place = Some(CountPlace::default());
    let patience = Patience::with("a count");
    while let Some(from) = place {
        patience.lasts();
        place = dying.recount_accounts(from, 3).await.unwrap_or(None);
    }
    let died = !proxy.is_armed();
    // Entries go from before and behind the place that was reached, and others come.
    let consumer = queue.consumer(ConsumerName::for_this_process());
    for _ in 0..3 {
        let taken = consumer.claim(4).await.unwrap();
        consumer.done(taken).await.unwrap();
    }
    enqueue(&queue, 100..107).await;
    let mut place = Some(CountPlace::default());
    while let Some(from) = place {
        patience.lasts();
        place = queue.recount_accounts(from, 5).await.unwrap();
        let taken = consumer.claim(1).await.unwrap();
        consumer.done(taken).await.unwrap();
    }
    let (told, counted) = numbers(redis, &name).await;
    assert_eq!(told, counted, "after a death at {cut:?} {n}");
    assert!(counted.len() >= 5, "{counted:?}");
    died
}

#[tokio::test]
async fn a_count_whose_process_dies_anywhere_is_finished_by_another_and_is_exact() {
    let redis = RedisServer::start().unwrap();
    for cut in [Cut::BeforeRequest, Cut::BeforeReply] {
        let mut deaths = 0;
        while die_counting(&redis, deaths + 1, cut).await {
            deaths += 1;
            assert!(deaths < 100, "a count never comes to its end");
        }
        assert!(deaths >= 10, "{deaths} round trips of a count");
    }
}

#[tokio::test]
async fn a_count_of_several_partitions_says_when_it_is_through_however_far_each_of_them_was() {
    let f = Fixture::start_with(&[], |config| config.partitions = 3);
    // Pages of two entries: the partitions have counts of different lengths, and one of them is in its midst already.
    let mails = |account: u128, uids: std::ops::Range<u32>| {
        uids.map(move |uid| NewJob {
            envelope: envelope(at(account, uid), 3),
            lane: Lane::Low,
            raw: "raw".into(),
        })
    };
    let jobs: Vec<NewJob> = mails(1, 1..10).chain(mails(2, 1..4)).chain(mails(3, 1..16)).collect();
    let stored = |job: &NewJob| job.job_id().as_str().len() + job.envelope.encode().len() + job.raw.len();
    let stored: usize = jobs.iter().map(stored).sum();
    assert!(f.queue.enqueue(jobs).await.unwrap().iter().all(|answer| *answer == Enqueued::Queued));
    f.queue.recount_accounts(CountPlace::default(), 2).await.unwrap();
    for partition in 0..3 {
        let _: i64 =
            f.redis(&format!("HSET mailfleet:{{email:processing:{partition}}}:accounts #bytes|l 4711")).await;
    }
    let (mut place, mut calls) = (Some(CountPlace::default()), 0);
    while let Some(from) = place {
        place = f.queue.recount_accounts(from, 2).await.unwrap();
        calls += 1;
        assert!(calls < 50, "at {place:?}");
    }
    let depth = f.queue.depth().await.unwrap();
    assert_eq!(depth.lane(Lane::Low).bytes, Some(stored as u64));
}
