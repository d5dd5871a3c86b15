//! `mailfleet analytics show`.

use std::collections::BTreeMap;

use mailfleet_model::{CampaignId, TenantId};
use mailfleet_store::{Store, Summary, SummaryFilter};
use serde_json::{Value, json};

use crate::commands::tenant;
use crate::context::Context;
use crate::failure::{Exit, Usage};
use crate::output::{self, OutputArgs, Rows};
use crate::text;

/// The one roll-up that a campaign can be picked of.
const CAMPAIGN: &str = "campaign";

/// Show the sums of a roll-up, with rates and the latency's p50 and p95
///
/// Rates are per recipient sent to. What is not known, such as the rate of nothing, is not shown as zero.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mailfleet analytics show --tenant acme --since 7d\n  mailfleet analytics show mailbox --json"
)]
pub struct Args {
    /// By what: campaign, mailbox, tenant, or what else schema analytics has a roll-up by
    #[arg(value_name = "ROLL-UP", default_value = CAMPAIGN)]
    by: String,
    /// Of this tenant alone, by name or id
    #[arg(long)]
    tenant: Option<String>,
    /// Of this campaign alone, by id
    #[arg(long, value_name = "UUID")]
    campaign: Option<CampaignId>,
    /// Days from then on (UTC): a date, an age (7d) or an RFC 3339 time
    #[arg(long, value_name = "DATE")]
    since: Option<String>,
    /// At most so many, those with the most mail first
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    output: OutputArgs,
}

/// Shows.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    if args.campaign.is_some() && args.by != CAMPAIGN {
        return Err(Usage::error(format!(
            "--campaign picks one of `analytics show {CAMPAIGN}`, not by {}",
            args.by
        )));
    }
    let since = args.since.as_deref().map(|since| text::parse_since(since, context.now())).transpose();
    let since = since.map_err(Usage::error)?.map(|since| since.date_naive());
    let store = context.store()?;
    let known = store.roll_up_names().await?;
    if !known.contains(&args.by) {
        return Err(Usage::error(format!(
            "there is no roll-up `{}`; there are {}",
            args.by,
            known.join(", ")
        )));
    }
    let tenant = match &args.tenant {
        Some(name) => Some(tenant::find(&store, name).await?),
        None => None,
    };
    let filter = SummaryFilter { tenant, campaign: args.campaign, since, limit: args.limit };
    let found = store.summaries(&args.by, &filter).await?;
    if args.output.json {
        let tenants = names(&store).await?;
        found.iter().try_for_each(|summary| output::json(&to_json(&args.by, summary, &tenants)))?;
        return Ok(Exit::Clean);
    }
    print(&store, &found).await?;
    if found.len() == args.limit as usize {
        output::line(format_args!("(the {} with the most mail; --limit shows more)", args.limit))?;
    }
    Ok(Exit::Clean)
}

fn to_json(by: &str, summary: &Summary, tenants: &BTreeMap<TenantId, String>) -> Value {
    let counts = &summary.counts;
    let mut value = json!({
        "by": by,
        "tenant": summary.tenant,
        "tenant_name": tenants.get(&summary.tenant),
        "name": summary.name,
        "first_day": summary.first_day,
        "last_day": summary.last_day,
        "counts": counts,
        "rates": {
            "delivered": summary.rate(counts.delivered),
            "bounced": summary.rate(counts.bounced_soft + counts.bounced_hard),
            "complained": summary.rate(counts.complained),
            "opened": summary.rate(counts.opened),
            "clicked": summary.rate(counts.clicked),
            "unsubscribed": summary.rate(counts.unsubscribed),
            "replied": summary.rate(counts.replied),
        },
        "latency_p50_ms": summary.latency_p50_ms,
        "latency_p95_ms": summary.latency_p95_ms,
    });
    if let (Some(subject), Some(fields)) = (summary.subject, value.as_object_mut()) {
        fields.insert("id".to_owned(), json!(subject));
    }
    value
}

async fn names(store: &Store) -> anyhow::Result<BTreeMap<TenantId, String>> {
    Ok(store.tenants().await?.into_iter().map(|tenant| (tenant.id, tenant.name)).collect())
}

/// Prints a roll-up as a table.
pub async fn print(store: &Store, found: &[Summary]) -> anyhow::Result<()> {
    let tenants = names(store).await?;
    let mut rows = Rows::new(&[
        "NAME",
        "TENANT",
        "DAYS",
        "SENT",
        "DELIVERED",
        "SOFT",
        "HARD",
        "COMPLAINED",
        "OPENED",
        "CLICKED",
        "UNSUBSCRIBED",
        "REPLIED",
        "AUTO",
        "RECEIVED",
        "SIZE",
        "P50",
        "P95",
    ]);
    for summary in found {
        let counts = &summary.counts;
        let tenant = tenants.get(&summary.tenant).cloned().unwrap_or_else(|| summary.tenant.to_string());
        let id = summary.subject.map_or_else(|| tenant.clone(), |subject| subject.to_string());
        let of_sent = |count| share(count, summary.rate(count));
        rows.push([
            text::cut(summary.name.as_deref().unwrap_or(&id), 40),
            text::cut(&tenant, 30),
            days(summary),
            counts.sent.to_string(),
            of_sent(counts.delivered),
            of_sent(counts.bounced_soft),
            of_sent(counts.bounced_hard),
            of_sent(counts.complained),
            of_sent(counts.opened),
            of_sent(counts.clicked),
            of_sent(counts.unsubscribed),
            of_sent(counts.replied),
            counts.auto_replied.to_string(),
            counts.received.to_string(),
            text::size(counts.bytes_in),
            millis(summary.latency_p50_ms),
            millis(summary.latency_p95_ms),
        ]);
    }
    rows.print("nothing counted yet; `mailfleet analytics run` counts now")
}

fn days(summary: &Summary) -> String {
    if summary.first_day == summary.last_day {
        return summary.first_day.to_string();
    }
    format!("{}..{}", summary.first_day, summary.last_day)
}

/// A count and what part it is, where that is known.
fn share(count: u64, rate: Option<f64>) -> String {
    rate.map_or_else(|| count.to_string(), |rate| format!("{count} ({:.1}%)", rate * 100.0))
}

fn millis(ms: Option<f64>) -> String {
    ms.map_or_else(|| "unknown".to_owned(), |ms| format!("{ms:.0} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_of_nothing_and_a_latency_that_nobody_measured_are_not_zero() {
        assert_eq!(share(0, None), "0");
        assert_eq!(share(1, Some(0.0125)), "1 (1.2%)");
        assert_eq!(millis(None), "unknown");
        assert_eq!(millis(Some(12.4)), "12 ms");
    }
}
