//! Our own schema.

use mailfleet_model::{EventKind, Permanence};
use mailfleet_webhooks::{Call, MAX_EVENTS, Refusal, all, by_name};
use serde_json::{Value, json};

use crate::support::{SIGNED_AT, event, hmac_hex, read, trust, verify};

const SECRET: &[u8] = b"a shared secret of some length";

fn bounce() -> Value {
    json!({
        "event": "bounced", "recipient": "Nobody@Example.com", "message_id": "<msg-1@example.org>",
        "provider": "postal", "provider_message_id": "q-77", "occurred_at": "2026-03-01T10:00:05Z",
        "permanence": "hard", "code": 550, "enhanced_status": "5.1.1", "diagnostic": "550 5.1.1 user unknown",
        "reason": "userunknown", "id": "1"
    })
}

fn signed(body: &[u8], time: i64) -> Value {
    let time = time.to_string();
    let mac = hmac_hex(SECRET, &[time.as_bytes(), b".", body]);
    json!({ "X-Mailfleet-Signature": format!("t={time},v1={mac}") })
}

#[test]
fn the_signature_holds_for_time_body_and_secret_alone() {
    let body = bounce().to_string().into_bytes();
    let headers = signed(&body, SIGNED_AT);
    verify("generic", &headers, &body, &trust(SECRET)).unwrap();
    let header = headers["X-Mailfleet-Signature"].as_str().unwrap();
    let rotated =
        json!({ "X-Mailfleet-Signature": header.replace(",v1=", &format!(", v1={}, v1=", "0".repeat(64))) });
    verify("generic", &rotated, &body, &trust(SECRET)).unwrap();

    let bad = |headers: &Value, body: &[u8], secret: &[u8]| {
        matches!(verify("generic", headers, body, &trust(secret)), Err(Refusal::Unverified(_)))
    };
    assert!(bad(&headers, b"{}", SECRET));
    assert!(bad(&headers, &body, b"another secret of some length"));
    assert!(bad(&signed(&body, SIGNED_AT - 301), &body, SECRET), "stale");
    assert!(bad(&signed(&body, SIGNED_AT + 301), &body, SECRET), "from the future");
    for header in
        ["", "t=1", "v1=00", "t=1,v1=zz", &header.replace("t=17", "t=18"), &header.replace("v1", "v0")]
    {
        assert!(bad(&json!({ "X-Mailfleet-Signature": header }), &body, SECRET), "{header}");
    }
    assert!(bad(&json!({}), &body, SECRET));
}

#[test]
fn every_field_comes_through() {
    let event = event("generic", &bounce());
    assert_eq!((event.kind, event.permanence), (EventKind::Bounced, Some(Permanence::Hard)));
    assert_eq!(
        (event.recipient.as_str(), event.message_id.as_deref()),
        ("nobody@example.com", Some("msg-1@example.org"))
    );
    assert_eq!((event.alias.as_deref(), event.reason.as_deref()), (Some("postal:q-77"), Some("userunknown")));
    assert_eq!((event.smtp_code, event.enhanced_status.as_deref()), (Some(550), Some("5.1.1")));
    assert_eq!(
        (event.occurred_ms, event.diagnostic.as_deref()),
        (Some(1_772_359_205_000), Some("550 5.1.1 user unknown"))
    );
}

#[test]
fn every_kind_of_event_can_be_told_and_an_unknown_one_does_not_spoil_the_others() {
    let events: Vec<Value> = EventKind::ALL
        .iter()
        .map(|kind| kind.as_str())
        .chain(["teleported"])
        .map(|kind| json!({"event": kind, "recipient": "a@example.com", "message_id": "m@example.org"}))
        .collect();
    let reading = read("generic", Value::from(events).to_string().as_bytes()).unwrap();
    assert_eq!(reading.events.iter().map(|event| event.kind).collect::<Vec<_>>(), EventKind::ALL);
    assert_eq!(reading.ignored, 1);
}

#[test]
fn a_mistake_is_told_with_its_place() {
    for (key, value, place) in [
        ("event", Value::Null, "event: is missing"),
        ("event", json!(7), "event: must be text"),
        ("recipient", Value::Null, "recipient: is missing"),
        ("recipient", json!(" <> "), "recipient: is missing"),
        ("recipient", json!("a".repeat(321)), "recipient: is longer"),
        ("occurred_at", json!("soon"), "occurred_at: must be RFC 3339"),
        ("permanence", json!("maybe"), "permanence: must be"),
        ("code", json!("550"), "code: must be"),
        ("code", json!(99), "code: must be"),
        ("enhanced_status", json!("5.1"), "enhanced_status: must be"),
        ("diagnostic", json!(["x"]), "diagnostic: must be text"),
        ("recepient", json!("x"), "recepient: is not known"),
    ] {
        let mut wrong = bounce();
        wrong[key] = value;
        let one = read("generic", wrong.to_string().as_bytes()).unwrap_err().to_string();
        assert!(one.starts_with(place), "{one}");
        let listed =
            read("generic", json!([bounce(), wrong]).to_string().as_bytes()).unwrap_err().to_string();
        assert!(listed.starts_with(&format!("[1].{place}")), "{listed}");
    }
    let mut nameless = bounce();
    nameless["message_id"] = Value::Null;
    assert!(read("generic", nameless.to_string().as_bytes()).is_ok(), "the provider's name is enough");
    nameless["provider_message_id"] = Value::Null;
    let error = read("generic", nameless.to_string().as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with("message_id: is missing"), "{error}");
}

