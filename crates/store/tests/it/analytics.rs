//! The roll-ups say what the base tables hold, whatever the order of commits, and one process at a time keeps them.

mod captured;
mod further;
mod leases;
mod numbers;
mod order;
mod random;
mod slow;
mod walls;

use mailfleet_store::{Marked, RolledUp, Roller, Store};
use mailfleet_testkit::eventually;

use crate::support::{SOON, World};

pub const CAMPAIGN: &str = "c0000000-0000-4000-8000-000000000001";
pub const OTHER_CAMPAIGN: &str = "c0000000-0000-4000-8000-000000000002";

/// A message as it is inserted, by default an inbound mail of no campaign.
pub struct Message<'a> {
    pub key: &'a str,
    pub direction: &'a str,
    pub kind: &'a str,
    pub id: Option<&'a str>,
    pub campaign: Option<&'a str>,
    pub parent: Option<&'a str>,
    pub evidence: Option<&'a str>,
    pub bytes: u32,
    pub latency_ms: Option<u32>,
    pub created: &'a str,
}

impl Default for Message<'_> {
    fn default() -> Self {
        Self {
            key: "m",
            direction: "inbound",
            kind: "email",
            id: None,
            campaign: None,
            parent: None,
            evidence: None,
            bytes: 100,
            latency_ms: None,
            created: "2026-03-01 12:00+00",
        }
    }
}

impl Message<'_> {
    /// The statement that inserts it for the tenant and the account of the world.
    pub fn sql(&self, world: &World) -> String {
        let text = |value: Option<&str>| value.map_or("NULL".to_owned(), |value| format!("'{value}'"));
        format!(
            "INSERT INTO mailfleet.messages (storage_key, tenant_id, account_id, direction, message_type, message_id, \
             thread_id, parent_storage_key, evidence, campaign_id, bytes, latency_ms, created) VALUES \
             ('{}', '{}', '{}', '{}', '{}', {}, 't_1', {}, {}, {}, {}, {}, '{}');",
            self.key,
            world.tenant,
            world.account,
            self.direction,
            self.kind,
            text(self.id),
            text(self.parent),
            text(self.evidence),
            text(self.campaign),
            self.bytes,
            self.latency_ms.map_or("NULL".to_owned(), |ms| ms.to_string()),
            self.created,
        )
    }
}

/// An outbound message of the campaign.
pub fn outbound(key: &str) -> Message<'_> {
    Message {
        key,
        direction: "outbound",
        campaign: Some(CAMPAIGN),
        evidence: Some("registered"),
        bytes: 0,
        ..Message::default()
    }
}

/// The statement that adds a recipient.
pub fn recipient(world: &World, key: &str, recipient: &str, status: u8) -> String {
    format!(
        "INSERT INTO mailfleet.message_recipients (storage_key, recipient, tenant_id, status) \
         VALUES ('{key}', '{recipient}', '{}', {status});",
        world.tenant
    )
}

/// The statement that adds an event. `source` makes it one.
pub fn event(world: &World, source: &str, key: &str, recipient: &str, kind: &str) -> String {
    format!(
        "INSERT INTO mailfleet.delivery_events (source, tenant_id, kind, recipient, occurred, storage_key) \
         VALUES ('{source}', '{}', '{kind}', '{recipient}', now(), '{key}');",
        world.tenant
    )
}

/// Runs pages until nothing is behind the horizon, and lets go of the lease. Says how many pages there were.
pub async fn run_once(store: &Store) -> u64 {
    let mut roller = store.seize_roller("a test").await.unwrap();
    let mut pages = 0;
    loop {
        match roller.page().await.unwrap() {
            RolledUp::Page { .. } => pages += 1,
            RolledUp::Idle => break,
            RolledUp::PutOff => panic!("a day was put off"),
            RolledUp::LeaseLost => panic!("the lease was lost"),
        }
        assert!(pages < 1_000, "pages without end");
    }
    assert!(store.release_lease(roller.lease()).await.unwrap());
    pages
}

/// The first page that is not idle. Until then the server's other transactions hold the horizon.
pub async fn page(roller: Roller<'_>) -> Result<RolledUp, mailfleet_store::Error> {
    let roller = tokio::sync::Mutex::new(roller);
    eventually("a page behind the horizon", SOON, async || {
        let done = roller.lock().await.page().await;
        (!matches!(done, Ok(RolledUp::Idle))).then_some(done)
    })
    .await
}

/// Runs until every change is counted. The server's own transactions (of autovacuum) may hold the horizon for a moment.
pub async fn run(store: &Store) {
    eventually("all changes in the roll-ups", SOON, async || {
        run_once(store).await;
        (store.waiting_changes().await.unwrap() == 0).then_some(())
    })
    .await;
}

/// Notes every key, and runs.
pub async fn rebuild(store: &Store) {
    let mut roller = store.seize_roller("a test").await.unwrap();
    let mut steps = 0;
    while !matches!(roller.mark().await.unwrap(), Marked::All) {
        steps += 1;
        assert!(steps < 1_000, "steps without end");
    }
    run(store).await;
}

/// The tables of all roll-ups that the registry holds.
pub fn tables(world: &World) -> Vec<String> {
    let named =
        "SELECT string_agg('analytics.' || name || '_day', ' ' ORDER BY place) FROM analytics.roll_ups";
    world.sql(named).split(' ').map(str::to_owned).collect()
}

/// All roll-ups as text.
pub fn dump(world: &World) -> String {
    let rows: Vec<String> =
        tables(world).iter().map(|table| format!("SELECT '{table}', r::text FROM {table} r")).collect();
    world.sql(&format!("{} ORDER BY 1, 2", rows.join(" UNION ALL ")))
}

/// Empties all roll-ups and counts everything anew: the numbers must be those that were there.
pub async fn a_rebuild_changes_nothing(world: &World) {
    let left = dump(world);
    assert!(!left.is_empty(), "numbers that are not there prove nothing");
    world.sql(&format!("TRUNCATE {}", tables(world).join(", ")));
    assert_eq!(dump(world), "");
    rebuild(&world.store).await;
    assert_eq!(dump(world), left);
}
