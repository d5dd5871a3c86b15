//! The rows of new mails, one statement a table.

use std::collections::HashSet;

use uuid::Uuid;

use super::MailRow;
use super::columns::{Attachments, Contents, Messages};
use crate::error::Result;
use crate::hierarchy::expected::RETENTION_DAYS;
use crate::links::Link;
use crate::rows::get;
use crate::session::Session;
use crate::store::Store;

/// Inserts into `email_content`; returns the keys that are new.
pub(super) async fn contents(
    store: &Store,
    session: &mut Session,
    rows: &[&MailRow],
) -> Result<HashSet<String>> {
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = format!(
        "INSERT INTO {} (storage_key, tenant_id, content_text, content_html, headers, raw_size_bytes, content_hash, \
         compression_algorithm, created, expires, retention_days) \
         SELECT k, t, ct, ch, h::jsonb, s, x, 'none', now(), now() + make_interval(days => {RETENTION_DAYS}), \
         {RETENTION_DAYS} FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], \
         $7::text[]) AS r(k, t, ct, ch, h, s, x) ON CONFLICT DO NOTHING RETURNING storage_key::text",
        store.tables().content
    );
    let columns = Contents::of(rows);
    let Contents { keys, tenants, texts, htmls, headers, sizes, hashes } = &columns;
    let returned = session
        .query("inserting into email_content", &sql, &[keys, tenants, texts, htmls, headers, sizes, hashes])
        .await?;
    returned.iter().map(|row| get(row, "storage_key")).collect()
}

/// A new `email_content` row has no message yet, so anything that stands in the way is refused by its constraint.
pub(super) async fn messages(
    store: &Store,
    session: &mut Session,
    rows: &[&MailRow],
    links: &[Link],
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO {} (storage_key, tenant_id, email_account_id, direction, message_type, from_email, to_email, \
         subject, status, created, processed, updated, thread_id, parent_storage_key, campaign_id, lead_id) \
         SELECT k, t, a, d, y, f, r, s, st, c, now(), now(), h, p, cp, l FROM unnest($1::text[], $2::uuid[], $3::uuid[], \
         $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::timestamptz[], $11::text[], \
         $12::text[], $13::uuid[], $14::uuid[]) AS r(k, t, a, d, y, f, r, s, st, c, h, p, cp, l)",
        store.tables().messages
    );
    let columns = Messages::of(rows);
    let Messages {
        keys,
        tenants,
        accounts,
        directions,
        types,
        senders,
        recipients,
        subjects,
        statuses,
        created,
    } = &columns;
    let threads: Vec<&str> = links.iter().map(|link| link.thread.as_str()).collect();
    let parents: Vec<Option<&str>> = links.iter().map(|link| link.parent.as_deref()).collect();
    let campaigns: Vec<Option<Uuid>> = links.iter().map(|link| link.campaign.map(|id| id.0)).collect();
    let leads: Vec<Option<Uuid>> = links.iter().map(|link| link.lead.map(|id| id.0)).collect();
    session
        .execute(
            "inserting into email_messages",
            &sql,
            &[
                keys, tenants, accounts, directions, types, senders, recipients, subjects, statuses, created,
                &threads, &parents, &campaigns, &leads,
            ],
        )
        .await?;
    Ok(())
}

pub(super) async fn attachments(store: &Store, session: &mut Session, rows: &[&MailRow]) -> Result<()> {
    let columns = Attachments::of(rows);
    if columns.parents.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO {} (parent_storage_key, tenant_id, ordinal, filename, mime_type, size_bytes, content, \
         storage_disposition, content_id, content_hash, created) \
         SELECT p, t, o, f, m, s, c, d, i, x, now() FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::text[], \
         $5::text[], $6::bigint[], $7::bytea[], $8::text[], $9::text[], $10::text[]) AS r(p, t, o, f, m, s, c, d, i, x)",
        store.tables().attachments
    );
    let Attachments {
        parents,
        tenants,
        ordinals,
        filenames,
        types,
        sizes,
        contents,
        dispositions,
        content_ids,
        hashes,
    } = &columns;
    session
        .execute(
            "inserting into attachments",
            &sql,
            &[
                parents,
                tenants,
                ordinals,
                filenames,
                types,
                sizes,
                contents,
                dispositions,
                content_ids,
                hashes,
            ],
        )
        .await?;
    Ok(())
}
