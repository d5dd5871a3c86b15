//! What is counted, and as what.

use mailfleet_store::SummaryFilter;

use super::{CAMPAIGN, Message, dump, event, outbound, rebuild, recipient, run};
use crate::support::World;

/// Outbound messages to eight recipients; of what came in four mails are replies (three of the campaign) and one an auto-reply.
fn small_world(world: &World) -> String {
    let answer = |key, kind, parent, evidence| {
        Message { key, kind, parent, evidence, campaign: Some(CAMPAIGN), ..Message::default() }.sql(world)
    };
    let mut sql = vec![
        Message { latency_ms: Some(7), ..outbound("out1") }.sql(world),
        Message { created: "2026-03-02 00:00+00", ..outbound("out2") }.sql(world),
        answer("reply", "email", Some("out1"), Some("in_reply_to")),
        // Somebody accepts a date, somebody wants no more mail: people all the same.
        answer("reference", "calendar", Some("out2"), Some("references")),
        answer("away", "auto_reply", Some("out1"), Some("in_reply_to")),
        // A reply all the same: its campaign is only what its header says, its parent is ours.
        answer("named", "unsubscribe", Some("unknown_campaign"), Some("x_campaign_id")),
        // Of no campaign, like what it answers.
        Message { campaign: None, evidence: None, bytes: 0, ..outbound("unknown_campaign") }.sql(world),
        Message { key: "plain", parent: Some("unknown_campaign"), ..Message::default() }.sql(world),
        // None of these is a reply.
        answer("weak", "email", None, Some("x_campaign_id")),
        Message { id: Some("ours@acme.example"), ..outbound("ours") }.sql(world),
        Message { key: "copy", id: Some("ours@acme.example"), parent: Some("out1"), ..Message::default() }
            .sql(world),
        answer("to_a_customer", "email", Some("reply"), Some("in_reply_to")),
        answer("bounce", "bounce", Some("out1"), Some("in_reply_to")),
        Message { parent: Some("out1"), evidence: Some("in_reply_to"), bytes: 50, ..outbound("sent_copy") }
            .sql(world),
        // Of no campaign, in the last microsecond of its day.
        Message {
            key: "stranger",
            latency_ms: Some(40),
            created: "2026-03-01 23:59:59.999999+00",
            ..Message::default()
        }
        .sql(world),
    ];
    for (number, status) in [0, 1, 2, 3, 4, 5, 6].into_iter().enumerate() {
        sql.push(recipient(world, "out1", &format!("{number}@lead.example"), status));
    }
    sql.push(recipient(world, "out2", "0@lead.example", 3));
    for (source, key, kind) in [
        ("w:1:0", "out1", "opened"),
        ("w:2:0", "out1", "opened"),
        ("w:3:0", "out2", "opened"),
        ("w:4:0", "out1", "clicked"),
        ("w:5:0", "out1", "unsubscribed"),
        ("w:6:0", "out1", "delivered"),
    ] {
        sql.push(event(world, source, key, "3@lead.example", kind));
    }
    sql.push(event(world, "w:7:0", "out1", "6@lead.example", "opened"));
    sql.concat()
}

const COUNTS: &str = "sent, delivered, bounced_soft, bounced_hard, complained, opened, clicked, unsubscribed, replied, \
                      auto_replied, received, bytes_in";

#[tokio::test(flavor = "multi_thread")]
async fn each_roll_up_counts_what_the_base_tables_hold() {
    let world = World::new().await;
    world.sql(&small_world(&world));
    run(&world.store).await;
    let days = |rollup| world.sql(&format!("SELECT day, {COUNTS} FROM analytics.{rollup}_day ORDER BY day"));
    assert_eq!(days("campaign"), "2026-03-01|6|2|1|1|1|2|1|1|3|1|7|700\n2026-03-02|1|1|0|0|0|1|0|0|0|0|0|0");
    let all = "2026-03-01|6|2|1|1|1|2|1|1|4|1|10|1000\n2026-03-02|1|1|0|0|0|1|0|0|0|0|0|0";
    assert_eq!(days("mailbox"), all);
    assert_eq!(days("tenant"), all);
    let total = world.sql(&format!("SELECT first_day, last_day, {COUNTS} FROM analytics.campaign"));
    assert_eq!(total, "2026-03-01|2026-03-02|7|3|1|1|1|3|1|1|3|1|7|700");
}

