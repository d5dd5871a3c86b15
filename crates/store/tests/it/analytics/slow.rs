//! One key that is much work holds up nobody else.

use std::time::{Duration, Instant};

use mailfleet_store::{Config, RolledUp, Store};

use super::{CAMPAIGN, Message, a_rebuild_changes_nothing, run};
use crate::support::{SOON, World, config};

const DAYS: &str = "SELECT string_agg(day || '=' || received, ' ' ORDER BY day) FROM analytics.tenant_day";

/// A mail of its own day.
fn mail(world: &World, day: u32) -> String {
    let (key, created) = (format!("m{day}"), format!("2026-03-{day:02} 12:00+00"));
    Message { key: &key, campaign: Some(CAMPAIGN), created: &created, ..Message::default() }.sql(world)
}

/// Makes counting the first of March take so long; its note is the oldest of three. The store gives up after 0.3 s.
async fn world_with_a_slow_day(seconds: f64) -> (World, Store) {
    let world = World::new().await;
    world.sql(&format!(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.day = '2026-03-01' THEN PERFORM pg_sleep({seconds}); END IF; RETURN NEW; END $$; \
         CREATE TRIGGER slow BEFORE INSERT ON analytics.tenant_day FOR EACH ROW EXECUTE FUNCTION slow()"
    ));
    for day in 1..=3 {
        world.sql(&mail(&world, day));
    }
    let store = Store::connect(&Config { statement_timeout_ms: 300, ..config(&world.url) }).unwrap();
    (world, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_too_much_for_the_statement_timeout_is_counted_with_more_time() {
    let (world, store) = world_with_a_slow_day(0.6).await;
    run(&store).await;
    assert_eq!(world.sql(DAYS), "2026-03-01=1 2026-03-02=1 2026-03-03=1");
    world.sql("DROP TRIGGER slow ON analytics.tenant_day");
    a_rebuild_changes_nothing(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_can_never_be_counted_waits_behind_the_others_and_holds_up_none() {
    let (world, store) = world_with_a_slow_day(60.0).await;
    let mut roller = store.seize_roller("a test").await.unwrap();
    let (begun, mut refused) = (Instant::now(), 0);
    while world.sql(DAYS) != "2026-03-02=1 2026-03-03=1" {
        assert!(begun.elapsed() < SOON, "{}", world.sql(DAYS));
        match roller.page().await {
            Ok(RolledUp::LeaseLost) => panic!("the lease was lost"),
            // The server's own transactions may hold the horizon for a moment.
            Ok(RolledUp::Page { .. } | RolledUp::Idle) => {}
            Err(error) => {
                assert_eq!(error.code(), Some("57014"), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused >= 1);
    assert!(begun.elapsed() > Duration::from_secs(3), "it was tried with more time");
    let left = "SELECT day || ' ' || (id > 3) FROM mailfleet.analytics_changes";
    assert_eq!(world.sql(left), "2026-03-01 true");
    world.sql("DROP TRIGGER slow ON analytics.tenant_day");
    run(&world.store).await;
    assert_eq!(world.sql(DAYS), "2026-03-01=1 2026-03-02=1 2026-03-03=1");
    a_rebuild_changes_nothing(&world).await;
}
