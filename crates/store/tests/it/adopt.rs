use mailfleet_model::{Class, Classify};
use mailfleet_store::{Config, Error, Persisted, Store};
use mailfleet_testkit::PostgresServer;

use crate::support::{World, config};

/// An existing platform's tables, as the measuring reference has them, with a mail of its own.
const PLATFORM: &str = "CREATE SCHEMA platform; SET search_path = platform; \
    CREATE TABLE email_content (storage_key varchar(500) PRIMARY KEY, tenant_id uuid NOT NULL, content_text text, \
    content_html text, headers jsonb, raw_size_bytes int, created timestamptz DEFAULT now(), retention_days int DEFAULT 2555); \
    CREATE TABLE email_messages (storage_key varchar(500) PRIMARY KEY REFERENCES email_content, tenant_id uuid NOT NULL, \
    email_account_id uuid, direction varchar(20), message_type varchar(20), from_email varchar(254), to_email text, \
    subject text, status varchar(50), processed timestamptz, created timestamptz DEFAULT now()); \
    CREATE TABLE attachments (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), parent_storage_key varchar(500) NOT NULL \
    REFERENCES email_content ON DELETE CASCADE, filename varchar(255), mime_type varchar(100), size_bytes int, \
    content bytea, storage_disposition varchar(50), created timestamptz DEFAULT now()); \
    INSERT INTO email_content (storage_key, tenant_id, content_text) SELECT 'old', gen_random_uuid(), 'kept'; \
    INSERT INTO email_messages (storage_key, tenant_id) SELECT 'old', gen_random_uuid(); \
    INSERT INTO attachments (parent_storage_key, filename) VALUES ('old', 'one'), ('old', 'two');";

