//! One registration as its sender writes it: read strictly, so that a mistake shows at its field and not months later in a
//! report.

use std::collections::BTreeSet;

use chrono::DateTime;
use mailfleet_model::{ADDRESS_MAX_CHARS, address_key, lookup_message_id};
use serde_json::{Map, Value};

/// Every field there is.
const FIELDS: &[&str] = &[
    "message_id",
    "account",
    "campaign",
    "lead",
    "from",
    "to",
    "cc",
    "subject",
    "provider",
    "provider_message_id",
    "sent_at",
];
/// Recipients of one message at most.
const RECIPIENTS_MAX: usize = 1_000;
/// Longest name of an account, a campaign or a message at its provider, in characters.
const NAME_MAX: usize = 200;
/// Longest subject, in characters.
const SUBJECT_MAX: usize = 10_000;

/// One registration, still with the names that its sender uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Where it stands in the call, for messages: `[3].`, or nothing.
    pub place: String,
    /// Message-ID, fit for look-ups.
    pub message_id: String,
    /// Account, by name or id.
    pub account: Option<String>,
    /// Campaign, by name or id.
    pub campaign: Option<String>,
    /// Lead, by id or address.
    pub lead: Option<String>,
    /// The sender.
    pub from: String,
    /// To and Cc, each once, as keys.
    pub recipients: Vec<String>,
    /// To, as it is shown.
    pub to_header: String,
    /// Subject.
    pub subject: String,
    /// `<provider>:<id>`.
    pub alias: Option<String>,
    /// When it was sent, in milliseconds since 1970.
    pub sent_ms: Option<i64>,
}

/// Reads a call: one object, or a list of 1 to `max`. The error names place, field, and what would be right.
pub fn read(body: &[u8], max: usize) -> Result<Vec<Registration>, String> {
    let body: Value =
        serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    match body {
        Value::Object(fields) => Ok(vec![one(&fields, String::new())?]),
        Value::Array(items) if items.is_empty() => Err("the list is empty".to_owned()),
        Value::Array(items) if items.len() > max => {
            Err(format!("{} messages in one call, at most {max} are taken", items.len()))
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| match item {
                Value::Object(fields) => one(fields, format!("[{index}].")),
                _ => Err(format!("[{index}]: must be an object")),
            })
            .collect(),
        _ => Err("the body must be an object or a list of objects".to_owned()),
    }
}

fn one(fields: &Map<String, Value>, place: String) -> Result<Registration, String> {
    if let Some(unknown) = fields.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        let shown: String = unknown.chars().take(60).collect();
        return Err(format!("{place}{shown}: is not known; the fields are {}", FIELDS.join(", ")));
    }
    let reader = Reader { fields, place: &place };
    let message_id = reader
        .text("message_id", 998)?
        .and_then(lookup_message_id)
        .ok_or_else(|| reader.wrong("message_id", "is missing"))?;
    let from = reader.text("from", ADDRESS_MAX_CHARS)?.ok_or_else(|| reader.wrong("from", "is missing"))?;
    let from = reader.address("from", from)?;
    let (to, cc) = (reader.addresses("to")?, reader.addresses("cc")?);
    if to.is_empty() {
        return Err(reader.wrong("to", "is missing: give a list of addresses"));
    }
    let mut seen = BTreeSet::new();
    let recipients: Vec<String> = to.iter().chain(&cc).filter(|key| seen.insert(*key)).cloned().collect();
    if recipients.len() > RECIPIENTS_MAX {
        return Err(reader.wrong("to", &format!("more than {RECIPIENTS_MAX} recipients with cc")));
    }
    let sent_ms = match fields.get("sent_at").filter(|value| !value.is_null()) {
        None => None,
        Some(value) => Some(
            mailfleet_webhooks::time_ms(value)
                .ok_or_else(|| reader.wrong("sent_at", "must be RFC 3339 or seconds since 1970"))?,
        ),
    };
    // What a provider says later names the message by these; a name that there is not would be an alias of nothing.
    let provider = reader.text("provider", usize::MAX)?;
    if provider.is_some_and(|name| mailfleet_webhooks::by_name(name).is_none()) {
        let names = mailfleet_webhooks::names();
        return Err(reader.wrong("provider", &format!("is not known; the providers are {names}")));
    }
    let id = reader.text("provider_message_id", NAME_MAX)?.map(str::trim).filter(|id| !id.is_empty());
    let alias = match (provider, id) {
        (None, None) => None,
        (provider, Some(id)) => Some(format!("{}:{id}", provider.unwrap_or(mailfleet_webhooks::GENERIC))),
        (Some(_), None) => {
            return Err(reader.wrong("provider_message_id", "is missing: provider goes with it"));
        }
    };
    let owned = |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    Ok(Registration {
        message_id,
        account: owned(reader.text("account", NAME_MAX)?),
        campaign: owned(reader.text("campaign", NAME_MAX)?),
        lead: owned(reader.text("lead", ADDRESS_MAX_CHARS)?),
        from,
        recipients,
        to_header: to.join(","),
        subject: reader.text("subject", SUBJECT_MAX)?.unwrap_or_default().to_owned(),
        alias,
        sent_ms: sent_ms.filter(|ms| DateTime::from_timestamp_millis(*ms).is_some()),
        place,
    })
}

struct Reader<'a> {
    fields: &'a Map<String, Value>,
    place: &'a str,
}

