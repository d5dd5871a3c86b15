//! PostgreSQL away: nothing is promised that cannot be kept.

use mailfleet_testkit::{PostgresServer, eventually};

use super::{SECRET, endpoint, event, open, rows};
use crate::world::{LONG, World};

#[tokio::test(flavor = "multi_thread")]
async fn without_postgresql_callers_are_asked_to_come_again_and_then_taken() {
    let postgres = PostgresServer::start().unwrap();
    let world = World::on(&postgres).await;
    let endpoint = endpoint(&world, "generic", SECRET).await;
    let token = world.store.add_api_token(world.tenant, "sender").await.unwrap();
    let (producer, client) = open(&world, "");
    producer.until_ready(200).await;
    producer.until_metric("mailfleet_webhook_inbox_waiting", 0.0).await;
    assert_eq!(client.generic(&endpoint, &event(1)).code, 200);
    postgres.stop().unwrap();
    let refused = client.generic(&endpoint, &event(2));
    assert_eq!((refused.code, refused.error().as_str()), (503, "unavailable"), "{refused:?}");
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    let bearer = [("Authorization", format!("Bearer {}", token.expose()))];
    assert_eq!(client.post(super::messages::PATH, &bearer, b"{}").code, 503);
    producer.until_ready(503).await;
    eventually("a number that is not known", LONG, || async {
        producer.metric("mailfleet_webhook_inbox_waiting").is_none().then_some(())
    })
    .await;
    postgres.start_again().unwrap();
    eventually("a call that is taken again", LONG, || async {
        (client.generic(&endpoint, &event(2)).code == 200).then_some(())
    })
    .await;
    assert_eq!(rows(&world), 2);
    producer.until_ready(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_for_postgresql_leave_connections_to_the_mailboxes() {
    let world = World::without_accounts().await;
    let endpoint = endpoint(&world, "generic", SECRET).await;
    let (producer, client) = open(&world, "");
    producer.until_ready(200).await;
    std::thread::scope(|scope| {
        scope
            .spawn(|| world.sql("BEGIN; LOCK TABLE mailfleet.webhook_endpoints; SELECT pg_sleep(8); COMMIT"));
        let waiting = |least: u32| {
            mailfleet_testkit::eventually_blocking("sessions that hold or wait for the lock", LONG, || {
                let sql = "SELECT count(DISTINCT pid) FROM pg_locks WHERE relation = 'mailfleet.webhook_endpoints'::regclass";
                (world.sql(sql).parse::<u32>().unwrap() >= least).then_some(())
            });
        };
        waiting(1);
        let callers: Vec<_> = (0..12)
            .map(|n| {
                scope.spawn({
                    let (client, endpoint) = (&client, &endpoint);
                    move || client.generic(endpoint, &event(n))
                })
            })
            .collect();
        waiting(5);
        // Half of the pool of eight waits with the calls; what does not need that table goes on.
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        assert_eq!(world.sql(busy), "4");
        assert_eq!(producer.get("/readyz").0, 200);
        let answers: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        let codes: Vec<u16> = answers.iter().map(|answer| answer.code).collect();
        assert!(codes.iter().filter(|code| **code == 200).count() >= 4, "{codes:?}");
        assert!(codes.iter().all(|code| matches!(code, 200 | 503)), "{codes:?}");
        assert!(
            answers.iter().filter(|answer| answer.code == 503).all(|answer| answer.body.contains("at once"))
        );
    });
    assert_eq!(client.generic(&endpoint, &event(99)).code, 200);
}
