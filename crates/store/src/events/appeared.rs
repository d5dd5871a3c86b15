//! The other side of the match: a message that we sent became known, by registration or by its copy in the Sent folder.

use std::collections::{BTreeMap, BTreeSet};

use mailfleet_model::{StorageKey, TenantId};
use uuid::Uuid;

use super::MAX_LOCKED;
use super::attach::said_before;
use super::names::{Alias, Named, Target, lock_named, tell};
use super::pending::{address, waiting_for_aliases, waiting_for_messages, waiting_for_recipients};
use crate::error::Result;
use crate::recipients::{self, Recipient};
use crate::rows::get;
use crate::session::Session;
use crate::store::Store;

/// A message of ours whose row in `email_messages` stands, written by this transaction or before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Appeared {
    /// The tenant that sent it.
    pub(crate) tenant: TenantId,
    /// Its key: [`StorageKey::outbound`] of the two.
    pub(crate) key: StorageKey,
    /// Its Message-ID, as [`lookup_message_id`](mailfleet_model::lookup_message_id) keeps it.
    pub(crate) message_id: String,
    /// The recipients that are known now; those known before stay.
    pub(crate) recipients: Vec<String>,
    /// Whether it is with the sending server: its copy lies in a Sent folder.
    pub(crate) sent: bool,
}

/// Adds the recipients and applies the events that waited for the message. The caller holds the match locks of the
/// Message-IDs. Safe to repeat.
pub(crate) async fn appeared(session: &mut Session, store: &Store, messages: &[Appeared]) -> Result<()> {
    if messages.is_empty() {
        return Ok(());
    }
    let added: BTreeMap<Recipient, TenantId> = messages
        .iter()
        .flat_map(|message| {
            let addresses = message.recipients.iter().map(|text| address(text)).filter(|a| !a.is_empty());
            addresses.map(|address| ((message.key.clone(), address), message.tenant))
        })
        .collect();
    let new = recipients::create(session, &added).await?;
    let said = said_before(session, &new).await?;
    recipients::raise(session, &said).await?;
    let sent: Vec<&str> = messages.iter().filter(|m| m.sent).map(|m| m.key.as_str()).collect();
    recipients::at_least_sent(session, &sent).await?;
    let keys: BTreeSet<&str> = messages.iter().map(|message| message.key.as_str()).collect();
    recipients::roll_up(session, store, &keys).await?;

    reclaim(session, store, messages).await?;
    let ids: BTreeSet<(TenantId, String)> =
        messages.iter().map(|message| (message.tenant, message.message_id.clone())).collect();
    let mut attached = waiting_for_messages(session, store, &ids.into_iter().collect::<Vec<_>>()).await?;
    let aliases = aliases(session, &keys).await?;
    attached.merge(waiting_for_aliases(session, store, &aliases).await?);
    let new: BTreeSet<&StorageKey> = new.iter().map(|(key, _)| key).collect();
    attached.grown.extend(messages.iter().filter(|message| new.contains(&message.key)).map(target));
    waiting_for_recipients(session, store, &attached.grown).await
}

/// Takes back aliases that an event has given to a message which is not ours, where an event that waits for one of these
/// gives them to it. As a rule there are none.
async fn reclaim(session: &mut Session, store: &Store, messages: &[Appeared]) -> Result<()> {
    const SQL: &str = "SELECT DISTINCT e.tenant_id, e.alias, r.k, r.n FROM mailfleet.delivery_events e \
         JOIN unnest($1::uuid[], $2::text[], $3::text[]) AS r(t, n, k) ON e.tenant_id = r.t AND e.message_id = r.n \
         JOIN mailfleet.message_aliases a ON a.tenant_id = e.tenant_id AND a.alias = e.alias AND a.storage_key <> r.k \
         WHERE e.storage_key IS NULL ORDER BY 1, 2, 3 LIMIT $4";
    let tenants: Vec<Uuid> = messages.iter().map(|message| message.tenant.0).collect();
    let ids: Vec<&str> = messages.iter().map(|message| message.message_id.as_str()).collect();
    let keys: Vec<&str> = messages.iter().map(|message| message.key.as_str()).collect();
    let limit = i64::try_from(MAX_LOCKED).unwrap_or(i64::MAX);
    let rows = session.query("looking for contested aliases", SQL, &[&tenants, &ids, &keys, &limit]).await?;
    let contested = |row| -> Result<Alias> {
        let (tenant, key) = (TenantId(get(row, "tenant_id")?), StorageKey::from_stored(get(row, "k")?));
        Ok((tenant, get(row, "alias")?, key, get(row, "n")?))
    };
    let contested = rows.iter().map(contested).collect::<Result<Vec<Alias>>>()?;
    if contested.is_empty() {
        return Ok(());
    }
    // Out of the common order: see `lock_named`.
    let named: Vec<Named> = contested
        .iter()
        .map(|(tenant, alias, ..)| Named { tenant: *tenant, message_id: None, alias: Some(alias.clone()) })
        .collect();
    lock_named(session, &named, BTreeSet::new()).await?;
    tell(session, store, &contested).await.map(|_| ())
}

fn target(message: &Appeared) -> Target {
    let Appeared { tenant, key, message_id, .. } = message;
    Target { tenant: *tenant, key: key.clone(), message_id: message_id.clone() }
}

/// What providers call these messages, told by a registration or by an event that came before it.
async fn aliases(session: &mut Session, keys: &BTreeSet<&str>) -> Result<Vec<(TenantId, String)>> {
    const SQL: &str =
        "SELECT tenant_id, alias FROM mailfleet.message_aliases WHERE storage_key = ANY($1::text[])";
    let keys: Vec<&str> = keys.iter().copied().collect();
    let rows = session.query("reading aliases", SQL, &[&keys]).await?;
    rows.iter().map(|row| Ok((TenantId(get::<Uuid>(row, "tenant_id")?), get(row, "alias")?))).collect()
}