impl<'a> Reader<'a> {
    fn wrong(&self, key: &str, problem: &str) -> String {
        format!("{}{key}: {problem}", self.place)
    }

    fn text(&self, key: &str, max_chars: usize) -> Result<Option<&'a str>, String> {
        match self.fields.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.chars().count() > max_chars => {
                Err(self.wrong(key, &format!("is longer than {max_chars} characters")))
            }
            Some(Value::String(text)) if text.contains('\0') => Err(self.wrong(key, "contains a NUL")),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "must be text")),
        }
    }

    fn addresses(&self, key: &str) -> Result<Vec<String>, String> {
        let items = match self.fields.get(key) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(self.wrong(key, "must be a list of addresses")),
        };
        if items.len() > RECIPIENTS_MAX {
            return Err(self.wrong(key, &format!("more than {RECIPIENTS_MAX} addresses")));
        }
        items
            .iter()
            .enumerate()
            .map(|(index, item)| {
                let key = format!("{key}[{index}]");
                self.address(&key, item.as_str().ok_or_else(|| self.wrong(&key, "must be text"))?)
            })
            .collect()
    }

    /// A bare address: a display name has no place in a key.
    fn address(&self, key: &str, text: &str) -> Result<String, String> {
        address_key(text).ok_or_else(|| self.wrong(key, "must be a bare address such as ann@example.com"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn whole() -> Value {
        json!({
            "message_id": "<m1@acme.example>", "account": "sales", "campaign": "spring", "lead": "ann@example.com",
            "from": "Sales@acme.example", "to": ["Ann@Example.com", "<bob@example.com>"], "cc": ["ann@example.com"],
            "subject": "Hello", "provider": "ses-sns", "provider_message_id": "0100-1", "sent_at": "2026-03-01T10:00:05Z"
        })
    }

    fn read_one(value: &Value) -> Result<Registration, String> {
        read(value.to_string().as_bytes(), 1_000).map(|mut all| all.remove(0))
    }

    #[test]
    fn every_field_is_read() {
        let read = read_one(&whole()).unwrap();
        let want = Registration {
            place: String::new(),
            message_id: "m1@acme.example".to_owned(),
            account: Some("sales".to_owned()),
            campaign: Some("spring".to_owned()),
            lead: Some("ann@example.com".to_owned()),
            from: "sales@acme.example".to_owned(),
            recipients: vec!["ann@example.com".to_owned(), "bob@example.com".to_owned()],
            to_header: "ann@example.com,bob@example.com".to_owned(),
            subject: "Hello".to_owned(),
            alias: Some("ses-sns:0100-1".to_owned()),
            sent_ms: Some(1_772_359_205_000),
        };
        assert_eq!(read, want);
        let least = json!({"message_id": "m", "from": "a@b.example", "to": ["c@d.example"]});
        let read = read_one(&least).unwrap();
        assert_eq!((read.account, read.alias, read.sent_ms, read.subject.as_str()), (None, None, None, ""));
    }

    #[test]
    fn a_mistake_is_told_with_its_place_and_field() {
        for (key, value, want) in [
            ("message_id", json!(null), "message_id: is missing"),
            ("message_id", json!(" <> "), "message_id: is missing"),
            ("from", json!("Sales"), "from: must be a bare address"),
            ("from", json!(null), "from: is missing"),
            ("to", json!([]), "to: is missing"),
            ("to", json!("ann@example.com"), "to: must be a list"),
            ("to", json!(["ann@example.com", "Bob <bob@example.com>"]), "to[1]: must be a bare address"),
            ("to", json!([7]), "to[0]: must be text"),
            ("cc", json!(["@"]), "cc[0]: must be a bare address"),
            ("cc", json!(["a@@x.example"]), "cc[0]: must be a bare address"),
            ("cc", json!(["a@x.example;b@x.example"]), "cc[0]: must be a bare address"),
            ("sent_at", json!("soon"), "sent_at: must be RFC 3339"),
            (
                "provider",
                json!("sess"),
                "provider: is not known; the providers are generic, postal, mailgun, ",
            ),
            ("provider", json!(""), "provider: is not known"),
            ("provider", json!("x".repeat(5_000)), "provider: is not known"),
            ("provider_message_id", json!(null), "provider_message_id: is missing"),
            ("provider_message_id", json!(" \t"), "provider_message_id: is missing"),
            ("subject", json!("a\0b"), "subject: contains a NUL"),
            ("campaing", json!("x"), "campaing: is not known"),
        ] {
            let mut wrong = whole();
            wrong[key] = value;
            let error = read_one(&wrong).unwrap_err();
            assert!(error.starts_with(want), "{error}");
            let error = read_one(&json!([whole(), wrong])).unwrap_err();
            assert!(error.starts_with(&format!("[1].{want}")), "{error}");
        }
        for (body, want) in [
            ("", "not JSON"),
            ("7", "must be an object"),
            ("[]", "empty"),
            ("[7]", "[0]: must be an object"),
            ("[{},{},{}]", "at most 2"),
        ] {
            let error = read(body.as_bytes(), 2).unwrap_err();
            assert!(error.contains(want), "{body}: {error}");
        }
        let many: Vec<String> = (0..=RECIPIENTS_MAX).map(|n| format!("r{n}@example.com")).collect();
        let error = read_one(&json!({"message_id": "m", "from": "a@b.example", "to": many})).unwrap_err();
        assert!(error.contains("more than 1000"), "{error}");
    }
}
