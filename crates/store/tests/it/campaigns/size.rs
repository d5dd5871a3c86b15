//! An import takes time in proportion to its file, whatever PostgreSQL knows of the tables.

use std::time::{Duration, Instant};

use mailfleet_model::LeadId;
use mailfleet_store::{Config, Imported, NewLead, Store};
use uuid::Uuid;

use super::lead;
use crate::support::{World, config};

/// What the quick way takes is a fraction of this; the slow one takes several times as much.
const SOON: Duration = Duration::from_secs(15);

/// One connection, so that its plans are those of the first, small import.
fn store(world: &World) -> Store {
    Store::connect(&Config { pool_size: 1, ..config(&world.url) }).unwrap()
}

/// Tables of which PostgreSQL believes for good what holds now.
fn unwatched(world: &World, analysed: bool) {
    world.sql(
        "ALTER TABLE mailfleet.leads SET (autovacuum_enabled = false); \
         ALTER TABLE mailfleet.campaigns SET (autovacuum_enabled = false)",
    );
    if analysed {
        world.sql("VACUUM ANALYZE mailfleet.leads; VACUUM ANALYZE mailfleet.campaigns");
    }
}

async fn import(store: &Store, world: &World, lines: &[NewLead]) -> Imported {
    let mut import = store.import_leads(world.tenant).await.unwrap();
    for chunk in lines.chunks(1_000) {
        assert_eq!(import.add(chunk).await.unwrap(), []);
    }
    import.commit().await.unwrap()
}

/// Fifty thousand leads of one campaign, imported, imported again, and renamed.
async fn fifty_thousand(world: &World) {
    let store = store(world);
    let mut lines: Vec<NewLead> = (0..50_000).map(|n| lead("spring", &format!("{n}@example.org"))).collect();
    // Half of them with ids, which are looked up as well.
    for (n, line) in (1..).zip(&mut lines).step_by(2) {
        line.lead_id = Some(LeadId(Uuid::from_u128(n << 64)));
    }
    for line in &lines[..10] {
        import(&store, world, std::slice::from_ref(line)).await;
    }
    let started = Instant::now();
    assert_eq!(import(&store, world, &lines).await.new_leads, 49_990);
    for line in &mut lines {
        line.name = Some("Ann".to_owned());
    }
    assert_eq!(import(&store, world, &lines).await.changed_leads, 50_000);
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_leads_are_imported_in_seconds_into_a_table_of_which_nothing_is_known() {
    let world = World::new().await;
    unwatched(&world, false);
    fifty_thousand(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_leads_are_imported_in_seconds_into_a_table_that_is_believed_to_be_empty() {
    let world = World::new().await;
    unwatched(&world, true);
    fifty_thousand(&world).await;
}