#[tokio::test(flavor = "multi_thread")]
async fn percentiles_are_interpolated_and_rates_are_of_what_was_sent() {
    let world = World::new().await;
    world.sql(&small_world(&world));
    run(&world.store).await;
    // One mail in [5, 10) ms and one in [25, 50) ms.
    let latency = "round(latency_p50_ms::numeric, 3), round(latency_p95_ms::numeric, 3)";
    assert_eq!(world.sql(&format!("SELECT {latency} FROM analytics.tenant")), "10.000|47.500");
    assert_eq!(world.sql(&format!("SELECT {latency} FROM analytics.campaign")), "7.500|9.750");
    let rates =
        world.sql("SELECT delivered_rate * 7, bounced_rate * 7, replied_rate * 7 FROM analytics.campaign");
    assert_eq!(rates, "3|2|3");
    let filter = SummaryFilter { limit: 10, ..SummaryFilter::default() };
    let shown = world.store.summaries("mailbox", &filter).await.unwrap();
    assert_eq!(shown.len(), 1);
    assert_eq!(
        (shown[0].name.as_deref(), shown[0].counts.sent, shown[0].counts.received),
        (Some("sales"), 7, 10)
    );
    assert_eq!(shown[0].rate(shown[0].counts.replied), Some(4.0 / 7.0));
    let late = SummaryFilter { since: "2026-03-02".parse().ok(), ..filter };
    let shown = world.store.summaries("campaign", &late).await.unwrap();
    assert_eq!((shown[0].counts.sent, shown[0].counts.replied, shown[0].latency_p50_ms), (1, 0, None));
    assert!(world.store.summaries("planet", &late).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_measured_is_null_and_not_zero() {
    let world = World::new().await;
    world.sql(&Message { key: "old", ..Message::default() }.sql(&world));
    run(&world.store).await;
    let shown = world.sql(
        "SELECT received, latency_p50_ms IS NULL, latency_p95_ms IS NULL, delivered_rate IS NULL, replied_rate IS NULL \
         FROM analytics.tenant",
    );
    assert_eq!(shown, "1|t|t|t|t");
    let beyond =
        "SELECT analytics.percentile_ms(analytics.sum_counts(latency_counts), 0.5) FROM analytics.tenant_day";
    world.sql("UPDATE mailfleet.messages SET latency_ms = 99999999");
    run(&world.store).await;
    assert_eq!(world.sql(beyond), "3600000", "beyond the last bound the last bound is what is known");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_event_corrects_the_day_of_its_message() {
    let world = World::new().await;
    world.sql(&(outbound("out").sql(&world) + &recipient(&world, "out", "a@lead.example", 3)));
    run(&world.store).await;
    let days = "SELECT day, delivered, bounced_hard, complained, opened FROM analytics.campaign_day";
    assert_eq!(world.sql(days), "2026-03-01|1|0|0|0");
    world.sql("UPDATE mailfleet.message_recipients SET status = 6");
    world.sql(&event(&world, "w:1:0", "out", "a@lead.example", "opened"));
    run(&world.store).await;
    assert_eq!(world.sql(days), "2026-03-01|1|0|1|1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_waited_for_its_message_counts_once_it_is_matched() {
    let world = World::new().await;
    world.sql(&format!(
        "INSERT INTO mailfleet.delivery_events (source, tenant_id, kind, message_id, recipient, occurred) \
         VALUES ('w:1:0', '{}', 'opened', 'x@acme.example', 'a@lead.example', now())",
        world.tenant
    ));
    world.sql(&outbound("out").sql(&world));
    run(&world.store).await;
    assert_eq!(world.sql("SELECT opened FROM analytics.campaign_day"), "0");
    world.sql("UPDATE mailfleet.delivery_events SET storage_key = 'out'");
    run(&world.store).await;
    assert_eq!(world.sql("SELECT opened FROM analytics.campaign_day"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_and_a_rebuild_change_nothing() {
    let world = World::new().await;
    world.sql(&small_world(&world));
    run(&world.store).await;
    let numbers = dump(&world);
    assert_eq!(numbers.lines().count(), 6);
    run(&world.store).await;
    assert_eq!(dump(&world), numbers);
    // A rebuild mends what nobody noted: numbers that are wrong, a row of a key that is no more, a row that is missing.
    world.sql(
        "UPDATE analytics.tenant_day SET sent = 77; DELETE FROM analytics.mailbox_day; \
         INSERT INTO analytics.campaign_day SELECT tenant_id, gen_random_uuid(), '2020-01-01', sent, delivered, bounced_soft, \
         bounced_hard, complained, opened, clicked, unsubscribed, replied, auto_replied, received, bytes_in \
         FROM analytics.campaign_day",
    );
    assert_ne!(dump(&world), numbers);
    rebuild(&world.store).await;
    assert_eq!(dump(&world), numbers);
}
