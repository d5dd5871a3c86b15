//! What became of a webhook call: an event's job is looked up like a mail's, and so is all that `explain` prints.

use mailfleet_model::{InboxId, JobId, TenantId};

use crate::delivery::fleet;
use crate::fleet::Fleet;

/// A webhook call at the endpoint `events`, about these messages, with whatever note.
fn call(fleet: &Fleet, tenant: TenantId, message_ids: &[&str], note: &str) -> InboxId {
    let events: Vec<_> = message_ids
        .iter()
        .map(
            |id| serde_json::json!({ "kind": "delivered", "recipient": "ann@example.com", "message_id": id }),
        )
        .collect();
    let id = fleet.sql(&format!(
        "INSERT INTO mailfleet.webhook_inbox (endpoint_id, tenant_id, provider, dedupe, body, events, note) \
         SELECT id, '{tenant}', provider, gen_random_uuid(), '', '{}', nullif('{note}', '') \
         FROM mailfleet.webhook_endpoints WHERE name = 'events' RETURNING id",
        serde_json::Value::from(events)
    ));
    InboxId(id.lines().next().expect("a row").parse().expect("a number"))
}

async fn with_endpoint() -> (Fleet, TenantId) {
    let (fleet, tenant) = fleet().await;
    std::fs::write(fleet.path("secret"), "a shared secret of the tests\n").expect("written");
    let secret = fleet.path("secret");
    let add = ["webhook", "add", "--tenant", "acme", "--name", "events", "--provider", "generic"];
    fleet.run(&[&add[..], &["--secret-file", &secret]].concat()).with_code(0);
    (fleet, tenant)
}

fn explained(fleet: &Fleet, what: &str) -> serde_json::Value {
    fleet.run(&["explain", what, "--json"]).with_code(0).json().swap_remove(0)
}

#[tokio::test]
async fn a_webhook_call_is_explained_by_its_job_with_the_message_of_each_event() {
    let (fleet, tenant) = with_endpoint().await;
    let inbox = call(&fleet, tenant, &["1@acme.example", "later@acme.example"], "");
    let job = JobId::events(inbox).to_string();

    let said = fleet.run(&["explain", &job]).with_code(0).out;
    for wanted in
        ["endpoint    events (generic)", "received    20", "applied     not yet", "not recorded yet"]
    {
        assert!(said.contains(wanted), "{wanted} is missing in\n{said}");
    }
    assert!(explained(&fleet, &job)["call"]["applied"].is_null());

    fleet.store().apply_inbox(&[inbox]).await.expect("applied");
    let said = fleet.run(&["explain", &job]).with_code(0).out;
    for wanted in [
        "applied     20",
        "event       delivered: ann@example.com",
        "of the message email_1@acme.example_",
        "waits for its message <later@acme.example>",
        "queue       no job of it is there",
    ] {
        assert!(said.contains(wanted), "{wanted} is missing in\n{said}");
    }
    let json = explained(&fleet, &job);
    let call = &json["call"];
    assert_eq!((&call["job"], &call["brought"]), (&job.as_str().into(), &2.into()), "{json}");
    assert!(call["applied"].is_string() && call["events"][1]["storage_key"].is_null(), "{json}");
    // The message that it names is found by that name.
    let key = call["events"][0]["storage_key"].as_str().expect("a key");
    assert_eq!(explained(&fleet, key)["mails"][0]["mail"]["storage_key"], key);
}

#[tokio::test]
async fn who_told_an_event_is_named_so_that_it_can_be_looked_up() {
    let (fleet, tenant) = with_endpoint().await;
    let inbox = call(&fleet, tenant, &["1@acme.example"], "");
    fleet.store().apply_inbox(&[inbox]).await.expect("applied");
    let said = fleet.run(&["explain", "1@acme.example"]).with_code(0).out;
    let (_, teller) = said.split_once("told by ").expect("a teller");
    let (teller, _) = teller.split_once(": ann@example.com").expect("a recipient");
    let source = explained(&fleet, "1@acme.example")["mails"][0]["events"][0]["source"].clone();
    for what in [teller, source.as_str().expect("a source")] {
        assert_eq!(explained(&fleet, what)["call"]["job"], JobId::events(inbox).as_str(), "{what}");
    }
}

#[tokio::test]
async fn a_call_that_is_not_there_is_said_so_without_a_hint_at_mailboxes() {
    let (fleet, tenant) = with_endpoint().await;
    let said = fleet.run(&["explain", "e:77"]).with_code(1);
    assert!(!said.err.contains("audit"), "{}", said.err);
    said.error_naming(&["e:77", "no webhook call", "webhook list"]);
    // A call that brings no event may still ask for something.
    let inbox = call(&fleet, tenant, &[], "confirm it");
    let said = fleet.run(&["explain", JobId::events(inbox).as_str()]).with_code(0).out;
    assert!(said.contains("asks        confirm it") && said.contains("events      none"), "{said}");
}
