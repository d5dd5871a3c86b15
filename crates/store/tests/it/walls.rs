//! The walls between tenants, seen from every side: table by table as the catalog has them, and through the store.

use std::collections::BTreeSet;

use mailfleet_model::{Class, Classify, StorageKey, TenantId};
use mailfleet_store::{Config, DeadFilter, DeadOutcome, DeadState, Error, Explain, Level, Persisted, Store};
use mailfleet_testkit::PostgresServer;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::{World, config, new_account};

/// Tables whose rows the fleet reads of all tenants, because they tell it whose a mail or a call is. Nothing else may.
const REFERENCE: [&str; 4] = [
    "mailfleet.tenant_domains",
    "mailfleet.email_accounts",
    "mailfleet.webhook_endpoints",
    "mailfleet.api_tokens",
];
/// Every table with a tenant, as the catalog has them.
const TABLES: &str = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c \
     JOIN pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped \
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname IN ('mailfleet', 'analytics', 'public') \
     ORDER BY 1";
/// Whatever a table asks of its rows beside their types is none of the wall's business.
const LOOSEN: &str = "DO $$ DECLARE rule record; BEGIN \
     FOR rule IN SELECT conrelid::regclass AS place, conname FROM pg_constraint c \
         JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace \
         WHERE contype IN ('c', 'f') AND n.nspname IN ('mailfleet', 'analytics', 'public') LOOP \
         EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', rule.place, rule.conname); END LOOP; \
     FOR rule IN SELECT c.oid::regclass AS place FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE relkind IN ('r', 'p') AND n.nspname IN ('mailfleet', 'analytics', 'public') LOOP \
         EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', rule.place); END LOOP; END $$";
/// The columns that have to be given, and a value for each, different each time.
const COLUMNS: &str = "SELECT format('%I', a.attname), CASE WHEN a.attname = 'tenant_id' THEN '$1' ELSE \
     CASE format_type(a.atttypid, NULL) WHEN 'uuid' THEN 'gen_random_uuid()' \
     WHEN 'timestamp with time zone' THEN 'clock_timestamp()' WHEN 'date' THEN 'current_date' WHEN 'jsonb' THEN '''[]''' \
     WHEN 'boolean' THEN 'true' WHEN 'bytea' THEN 'gen_random_uuid()::text::bytea' \
     WHEN 'text' THEN 'gen_random_uuid()::text' WHEN 'smallint' THEN '(random() * 30000)::smallint' \
     ELSE '(random() * 1000000000)::bigint::text::' || format_type(a.atttypid, NULL) END END \
     FROM pg_attribute a WHERE a.attrelid = to_regclass($1::text) AND a.attnum > 0 AND NOT a.attisdropped \
     AND (a.attname = 'tenant_id' OR (a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = ''))";

const REFUSED: &str = "42501";

/// Another tenant beside the world's own.
async fn other_tenant(world: &World) -> TenantId {
    world.store.add_tenant(None, "other", &["other.example".to_owned()]).await.unwrap()
}

fn declare(tenants: &[TenantId]) -> String {
    let list: Vec<String> = tenants.iter().map(TenantId::to_string).collect();
    format!("SET mailfleet.tenants = '{{{}}}'", list.join(","))
}

async fn act(client: &Client, role: &str, tenants: &[TenantId]) {
    client.batch_execute(&format!("SET ROLE {role}; {}", declare(tenants))).await.unwrap();
}

fn refused() -> String {
    REFUSED.to_owned()
}

