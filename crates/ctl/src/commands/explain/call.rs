//! What became of a webhook call, for people and for scripts.

use mailfleet_model::{InboxId, JobId, Work};
use mailfleet_store::{CallEvent, Explain, ExplainedCall};
use serde_json::{Value, json};

use super::{DELIVERY_SHOWN, field, is_key};
use crate::output;
use crate::text;

/// The call whose job is asked for.
pub(super) fn asked_for(what: &Explain) -> Option<InboxId> {
    let Explain::Job(job) = what else { return None };
    match job.work()? {
        Work::Events { inbox } => Some(inbox),
        Work::Mail(_) => None,
    }
}

/// Who told an event, as it can be looked up: the job of the call, or the key of the returned mail. `None` for what is no
/// source of an event (`w:<inbox row>:<n>` or `m:<storage key>:<n>`).
pub(super) fn teller(source: &str) -> Option<Explain> {
    let (teller, number) = source.rsplit_once(':')?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match teller.split_once(':')? {
        ("w", row) => JobId::parse(&format!("e:{row}")).ok().map(Explain::Job),
        ("m", key) if is_key(key) => {
            Some(Explain::Key(mailfleet_model::StorageKey::from_stored(key.to_owned())))
        }
        _ => None,
    }
}

/// The call for people.
pub(super) fn print(call: &ExplainedCall) -> anyhow::Result<()> {
    output::line(format_args!("webhook call {}", JobId::events(call.inbox)))?;
    let endpoint = call.endpoint.as_deref().unwrap_or("that is not there any more");
    field("endpoint", &format!("{endpoint} ({})", call.provider))?;
    field("tenant", &call.tenant.to_string())?;
    field("received", &text::time(call.received))?;
    field("applied", &call.applied.map_or_else(|| "not yet".to_owned(), text::time))?;
    if let Some(note) = &call.note {
        field("asks", note)?;
    }
    if call.brought == 0 {
        field("events", "none: it says nothing of a message")?;
    }
    for event in call.events.iter().take(DELIVERY_SHOWN) {
        let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "unknown".to_owned());
        field("event", &format!("{}: {}", word(&event.kind), word(&event.recipient)))?;
        field("", &far(event, call.applied.is_some()))?;
    }
    let shown = call.events.len().min(DELIVERY_SHOWN) as u64;
    if call.brought > shown {
        field("", &format!("and {} more events (--json lists the first 1,000)", call.brought - shown))?;
    }
    Ok(())
}

/// How far an event came.
fn far(event: &CallEvent, applied: bool) -> String {
    match (&event.message, event.recorded) {
        (Some(message), _) => format!("of the message {message}"),
        (None, Some(_)) => match (&event.message_id, &event.alias) {
            (Some(id), _) => format!("waits for its message <{id}>"),
            (None, Some(alias)) => format!("waits for its message, which its provider calls {alias}"),
            (None, None) => "waits for a message that it does not name".to_owned(),
        },
        (None, None) if applied => "its record is not there any more".to_owned(),
        (None, None) => "not recorded yet".to_owned(),
    }
}

/// The call as one object.
pub(super) fn to_json(call: &ExplainedCall) -> Value {
    let events: Vec<Value> = call.events.iter().map(event_json).collect();
    json!({
        "job": JobId::events(call.inbox), "endpoint": call.endpoint, "provider": call.provider,
        "tenant_id": call.tenant, "received": text::json_time(call.received),
        "applied": call.applied.map(text::json_time), "note": call.note, "brought": call.brought, "events": events,
    })
}

fn event_json(event: &CallEvent) -> Value {
    json!({
        "source": event.source, "kind": event.kind, "recipient": event.recipient, "message_id": event.message_id,
        "alias": event.alias, "recorded": event.recorded.map(text::json_time), "storage_key": event.message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_told_an_event_is_told_by_its_source() {
        let key = "email_a:b@c_0123456789abcdef0123456789abcdef";
        assert!(matches!(teller("w:7:0"), Some(Explain::Job(job)) if job.as_str() == "e:7"));
        assert!(matches!(teller(&format!("m:{key}:12")), Some(Explain::Key(found)) if found.as_str() == key));
        for odd in ["w:7", "w:7:", "w:7:x", "w:07:0", "w:0:0", "m:a@b:0", "x:7:0", "a@b", ""] {
            assert!(teller(odd).is_none(), "{odd}");
        }
    }
}
