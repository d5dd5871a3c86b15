//! What providers do that one would not expect.

use mailfleet_model::{EventKind, Permanence};
use serde_json::{Value, json};

use crate::support::{event, json as corpus, read, text, vectors};

fn reading(provider: &str, body: &Value) -> mailfleet_webhooks::Reading {
    read(provider, body.to_string().as_bytes()).unwrap()
}

/// An SNS envelope around a changed message of SES.
fn ses(name: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut envelope = corpus(&format!("ses-sns/{name}.json"));
    let mut message: Value = serde_json::from_str(text(&envelope, "Message")).unwrap();
    change(&mut message);
    envelope["Message"] = message.to_string().into();
    envelope
}

#[test]
fn a_repeated_call_is_known_by_what_the_provider_calls_it() {
    for (provider, name, dedupe) in [
        ("postal", "message_sent", "33333333-4444-4555-8666-777777777777"),
        ("ses-sns", "delivery", "22222222-3333-4444-8555-666666666666"),
        ("mailgun", "delivered", "00000000001f2e3d4c5b6a79880123456789abcdef012345"),
    ] {
        assert_eq!(reading(provider, &corpus(&format!("{provider}/{name}.json"))).dedupe, dedupe);
    }
    // A call of Mailgun whose event was exchanged has the same token: it is a replay.
    let mut forged = corpus("mailgun/delivered.json");
    forged["event-data"] = corpus("mailgun/complained.json")["event-data"].clone();
    forged["event-data"]["id"] = "ev-9999".into();
    assert_eq!(
        reading("mailgun", &forged).dedupe,
        reading("mailgun", &corpus("mailgun/delivered.json")).dedupe
    );
}

#[test]
fn a_call_without_a_name_or_with_an_endless_one_is_known_by_a_hash() {
    let mut call = corpus("postal/message_sent.json");
    call["uuid"] = Value::Null;
    let nameless = reading("postal", &call).dedupe;
    call["event"] = "MessageHeld".into();
    assert_ne!(reading("postal", &call).dedupe, nameless, "by its body");
    call["uuid"] = "u".repeat(100_000).into();
    let endless = reading("postal", &call).dedupe;
    assert!(endless.starts_with("sha256:") && endless.len() < 100 && endless != nameless);
    call["uuid"] = "a\0b".into();
    assert_eq!(reading("postal", &call).dedupe, "ab");
}

#[test]
fn several_recipients_of_one_bounce_are_an_event_each() {
    let reading = reading("ses-sns", &corpus("ses-sns/bounce_transient_multi.json"));
    let recipients: Vec<&str> = reading.events.iter().map(|event| event.recipient.as_str()).collect();
    assert_eq!(recipients, ["a@example.com", "b@example.com"], "not the third, which did not bounce");
    assert!(reading.events.iter().all(|event| event.reason.as_deref() == Some("mailboxfull")));
}

#[test]
fn the_name_that_the_provider_gave_the_message_comes_along() {
    let alias = event("ses-sns", &corpus("ses-sns/delivery.json")).alias.unwrap();
    assert_eq!(alias, "ses-sns:0100000000000001-aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee-000000");
    assert_eq!(
        event("postal", &corpus("postal/message_sent.json")).alias.as_deref(),
        Some("postal:abcdEFGH1234")
    );
}

#[test]
fn messages_of_sns_itself_are_kept_and_never_followed() {
    let confirmation = vectors()["ses-sns"]["messages"][2].clone();
    let kept = reading("ses-sns", &confirmation);
    assert!(kept.events.is_empty());
    assert!(kept.note.unwrap().contains("https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription"));
    let mut foreign = confirmation;
    foreign["SubscribeURL"] = "https://10.0.0.1/latest/meta-data".into();
    assert_eq!(reading("ses-sns", &foreign).note, None, "no operator is sent to somebody's address");
    assert!(reading("ses-sns", &corpus("ses-sns/non_json_message.json")).events.is_empty());
}

#[test]
fn event_types_of_both_kinds_of_ses_set_up_are_read() {
    for (old, new) in [("notificationType", "eventType"), ("eventType", "notificationType")] {
        let call = ses("delivery", |message| {
            message[old] = Value::Null;
            message[new] = "Delivery".into();
        });
        assert_eq!(event("ses-sns", &call).kind, EventKind::Delivered, "{new}");
    }
    for (kind, want) in
        [("Send", EventKind::Sent), ("Open", EventKind::Opened), ("Click", EventKind::Clicked)]
    {
        let call = ses("delivery", |message| message["eventType"] = kind.into());
        assert_eq!(event("ses-sns", &call).kind, want, "{kind}");
    }
}