fn platform(change: &str) -> (String, Store) {
    let server = PostgresServer::shared();
    let url = server.fresh_database().unwrap();
    server.psql(url.rsplit('/').next().unwrap(), &format!("{PLATFORM}{change}")).unwrap();
    let store = Store::connect(&Config { schema: "platform".to_owned(), ..config(&url) }).unwrap();
    (url, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platforms_tables_are_adopted_with_their_rows() {
    let (url, store) = platform("");
    let done = store.migrate().await.unwrap();
    for line in
        ["added column platform.email_content.content_hash", "added column platform.attachments.ordinal"]
    {
        assert!(done.iter().any(|found| found == line), "{done:?}");
    }
    assert!(!done.iter().any(|line| line.contains("created table platform")), "{done:?}");

    for table in ["email_content", "email_messages", "attachments"] {
        let wall = format!("put platform.{table} behind the wall between tenants");
        assert!(
            done.iter().any(|line| line.starts_with(&wall) && line.contains("mailfleet_reader")),
            "{done:?}"
        );
    }

    let world = World::at(PostgresServer::shared(), url, "platform").await;
    assert_eq!(world.store.migrate().await.unwrap(), Vec::<String>::new());
    let mut long = world.mail(2);
    long.from_email = format!("{}@example.org", "x".repeat(400));
    long.attachments[0].filename = Some("n".repeat(400));
    long.attachments[0].mime_type = "m/".repeat(400);
    let fates = world.store.persist(&[world.mail(1), long]).await.unwrap();
    assert_eq!(fates, [Persisted::New, Persisted::New]);
    assert_eq!(
        world.sql("SELECT content_text FROM platform.email_content WHERE storage_key = 'old'"),
        "kept"
    );
    assert_eq!(world.count("platform.attachments WHERE ordinal IS NULL"), 2);
    // Those who read the tables before read them through the wall now.
    let analyst = world.rival().await;
    let look = format!("SET ROLE mailfleet_reader; SET mailfleet.tenants = '{{{}}}'", world.tenant);
    analyst.batch_execute(&look).await.unwrap();
    let seen = analyst.query_one("SELECT count(*) FROM platform.email_content", &[]).await.unwrap();
    assert_eq!(seen.get::<_, i64>(0), 2);
    assert_eq!(world.count("platform.attachments"), 6);
    assert!(
        world.store.check_schema().await.unwrap().iter().all(|f| f.level != mailfleet_store::Level::Error)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_column_that_does_not_fit_is_named_with_its_remedy_and_nothing_is_changed() {
    let (url, store) = platform(
        "ALTER TABLE email_messages ALTER COLUMN processed TYPE text; \
         ALTER TABLE email_content ALTER COLUMN storage_key TYPE varchar(100); \
         ALTER TABLE attachments ADD COLUMN owner text NOT NULL DEFAULT ''; \
         ALTER TABLE attachments ALTER COLUMN owner DROP DEFAULT;",
    );
    let error = store.migrate().await.unwrap_err();
    assert_eq!(error.class(), Class::Fault);
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    for part in [
        "platform.email_messages.processed is text, expected timestamp with time zone; remedy: ALTER TABLE",
        "platform.email_content.storage_key is character varying(100), expected text, or varchar(239) and longer",
        "platform.attachments.owner is NOT NULL without a default",
    ] {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
    let database = url.rsplit('/').next().unwrap();
    let server = PostgresServer::shared();
    let added = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'platform' \
                 AND column_name IN ('content_hash', 'ordinal', 'campaign_id')";
    assert_eq!(server.psql(database, added).unwrap(), "0");

    // The remedies are statements that work: afterwards the tables are adopted.
    let Error::Adoption(mismatches) = error else { panic!("{error}") };
    assert_eq!(mismatches.len(), 3);
    for mismatch in mismatches {
        server.psql(database, &mismatch.remedy).unwrap();
    }
    store.migrate().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_remedy_is_a_statement_that_works_also_where_no_cast_leads_to_the_type() {
    let (url, store) = platform(
        "TRUNCATE email_content CASCADE; \
         ALTER TABLE email_content DROP COLUMN tenant_id, ADD COLUMN tenant_id integer NOT NULL, \
           DROP COLUMN headers, ADD COLUMN headers json, DROP COLUMN content_text, ADD COLUMN content_text bytea; \
         ALTER TABLE email_messages DROP COLUMN tenant_id, ADD COLUMN tenant_id varchar(36), \
           ALTER COLUMN created DROP DEFAULT, ALTER COLUMN created TYPE text, \
           ALTER COLUMN created SET DEFAULT '2026-01-01', DROP CONSTRAINT email_messages_storage_key_fkey; \
         ALTER TABLE attachments DROP COLUMN id, ADD COLUMN id bigint NOT NULL, DROP COLUMN content, \
           ADD COLUMN content text, DROP COLUMN size_bytes, ADD COLUMN size_bytes boolean;",
    );
    let Error::Adoption(mismatches) = store.migrate().await.unwrap_err() else { panic!("not an adoption") };
    let of = |place: &str| {
        let found = mismatches.iter().find(|mismatch| mismatch.place.ends_with(place));
        found.map(|mismatch| mismatch.remedy.clone()).unwrap_or_default()
    };
    assert_eq!(mismatches.len(), 8, "{mismatches:#?}");
    for aside in ["email_content.tenant_id", "email_content.content_text", "attachments.size_bytes"] {
        let remedy = of(aside);
        assert!(remedy.contains("RENAME COLUMN") && remedy.contains("has no cast to"), "{remedy}");
        assert!(!remedy.contains("USING"), "{remedy}");
    }
    assert!(of("email_messages.tenant_id").contains("USING tenant_id::uuid"), "{mismatches:#?}");

    let (server, database) = (PostgresServer::shared(), url.rsplit('/').next().unwrap());
    for mismatch in &mismatches {
        server.psql(database, &mismatch.remedy).unwrap();
    }
    store.migrate().await.unwrap();
    let findings = store.check_schema().await.unwrap();
    let errors: Vec<_> = findings.iter().filter(|f| f.level == mailfleet_store::Level::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");

    // The advice on references is a statement too.
    let advice = findings.iter().find(|finding| finding.found.contains("does not refer to")).unwrap();
    assert!(advice.remedy.contains("REFERENCES \"platform\".\"email_content\""), "{advice:?}");
    server.psql(database, &advice.remedy).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_table_or_has_no_key_is_refused_by_name() {
    let (_, view) = platform("DROP TABLE attachments; CREATE VIEW attachments AS SELECT 1 AS id;");
    let text = view.migrate().await.unwrap_err().to_string();
    assert!(text.contains("platform.attachments is no table"), "{text}");

    let (_, keyless) = platform("ALTER TABLE email_messages DROP CONSTRAINT email_messages_pkey;");
    let text = keyless.migrate().await.unwrap_err().to_string();
    assert!(
        text.contains("platform.email_messages has no primary key or unique index on (storage_key)"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_whose_build_was_cut_short_is_built_again() {
    let (url, store) = platform("");
    store.migrate().await.unwrap();
    let (server, database) = (PostgresServer::shared(), url.rsplit('/').next().unwrap());
    let valid =
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'platform.email_messages_key_hash_idx'::regclass";
    let index = "indexrelid = 'platform.email_messages_key_hash_idx'::regclass";
    server.psql(database, &format!("UPDATE pg_index SET indisvalid = false WHERE {index}")).unwrap();
    store.migrate().await.unwrap();
    assert_eq!(server.psql(database, valid).unwrap(), "t");
}
