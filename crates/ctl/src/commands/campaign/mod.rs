//! `mailfleet campaign`: the campaigns and leads that mail is tied to.

mod bytes;
mod import;
mod lines;
mod objects;
mod records;

use clap::Subcommand;
use serde_json::json;

use crate::commands::tenant;
use crate::context::Context;
use crate::failure::Exit;
use crate::output::{self, OutputArgs, Rows};

/// Campaigns and their leads
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Import(import::Args),
    /// List the campaigns
    List {
        /// Those of this tenant alone, by name or id
        #[arg(long)]
        tenant: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// Runs a `campaign` command.
pub async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.command {
        Command::Import(args) => import::run(context, &args).await,
        Command::List { tenant, output } => list(context, tenant.as_deref(), output).await,
    }
}

async fn list(context: &Context, tenant: Option<&str>, output: OutputArgs) -> anyhow::Result<Exit> {
    let store = context.store()?;
    let tenant = match tenant {
        Some(name) => Some(tenant::find(&store, name).await?),
        None => None,
    };
    let campaigns = store.campaigns(tenant).await?;
    if output.json {
        for campaign in &campaigns {
            output::json(&json!({
                "id": campaign.id, "tenant_id": campaign.tenant, "name": campaign.name, "leads": campaign.leads,
            }))?;
        }
        return Ok(Exit::Clean);
    }
    let tenants = store.tenants().await?;
    let mut rows = Rows::new(&["TENANT", "NAME", "LEADS", "ID"]);
    for campaign in campaigns {
        let owner = tenants.iter().find(|tenant| tenant.id == campaign.tenant);
        rows.push([
            owner.map_or_else(|| campaign.tenant.to_string(), |tenant| tenant.name.clone()),
            campaign.name,
            campaign.leads.to_string(),
            campaign.id.to_string(),
        ]);
    }
    rows.print("no campaign yet: mailfleet campaign import --help")?;
    Ok(Exit::Clean)
}
