//! What PostgreSQL knows of a mail: the mail, its places, its recipients and their events, and its dead letter.

use mailfleet_model::RecipientStatus;
use mailfleet_store::{Delivery, Explained, ExplainedMail, LedgerEntry, Said, Standing};
use serde_json::{Value, json};

use super::{DELIVERY_SHOWN, asked, call, field};
use crate::commands::dead::{self, Owners};
use crate::output;
use crate::text;

/// Ledger entries shown to people; `--json` has them all.
const LEDGER_SHOWN: usize = 10;

/// For people.
pub(super) fn print(explained: &Explained) -> anyhow::Result<()> {
    if let Some(mail) = &explained.mail {
        print_mail(mail)?;
    }
    print_delivery(&explained.delivery)?;
    for entry in explained.ledger.iter().take(LEDGER_SHOWN) {
        field("ledger", &ledger_line(entry))?;
    }
    if explained.ledger.len() > LEDGER_SHOWN {
        field("", &format!("and {} more places (--json lists all)", explained.ledger.len() - LEDGER_SHOWN))?;
    }
    if let Some(letter) = &explained.dead_letter {
        let died = text::time(letter.died);
        field(
            "dead letter",
            &format!("{} ({}), {}, died {died}", letter.id, letter.state.as_str(), letter.reason),
        )?;
        field("", &letter.error)?;
        field("", &format!("more: mailfleet dead show {}", letter.id))?;
    }
    Ok(())
}

fn print_mail(mail: &ExplainedMail) -> anyhow::Result<()> {
    let unknown = || "unknown".to_owned();
    output::line(text::printable(mail.key.as_str()))?;
    field("what", &format!("{} {}, {}", mail.direction, mail.message_type, mail.status))?;
    field("from", &mail.from)?;
    field("to", &mail.to)?;
    field("subject", &mail.subject)?;
    field("attachments", &mail.attachments.to_string())?;
    field("size", &mail.raw_size_bytes.map_or_else(unknown, text::size))?;
    field("tenant", &mail.tenant.to_string())?;
    field("account", &mail.account.map_or_else(unknown, |id| id.to_string()))?;
    field("created", &mail.created.map_or_else(unknown, text::time))?;
    field("processed", &mail.processed.map_or_else(unknown, text::time))
}

fn print_delivery(delivery: &Delivery) -> anyhow::Result<()> {
    for standing in delivery.recipients.iter().take(DELIVERY_SHOWN) {
        field("recipient", &standing_line(standing))?;
    }
    let more = delivery.recipients.len().saturating_sub(DELIVERY_SHOWN);
    if more > 0 {
        field("", &format!("and {more} more recipients (--json lists them)"))?;
    }
    let earlier = delivery.events.len().saturating_sub(DELIVERY_SHOWN);
    if earlier > 0 {
        field("event", &format!("{earlier} earlier ones (--json lists them)"))?;
    }
    for said in delivery.events.iter().skip(earlier) {
        let Said { kind, recipient, occurred, source, .. } = said;
        let permanence = said.permanence.as_deref().map(|word| format!(" ({word})")).unwrap_or_default();
        let teller = told_by(source);
        field(
            "event",
            &format!("{kind}{permanence} {}, told by {teller}: {recipient}", text::time(*occurred)),
        )?;
    }
    Ok(())
}

/// Who told an event, as `explain` takes it.
fn told_by(source: &str) -> String {
    call::teller(source).map_or_else(|| source.to_owned(), |teller| asked(&teller).to_owned())
}

fn standing_line(standing: &Standing) -> String {
    let mut line = format!("{}: {}", standing.recipient, word(standing.status));
    if let Some(changed) = standing.changed {
        line = format!("{line} {}", text::time(changed));
    }
    let code = standing.smtp_code.map(|code| code.to_string());
    for detail in
        [&code, &standing.enhanced_status, &standing.reason, &standing.diagnostic].into_iter().flatten()
    {
        line = format!("{line}, {detail}");
    }
    line
}

/// The status as a word that tells soft bounces from hard ones.
const fn word(status: RecipientStatus) -> &'static str {
    match status {
        RecipientStatus::BouncedSoft => "bounced (soft)",
        RecipientStatus::BouncedHard => "bounced (hard)",
        _ => status.as_str(),
    }
}

fn ledger_line(entry: &LedgerEntry) -> String {
    let policy = entry.policy.map(|policy| format!(" ({policy})")).unwrap_or_default();
    format!(
        "{}{policy} {}: UID {} of {} in {} (UIDVALIDITY {}), job {}",
        entry.outcome,
        text::time(entry.recorded),
        entry.uid,
        entry.mailbox_name,
        entry.account_name,
        entry.uidvalidity,
        entry.job
    )
}

/// As one object.
pub(super) fn to_json(explained: &Explained, owners: &Owners) -> Value {
    let mail = explained.mail.as_ref().map(|mail| {
        json!({
            "storage_key": mail.key, "tenant_id": mail.tenant, "account_id": mail.account, "direction": mail.direction,
            "message_type": mail.message_type, "status": mail.status, "from": mail.from, "to": mail.to,
            "subject": mail.subject, "attachments": mail.attachments, "raw_size_bytes": mail.raw_size_bytes,
            "created": mail.created.map(text::json_time), "processed": mail.processed.map(text::json_time),
        })
    });
    let ledger: Vec<Value> = explained.ledger.iter().map(entry_json).collect();
    let letter = explained.dead_letter.as_ref().map(|letter| dead::to_json(letter, owners));
    let recipients: Vec<Value> = explained.delivery.recipients.iter().map(standing_json).collect();
    let events: Vec<Value> = explained.delivery.events.iter().map(said_json).collect();
    json!({
        "mail": mail, "ledger": ledger, "dead_letter": letter, "recipients": recipients, "events": events,
    })
}

fn standing_json(standing: &Standing) -> Value {
    json!({
        "recipient": standing.recipient, "status": standing.status, "enhanced_status": standing.enhanced_status,
        "smtp_code": standing.smtp_code, "diagnostic": standing.diagnostic, "reason": standing.reason,
        "changed": standing.changed.map(text::json_time),
    })
}

fn said_json(said: &Said) -> Value {
    json!({
        "kind": said.kind, "recipient": said.recipient, "permanence": said.permanence,
        "occurred": text::json_time(said.occurred), "received": text::json_time(said.received), "source": said.source,
        "told_by": told_by(&said.source),
    })
}

fn entry_json(entry: &LedgerEntry) -> Value {
    json!({
        "job": entry.job, "account": entry.account_name, "mailbox": entry.mailbox_name,
        "uidvalidity": entry.uidvalidity, "uid": entry.uid, "outcome": entry.outcome, "policy": entry.policy,
        "recorded": text::json_time(entry.recorded),
    })
}
