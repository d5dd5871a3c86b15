//! What the triggers note.

use super::{CAMPAIGN, Message, OTHER_CAMPAIGN, outbound, recipient, run};
use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_a_thousand_rows_notes_few_changes() {
    let world = World::new().await;
    world.sql(&format!(
        "INSERT INTO mailfleet.messages (storage_key, tenant_id, account_id, direction, message_type, thread_id, campaign_id, created) \
         SELECT 'k' || n, '{}', '{}', 'outbound', 'email', 't', CASE WHEN n % 2 = 0 THEN '{CAMPAIGN}'::uuid END, '2026-03-01' \
         FROM generate_series(1, 1000) n",
        world.tenant, world.account
    ));
    assert_eq!(world.count("mailfleet.analytics_changes"), 2);
    world.sql(
        "INSERT INTO mailfleet.message_recipients (storage_key, recipient, tenant_id, status) \
         SELECT storage_key, 'a@lead.example', tenant_id, 1 FROM mailfleet.messages",
    );
    assert_eq!(world.count("mailfleet.analytics_changes"), 3);
    run(&world.store).await;
    assert_eq!(world.sql("SELECT sent FROM analytics.campaign_day"), "500");
    assert_eq!(world.sql("SELECT sent FROM analytics.tenant_day"), "1000");
    world.sql("UPDATE mailfleet.messages SET thread_id = 't_2', updated = now()");
    assert_eq!(world.count("mailfleet.analytics_changes"), 0, "a thread is not counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_moves_changes_both_keys() {
    let world = World::new().await;
    world.sql(&(outbound("out").sql(&world) + &recipient(&world, "out", "a@lead.example", 1)));
    run(&world.store).await;
    let campaigns = "SELECT campaign_id, day, sent FROM analytics.campaign_day";
    assert_eq!(world.sql(campaigns), format!("{CAMPAIGN}|2026-03-01|1"));
    world.sql(&format!(
        "UPDATE mailfleet.messages SET campaign_id = '{OTHER_CAMPAIGN}', created = '2026-03-05 01:00+02'"
    ));
    run(&world.store).await;
    assert_eq!(world.sql(campaigns), format!("{OTHER_CAMPAIGN}|2026-03-04|1"), "the day is that of UTC");
    world.sql("DELETE FROM mailfleet.message_recipients");
    run(&world.store).await;
    assert_eq!(world.sql(campaigns), format!("{OTHER_CAMPAIGN}|2026-03-04|0"));
    world.sql("DELETE FROM mailfleet.messages");
    run(&world.store).await;
    assert_eq!(super::dump(&world), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_becomes_a_reply_when_its_parent_comes_and_no_longer_is_one_when_it_goes() {
    let world = World::new().await;
    let answer = Message {
        key: "answer",
        parent: Some("out"),
        evidence: Some("in_reply_to"),
        created: "2026-03-09 12:00+00",
        ..Message::default()
    };
    world.sql(&answer.sql(&world));
    run(&world.store).await;
    let replied = || world.sql("SELECT replied FROM analytics.tenant_day WHERE day = '2026-03-09'");
    assert_eq!(replied(), "0");
    world.sql(&outbound("out").sql(&world));
    run(&world.store).await;
    assert_eq!(replied(), "1");
    world.sql("UPDATE mailfleet.messages SET direction = 'inbound' WHERE storage_key = 'out'");
    run(&world.store).await;
    assert_eq!(replied(), "0");
    world.sql("UPDATE mailfleet.messages SET direction = 'outbound' WHERE storage_key = 'out'");
    run(&world.store).await;
    assert_eq!(replied(), "1");
    world.sql("DELETE FROM mailfleet.messages WHERE storage_key = 'out'");
    run(&world.store).await;
    assert_eq!(replied(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_no_reply_while_a_message_that_we_sent_has_its_message_id() {
    let world = World::new().await;
    let id = Some("a@acme.example");
    let answer = Message {
        key: "answer",
        id,
        parent: Some("out"),
        created: "2026-03-09 12:00+00",
        ..Message::default()
    };
    world.sql(&(outbound("out").sql(&world) + &answer.sql(&world)));
    run(&world.store).await;
    let replied = || world.sql("SELECT replied FROM analytics.tenant_day WHERE day = '2026-03-09'");
    assert_eq!(replied(), "1");
    let steps = [
        (Message { id, ..outbound("ours") }.sql(&world), "0"),
        (
            "UPDATE mailfleet.messages SET message_id = 'b@acme.example' WHERE storage_key = 'ours'"
                .to_owned(),
            "1",
        ),
        (
            "UPDATE mailfleet.messages SET message_id = 'a@acme.example' WHERE storage_key = 'ours'"
                .to_owned(),
            "0",
        ),
        ("UPDATE mailfleet.messages SET direction = 'inbound' WHERE storage_key = 'ours'".to_owned(), "1"),
        ("UPDATE mailfleet.messages SET direction = 'outbound' WHERE storage_key = 'ours'".to_owned(), "0"),
        ("UPDATE mailfleet.messages SET message_id = NULL WHERE storage_key = 'answer'".to_owned(), "1"),
        (
            "UPDATE mailfleet.messages SET message_id = 'a@acme.example' WHERE storage_key = 'answer'"
                .to_owned(),
            "0",
        ),
        ("DELETE FROM mailfleet.messages WHERE storage_key = 'ours'".to_owned(), "1"),
    ];
    for (step, counted) in steps {
        world.sql(&step);
        run(&world.store).await;
        assert_eq!(replied(), counted, "{step}");
    }
}
