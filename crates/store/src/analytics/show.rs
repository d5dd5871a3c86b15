//! Reading the roll-ups, for operators: over all tenants, with the names that people know.

use chrono::NaiveDate;
use mailfleet_model::{CampaignId, TenantId};
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::measures::COUNTS;
use crate::error::Result;
use crate::rows::{count, get};
use crate::store::Store;

/// Which sums to show.
#[derive(Debug, Clone, Default)]
pub struct SummaryFilter {
    /// Only of this tenant.
    pub tenant: Option<TenantId>,
    /// Only of this campaign; for the roll-up by campaign alone.
    pub campaign: Option<CampaignId>,
    /// Only days from this one on (UTC).
    pub since: Option<NaiveDate>,
    /// At most so many, those with the most mail first.
    pub limit: u32,
}

/// What was counted. Each has its meaning in the comment of its column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the comments of the columns in schema analytics say it, in one place")]
pub struct Counts {
    pub sent: u64,
    pub delivered: u64,
    pub bounced_soft: u64,
    pub bounced_hard: u64,
    pub complained: u64,
    pub opened: u64,
    pub clicked: u64,
    pub unsubscribed: u64,
    pub replied: u64,
    pub auto_replied: u64,
    pub received: u64,
    pub bytes_in: u64,
}

/// The sums of one key of a roll-up.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The tenant.
    pub tenant: TenantId,
    /// What it is counted by besides the tenant: campaign or account.
    pub subject: Option<Uuid>,
    /// The name that people know, where there is one.
    pub name: Option<String>,
    /// The first day that has mail.
    pub first_day: NaiveDate,
    /// The last day that has mail.
    pub last_day: NaiveDate,
    /// What was counted.
    pub counts: Counts,
    /// Median of the time from enqueue to commit in milliseconds; `None` where nothing was measured.
    pub latency_p50_ms: Option<f64>,
    /// The 95th percentile of it.
    pub latency_p95_ms: Option<f64>,
}

impl Summary {
    /// A count per recipient sent to; `None` where none was: unknown is not zero.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate is a floating-point number")]
    pub fn rate(&self, count: u64) -> Option<f64> {
        (self.counts.sent > 0).then(|| count as f64 / self.counts.sent as f64)
    }
}

impl Store {
    /// Sums of a roll-up over its days.
    ///
    /// # Errors
    /// [`Error::Unknown`](crate::Error::Unknown) where there is no roll-up of this name.
    pub async fn summaries(&self, rollup: &str, filter: &SummaryFilter) -> Result<Vec<Summary>> {
        let rollup = self.roll_up(rollup).await?;
        let subject = rollup.subject.as_deref().unwrap_or("NULL::uuid");
        let campaign =
            if rollup.subject.as_deref() == Some("campaign_id") { "campaign_id = $2" } else { "$2 IS NULL" };
        let sums = COUNTS.map(|count| format!("sum({count})::bigint AS {count}")).join(", ");
        let sql = format!(
            "SELECT k.*, {label} AS name, analytics.percentile_ms(latency_counts, 0.5) AS p50, \
                 analytics.percentile_ms(latency_counts, 0.95) AS p95 \
             FROM (SELECT {owner}, {subject} AS subject, min(day) AS first_day, max(day) AS last_day, {sums}, \
                     analytics.sum_counts(latency_counts) AS latency_counts \
                 FROM {table} WHERE ($1::uuid IS NULL OR tenant_id = $1) AND ($2::uuid IS NULL OR {campaign}) \
                 AND ($3::date IS NULL OR day >= $3) GROUP BY {owner}) AS k \
             ORDER BY sent + received DESC, tenant_id, subject LIMIT $4",
            label = rollup.label,
            owner = rollup.owner(),
            table = rollup.table(),
        );
        let (tenant, campaign) = (filter.tenant.map(|id| id.0), filter.campaign.map(|id| id.0));
        let limit = i64::from(filter.limit);
        let rows =
            self.survey("reading a roll-up", &sql, &[&tenant, &campaign, &filter.since, &limit]).await?;
        rows.iter().map(read).collect()
    }
}

fn read(row: &Row) -> Result<Summary> {
    Ok(Summary {
        tenant: TenantId(get(row, "tenant_id")?),
        subject: get(row, "subject")?,
        name: get(row, "name")?,
        first_day: get(row, "first_day")?,
        last_day: get(row, "last_day")?,
        counts: Counts {
            sent: count(row, "sent")?,
            delivered: count(row, "delivered")?,
            bounced_soft: count(row, "bounced_soft")?,
            bounced_hard: count(row, "bounced_hard")?,
            complained: count(row, "complained")?,
            opened: count(row, "opened")?,
            clicked: count(row, "clicked")?,
            unsubscribed: count(row, "unsubscribed")?,
            replied: count(row, "replied")?,
            auto_replied: count(row, "auto_replied")?,
            received: count(row, "received")?,
            bytes_in: count(row, "bytes_in")?,
        },
        latency_p50_ms: get(row, "p50")?,
        latency_p95_ms: get(row, "p95")?,
    })
}
