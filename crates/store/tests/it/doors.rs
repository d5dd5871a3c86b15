//! Endpoints, tokens and the inbox: found by what was shown once, kept once, and behind the wall.

use std::time::Duration;

use mailfleet_model::{DeliveryEvent, EventKind, InboxId, SecretSource, TenantId};
use mailfleet_store::{Endpoint, Error, NewEndpoint, NewInbox, Received, TokenHash};

use crate::support::World;

fn new_endpoint(tenant: TenantId, name: &str) -> NewEndpoint {
    NewEndpoint {
        tenant,
        provider: "generic".to_owned(),
        name: name.to_owned(),
        secret: SecretSource::Env("MAILFLEET_SECRET_GENERIC".to_owned()),
        topic: None,
    }
}

async fn endpoint(world: &World, tenant: TenantId, name: &str) -> Endpoint {
    let token = world.store.add_endpoint(&new_endpoint(tenant, name)).await.unwrap();
    world.store.endpoint_by_token(TokenHash::of(token.expose())).await.unwrap().unwrap()
}

fn call<'a>(endpoint: &'a Endpoint, dedupe: &'a str, events: &'a [DeliveryEvent]) -> NewInbox<'a> {
    NewInbox { endpoint, dedupe, body: b"\x00\xff{}", events, note: None }
}

fn events() -> Vec<DeliveryEvent> {
    let mut event = DeliveryEvent::new(EventKind::Delivered, "ann@example.com");
    event.diagnostic = Some("a NUL\0 and a \\u0000".to_owned());
    vec![event]
}

#[tokio::test]
async fn an_endpoint_is_found_by_its_token_and_by_nothing_else() {
    let world = World::new().await;
    let token = world.store.add_endpoint(&new_endpoint(world.tenant, "generic")).await.unwrap();
    let found = world.store.endpoint_by_token(TokenHash::of(token.expose())).await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.tenant, found.enabled), ("generic", world.tenant, true));
    assert_eq!(found.secret, SecretSource::Env("MAILFLEET_SECRET_GENERIC".to_owned()));
    for other in ["", "generic", &token.expose().to_uppercase(), &format!("{}0", token.expose())] {
        assert_eq!(world.store.endpoint_by_token(TokenHash::of(other)).await.unwrap(), None, "{other}");
    }
    assert!(!world.sql("SELECT e::text FROM mailfleet.webhook_endpoints e").contains(&token.expose()[4..]));
    assert!(world.store.set_endpoint_enabled("generic", false).await.unwrap());
    assert!(!world.store.endpoint_by_token(TokenHash::of(token.expose())).await.unwrap().unwrap().enabled);
    assert!(!world.store.set_endpoint_enabled("nobody", false).await.unwrap());
}

