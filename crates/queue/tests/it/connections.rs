//! What a call costs, and what a broken connection costs.

use std::time::{Duration, Instant};

use mailfleet_model::Lane;
use mailfleet_queue::{Config, Error, Queue};
use mailfleet_testkit::{RedisServer, eventually};

use crate::fixture::{Fixture, SOON, config, id};

/// Opens as many connections as the pool may have, by as many calls at once.
async fn fill(f: &Fixture) {
    let pings: Vec<_> = (0..f.queue.config().pool_size)
        .map(|_| {
            let queue = f.queue.clone();
            tokio::spawn(async move { queue.ping().await })
        })
        .collect();
    for ping in pings {
        ping.await.unwrap().unwrap();
    }
}

async fn pings(f: &Fixture) -> u64 {
    let stats: String = f.redis("INFO commandstats").await;
    let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_ping:calls="));
    calls.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn a_call_is_one_round_trip_and_no_ping_before_it() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, [1]).await;
    let before = pings(&f).await;
    for _ in 0..50 {
        assert_eq!(f.queue.live(&[id(1)]).await.unwrap(), [true]);
    }
    assert_eq!(pings(&f).await, before);
}

#[tokio::test]
async fn broken_connections_cost_one_call_at_most_and_are_replaced() {
    let f = Fixture::start();
    for round in 0..5 {
        fill(&f).await;
        let killed: u64 = f.redis("CLIENT KILL TYPE normal SKIPME yes").await;
        assert!(killed >= 2, "round {round}: the pool had {killed} connections");
        let mut failed = 0;
        for _ in 0..30 {
            match f.queue.ping().await {
                Ok(()) => {}
                Err(error) => {
                    assert!(error.is_outage(), "{error}");
                    failed += 1;
                }
            }
        }
        assert!(failed <= 1, "round {round}: {failed} calls failed");
    }
}

#[tokio::test]
async fn a_restart_between_two_calls_costs_one_of_them_at_most() {
    let f = Fixture::start();
    fill(&f).await;
    f.redis.kill();
    f.redis.start_again().unwrap();
    let mut failed = 0;
    for _ in 0..30 {
        failed += usize::from(f.queue.ping().await.is_err());
    }
    assert!(failed <= 1, "{failed} calls failed");
}

#[tokio::test]
async fn a_restart_while_all_was_quiet_costs_no_call() {
    let f = Fixture::start();
    for round in 0..3 {
        fill(&f).await;
        f.redis.stop().unwrap();
        f.redis.start_again().unwrap();
        // The quiet itself: longer than the half second after which a connection is asked before it is used.
        tokio::time::sleep(Duration::from_millis(600)).await;
        for call in 0..30 {
            f.queue.ping().await.unwrap_or_else(|error| panic!("round {round}, call {call}: {error}"));
        }
    }
}

#[tokio::test]
async fn a_server_that_hangs_costs_one_wait_and_not_one_for_each_connection() {
    let f = Fixture::start_with(&[], |config| config.response_timeout_ms = 400);
    fill(&f).await;
    f.redis.pause().unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let asked = Instant::now();
    assert!(f.queue.ping().await.unwrap_err().is_outage());
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    f.redis.resume().unwrap();
    eventually("an answer", SOON, || async { f.queue.ping().await.ok() }).await;
}

/// Calls by so many at once; how many of them were answered.
async fn crowd(f: &Fixture, callers: usize) -> usize {
    let call = |queue: Queue| async move {
        let answer = queue.ping().await;
        assert!(answer.as_ref().err().is_none_or(Error::is_outage), "{answer:?}");
        answer.is_ok()
    };
    let calls: Vec<_> = (0..callers).map(|_| tokio::spawn(call(f.queue.clone()))).collect();
    let mut answered = 0;
    for call in calls {
        answered += usize::from(call.await.unwrap());
    }
    answered
}

