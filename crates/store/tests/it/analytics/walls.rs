//! Who may read and write the roll-ups, and what is said of them.

use mailfleet_model::TenantId;

use super::{Message, outbound, recipient, run};
use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn an_analyst_sees_the_declared_tenants_alone_in_tables_and_views() {
    let world = World::new().await;
    let other: TenantId = world.store.add_tenant(None, "globex", &[]).await.unwrap();
    world.sql(&outbound("ours").sql(&world));
    world.sql(
        &Message { key: "theirs", ..Message::default() }
            .sql(&world)
            .replace(&world.tenant.to_string(), &other.to_string()),
    );
    run(&world.store).await;
    assert_eq!(world.count("analytics.tenant"), 2);
    let analyst = world.rival().await;
    analyst.batch_execute("SET ROLE mailfleet_reader; BEGIN").await.unwrap();
    let sees = async |relation: &str| {
        let rows = analyst.query(&format!("SELECT tenant_id::text FROM {relation}"), &[]).await.unwrap();
        rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>()
    };
    for rollup in world.store.roll_up_names().await.unwrap() {
        for relation in [format!("analytics.{rollup}"), format!("analytics.{rollup}_day")] {
            assert_eq!(sees(&relation).await, Vec::<String>::new(), "{relation} without a declaration");
        }
    }
    let declare = format!("SELECT set_config('mailfleet.tenants', '{{{}}}', true)", world.tenant);
    analyst.batch_execute(&declare).await.unwrap();
    for rollup in world.store.roll_up_names().await.unwrap() {
        assert_eq!(sees(&format!("analytics.{rollup}")).await, [world.tenant.to_string()]);
        assert_eq!(sees(&format!("analytics.{rollup}_day")).await, [world.tenant.to_string()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_writer_notes_changes_of_its_tenants_and_cannot_write_numbers() {
    let world = World::new().await;
    let writer = world.rival().await;
    let declared = format!(
        "BEGIN; SET LOCAL ROLE mailfleet_writer; SELECT set_config('mailfleet.tenants', '{{{}}}', true);",
        world.tenant
    );
    let write = outbound("out").sql(&world) + &recipient(&world, "out", "a@lead.example", 1);
    writer.batch_execute(&format!("{declared} {write} COMMIT")).await.unwrap();
    assert_eq!(world.count("mailfleet.analytics_changes"), 2);
    run(&world.store).await;
    assert_eq!(world.sql("SELECT sent FROM analytics.campaign_day"), "1");
    for rollup in world.store.roll_up_names().await.unwrap() {
        let refused =
            writer.batch_execute(&format!("{declared} UPDATE analytics.{rollup}_day SET sent = 7")).await;
        assert_eq!(refused.unwrap_err().code().unwrap().code(), "42501", "{rollup}");
        writer.batch_execute("ROLLBACK").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_in_the_schema_is_explained() {
    let world = World::new().await;
    let bare = world.sql(
        "SELECT c.oid::regclass::text || COALESCE('.' || a.attname, '') FROM pg_class c \
         LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         WHERE c.relkind = 'r' AND c.relnamespace = 'analytics'::regnamespace \
         AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid, 'pg_class') IS NULL) \
         UNION ALL SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind = 'v' \
         AND c.relnamespace = 'analytics'::regnamespace AND obj_description(c.oid, 'pg_class') IS NULL \
         UNION ALL SELECT p.oid::regprocedure::text FROM pg_proc p \
         WHERE p.pronamespace = 'analytics'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL",
    );
    assert_eq!(bare, "");
    for rollup in world.store.roll_up_names().await.unwrap() {
        assert_eq!(world.count(&format!("analytics.{rollup}")), 0);
        assert_eq!(world.count(&format!("analytics.{rollup}_day")), 0);
    }
}