#[test]
fn a_name_of_blanks_names_no_message() {
    for blank in ["", " ", "\t \n", "\u{a0}"] {
        let mut nameless = bounce();
        nameless["provider_message_id"] = blank.into();
        assert_eq!(event("generic", &nameless).alias, None, "the Message-ID is enough");
        nameless["message_id"] = blank.into();
        let error = read("generic", nameless.to_string().as_bytes()).unwrap_err();
        assert!(matches!(error, Refusal::Malformed(_)), "{blank:?}");
        assert!(error.to_string().starts_with("message_id: is missing"), "{error}");
    }
    let mut padded = bounce();
    padded["provider_message_id"] = " q-77 ".into();
    assert_eq!(event("generic", &padded).alias.as_deref(), Some("postal:q-77"), "as it was registered");
}

#[test]
fn a_recipient_that_is_no_bare_address_is_refused_by_its_field() {
    for odd in ["nope", "@example.com", "ann@", "Ann <ann@example.com>", "a@x.test,b@x.test", "a@x.test b"] {
        // Also of an event whose word is not known: it is the same mistake.
        for kind in ["bounced", "teleported"] {
            let mut wrong = bounce();
            wrong["recipient"] = odd.into();
            wrong["event"] = kind.into();
            let refusal = read("generic", json!([bounce(), wrong]).to_string().as_bytes()).unwrap_err();
            assert!(matches!(refusal, Refusal::Malformed(_)), "{odd}: {refusal:?}");
            assert!(
                refusal.to_string().starts_with("[1].recipient: must be a bare address"),
                "{odd}: {refusal}"
            );
        }
    }
    let mut bracketed = bounce();
    bracketed["recipient"] = "<Nobody@Example.com>".into();
    assert_eq!(event("generic", &bracketed).recipient, "nobody@example.com");
}

#[test]
fn a_provider_is_one_that_there_is_and_without_one_the_name_is_our_own() {
    for provider in all() {
        let mut named = bounce();
        named["provider"] = provider.name().into();
        assert_eq!(event("generic", &named).alias, Some(format!("{}:q-77", provider.name())));
    }
    let mut ours = bounce();
    ours["provider"] = Value::Null;
    assert_eq!(event("generic", &ours).alias.as_deref(), Some("generic:q-77"));
    for typo in ["sess", "", "Postal", "postal ", &"x".repeat(5_000)] {
        let mut wrong = bounce();
        wrong["provider"] = typo.into();
        let refusal = read("generic", wrong.to_string().as_bytes()).unwrap_err();
        let want =
            "provider: is not known; the providers are generic, postal, mailgun, ses-sns, standard-webhooks";
        assert_eq!(refusal, Refusal::Malformed(want.to_owned()), "{typo}");
    }
}

#[test]
fn a_secret_that_can_be_found_by_trying_is_none_here_nor_at_mailgun() {
    for provider in ["generic", "mailgun"] {
        let provider = by_name(provider).unwrap();
        provider.usable(&trust(b"0123456789abcdef\n")).unwrap();
        for short in [&b"0123456789abcde\n"[..], b"x", b"0123456789abcdef\nshort\n"] {
            let call = Call::new(&[], b"{}");
            for refused in [provider.usable(&trust(short)), provider.verify(&call, &trust(short))] {
                let Err(Refusal::Unconfigured(why)) = refused else {
                    panic!("{}: {refused:?}", provider.name());
                };
                assert_eq!(why, "the secret is shorter than 16 characters");
            }
        }
    }
}

#[test]
fn a_call_holds_so_many_events_and_no_more() {
    let many = |count| Value::from(vec![bounce(); count]).to_string();
    assert_eq!(read("generic", many(MAX_EVENTS).as_bytes()).unwrap().events.len(), MAX_EVENTS);
    assert!(matches!(read("generic", many(MAX_EVENTS + 1).as_bytes()), Err(Refusal::Malformed(_))));
    assert!(read("generic", b"[]").unwrap().events.is_empty());
}
