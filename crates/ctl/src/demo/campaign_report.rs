//! What became of the demo's campaign: the recipients, the reply, and the roll-up.

use anyhow::Context as _;
use mailfleet_store::{RolledUp, SummaryFilter};
use serde::Deserialize;

use super::Demo;
use super::campaign::{LEADS, NAME};
use super::report::query;
use super::servers::Servers;
use crate::commands::analytics;
use crate::output::{self, Rows};

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

/// Prints the campaign's messages with what is known of each, and its roll-up.
pub(super) async fn print(demo: &Demo) -> anyhow::Result<()> {
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

    // A consumer does this each minute; here nobody is to wait so long.
    let mut roller = demo.store.seize_roller(&format!("mailfleet demo {}", std::process::id())).await?;
    // Each page takes changes away, of which there are few; what comes meanwhile is the next run's.
    while let RolledUp::Page { .. } = roller.page().await? {}
    demo.store.release_lease(roller.lease()).await?;
    let tenant = demo.accounts.sales.tenant.context("the account for sales has no tenant")?;
    let filter = SummaryFilter { tenant: Some(tenant), campaign: None, since: None, limit: 10 };
    let found = demo.store.summaries("campaign", &filter).await?;
    output::line("\nIts roll-up (mailfleet analytics show):")?;
    analytics::print(&demo.store, &found).await
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