/// What a role may do to a table at all, beside the wall.
async fn rights(client: &Client, role: &str, table: &str) -> BTreeSet<String> {
    const SQL: &str = "SELECT r FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) r \
         WHERE has_table_privilege($1::name, to_regclass($2), r)";
    client.batch_execute("RESET ROLE").await.unwrap();
    let rows = client.query(SQL, &[&role, &table]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The tenants whose rows are seen, or the code by which the look was refused.
async fn seen(client: &Client, table: &str) -> Result<Vec<Uuid>, String> {
    let sql = format!("SELECT DISTINCT tenant_id FROM {table} ORDER BY 1");
    let rows = client.query(&sql, &[]).await.map_err(|error| error.code().unwrap().code().to_owned())?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// How many rows a statement touched, or the code by which it was refused.
async fn touched(client: &Client, sql: &str, tenant: TenantId) -> Result<u64, String> {
    client.execute(sql, &[&tenant.0]).await.map_err(|error| error.code().unwrap().code().to_owned())
}

async fn insertion(client: &Client, table: &str) -> String {
    let rows = client.query(COLUMNS, &[&table]).await.unwrap();
    let list =
        |column: usize| rows.iter().map(|row| row.get::<_, String>(column)).collect::<Vec<_>>().join(", ");
    format!("INSERT INTO {table} ({}) VALUES ({})", list(0), list(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_table_lets_a_transaction_read_or_write_rows_of_a_tenant_that_it_did_not_declare() {
    let world = World::new().await;
    let (ours, theirs) = (world.tenant, other_tenant(&world).await);
    world.sql(LOOSEN);
    let tables: Vec<String> = world.sql(TABLES).lines().map(str::to_owned).collect();
    for known in
        ["public.email_content", "public.email_messages", "public.attachments", "mailfleet.dead_letters"]
    {
        assert!(tables.iter().any(|table| table == known), "{known} is not in {tables:?}");
    }
    // A superuser's connection that has taken the role, like the fleet's own.
    let client = world.rival().await;
    for table in &tables {
        let mut both = [ours.0, theirs.0];
        both.sort_unstable();
        let insert = insertion(&client, table).await;
        let update = format!("UPDATE {table} SET tenant_id = tenant_id WHERE tenant_id = $1");
        let take = format!("UPDATE {table} SET tenant_id = $1");
        let delete = format!("DELETE FROM {table} WHERE tenant_id = $1");

        act(&client, "mailfleet_maintenance", &[]).await;
        client.execute(&format!("DELETE FROM {table}"), &[]).await.unwrap();
        for tenant in [ours, theirs] {
            assert_eq!(touched(&client, &insert, tenant).await, Ok(1), "{table}");
        }
        assert_eq!(seen(&client, table).await, Ok(both.to_vec()), "{table}: maintenance sees all");

        for role in ["mailfleet_writer", "mailfleet_reader"] {
            let may = rights(&client, role, table).await;
            assert!(role == "mailfleet_writer" || !may.contains("INSERT"), "{table}: a reader writes");
            let reads = |tenants: &[Uuid]| may.get("SELECT").map(|_| tenants.to_vec()).ok_or_else(refused);
            let writes = |right: &str, rows| may.get(right).map(|_| rows).ok_or_else(refused);
            let shut = Err(refused());

            act(&client, role, &[ours]).await;
            if role == "mailfleet_reader" || !REFERENCE.contains(&table.as_str()) {
                assert_eq!(seen(&client, table).await, reads(&[ours.0]), "{table}: {role} sees");
            }
            assert_eq!(touched(&client, &insert, theirs).await, shut, "{table}: {role} inserts");
            assert_eq!(touched(&client, &take, theirs).await, shut, "{table}: {role} gives away");
            assert_eq!(
                touched(&client, &update, theirs).await,
                writes("UPDATE", 0),
                "{table}: {role} updates"
            );
            assert_eq!(
                touched(&client, &delete, theirs).await,
                writes("DELETE", 0),
                "{table}: {role} deletes"
            );
            assert_eq!(
                touched(&client, &update, ours).await,
                writes("UPDATE", 1),
                "{table}: {role} and its own"
            );

            act(&client, role, &[]).await;
            assert_eq!(touched(&client, &insert, ours).await, shut, "{table}: {role} declared nothing");
            if role == "mailfleet_reader" || !REFERENCE.contains(&table.as_str()) {
                assert_eq!(seen(&client, table).await, reads(&[]), "{table}: {role} declared nothing");
            }
            act(&client, role, &[ours, theirs]).await;
            assert_eq!(seen(&client, table).await, reads(&both), "{table}: {role} declared both");
            assert_eq!(
                touched(&client, &insert, theirs).await,
                writes("INSERT", 1),
                "{table}: {role} in a batch"
            );
            client.batch_execute("RESET ROLE").await.unwrap();
        }
    }
    assert!(REFERENCE.iter().all(|table| tables.iter().any(|found| found == table)), "{tables:?}");
    let writable = rights(&client, "mailfleet_writer", "public.email_messages").await;
    assert_eq!(writable.len(), 4, "the walls were tried on what can be written");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_of_tables_without_a_tenant_only_what_says_nothing_of_tenants() {
    let world = World::new().await;
    let other = other_tenant(&world).await;
    let foreign = world.store.add_account(new_account("theirs", Some(other))).await.unwrap();
    world.store.mailbox(foreign, "Secret plans").await.unwrap();
    let open = world.sql(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND n.nspname IN ('mailfleet', 'analytics', 'public') \
         AND has_table_privilege('mailfleet_reader', c.oid, 'SELECT') AND NOT (relrowsecurity AND relforcerowsecurity) ORDER BY 1",
    );
    assert_eq!(open, "analytics.roll_ups\nmailfleet.schema_history");

    let client = world.rival().await;
    act(&client, "mailfleet_reader", &[world.tenant]).await;
    let names = client.query("SELECT name FROM mailfleet.mailboxes", &[]).await.unwrap();
    assert_eq!(names.iter().map(|row| row.get(0)).collect::<Vec<String>>(), ["INBOX"]);
    let tenants = client.query("SELECT name FROM mailfleet.tenants", &[]).await.unwrap();
    assert_eq!(tenants.iter().map(|row| row.get(0)).collect::<Vec<String>>(), ["acme"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_or_a_view_without_the_wall_is_named() {
    let world = World::new().await;
    world.sql(
        "CREATE TABLE mailfleet.forgotten (tenant_id uuid); \
         CREATE VIEW mailfleet.outlook AS SELECT 1 AS one; GRANT SELECT ON mailfleet.outlook TO mailfleet_reader; \
         ALTER TABLE email_messages NO FORCE ROW LEVEL SECURITY; \
         DROP POLICY mailfleet_tenants ON mailfleet.dead_letters; \
         CREATE POLICY gate ON attachments USING (true)",
    );
    let findings = world.store.check_schema().await.unwrap();
    for (place, problem, level) in [
        ("mailfleet.forgotten", "has no forced row-level security", Level::Error),
        ("mailfleet.outlook", "looks past the walls", Level::Error),
        ("public.email_messages", "has no forced row-level security", Level::Error),
        ("mailfleet.dead_letters", "lost its policy", Level::Error),
        ("public.attachments", "policies beside the wall, which let more through: gate", Level::Warning),
    ] {
        let finding =
            findings.iter().find(|finding| finding.found.contains(place) && finding.found.contains(problem));
        let finding = finding.unwrap_or_else(|| panic!("{place} is not in {findings:?}"));
        assert_eq!(finding.level, level, "{finding:?}");
        match finding.remedy.as_str() {
            "run `mailfleet migrate`" => drop(world.store.migrate().await.unwrap()),
            "DROP POLICY, or make it RESTRICTIVE" => drop(world.sql("DROP POLICY gate ON attachments")),
            remedy => drop(world.sql(remedy)),
        }
    }
    // A table that was forced without a policy shows nothing: the next look says so.
    world.sql("SELECT mailfleet.wall('mailfleet.forgotten')");
    let findings = world.store.check_schema().await.unwrap();
    assert!(findings.iter().all(|finding| !finding.found.contains("wall") || finding.level == Level::Ok));
    world.store.require_schema().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_batch_stores_mails_of_many_tenants() {
    let world = World::new().await;
    let other = other_tenant(&world).await;
    let mut mails = world.mails(1..=6);
    for mail in mails.iter_mut().step_by(2) {
        mail.tenant = other;
    }
    assert_eq!(world.store.persist(&mails).await.unwrap(), vec![Persisted::New; 6]);
    assert_eq!(world.sql("SELECT count(*), count(DISTINCT xmin::text) FROM email_content"), "6|1");
    for table in ["email_content", "email_messages"] {
        assert_eq!(world.count(&format!("{table} WHERE tenant_id = '{other}'")), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_another_tenant_holds_behind_the_wall_is_refused_by_name_and_swallows_nothing() {
    let world = World::new().await;
    let other = other_tenant(&world).await;
    let (held, free) = (world.mail(1), world.mail(2));
    world.store.persist(std::slice::from_ref(&held)).await.unwrap();

    // The very same mail under the same key, by another tenant: its transaction cannot see the row that it meets.
    let mut taker = world.mail(3);
    (taker.tenant, taker.key, taker.content_hash) = (other, held.key.clone(), held.content_hash);
    let client = world.rival().await;
    act(&client, "mailfleet_writer", &[other]).await;
    assert!(client.query("SELECT 1 FROM email_content", &[]).await.unwrap().is_empty());
    let swallowed =
        "INSERT INTO email_content (storage_key, tenant_id) SELECT $2::text, $1 ON CONFLICT DO NOTHING";
    assert_eq!(client.execute(swallowed, &[&other.0, &held.key.as_str()]).await.unwrap(), 0);

    let fates = world.store.persist(&[taker, free]).await.unwrap();
    assert!(matches!(&fates[0], Persisted::Refused { code, .. } if code == "key_conflict"), "{fates:?}");
    assert_eq!(fates[1], Persisted::New);
    // Not done: the ledger has no outcome, so the mail is still to be dealt with.
    assert_eq!((world.outcome(3), world.outcome(2)), (0, 3));
    assert_eq!(world.count(&format!("email_content WHERE tenant_id = '{other}'")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_follows_its_job_to_another_tenant() {
    let world = World::new().await;
    let other = other_tenant(&world).await;
    let mut letter = world.letter(1);
    for tenant in [Some(world.tenant), Some(other), None, Some(world.tenant)] {
        letter.tenant = tenant;
        let outcome = world.store.dead_letter(std::slice::from_ref(&letter)).await.unwrap();
        assert_eq!(outcome, [DeadOutcome::Recorded], "{tenant:?}");
    }
    let mut mail = world.mail(1);
    mail.tenant = other;
    assert_eq!(world.store.persist(&[mail]).await.unwrap(), [Persisted::New]);
    let letter = world.store.dead_letter_by_job(&letter.job).await.unwrap().unwrap();
    assert_eq!((letter.tenant, letter.state, letter.raw), (Some(world.tenant), DeadState::Resolved, None));
}

/// A server whose roles are made by a superuser, a login that owns its database, and one that runs the fleet.
async fn with_logins(grants: &str) -> (World, String) {
    let world = World::new().await;
    let database = world.url.rsplit('/').next().unwrap();
    world.sql(&format!(
        "CREATE ROLE own_{database} LOGIN; CREATE ROLE run_{database} LOGIN; \
         GRANT mailfleet_writer, mailfleet_reader, mailfleet_maintenance TO own_{database}; \
         CREATE DATABASE of_{database} OWNER own_{database}"
    ));
    if !grants.is_empty() {
        world.sql(&format!("GRANT {grants} TO run_{database}"));
    }
    let owner = world.url.replace("postgres@", &format!("own_{database}@"));
    let owner = owner.replace(&format!("/{database}"), &format!("/of_{database}"));
    let world = World::at(PostgresServer::shared(), owner, "public").await;
    let login = world.url.replace("own_", "run_");
    (world, login)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_needs_a_login_that_is_a_member_of_two_roles_and_the_owner_sees_nothing_either() {
    let (world, login) = with_logins("mailfleet_writer, mailfleet_maintenance").await;
    let fleet = Store::connect(&config(&login)).unwrap();
    fleet.require_schema().await.unwrap();
    fleet.mailbox(world.account, "Archive").await.unwrap();
    assert_eq!(fleet.persist(&world.mails(1..=2)).await.unwrap(), [Persisted::New, Persisted::New]);
    assert_eq!(fleet.dead_letter(&[world.letter(3)]).await.unwrap(), [DeadOutcome::Recorded]);
    assert_eq!(fleet.dead_letters(&DeadFilter::default()).await.unwrap().letters.len(), 1);
    assert_eq!(fleet.totals().await.unwrap().mail_count(), 2);
    let asked = ["acme.example".to_owned()];
    assert_eq!(fleet.tenants_by_domain(&asked).await.unwrap()["acme.example"], world.tenant);
    assert_eq!(fleet.accounts(true).await.unwrap().len(), 1);
    assert_eq!(fleet.tenants().await.unwrap().len(), 1);
    let explained = fleet.explain(&Explain::Key(world.mail(1).key)).await.unwrap();
    assert_eq!((explained.len(), explained[0].ledger.len()), (1, 1));

    // The owner's rights do not help past a wall that is forced.
    let owner = world.rival().await;
    assert_eq!(seen(&owner, "public.email_content").await, Ok(Vec::new()));
    owner.batch_execute(&declare(&[world.tenant])).await.unwrap();
    assert_eq!(seen(&owner, "public.email_content").await, Ok(vec![world.tenant.0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_cannot_take_the_role_is_told_what_to_grant() {
    let (world, login) = with_logins("").await;
    let database = login.rsplit('/').next().unwrap();
    let store = Store::connect(&config(&login)).unwrap();
    let error = store.persist(&[world.mail(1)]).await.unwrap_err();
    assert!(matches!(error, Error::NotReady { .. }) && error.class() == Class::Fault, "{error:?}");
    assert!(error.to_string().contains("GRANT mailfleet_writer, mailfleet_maintenance TO"), "{error}");
    let found: Vec<_> =
        store.check_schema().await.unwrap().into_iter().filter(|f| f.level == Level::Error).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    for finding in found {
        world.server.psql(database, &finding.remedy).unwrap();
    }
    store.require_schema().await.unwrap();
    assert_eq!(store.persist(&[world.mail(1)]).await.unwrap(), [Persisted::New]);
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_that_pass_through_the_walls_are_named() {
    // Roles belong to the whole server, so it is one of this test's own.
    let server = PostgresServer::start().unwrap();
    let url = server.fresh_database().unwrap();
    let database = url.rsplit('/').next().unwrap();
    let store = Store::connect(&Config { pool_size: 1, ..config(&url) }).unwrap();
    let early = store.persist(&[]).await;
    assert!(early.is_ok(), "{early:?}");
    let error = store.ping().await.unwrap_err();
    assert!(error.to_string().contains("run `mailfleet migrate`"), "{error}");
    store.migrate().await.unwrap();
    store.ping().await.unwrap();
    server
        .psql(database, "ALTER ROLE mailfleet_writer BYPASSRLS; ALTER ROLE mailfleet_maintenance NOBYPASSRLS")
        .unwrap();
    let found: Vec<String> = store
        .check_schema()
        .await
        .unwrap()
        .into_iter()
        .filter(|finding| finding.level == Level::Error)
        .map(|finding| finding.found)
        .collect();
    assert_eq!(
        found,
        [
            "the role mailfleet_writer passes through the walls between tenants",
            "the role mailfleet_maintenance has no BYPASSRLS"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_may_not_make_the_roles_says_what_a_superuser_does_once() {
    let server = PostgresServer::start().unwrap();
    server.psql("postgres", "CREATE ROLE plain LOGIN").unwrap();
    server.psql("postgres", "CREATE DATABASE fleet OWNER plain").unwrap();
    let store = Store::connect(&config(&server.url("fleet").replace("postgres@", "plain@"))).unwrap();
    let error = store.migrate().await.unwrap_err().to_string();
    let (_, advice) = error.split_once("as a superuser: ").unwrap_or_else(|| panic!("{error}"));
    let (statements, _) = advice.split_once(')').unwrap();
    assert!(statements.contains("BYPASSRLS") && statements.ends_with("TO plain"), "{error}");
    server.psql("postgres", statements).unwrap();
    assert!(!store.migrate().await.unwrap().is_empty());
    store.require_schema().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn outbound_messages_are_known_to_their_tenant_alone() {
    let world = World::new().await;
    let other = other_tenant(&world).await;
    let mut sent = world.mail(1);
    sent.key = StorageKey::outbound("sent@acme.example", world.tenant);
    sent.direction = mailfleet_model::Direction::Outbound;
    world.store.persist(std::slice::from_ref(&sent)).await.unwrap();
    let asked = [sent.key.clone()];
    assert_eq!(world.store.known_outbound(&[world.tenant].into(), &asked).await.unwrap().len(), 1);
    assert!(world.store.known_outbound(&[other].into(), &asked).await.unwrap().is_empty());
}
