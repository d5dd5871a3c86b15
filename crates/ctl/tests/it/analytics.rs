//! The roll-ups at the command line.

use mailfleet_testkit::eventually_blocking;

use crate::fleet::Fleet;

const CAMPAIGN: &str = "c0000000-0000-4000-8000-000000000001";

/// A tenant whose campaign has a message to two recipients, one reached and one who bounced, and a reply to it.
fn fleet() -> Fleet {
    let fleet = Fleet::new();
    let added = fleet.run(&["tenant", "add", "acme", "--json"]).with_code(0).json();
    let tenant = added[0]["id"].as_str().expect("an id");
    fleet.sql(&format!(
        "INSERT INTO mailfleet.messages (storage_key, tenant_id, direction, message_type, thread_id, parent_storage_key, evidence, \
         campaign_id, bytes, latency_ms, created) VALUES \
         ('out', '{tenant}', 'outbound', 'email', 't', NULL, 'registered', '{CAMPAIGN}', 0, NULL, '2026-03-01 10:00+00'), \
         ('in', '{tenant}', 'inbound', 'email', 't', 'out', 'in_reply_to', '{CAMPAIGN}', 900, 40, '2026-03-02 10:00+00'); \
         INSERT INTO mailfleet.message_recipients (storage_key, recipient, tenant_id, status) VALUES \
         ('out', 'a@lead.example', '{tenant}', 3), ('out', 'b@lead.example', '{tenant}', 5)"
    ));
    fleet
}

/// Runs until nothing is left: the server's own transactions may hold the horizon for a moment.
fn run(fleet: &Fleet) {
    eventually_blocking("a run that leaves nothing", std::time::Duration::from_secs(20), || {
        let said = fleet.run(&["analytics", "run", "--json"]).with_code(0).json();
        (said[0]["left"] == 0).then_some(())
    });
}

#[test]
fn what_was_counted_is_shown_with_rates_and_percentiles() {
    let fleet = fleet();
    let before = fleet.run(&["analytics", "show"]).with_code(0).out;
    assert!(before.contains("analytics run"), "{before}");
    run(&fleet);
    let shown =
        fleet.run(&["analytics", "show", "--tenant", "acme", "--campaign", CAMPAIGN, "--json"]).with_code(0);
    let shown = &shown.json()[0];
    assert_eq!((&shown["id"], &shown["tenant_name"]), (&CAMPAIGN.into(), &"acme".into()));
    assert_eq!((&shown["counts"]["sent"], &shown["counts"]["bounced_hard"]), (&2.into(), &1.into()));
    assert_eq!((&shown["rates"]["replied"], &shown["rates"]["bounced"]), (&0.5.into(), &0.5.into()));
    assert_eq!(shown["latency_p50_ms"], 37.5);
    let table = fleet.run(&["analytics", "show", "tenant"]).with_code(0).out;
    assert!(table.contains("acme") && table.contains("1 (50.0%)") && table.contains("38 ms"), "{table}");
    // Of the day of the reply nothing was sent: no rate.
    let late =
        fleet.run(&["analytics", "show", "tenant", "--since", "2026-03-02", "--json"]).with_code(0).json();
    assert_eq!(
        (&late[0]["counts"]["replied"], &late[0]["rates"]["replied"]),
        (&1.into(), &serde_json::Value::Null)
    );
}

#[test]
fn a_rebuild_mends_numbers_that_were_spoiled() {
    let fleet = fleet();
    run(&fleet);
    fleet.sql("UPDATE analytics.tenant_day SET sent = 77; DELETE FROM analytics.campaign_day");
    fleet.run(&["analytics", "rebuild"]).with_code(0);
    run(&fleet);
    assert_eq!(fleet.sql("SELECT sum(sent) FROM analytics.tenant_day"), "2");
    assert_eq!(fleet.sql("SELECT sum(sent) FROM analytics.campaign_day"), "2");
}

#[test]
fn a_run_counts_what_it_can_says_what_it_put_off_and_takes_it_up_again_with_more_time() {
    let fleet = fleet();
    fleet.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.day = '2026-03-01' THEN PERFORM pg_sleep(3); END IF; RETURN NEW; END $$; \
         CREATE TRIGGER slow BEFORE INSERT ON analytics.tenant_day FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    let config = std::fs::read_to_string(&fleet.config).expect("a configuration");
    let bounded =
        |ms: u32| config.replace("[postgres]\n", &format!("[postgres]\nstatement_timeout_ms = {ms}\n"));
    std::fs::write(&fleet.config, bounded(200)).expect("written");
    eventually_blocking("a run that puts the first day off", std::time::Duration::from_secs(30), || {
        let said = fleet.run(&["analytics", "run", "--json"]);
        (said.json()[0]["put_off"] == 1).then(|| said.with_code(1))
    });
    assert_eq!(fleet.sql("SELECT day, received FROM analytics.tenant_day"), "2026-03-02|1");
    let said = fleet.run(&["analytics", "run"]).with_code(1);
    assert!(said.out.contains("1 key put off") && said.out.contains("statement_timeout_ms"), "{}", said.out);
    std::fs::write(&fleet.config, bounded(20_000)).expect("written");
    let said = fleet.run(&["analytics", "run", "--json"]).with_code(0).json();
    assert_eq!((&said[0]["put_off"], &said[0]["left"]), (&0.into(), &0.into()));
    assert_eq!(fleet.sql("SELECT count(*) FROM analytics.tenant_day"), "2");
}

#[test]
fn a_campaign_of_another_roll_up_and_a_time_that_is_none_are_refused() {
    let fleet = Fleet::new();
    fleet
        .run(&["analytics", "show", "mailbox", "--campaign", CAMPAIGN])
        .with_code(64)
        .error_naming(&["--campaign", "mailbox"]);
    fleet.run(&["analytics", "show", "--since", "soon"]).with_code(64).error_naming(&["soon"]);
    fleet.run(&["analytics", "show", "planet"]).with_code(64).error_naming(&["planet"]);
}
