//! The corpus of calls, and signing like a sender.

use std::path::PathBuf;

use mailfleet_model::DeliveryEvent;
use mailfleet_webhooks::{Call, Reading, Refusal, Trust, by_name};
use ring::hmac;
use serde_json::Value;

/// The time of every vector, in seconds since 1970.
pub const SIGNED_AT: i64 = 1_772_359_205;

pub const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:ses-events";

pub fn dir() -> PathBuf {
    mailfleet_testkit::corpus_dir().join("webhooks")
}

pub fn file(name: &str) -> Vec<u8> {
    std::fs::read(dir().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub fn json(name: &str) -> Value {
    serde_json::from_slice(&file(name)).unwrap()
}

pub fn vectors() -> Value {
    json("signature_vectors.json")
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no text `{key}`"))
}

pub fn trust(secret: &[u8]) -> Trust<'_> {
    Trust { secret, topic: Some(TOPIC), now_ms: SIGNED_AT * 1_000, skew_seconds: 300 }
}

/// Verifies with the headers of an object, lower-cased.
pub fn verify(provider: &str, headers: &Value, body: &[u8], trust: &Trust<'_>) -> Result<(), Refusal> {
    let named: Vec<(String, &str)> = headers
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap()))
        .collect();
    let headers: Vec<(&str, &str)> = named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    by_name(provider).unwrap().verify(&Call::new(&headers, body), trust)
}

pub fn read(provider: &str, body: &[u8]) -> Result<Reading, Refusal> {
    by_name(provider).unwrap().read(&Call::new(&[], body))
}

/// The only event of a call.
pub fn event(provider: &str, body: &Value) -> DeliveryEvent {
    let reading = read(provider, body.to_string().as_bytes()).unwrap();
    assert_eq!(reading.events.len(), 1, "{reading:?}");
    reading.events.into_iter().next().unwrap()
}

pub fn hmac_hex(secret: &[u8], parts: &[&[u8]]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), &parts.concat());
    data_encoding::HEXLOWER.encode(tag.as_ref())
}
