//! One key that is much work holds up nobody else.

use std::time::{Duration, Instant};

use mailfleet_store::{Config, RolledUp, Roller, SetAside, Store};

use super::{CAMPAIGN, Message, a_rebuild_changes_nothing, recipient, run};
use crate::support::{SOON, World, config};

const DAYS: &str = "SELECT string_agg(day || '=' || received, ' ' ORDER BY day) FROM analytics.tenant_day";

/// A mail of its own day.
fn mail(world: &World, day: u32) -> String {
    let (key, created) = (format!("m{day}"), format!("2026-03-{day:02} 12:00+00"));
    Message { key: &key, campaign: Some(CAMPAIGN), created: &created, ..Message::default() }.sql(world)
}

/// How often counting the slow day was tried; a sequence is not rolled back.
fn trials(world: &World) -> u64 {
    world.sql("SELECT last_value FROM trials").parse().unwrap()
}

/// Makes counting the first of March take so long; its note is the oldest of three. The store gives up after 0.3 s.
async fn world_with_a_slow_day(seconds: f64) -> (World, Store) {
    let world = World::new().await;
    world.sql(&format!(
        "CREATE SEQUENCE trials; GRANT USAGE ON SEQUENCE trials TO PUBLIC; CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.day = '2026-03-01' THEN PERFORM nextval('public.trials'), pg_sleep({seconds}); END IF; RETURN NEW; END $$; \
         CREATE TRIGGER slow BEFORE INSERT ON analytics.tenant_day FOR EACH ROW EXECUTE FUNCTION slow()"
    ));
    for day in 1..=3 {
        world.sql(&mail(&world, day));
    }
    let store = Store::connect(&Config { statement_timeout_ms: 300, ..config(&world.url) }).unwrap();
    (world, store)
}

/// Runs pages, none of which fails, until it is so. Idle ones may be among them: the server's own transactions may hold the
/// horizon for a moment.
async fn pages_until(roller: &mut Roller<'_>, what: &str, so: impl Fn(RolledUp) -> bool) {
    let begun = Instant::now();
    while !so(roller.page().await.unwrap()) {
        assert!(begun.elapsed() < SOON, "never {what}");
    }
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
async fn a_key_that_can_never_be_counted_is_put_off_while_the_same_run_counts_the_others_and_the_lag_says_so()
{
    let (world, store) = world_with_a_slow_day(60.0).await;
    // A day old, and of a number below the others'.
    world.sql(
        "UPDATE mailfleet.analytics_changes SET created = now() - interval '1 day' WHERE day = '2026-03-01'",
    );
    let mut roller = store.seize_roller("a test").await.unwrap();
    let begun = Instant::now();
    pages_until(&mut roller, "put off", |done| done == RolledUp::PutOff).await;
    assert!(begun.elapsed() > Duration::from_secs(3), "it was tried with more time");
    assert_eq!(world.sql(DAYS), "2026-03-02=1 2026-03-03=1");
    assert_eq!(store.set_aside_changes().await.unwrap(), SetAside { due: 0, put_off: 1 });
    // Neither its number, which is new, nor younger ones of a lower number hide its age.
    world.sql(&format!(
        "INSERT INTO mailfleet.analytics_changes (id, tenant_id, day) OVERRIDING SYSTEM VALUE VALUES (0, '{}', '2026-03-02')",
        world.tenant
    ));
    let lag = store.roll_up_lag().await.unwrap();
    assert!(lag > Duration::from_secs(86_000), "{lag:?}");

    // What comes later is counted as ever, and joins the day that is put off where it is of it. Nothing is tried again.
    world.sql(&(recipient(&world, "m1", "a@lead.example", 1) + &mail(&world, 4)));
    world.sql("UPDATE mailfleet.messages SET account_id = NULL WHERE storage_key = 'm1'");
    let tried = trials(&world);
    pages_until(&mut roller, "counted", |done| {
        assert_ne!(done, RolledUp::PutOff);
        world.sql(DAYS).ends_with("2026-03-04=1") && world.count("mailfleet.analytics_changes") == 2
    })
    .await;
    assert_eq!(store.set_aside_changes().await.unwrap(), SetAside { due: 0, put_off: 2 });
    assert_eq!(trials(&world), tried);
    let lag = store.roll_up_lag().await.unwrap();
    assert!(lag > Duration::from_secs(86_000), "{lag:?}");

    // After its hour it is due again; an operator need not wait.
    world.sql("DROP TRIGGER slow ON analytics.tenant_day");
    assert_eq!(roller.page().await.unwrap(), RolledUp::Idle);
    assert!(roller.try_again().await.unwrap());
    assert_eq!(roller.page().await.unwrap(), RolledUp::Page { changes: 2, keys: 2 });
    assert_eq!(world.sql(DAYS), "2026-03-01=1 2026-03-02=1 2026-03-03=1 2026-03-04=1");
    assert_eq!(store.roll_up_lag().await.unwrap(), Duration::ZERO);
    a_rebuild_changes_nothing(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heavy_note_of_messages_among_a_thousand_others_is_found_by_few_trials_and_put_off_by_its_key() {
    let (world, store) = world_with_a_slow_day(60.0).await;
    // The same day by the messages, behind a thousand notes of others.
    world.sql(&format!(
        "DELETE FROM mailfleet.analytics_changes; \
         INSERT INTO mailfleet.analytics_changes (tenant_id, day) \
         SELECT '{0}', '2025-01-01'::date + n % 300 FROM generate_series(1, 1000) n; \
         INSERT INTO mailfleet.analytics_changes (tenant_id, storage_keys) VALUES ('{0}', '{{m1,m2}}'); \
         INSERT INTO mailfleet.analytics_changes (tenant_id, day) VALUES ('{0}', '2026-03-03')",
        world.tenant
    ));
    let mut roller = store.seize_roller("a test").await.unwrap();
    pages_until(&mut roller, "put off", |done| done == RolledUp::PutOff).await;
    assert!(trials(&world) < 10, "{}", trials(&world));
    let left = "SELECT string_agg(day::text, ' ') FROM mailfleet.analytics_changes";
    pages_until(&mut roller, "all but the heavy day", |_| world.sql(left) == "2026-03-01").await;
    assert_eq!(world.sql(DAYS), "2026-03-02=1 2026-03-03=1");
}
