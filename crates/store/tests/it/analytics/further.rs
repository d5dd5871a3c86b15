//! A further roll-up is one migration.

use mailfleet_store::SummaryFilter;

use super::{a_rebuild_changes_nothing, outbound, rebuild, recipient, run};
use crate::support::World;

/// What the migration of a further roll-up says.
const FURTHER: &str = "SELECT analytics.roll_up('sender', 'account_id', \
    '(SELECT a.username FROM mailfleet.email_accounts a WHERE a.id = k.account_id)', 'By who sent')";

#[tokio::test(flavor = "multi_thread")]
async fn one_call_makes_a_roll_up_that_is_counted_walled_and_shown() {
    let world = World::new().await;
    world.sql(&(outbound("before").sql(&world) + &recipient(&world, "before", "a@lead.example", 1)));
    run(&world.store).await;

    world.sql(FURTHER);
    world.sql(&(outbound("after").sql(&world) + &recipient(&world, "after", "b@lead.example", 3)));
    rebuild(&world.store).await;

    assert!(world.store.roll_up_names().await.unwrap().contains(&"sender".to_owned()));
    let filter = SummaryFilter { limit: 10, ..SummaryFilter::default() };
    let shown = world.store.summaries("sender", &filter).await.unwrap();
    let [sender] = &shown[..] else { panic!("{shown:?}") };
    assert_eq!((sender.counts.sent, sender.counts.delivered), (2, 1));
    assert_eq!(sender.subject.unwrap().to_string(), world.account.to_string());
    assert_eq!(sender.name, Some(world.sql("SELECT username FROM mailfleet.email_accounts")));
    a_rebuild_changes_nothing(&world).await;

    let analyst = world.rival().await;
    analyst.batch_execute("SET ROLE mailfleet_reader; BEGIN").await.unwrap();
    for relation in ["analytics.sender", "analytics.sender_day"] {
        let rows = analyst.query(&format!("SELECT sent FROM {relation}"), &[]).await.unwrap();
        assert!(rows.is_empty(), "{relation} shows a tenant that was not declared");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_can_be_taken_over_cannot_write_what_the_roll_ups_run() {
    let world = World::new().await;
    let rival = world.rival().await;
    for role in ["mailfleet_writer", "mailfleet_reader", "mailfleet_maintenance"] {
        rival.batch_execute(&format!("SET ROLE {role}")).await.unwrap();
        for statement in [
            "INSERT INTO analytics.roll_ups (name, label) VALUES ('x', 'x')",
            "UPDATE analytics.roll_ups SET label = 'x'",
            FURTHER,
        ] {
            let refused = rival.batch_execute(statement).await.unwrap_err();
            assert_eq!(refused.code().unwrap().code(), "42501", "{role}: {statement}");
        }
    }
}
