//! What became of the demo's campaign: the recipients, the reply, and the roll-up.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use mailfleet_store::{Counts, RolledUp, Store, SummaryFilter};
use serde::Deserialize;

use super::campaign::{LEADS, NAME};
use super::report::query;
use super::servers::Servers;
use super::{Demo, POLL};
use crate::commands::analytics;
use crate::output::{self, Rows};

/// How long the roll-up may take.
const ROLLED_UP_WITHIN: Duration = Duration::from_secs(20);

/// Whether replies and statuses are what came back makes them.
pub(super) fn stands(servers: &Servers) -> anyhow::Result<bool> {
    let rows = recipients(servers)?;
    let right = LEADS.iter().all(|lead| {
        rows.iter().any(|row| {
            row.recipient == lead.email && row.status == lead.status && row.replies == lead.replies
        })
    });
    Ok(right && rows.len() == LEADS.len())
}

/// Prints the campaign's messages with what is known of each, and its roll-up; whether that counts the same.
pub(super) async fn print(demo: &Demo) -> anyhow::Result<bool> {
    output::line(format_args!("\nThe campaign `{NAME}`, registered by POST /v1/messages:"))?;
    let mut table = Rows::new(&["TO", "WHAT CAME BACK", "EVENTS", "REPLIES", "STATUS"]);
    for row in recipients(&demo.servers)? {
        let came_back = LEADS.iter().find(|lead| lead.email == row.recipient).map(|lead| lead.comes_back);
        table.push([
            row.recipient,
            came_back.unwrap_or_default().to_owned(),
            row.events.unwrap_or_default(),
            row.replies.to_string(),
            row.status,
        ]);
    }
    table.print("none")?;

    roll_up(&demo.store).await?;
    let tenant = demo.accounts.sales.tenant.context("the account for sales has no tenant")?;
    let filter = SummaryFilter { tenant: Some(tenant), campaign: None, since: None, limit: 10 };
    let found = demo.store.summaries("campaign", &filter).await?;
    output::line("\nIts roll-up (mailfleet analytics show):")?;
    analytics::print(&demo.store, &found).await?;
    let with = |status| LEADS.iter().filter(|lead| lead.status == status).count() as u64;
    let want =
        (LEADS.len() as u64, with("delivered"), with("bounced"), LEADS.iter().map(|lead| lead.replies).sum());
    let right =
        |counts: &Counts| (counts.sent, counts.delivered, counts.bounced_hard, counts.replied) == want;
    Ok(found.iter().any(|summary| summary.name.as_deref() == Some(NAME) && right(&summary.counts)))
}

/// Counts what waits to be counted. A consumer does this each minute; here nobody is to wait so long.
async fn roll_up(store: &Store) -> anyhow::Result<()> {
    let mut roller = store.seize_roller(&format!("mailfleet demo {}", std::process::id())).await?;
    let deadline = Instant::now() + ROLLED_UP_WITHIN;
    while store.waiting_changes().await? > 0 && Instant::now() < deadline {
        // Idle: what waits is younger than a transaction that somebody, such as autovacuum, has open for a moment.
        if !matches!(roller.page().await?, RolledUp::Page { .. }) {
            tokio::time::sleep(POLL).await;
        }
    }
    store.release_lease(roller.lease()).await?;
    Ok(())
}

#[derive(Deserialize)]
struct Row {
    recipient: String,
    status: String,
    events: Option<String>,
    replies: u64,
}

fn recipients(servers: &Servers) -> anyhow::Result<Vec<Row>> {
    query(
        servers,
        "SELECT r.recipient, e.status,
                (SELECT string_agg(kind, ', ' ORDER BY id) FROM mailfleet.delivery_events d
                 WHERE d.storage_key = r.storage_key AND d.recipient = r.recipient) AS events,
                (SELECT count(*) FROM mailfleet.messages a WHERE a.parent_storage_key = r.storage_key
                 AND a.message_type = 'email' AND a.direction = 'inbound') AS replies
         FROM mailfleet.message_recipients r JOIN email_messages e USING (storage_key)
         WHERE e.campaign_id IS NOT NULL ORDER BY 1",
    )
}
