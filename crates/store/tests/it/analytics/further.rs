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

/// What the migration of a roll-up by something new says.
const BY_LEAD: &str = "CREATE INDEX ON mailfleet.messages (lead_id, created) WHERE lead_id IS NOT NULL; \
    SELECT analytics.roll_up('lead', 'lead_id', \
    '(SELECT l.email FROM mailfleet.leads l WHERE l.id = k.lead_id AND l.tenant_id = k.tenant_id)', 'By lead')";

const LEAD: &str = "1ead0000-0000-4000-8000-000000000001";
const OTHER_LEAD: &str = "1ead0000-0000-4000-8000-000000000002";

#[tokio::test(flavor = "multi_thread")]
async fn a_roll_up_by_what_no_other_counts_by_is_kept_by_runs_and_rebuilds_and_the_others_go_on() {
    let world = World::new().await;
    let to_lead = |key: &str, lead: &str, status| {
        let (sent, to) = (outbound(key).sql(&world), recipient(&world, key, "a@lead.example", status));
        format!("{sent} UPDATE mailfleet.messages SET lead_id = '{lead}' WHERE storage_key = '{key}'; {to}")
    };
    world.sql(&to_lead("before", LEAD, 1));
    run(&world.store).await;
    // A change that waits while the migration runs does not know of leads.
    world.sql(&to_lead("waiting", LEAD, 1));
    world.sql(BY_LEAD);
    let leads = || {
        world.sql("SELECT string_agg(lead_id || '=' || sent, ' ' ORDER BY lead_id) FROM analytics.lead_day")
    };
    let others = || {
        world.sql("SELECT c.sent, m.sent, t.sent FROM analytics.campaign_day c, analytics.mailbox_day m, analytics.tenant_day t")
    };
    run(&world.store).await;
    assert_eq!(others(), "2|2|2");
    // What changes from now on is counted without a rebuild, by the lead's whole day.
    world.sql(&(to_lead("after", LEAD, 3) + &to_lead("other", OTHER_LEAD, 1)));
    run(&world.store).await;
    assert_eq!(leads(), format!("{LEAD}=3 {OTHER_LEAD}=1"));
    assert_eq!(others(), "4|4|4");
    // A lead that a message loses is a key that changes.
    world.sql(&format!("UPDATE mailfleet.messages SET lead_id = '{OTHER_LEAD}' WHERE storage_key = 'after'"));
    run(&world.store).await;
    assert_eq!(leads(), format!("{LEAD}=2 {OTHER_LEAD}=2"));
    world.sql(
        "UPDATE analytics.lead_day SET sent = 77; DELETE FROM mailfleet.messages WHERE storage_key = 'other'",
    );
    rebuild(&world.store).await;
    assert_eq!(leads(), format!("{LEAD}=2 {OTHER_LEAD}=1"));
    assert_eq!(others(), "3|3|3");
    let filter = SummaryFilter { limit: 10, ..SummaryFilter::default() };
    assert_eq!(world.store.summaries("lead", &filter).await.unwrap().len(), 2);
    a_rebuild_changes_nothing(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roll_up_that_could_not_be_counted_is_refused_with_what_to_do() {
    let world = World::new().await;
    world.sql(
        "ALTER TABLE mailfleet.analytics_changes ADD COLUMN mailing_id text; \
               ALTER TABLE mailfleet.messages ADD COLUMN mailing_id uuid; \
               CREATE INDEX ON mailfleet.messages (mailing_id, created)",
    );
    let owner = world.rival().await;
    for (subject, says, hint) in [
        ("planet_id", "no such column of type uuid", "Add the column"),
        ("thread_id", "no such column of type uuid", "Add the column"),
        ("tenant_id", "no such column of type uuid", "NULL as the subject"),
        (
            "lead_id",
            "would read all of mailfleet.messages",
            "CREATE INDEX ON mailfleet.messages (lead_id, created)",
        ),
        ("mailing_id", "column of this name that is no uuid", "another name"),
    ] {
        let refused = owner
            .batch_execute(&format!("SELECT analytics.roll_up('x', '{subject}', 'NULL', 'x')"))
            .await
            .unwrap_err();
        let error = refused.as_db_error().unwrap();
        assert!(error.message().contains(subject) && error.message().contains(says), "{subject}: {error:?}");
        assert!(error.hint().unwrap().contains(hint), "{subject}: {error:?}");
    }
    assert_eq!(world.store.roll_up_names().await.unwrap(), ["campaign", "mailbox", "tenant"]);
    world.sql(&outbound("out").sql(&world));
    run(&world.store).await;
    assert_eq!(world.count("analytics.tenant_day"), 1);
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
