//! What a mail does beyond its own rows: it takes its place among the others, and tells what became of ours.

use mailfleet_model::{Direction, recipient_key};

use super::{MailRow, insert, outbound};
use crate::error::Result;
use crate::events::{self, NewEvent};
use crate::links::{self, Linked, Named};
use crate::session::Session;
use crate::store::Store;

/// Takes the locks of everything that these mails may match; once a transaction, before any key is written.
pub(super) async fn lock(session: &mut Session, rows: &[&MailRow]) -> Result<()> {
    let linked: Vec<Linked> = rows.iter().map(|row| linked(row)).collect();
    let events: Vec<NewEvent> = rows.iter().flat_map(|row| events_of(row)).collect();
    events::lock(session, &events, links::names(&linked)).await
}

/// Writes the rows beside `email_content`: of the `new` mails all, of the `filled` ones what is new about them. The
/// number of statements does not depend on the number of mails.
pub(super) async fn write(
    store: &Store,
    session: &mut Session,
    new: &[&MailRow],
    filled: &[&MailRow],
) -> Result<()> {
    let all: Vec<&MailRow> = new.iter().chain(filled).copied().collect();
    let linked: Vec<Linked> = all.iter().map(|row| linked(row)).collect();
    let links = links::link(session, store, &linked).await?;
    // The links of what stood already were filled in by `link`.
    insert::messages(store, session, new, links.get(..new.len()).unwrap_or_default()).await?;
    outbound::fill_messages(store, session, filled).await?;
    insert::attachments(store, session, &all).await?;
    let sent: Vec<&MailRow> =
        all.iter().copied().filter(|row| row.direction == Direction::Outbound).collect();
    if !sent.is_empty() {
        outbound::went_out(store, session, &sent).await?;
    }
    let events: Vec<NewEvent> = all.iter().flat_map(|row| events_of(row)).collect();
    if !events.is_empty() {
        events::record(session, store, &events).await?;
    }
    Ok(())
}

fn linked(row: &MailRow) -> Linked {
    let other_side = match row.direction {
        Direction::Inbound => Some(row.from_email.as_str()),
        Direction::Outbound => row.recipients.first().map(String::as_str),
    };
    Linked {
        key: row.key.clone(),
        tenant: row.tenant,
        account: Some(row.at.account),
        mailbox: Some(row.at.mailbox),
        direction: row.direction,
        message_type: row.message_type.clone(),
        message_id: row.message_id.clone(),
        refs: row.refs.clone(),
        registered: None,
        named: row
            .campaign_hint
            .as_ref()
            .and_then(|hint| Named::of(hint, &recipient_key(other_side.unwrap_or_default()))),
        bytes: row.raw_size_bytes.max(1),
        enqueued: row.enqueued,
        created: row.created,
    }
}

fn events_of(row: &MailRow) -> impl Iterator<Item = NewEvent> {
    let events = row.events.iter().enumerate();
    events
        .map(|(number, event)| NewEvent::from_mail(&row.key, number, row.tenant, event.clone(), row.created))
}
