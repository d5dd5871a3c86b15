//! Whatever comes, no provider fails, and what comes out can be kept.

use mailfleet_model::DIAGNOSTIC_MAX_CHARS;
use mailfleet_webhooks::{Call, Trust, all};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::{dir, file};

/// Values that are of the wrong type, endless or odd.
fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(Value::from("\0\0")),
        Just(Value::from("x".repeat(5_000))),
        Just(Value::from(vec![Value::Null, Value::from("a@example.com")])),
        Just(serde_json::json!({"emailAddress": "\0a@example.com"})),
    ]
}

fn replace(value: &mut Value, at: &mut usize, with: &Value) {
    if *at == 0 {
        *value = with.clone();
    }
    *at = at.wrapping_sub(1);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, at, with)),
        Value::Object(fields) => fields.values_mut().for_each(|item| replace(item, at, with)),
        _ => {}
    }
}

fn corpus() -> Vec<Value> {
    let files =
        all().iter().filter_map(|provider| std::fs::read_dir(dir().join(provider.name())).ok()).flatten();
    files.map(|file| serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap()).collect()
}

fn check(body: &[u8]) {
    let trust = Trust { secret: &file("signature_vectors.json"), topic: None, now_ms: 0, skew_seconds: 300 };
    for provider in all() {
        let call = Call::new(&[], body);
        assert!(provider.verify(&call, &trust).is_err());
        let Ok(reading) = provider.read(&call) else { continue };
        assert!((1..=200).contains(&reading.dedupe.chars().count()));
        let kept = serde_json::to_string(&reading.events).unwrap();
        assert!(!kept.contains("\\u0000"), "{kept}");
        for event in reading.events {
            assert!((1..=320).contains(&event.recipient.chars().count()));
            assert!(event.diagnostic.is_none_or(|text| text.chars().count() <= DIAGNOSTIC_MAX_CHARS));
            assert!(event.alias.is_none_or(|alias| alias.chars().count() <= 300));
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(body in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&body);
    }

    #[test]
    fn a_call_with_any_part_exchanged_is_survived(
        index in any::<prop::sample::Index>(),
        mut at in 0_usize..60,
        with in odd(),
        inner in any::<bool>(),
    ) {
        let calls = corpus();
        let mut call = calls[index.index(calls.len())].clone();
        match call.get("Message").and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok()) {
            Some(mut message) if inner => {
                replace(&mut message, &mut at, &with);
                call["Message"] = message.to_string().into();
            }
            _ => replace(&mut call, &mut at, &with),
        }
        check(call.to_string().as_bytes());
    }
}
