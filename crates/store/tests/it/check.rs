use mailfleet_store::{Finding, Level, Store};
use mailfleet_testkit::PostgresServer;

use crate::support::{World, store};

async fn findings(store: &Store, level: Level) -> Vec<Finding> {
    store.check_schema().await.unwrap().into_iter().filter(|finding| finding.level == level).collect()
}

fn says(findings: &[Finding], part: &str) -> bool {
    findings.iter().any(|finding| finding.found.contains(part) && !finding.remedy.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_is_told_to_be_migrated() {
    let store = store(&PostgresServer::shared().fresh_database().unwrap());
    let errors = findings(&store, Level::Error).await;
    assert!(says(&errors, "migrations have not been applied: V1 first_light"), "{errors:?}");
    assert!(says(&errors, "public.email_content does not exist"), "{errors:?}");
    assert!(errors.iter().all(|finding| finding.remedy == "run `mailfleet migrate`"), "{errors:?}");
    store.migrate().await.unwrap();
    assert_eq!(findings(&store, Level::Error).await, []);
    store.require_schema().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migrated_database_passes_with_what_can_bite_named() {
    let world = World::new().await;
    let warnings = findings(&world.store, Level::Warning).await;
    // The test's server runs like this, on purpose.
    assert!(says(&warnings, "is a superuser") && says(&warnings, "fsync is off"), "{warnings:?}");
    let fine = findings(&world.store, Level::Ok).await;
    assert!(fine.iter().any(|finding| finding.found == "migrations applied up to V1"), "{fine:?}");

    world.sql("INSERT INTO mailfleet.schema_history SELECT 99, 'from_the_future', applied_on, checksum FROM mailfleet.schema_history");
    let warnings = findings(&world.store, Level::Warning).await;
    assert!(says(&warnings, "the database is at migration V99, this build knows V1"), "{warnings:?}");
    assert_eq!(findings(&world.store, Level::Error).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_table_and_a_missing_right_are_named() {
    let world = World::new().await;
    world.sql(
        "ALTER TABLE email_messages DROP COLUMN campaign_id, ALTER COLUMN subject TYPE varchar(50); \
         CREATE ROLE checked_reader LOGIN; GRANT USAGE ON SCHEMA mailfleet TO checked_reader; \
         GRANT SELECT ON ALL TABLES IN SCHEMA mailfleet, public TO checked_reader",
    );
    let errors = findings(&world.store, Level::Error).await;
    assert!(
        says(&errors, "public.email_messages lacks column public.email_messages.campaign_id"),
        "{errors:?}"
    );
    assert!(
        says(&errors, "public.email_messages.subject is character varying(50), expected text"),
        "{errors:?}"
    );

    let reader = store(&world.url.replace("postgres@", "checked_reader@"));
    let errors = findings(&reader, Level::Error).await;
    assert!(
        says(&errors, "the role checked_reader may not INSERT on mailfleet.mailbox_messages"),
        "{errors:?}"
    );
    assert!(
        errors.iter().any(|e| e.remedy == "GRANT INSERT ON mailfleet.dead_letters TO checked_reader"),
        "{errors:?}"
    );
    let refused = reader.persist(&[world.mail(1)]).await.unwrap_err();
    assert_eq!(refused.code(), Some("42501"));
    assert!(refused.to_string().contains("grant the role"), "{refused}");
}
