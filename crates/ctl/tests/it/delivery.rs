//! What an operator sees of messages that we sent, and of delivery events that could not be applied.

use mailfleet_model::{
    Class, Counters, DeliveryEvent, ENVELOPE_VERSION, Encoding, Envelope, EventKind, InboxId, JobId, Lane,
    Permanence, TenantId, Work,
};
use mailfleet_queue::Queues;
use mailfleet_store::{NewDeadLetter, NewOutbound};

use crate::fleet::Fleet;

const ANN: &str = "ann@example.com";

/// A fleet with a tenant, and a message that was registered.
pub async fn fleet() -> (Fleet, TenantId) {
    let fleet = Fleet::new();
    let store = fleet.store();
    let tenant = store.add_tenant(None, "acme", &[]).await.expect("added");
    let message = NewOutbound {
        tenant,
        message_id: "1@acme.example".to_owned(),
        account: None,
        campaign: None,
        lead: None,
        from: "sales@acme.example".to_owned(),
        recipients: vec![ANN.to_owned(), "ben@example.com".to_owned()],
        to_header: ANN.to_owned(),
        subject: "Offer".to_owned(),
        aliases: Vec::new(),
        created: chrono::DateTime::from_timestamp(1_700_000_000, 0).expect("a time"),
    };
    store.register_outbound(&[message]).await.expect("registered");
    (fleet, tenant)
}

/// A webhook call that was taken.
fn call(fleet: &Fleet, tenant: TenantId) -> InboxId {
    let bounce = DeliveryEvent {
        message_id: Some("1@acme.example".to_owned()),
        permanence: Some(Permanence::Hard),
        smtp_code: Some(550),
        enhanced_status: Some("5.1.1".to_owned()),
        occurred_ms: Some(1_700_000_000_000),
        ..DeliveryEvent::new(EventKind::Bounced, ANN)
    };
    let events = serde_json::to_string(&[bounce]).expect("JSON");
    let id = fleet.sql(&format!(
        "INSERT INTO mailfleet.webhook_inbox (endpoint_id, tenant_id, provider, dedupe, body, events) \
         VALUES (gen_random_uuid(), '{tenant}', 'generic', 'x', '', '{events}') RETURNING id"
    ));
    InboxId(id.lines().next().expect("a row").parse().expect("a number"))
}

#[tokio::test]
async fn explain_shows_the_recipients_of_an_outbound_message_and_what_was_said_of_it() {
    let (fleet, tenant) = fleet().await;
    fleet.store().apply_inbox(&[call(&fleet, tenant)]).await.expect("applied");
    let said = fleet.run(&["explain", "<1@acme.example>"]).with_code(0);
    for wanted in [
        "outbound email, bounced",
        "recipient   ann@example.com: bounced (hard) 2023-11-14",
        ", 550, 5.1.1",
        "recipient   ben@example.com: queued",
        "event       bounced (hard) 2023-11-14",
        "told by e:1: ann@example.com",
    ] {
        assert!(said.out.contains(wanted), "{wanted} in {}", said.out);
    }
    let said = fleet.run(&["explain", "1@acme.example", "--json"]).with_code(0);
    let json: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let mail = &json["mails"][0];
    assert_eq!(mail["recipients"][0]["status"], "bounced_hard");
    assert_eq!(mail["recipients"][1]["status"], "queued");
    assert_eq!(mail["events"][0]["source"], "w:1:0");
}

#[tokio::test]
async fn a_dead_letter_of_events_is_shown_and_replayed_without_a_raw_mail_into_its_own_queue() {
    let (fleet, tenant) = fleet().await;
    let inbox = call(&fleet, tenant);
    let job = JobId::events(inbox);
    let envelope = Envelope {
        v: ENVELOPE_VERSION,
        work: Work::Events { inbox },
        size: 0,
        message_id: None,
        direction: mailfleet_model::Direction::default(),
        flags: Vec::new(),
        internal_date_ms: None,
        enqueued_at_ms: 1,
        encoding: Encoding::Identity,
        traceparent: None,
    };
    let letter = NewDeadLetter {
        job: job.clone(),
        at: None,
        lane: Lane::High,
        envelope_json: serde_json::to_value(envelope).expect("JSON"),
        raw: None,
        reason: "refused_by_postgresql".to_owned(),
        class: Class::Data,
        error: "odd".to_owned(),
        counters: Counters::default(),
        history: serde_json::json!([]),
        tenant: Some(tenant),
        account: None,
        message_id: None,
    };
    fleet.store().dead_letter(&[letter]).await.expect("written");
    let said = fleet.run(&["dead", "show", job.as_str()]).with_code(0);
    assert!(said.out.contains("webhook_inbox"), "{}", said.out);
    let said = fleet.run(&["dead", "replay", job.as_str()]).with_code(0);
    assert!(said.out.contains("1 replayed"), "{}", said.out);
    let queues = Queues::connect(fleet.queue().config()).expect("queues");
    assert_eq!(queues.live(std::slice::from_ref(&job)).await.expect("asked"), [true]);
    assert_eq!(queues.mails.live(std::slice::from_ref(&job)).await.expect("asked"), [false]);
    // It is live, so that it does not count as lost, and a second run leaves it alone.
    let said = fleet.run(&["dead", "replay", "--all"]).with_code(0);
    assert!(said.out.contains("0 replayed"), "{}", said.out);
    let depth = fleet.run(&["queue", "depth", "--json"]).with_code(0).json();
    let events = depth.iter().find(|queue| queue["kind"] == "events").expect("the queue of events");
    assert_eq!(events["lanes"]["high"]["waiting"], 1, "{events}");
}
