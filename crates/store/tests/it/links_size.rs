//! Links among many mails: what is found is found by an index, and what changes at once stays in proportion.

use mailfleet_store::{Config, Persisted, Store};

use crate::links::sent;
use crate::support::{World, config};

/// Mails that wait for one Message-ID, written as `persist` writes them. Nothing is analysed.
fn waiting_for(world: &World, id: &str, from: u32, count: u32) {
    let (tenant, account, numbers) =
        (world.tenant, world.account, format!("generate_series({from}, {}) AS n", from + count - 1));
    world.sql(&format!(
        "BEGIN; \
         INSERT INTO email_content (storage_key, tenant_id) SELECT 'w' || n, '{tenant}' FROM {numbers}; \
         INSERT INTO email_messages (storage_key, tenant_id, email_account_id, direction, message_type, status, created) \
         SELECT 'w' || n, '{tenant}', '{account}', 'inbound', 'email', 'received', '2026-03-01 12:00+00' FROM {numbers}; \
         INSERT INTO mailfleet.messages (storage_key, tenant_id, account_id, direction, message_type, message_id, refs, \
         in_reply_to, thread_id, bytes, created) SELECT 'w' || n, '{tenant}', '{account}', 'inbound', 'email', \
         'w' || n || '@example.org', '{{{id}}}', 1, 't_' || n, 10, '2026-03-01 12:00+00' FROM {numbers}; \
         INSERT INTO mailfleet.awaited_parents (tenant_id, message_id, storage_key) \
         SELECT '{tenant}', '{id}', 'w' || n FROM {numbers}; COMMIT"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_mails_that_wait_for_one_message_are_adopted_by_it_within_the_statement_timeout() {
    let world = World::new().await;
    // One connection, whose plans are those of the one mail that it adopts first.
    let bounded = Config { pool_size: 1, statement_timeout_ms: 5_000, ..config(&world.url) };
    let store = Store::connect(&bounded).unwrap();
    for round in 0..7 {
        let id = format!("small{round}@acme.example");
        waiting_for(&world, &id, 100_000 + round, 1);
        store.persist(&[sent(&world, round + 1, &id, &[], &[])]).await.unwrap();
    }
    waiting_for(&world, "hub@acme.example", 1, 10_000);
    world.sql("DELETE FROM mailfleet.analytics_changes");
    let fates = store.persist(&[sent(&world, 100, "hub@acme.example", &[], &[])]).await.unwrap();
    assert_eq!(fates, [Persisted::New]);
    let hub = "SELECT storage_key FROM mailfleet.messages WHERE message_id = 'hub@acme.example'";
    for table in ["mailfleet.messages", "email_messages"] {
        assert_eq!(world.count(&format!("{table} WHERE parent_storage_key = ({hub})")), 10_000, "{table}");
    }
    assert_eq!(world.count("mailfleet.awaited_parents"), 0);
    // One key of the answers, whatever their number, and the hub's own.
    let days =
        "SELECT string_agg(DISTINCT day::text, ',' ORDER BY day::text) FROM mailfleet.analytics_changes";
    assert_eq!(world.sql(days), "2023-11-14,2026-03-01");
    assert!(world.count("mailfleet.analytics_changes") < 20);
}
