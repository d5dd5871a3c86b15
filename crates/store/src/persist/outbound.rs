//! The copy of a message that we sent, where the message was registered before: its row is filled in place.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use mailfleet_model::{StorageKey, TenantId};

use super::MailRow;
use super::columns::{Contents, Messages};
use crate::error::Result;
use crate::events::{self, Appeared};
use crate::recipients::{self, Recipient};
use crate::rows::get;
use crate::session::Session;
use crate::store::Store;

/// Fills `email_content` of those that were only registered: they have no `content_hash` yet. Returns their keys. What
/// has content stays as it is.
pub(super) async fn fill_contents(
    store: &Store,
    session: &mut Session,
    known: &[&MailRow],
) -> Result<HashSet<String>> {
    let ours: Vec<&MailRow> = known.iter().copied().filter(|row| row.is_ours()).collect();
    if ours.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = format!(
        "UPDATE {} c SET content_text = r.ct, content_html = r.ch, headers = r.h::jsonb, raw_size_bytes = r.s, \
         content_hash = r.x FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], \
         $7::text[]) AS r(k, t, ct, ch, h, s, x) WHERE c.storage_key = r.k AND c.tenant_id = r.t \
         AND c.content_hash IS NULL RETURNING c.storage_key::text AS storage_key",
        store.tables().content
    );
    let columns = Contents::of(&ours);
    let Contents { keys, tenants, texts, htmls, headers, sizes, hashes } = &columns;
    let filled = session
        .query("filling in email_content", &sql, &[keys, tenants, texts, htmls, headers, sizes, hashes])
        .await?;
    filled.iter().map(|row| get(row, "storage_key")).collect()
}

/// Fills `email_messages` of those: what the copy says counts for more than what the registration said, but for the
/// account, which the registration knows better.
pub(super) async fn fill_messages(store: &Store, session: &mut Session, rows: &[&MailRow]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "UPDATE {} m SET email_account_id = COALESCE(m.email_account_id, r.a), message_type = r.y, from_email = r.f, \
         to_email = r.r, subject = r.s, status = CASE WHEN m.status = 'queued' THEN 'sent' ELSE m.status END, \
         created = LEAST(m.created, r.c), updated = now() FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], \
         $5::text[], $6::text[], $7::timestamptz[]) AS r(k, a, y, f, r, s, c) WHERE m.storage_key = r.k",
        store.tables().messages
    );
    let columns = Messages::of(rows);
    let Messages { keys, accounts, types, senders, recipients, subjects, created, .. } = &columns;
    session
        .execute(
            "filling in email_messages",
            &sql,
            &[keys, accounts, types, senders, recipients, subjects, created],
        )
        .await?;
    Ok(())
}

/// Everybody that these messages went to has them on the way; events that waited for them take effect.
pub(super) async fn went_out(store: &Store, session: &mut Session, rows: &[&MailRow]) -> Result<()> {
    let (mut named, mut nameless) = (Vec::new(), Vec::new());
    for row in rows {
        match &row.message_id {
            Some(id) => named.push(Appeared {
                tenant: row.tenant,
                key: row.key.clone(),
                message_id: id.clone(),
                recipients: row.recipients.clone(),
                sent: true,
            }),
            None => nameless.push(*row),
        }
    }
    events::appeared(session, store, &named).await?;
    without_id(store, session, &nameless).await
}

/// A message without a Message-ID has recipients too; no event can ever be about it.
async fn without_id(store: &Store, session: &mut Session, rows: &[&MailRow]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let added: BTreeMap<Recipient, TenantId> =
        rows.iter().flat_map(|row| recipients_of(row).map(|of| (of, row.tenant))).collect();
    recipients::create(session, &added).await?;
    let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
    recipients::at_least_sent(session, &keys).await?;
    recipients::roll_up(session, store, &keys.into_iter().collect::<BTreeSet<_>>()).await
}

fn recipients_of(row: &MailRow) -> impl Iterator<Item = (StorageKey, String)> {
    let addresses = row.recipients.iter().map(|text| events::address(text));
    addresses.filter(|address| !address.is_empty()).map(|address| (row.key.clone(), address))
}