#[tokio::test]
async fn more_callers_than_connections_wait_their_turn_and_a_server_that_hangs_holds_none_of_them_for_long() {
    let redis = RedisServer::start().unwrap();
    let config = Config { pool_size: 2, response_timeout_ms: 400, ..config(redis.url()) };
    let f = Fixture { redis, others: Vec::new(), queue: Queue::connect(&config).unwrap() };
    let connected = || {
        let clients: String = f.redis.ask("CLIENT LIST TYPE normal").unwrap();
        // Besides the one that asks.
        clients.lines().count() - 1
    };
    assert_eq!((crowd(&f, 50).await, connected()), (50, 2));
    f.redis.pause().unwrap();
    let asked = Instant::now();
    assert_eq!(crowd(&f, 50).await, 0);
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    f.redis.resume().unwrap();
    eventually("all of them again", SOON, || async { (crowd(&f, 50).await == 50).then_some(()) }).await;
    eventually("no more connections than before", SOON, || async { (connected() <= 2).then_some(()) }).await;
}

#[tokio::test]
async fn a_connection_that_is_never_accepted_is_an_outage_within_the_response_timeout() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Those that the listener's queue holds; the first one that it does not is left hanging, like all after it.
    let mut queued = Vec::new();
    while let Ok(stream) =
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await
    {
        queued.push(stream.unwrap());
        assert!(queued.len() < 100);
    }
    let config = Config { response_timeout_ms: 300, ..config(format!("redis://{address}")) };
    let queue = Queue::connect(&config).unwrap();
    let asked = Instant::now();
    assert!(queue.ping().await.unwrap_err().is_outage());
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn what_redis_refuses_costs_no_connection() {
    let f = Fixture::start();
    f.queue.ping().await.unwrap();
    let connected = || async { f.redis::<String>("INFO stats").await };
    let received = |stats: &str| -> u64 {
        let line = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:")).unwrap();
        line.trim().parse().unwrap()
    };
    let _: String = f.redis("SET K:live rubbish").await;
    let before = received(&connected().await);
    for _ in 0..10 {
        f.queue.locate(&id(1)).await.unwrap_err();
    }
    // The question itself has a connection of its own each time.
    assert_eq!(received(&connected().await), before + 1);
}

/// Answers nobody: takes connections, writes down when, and closes them.
async fn closed_door(
    listener: tokio::net::TcpListener,
    seen: std::sync::Arc<std::sync::Mutex<Vec<Instant>>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        seen.lock().unwrap().push(Instant::now());
        drop(stream);
    }
}

#[tokio::test]
async fn fifty_clients_of_a_server_that_is_away_do_not_come_back_in_step() {
    const CLIENTS: usize = 50;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let seen = std::sync::Arc::default();
    let door = tokio::spawn(closed_door(listener, std::sync::Arc::clone(&seen)));
    let consumers: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let queue = Queue::connect(&config(url.clone())).unwrap();
            queue.consumer(mailfleet_queue::ConsumerName::for_this_process())
        })
        .collect();
    // Each one listens from its first wait on.
    for consumer in &consumers {
        consumer.wait(Duration::ZERO).await;
    }
    let times = eventually("six tries of each", Duration::from_secs(30), || async {
        let times = seen.lock().unwrap().clone();
        (times.len() >= CLIENTS * 6).then_some(times)
    })
    .await;
    door.abort();
    // The first tries follow each other quickly. After that no twentieth of a second sees more than half of them.
    let later: Vec<_> = times.iter().filter(|time| **time > times[0] + Duration::from_millis(700)).collect();
    let crowd = |from: &Instant| {
        later
            .iter()
            .filter(|time| **time >= from && time.duration_since(*from) < Duration::from_millis(50))
            .count()
    };
    let most = later.iter().map(|from| crowd(from)).max().unwrap();
    println!("{} tries, at most {most} in 50 ms", times.len());
    assert!(most <= CLIENTS / 2, "{most} of {CLIENTS}");
}
