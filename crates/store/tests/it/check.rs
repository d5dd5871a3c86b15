use mailfleet_store::{Finding, Level, Store};
use mailfleet_testkit::{PostgresServer, Proxy};

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
    assert!(says(&warnings, "fsync is off"), "{warnings:?}");
    let fine = findings(&world.store, Level::Ok).await;
    let newest = world.sql("SELECT max(version) FROM mailfleet.schema_history");
    for part in [
        format!("migrations applied up to V{newest}").as_str(),
        "the login postgres takes the role mailfleet_writer",
        "tables stand behind the wall between tenants",
    ] {
        assert!(fine.iter().any(|finding| finding.found.contains(part)), "{part} is not in {fine:?}");
    }

    world.sql("INSERT INTO mailfleet.schema_history SELECT 99, 'from_the_future', applied_on, checksum FROM mailfleet.schema_history LIMIT 1");
    let warnings = findings(&world.store, Level::Warning).await;
    assert!(
        says(&warnings, &format!("the database is at migration V99, this build knows V{newest}")),
        "{warnings:?}"
    );
    assert_eq!(findings(&world.store, Level::Error).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_table_and_a_missing_right_are_named() {
    let world = World::new().await;
    world.sql(
        "ALTER TABLE email_messages DROP COLUMN campaign_id, ALTER COLUMN subject TYPE varchar(50); \
         REVOKE INSERT ON mailfleet.mailbox_messages FROM mailfleet_writer",
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

    assert!(
        says(&errors, "the role mailfleet_writer may not INSERT on mailfleet.mailbox_messages"),
        "{errors:?}"
    );
    let refused = world.store.persist(&[world.mail(1)]).await.unwrap_err();
    assert_eq!(refused.code(), Some("42501"));
    let granting = errors.iter().find(|error| error.remedy.starts_with("GRANT INSERT")).unwrap();
    world.sql(&granting.remedy);
    assert!(!says(&findings(&world.store, Level::Error).await, "may not INSERT"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_the_database_takes_a_few_round_trips_and_not_some_for_each_right() {
    let world = World::new().await;
    let proxy = Proxy::start(world.server.port()).unwrap();
    let near = format!(":{}/", world.server.port());
    assert!(world.url.contains(&near), "{}", world.url);
    let store = store(&world.url.replace(&near, &format!(":{}/", proxy.port())));
    store.require_schema().await.unwrap();
    let seen = proxy.requests();
    println!("{seen} round trips");
    assert!((1..=60).contains(&seen), "{seen} round trips");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_missing_right_of_every_role_is_named_with_its_grant() {
    let world = World::new().await;
    let named = async || {
        let errors = findings(&world.store, Level::Error).await;
        let rights = errors.iter().filter(|error| error.found.contains(" may not "));
        rights.map(|error| (error.found.clone(), error.remedy.clone())).collect::<Vec<_>>()
    };
    assert_eq!(named().await, []);
    // A table that is not there is another finding.
    world.sql(
        "REVOKE ALL ON ALL TABLES IN SCHEMA public, mailfleet FROM mailfleet_writer, mailfleet_maintenance; \
         GRANT SELECT ON mailfleet.schema_history TO mailfleet_writer, mailfleet_maintenance; DROP TABLE attachments",
    );
    let missing = named().await;
    assert_eq!(missing.len(), 34, "{missing:#?}");
    let words = (
        "the role mailfleet_maintenance may not SELECT on mailfleet.tenant_domains",
        "GRANT SELECT ON mailfleet.tenant_domains TO mailfleet_maintenance",
    );
    assert!(missing.contains(&(words.0.to_owned(), words.1.to_owned())), "{missing:#?}");
    for (_, remedy) in missing {
        world.sql(&remedy);
    }
    assert_eq!(named().await, []);
}
