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
