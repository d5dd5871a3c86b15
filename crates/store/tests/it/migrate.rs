use mailfleet_testkit::PostgresServer;

use crate::support::{World, store};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_migration_changes_nothing() {
    let url = PostgresServer::shared().fresh_database().unwrap();
    let first = store(&url).migrate().await.unwrap();
    assert!(first.iter().any(|line| line == "applied V1 first_light"), "{first:?}");
    assert!(first.iter().any(|line| line == "created table public.attachments"), "{first:?}");
    assert_eq!(store(&url).migrate().await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn four_racing_runners_migrate_once() {
    let url = PostgresServer::shared().fresh_database().unwrap();
    let runners: Vec<_> = (0..4)
        .map(|_| {
            let store = store(&url);
            tokio::spawn(async move { store.migrate().await })
        })
        .collect();
    let mut worked = 0;
    for runner in runners {
        worked += usize::from(!runner.await.unwrap().unwrap().is_empty());
    }
    assert_eq!(worked, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_and_column_is_explained() {
    let world = World::new().await;
    let bare = world.sql(
        "SELECT c.oid::regclass::text || COALESCE('.' || a.attname, '') FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         WHERE c.relkind = 'r' AND n.nspname IN ('mailfleet', 'public') \
         AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid, 'pg_class') IS NULL)",
    );
    assert_eq!(bare, "");
    assert!(world.count("pg_tables WHERE schemaname IN ('mailfleet', 'public')") >= 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_texts_are_compressed_by_lz4() {
    let world = World::new().await;
    let mut mail = world.mail(1);
    mail.content_text = "the same words again and again ".repeat(1000);
    world.store.persist(&[mail]).await.unwrap();
    assert_eq!(world.sql("SELECT pg_column_compression(content_text) FROM email_content"), "lz4");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_in_a_schema_of_odd_name_works() {
    let world = World::in_schema("Odd \"name\"").await;
    world.store.persist(&world.mails(1..=2)).await.unwrap();
    assert_eq!(world.count("\"Odd \"\"name\"\"\".email_messages"), 2);
    assert_eq!(world.store.totals().await.unwrap().attachments, 4);
}