#[tokio::test]
async fn names_are_taken_once_and_secrets_are_never_stored() {
    let world = World::new().await;
    let other = world.store.add_tenant(None, "globex", &[]).await.unwrap();
    endpoint(&world, world.tenant, "generic").await;
    let taken = world.store.add_endpoint(&new_endpoint(other, "generic")).await.unwrap_err();
    assert!(matches!(taken, Error::Taken { what: "endpoint", .. }), "{taken}");
    let nobody = TenantId(uuid_of_nobody());
    let unknown = world.store.add_endpoint(&new_endpoint(nobody, "another")).await.unwrap_err();
    assert!(matches!(unknown, Error::Unknown { what: "tenant", .. }), "{unknown}");
    let mut plain = new_endpoint(world.tenant, "plain");
    plain.secret = SecretSource::Value(mailfleet_model::Secret::new("hunter2"));
    let refused = world.store.add_endpoint(&plain).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Invalid { .. }) && !refused.to_string().contains("hunter2"),
        "{refused}"
    );
    world.store.add_api_token(world.tenant, "sender").await.unwrap();
    let taken = world.store.add_api_token(other, "sender").await.unwrap_err();
    assert!(matches!(taken, Error::Taken { what: "token", .. }), "{taken}");
    assert!(matches!(
        world.store.add_api_token(nobody, "x").await,
        Err(Error::Unknown { what: "tenant", .. })
    ));
    assert_eq!(world.store.endpoints().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_wrong_with_an_endpoint_is_noted_once_and_nothing_else_of_it_can_be_changed() {
    let world = World::new().await;
    let token = world.store.add_endpoint(&new_endpoint(world.tenant, "generic")).await.unwrap();
    let look = async || {
        let hash = TokenHash::of(token.expose());
        world.store.endpoint_by_token(hash).await.unwrap().unwrap()
    };
    let listed = async || world.store.endpoints().await.unwrap().remove(0).note;
    let version = || world.sql("SELECT xmin FROM mailfleet.webhook_endpoints");
    let before = look().await;
    let asks = NewInbox { note: Some("confirm it"), ..call(&before, "one", &[]) };
    world.store.receive(&asks).await.unwrap();
    assert_eq!((look().await.note, listed().await.as_deref()), (None, Some("confirm it")));

    let why = format!("the secret is empty\0{}", "ä".repeat(2_000));
    world.store.note_endpoint(&before, Some(&why)).await.unwrap();
    let (noted, written) = (look().await, version());
    let note = noted.note.clone().unwrap();
    assert!(note.starts_with("the secret is empty\u{fffd}ää") && note.chars().count() == 1_000, "{note}");
    assert_eq!(listed().await, Some(note), "what keeps it from taking calls goes first");
    // Both who knows of the note and who looked before it was there.
    for known in [&noted, &before] {
        world.store.note_endpoint(known, Some(&why)).await.unwrap();
        assert_eq!(version(), written, "nothing new, nothing written");
    }
    world.store.note_endpoint(&noted, None).await.unwrap();
    assert_eq!((look().await, listed().await.as_deref()), (before, Some("confirm it")));

    // A note of another tenant's endpoint is behind the wall, and the rest of it is the operators' own.
    let other = world.store.add_tenant(None, "globex", &[]).await.unwrap();
    let stranger = Endpoint { tenant: other, ..look().await };
    world.store.note_endpoint(&stranger, Some("not yours")).await.unwrap();
    assert_eq!(look().await.note, None);
    let may = world.sql(
        "SELECT string_agg(attname, ' ') FROM pg_attribute WHERE attrelid = 'mailfleet.webhook_endpoints'::regclass \
         AND attnum > 0 AND has_column_privilege('mailfleet_writer', attrelid, attnum, 'UPDATE')",
    );
    assert_eq!(may, "note");
}

fn uuid_of_nobody() -> uuid::Uuid {
    "6d0b5e4e-52a4-4f0e-9d5f-8f8a6d7d9999".parse().unwrap()
}

#[tokio::test]
async fn a_revoked_token_stays_revoked_since_the_first_time() {
    let world = World::new().await;
    let token = world.store.add_api_token(world.tenant, "sender").await.unwrap();
    let hash = TokenHash::of(token.expose());
    assert_eq!(world.store.api_token(hash).await.unwrap().unwrap().revoked, None);
    assert!(world.store.revoke_api_token("sender").await.unwrap());
    let since = world.store.api_token(hash).await.unwrap().unwrap().revoked.unwrap();
    assert!(world.store.revoke_api_token("sender").await.unwrap());
    assert_eq!(world.store.api_tokens().await.unwrap()[0].revoked, Some(since));
    assert!(!world.store.revoke_api_token("nobody").await.unwrap());
}

#[tokio::test]
async fn a_call_is_kept_once_also_when_two_come_at_the_same_moment() {
    let world = World::new().await;
    let endpoint = endpoint(&world, world.tenant, "generic").await;
    let events = events();
    // The first is written and not committed yet when the second comes.
    let rival = world.rival().await;
    rival.batch_execute("BEGIN").await.unwrap();
    let sql = "INSERT INTO mailfleet.webhook_inbox (endpoint_id, tenant_id, provider, dedupe, body) \
               VALUES ($1, $2, 'generic', 'one', '') RETURNING id";
    let id: i64 = rival.query_one(sql, &[&endpoint.id, &world.tenant.0]).await.unwrap().get(0);
    let (store, endpoint2, events2) = (world.store.clone(), endpoint.clone(), events.clone());
    let second = tokio::spawn(async move { store.receive(&call(&endpoint2, "one", &events2)).await });
    world.waiting_backend().await;
    rival.batch_execute("COMMIT").await.unwrap();
    assert_eq!(second.await.unwrap().unwrap(), Received::Replay(InboxId(id)));

    let Received::New(row) = world.store.receive(&call(&endpoint, "two", &events)).await.unwrap() else {
        panic!("a new one");
    };
    assert_eq!(world.store.receive(&call(&endpoint, "two", &[])).await.unwrap(), Received::Replay(row));
    assert_eq!(world.count("mailfleet.webhook_inbox"), 2);
    assert_eq!(
        world.sql("SELECT encode(body, 'hex') FROM mailfleet.webhook_inbox WHERE dedupe = 'two'"),
        "00ff7b7d"
    );
    let read: Vec<DeliveryEvent> =
        serde_json::from_str(&world.sql("SELECT events FROM mailfleet.webhook_inbox WHERE dedupe = 'two'"))
            .unwrap();
    assert_eq!(read[0].diagnostic.as_deref(), Some("a NUL\u{fffd} and a \\u0000"));
}

#[tokio::test]
async fn the_same_name_of_a_call_at_two_endpoints_is_two_calls() {
    let world = World::new().await;
    let other = world.store.add_tenant(None, "globex", &[]).await.unwrap();
    let one = endpoint(&world, world.tenant, "one").await;
    let two = endpoint(&world, other, "two").await;
    for endpoint in [&one, &two] {
        let received = world.store.receive(&call(endpoint, "same", &events())).await.unwrap();
        assert!(matches!(received, Received::New(_)), "a key of another tenant swallows nothing");
    }
    assert_eq!(world.sql("SELECT count(DISTINCT tenant_id) FROM mailfleet.webhook_inbox"), "2");
}

#[tokio::test]
async fn what_waits_is_listed_in_pages_and_what_is_applied_or_says_nothing_does_not_wait() {
    let world = World::new().await;
    let endpoint = endpoint(&world, world.tenant, "generic").await;
    let mut rows = Vec::new();
    for number in 0..5 {
        let dedupe = number.to_string();
        let Received::New(row) = world.store.receive(&call(&endpoint, &dedupe, &events())).await.unwrap()
        else {
            panic!("a new one");
        };
        rows.push(row);
    }
    world.store.receive(&call(&endpoint, "nothing", &[])).await.unwrap();
    assert_eq!(world.store.inbox_waiting().await.unwrap().0, 5);
    world.sql(&format!("UPDATE mailfleet.webhook_inbox SET applied = now() WHERE id = {}", rows[1]));
    let waiting = async |older, after, limit| world.store.unapplied_inbox(older, after, limit).await.unwrap();
    assert_eq!(waiting(Duration::ZERO, InboxId(0), 2).await, [rows[0], rows[2]]);
    assert_eq!(waiting(Duration::ZERO, rows[2], 9).await, [rows[3], rows[4]]);
    assert_eq!(waiting(Duration::from_secs(60), InboxId(0), 9).await, [], "younger ones are on their way");
    assert_eq!(world.store.inbox_waiting().await.unwrap().0, 4);
    world.sql(&format!(
        "UPDATE mailfleet.webhook_inbox SET received = now() - interval '1 hour' WHERE id = {}",
        rows[0]
    ));
    assert_eq!(world.store.inbox_waiting().await.unwrap().1.as_secs() / 60, 60);
}

#[tokio::test]
async fn no_tenant_reads_or_writes_another_ones_doors() {
    let world = World::new().await;
    let other = world.store.add_tenant(None, "globex", &[]).await.unwrap();
    let mine = endpoint(&world, world.tenant, "mine").await;
    let theirs = endpoint(&world, other, "theirs").await;
    world.store.add_api_token(world.tenant, "mine").await.unwrap();
    world.store.add_api_token(other, "theirs").await.unwrap();
    for endpoint in [&mine, &theirs] {
        world.store.receive(&call(endpoint, "one", &events())).await.unwrap();
    }
    let as_role = |role: &str, sql: &str| {
        let tenant = world.tenant;
        world.sql(&format!(
            "BEGIN; SET LOCAL ROLE {role}; SET LOCAL \"mailfleet.tenants\" = '{{{tenant}}}'; \
             WITH done AS ({sql}) SELECT 'n=' || count(*) FROM done; ROLLBACK"
        ))
    };
    let table = "webhook_inbox";
    let read = as_role("mailfleet_reader", &format!("SELECT 1 FROM mailfleet.{table}"));
    assert!(read.contains("n=1"), "{read}");
    for change in
        ["UPDATE mailfleet.{} SET tenant_id = tenant_id RETURNING 1", "DELETE FROM mailfleet.{} RETURNING 1"]
    {
        let touched = as_role("mailfleet_writer", &change.replace("{}", table));
        assert!(touched.contains("n=1"), "{touched}");
    }
    let sql = format!(
        "BEGIN; SET LOCAL ROLE mailfleet_writer; SET LOCAL \"mailfleet.tenants\" = '{{{}}}'; \
         UPDATE mailfleet.{table} SET tenant_id = '{other}'; COMMIT",
        world.tenant
    );
    let database = world.url.rsplit('/').next().unwrap();
    let refused = world.server.psql(database, &sql).unwrap_err().to_string();
    assert!(refused.contains("row-level security"), "{refused}");
    // There is no hash of a token for whoever only reads, and operators alone change what opens a door.
    for table in ["webhook_endpoints", "api_tokens"] {
        for (role, right) in
            [("reader", "SELECT"), ("writer", "INSERT"), ("writer", "UPDATE"), ("writer", "DELETE")]
        {
            let may =
                format!("SELECT has_table_privilege('mailfleet_{role}', 'mailfleet.{table}', '{right}')");
            assert_eq!(world.sql(&may), "f", "{role} {right} {table}");
        }
    }
    // Only the look-ups by token come before the tenant is known.
    for (table, seen) in [("webhook_endpoints", "n=2"), ("api_tokens", "n=2"), ("webhook_inbox", "n=1")] {
        let read = as_role("mailfleet_writer", &format!("SELECT 1 FROM mailfleet.{table}"));
        assert!(read.contains(seen), "{table}: {read}");
    }
}