#[test]
fn a_suppressed_message_is_no_hard_bounce_of_its_address() {
    let mailgun = event("mailgun", &corpus("mailgun/failed_suppressed.json"));
    let ses = event(
        "ses-sns",
        &ses("bounce_permanent", |message| {
            message["bounce"]["bounceSubType"] = "OnAccountSuppressionList".into();
        }),
    );
    for event in [mailgun, ses] {
        assert_eq!(event.permanence, Some(Permanence::Soft));
        assert_eq!(event.reason.as_deref(), Some("suppressed"));
    }
}

#[test]
fn what_mailgun_gave_up_on_after_days_is_no_hard_bounce() {
    for (path, value) in [
        ("/event-data/reason", json!("old")),
        ("/event-data/delivery-status/bounce-type", json!("soft")),
        ("/event-data/delivery-status/code", json!(452)),
    ] {
        let mut call = corpus("mailgun/failed_permanent.json");
        *call.pointer_mut(path).unwrap() = value;
        assert_eq!(event("mailgun", &call).permanence, Some(Permanence::Soft), "{path}");
    }
}

#[test]
fn a_complaint_that_amazon_made_up_from_its_own_list_is_none() {
    let call = ses("complaint", |message| {
        message["complaint"]["complaintSubType"] = "OnAccountSuppressionList".into();
    });
    assert_eq!(event("ses-sns", &call).kind, EventKind::Bounced);
}

#[test]
fn a_report_that_a_mail_is_no_spam_is_no_complaint() {
    let said = |kind: &str| {
        reading(
            "ses-sns",
            &ses("complaint", |message| message["complaint"]["complaintFeedbackType"] = kind.into()),
        )
    };
    for wanted in ["not-spam", "Not-Spam"] {
        let reading = said(wanted);
        assert_eq!((reading.events.len(), reading.ignored), (0, 1), "{wanted}");
    }
    for other in ["abuse", "auth-failure", "fraud", "other", "virus", "a later one"] {
        assert_eq!(said(other).events[0].kind, EventKind::Complained, "{other}");
    }
}

#[test]
fn a_message_that_postal_holds_for_a_person_may_still_be_sent() {
    let mut call = corpus("postal/message_held.json");
    call["payload"]["details"] = "Server is in development mode".into();
    let event = event("postal", &call);
    assert_eq!((event.kind, event.reason.as_deref()), (EventKind::Deferred, Some("held")));
}

#[test]
fn the_recipient_of_a_returned_mail_is_that_of_the_message_and_not_of_the_return() {
    assert_eq!(event("postal", &corpus("postal/message_bounced.json")).recipient, "ann@example.com");
}

#[test]
fn unknown_events_are_kept_and_say_nothing() {
    for (provider, name, pointer) in [
        ("postal", "message_sent", "/event"),
        ("mailgun", "delivered", "/event-data/event"),
        ("standard-webhooks", "delivery_status", "/type"),
    ] {
        let mut call = corpus(&format!("{provider}/{name}.json"));
        *call.pointer_mut(pointer).unwrap() = "message.teleported".into();
        let reading = reading(provider, &call);
        assert_eq!((reading.events.len(), reading.ignored), (0, 1), "{provider}");
    }
    let call = ses("delivery", |message| message["eventType"] = "Teleported".into());
    assert_eq!(reading("ses-sns", &call).ignored, 1);
}

#[test]
fn times_in_every_form_are_one_time() {
    for time in [
        json!("1772359205"),
        json!(1_772_359_205),
        json!(1_772_359_205.25),
        json!("2026-03-01T10:00:05.1234567Z"),
    ] {
        let mut call = corpus("mailgun/delivered.json");
        call["event-data"]["timestamp"] = time.clone();
        assert_eq!(event("mailgun", &call).occurred_ms.unwrap() / 1_000, 1_772_359_205, "{time}");
    }
    let mut call = corpus("mailgun/delivered.json");
    call["event-data"]["timestamp"] = "yesterday".into();
    assert_eq!(event("mailgun", &call).occurred_ms, None, "unknown, and the event counts all the same");
}

#[test]
fn what_has_not_the_shape_of_a_providers_calls_is_refused() {
    for provider in ["postal", "mailgun", "ses-sns", "standard-webhooks", "generic"] {
        for body in ["", "{", "[1]", "7", "{}", "{\"event\": 7}", "null"] {
            let refused = read(provider, body.as_bytes());
            assert!(
                matches!(refused, Err(mailfleet_webhooks::Refusal::Malformed(_))),
                "{provider} {body}: {refused:?}"
            );
        }
    }
}
