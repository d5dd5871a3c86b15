//! `mailfleet tenant`: the customers of the platform and the domains whose mail is theirs.

use anyhow::Context as _;
use clap::Subcommand;
use mailfleet_model::TenantId;
use mailfleet_store::Store;
use serde_json::json;

use crate::commands::values;
use crate::context::Context;
use crate::failure::Exit;
use crate::output::{self, OutputArgs, Rows};

/// Tenants and the domains that are theirs
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a tenant
    ///
    /// The domains decide whose a mail is that comes in on a shared account; an account of its own needs none.
    #[command(after_help = "Example:\n  mailfleet tenant add acme --domain acme.example --domain acme.test")]
    Add {
        /// A name, unique among the tenants
        #[arg(value_parser = values::name)]
        name: String,
        /// The tenant's id on the platform; a new one is made where none is given
        #[arg(long, value_name = "UUID")]
        id: Option<TenantId>,
        /// A domain whose mail is this tenant's; may be given several times
        #[arg(long = "domain", value_name = "DOMAIN", value_parser = values::domain)]
        domains: Vec<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// The domains of a tenant
    Domain {
        #[command(subcommand)]
        command: DomainCommand,
    },
    /// List the tenants with their domains
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
}

#[derive(Debug, Subcommand)]
enum DomainCommand {
    /// Add domains to a tenant
    ///
    /// Mail that was dead-lettered as `unknown_tenant` because of a missing domain goes on with
    /// `mailfleet dead replay --reason unknown_tenant`.
    Add {
        /// The tenant's name or id
        tenant: String,
        /// The domains
        #[arg(required = true, value_name = "DOMAIN", value_parser = values::domain)]
        domains: Vec<String>,
    },
}

/// Runs a `tenant` command.
pub async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let store = context.store()?;
    match args.command {
        Command::Add { name, id, domains, output } => {
            let id = store.add_tenant(id, &name, &domains).await?;
            if output.json {
                output::json(&json!({ "id": id, "name": name, "domains": domains }))?;
            } else {
                output::line(format_args!("tenant {name} added, id {id}"))?;
            }
        }
        Command::Domain { command: DomainCommand::Add { tenant, domains } } => {
            let id = find(&store, &tenant).await?;
            store.add_domains(id, &domains).await?;
            output::line(format_args!("{} now also owns {}", tenant, domains.join(", ")))?;
        }
        Command::List { output } => list(&store, output).await?,
    }
    Ok(Exit::Clean)
}

async fn list(store: &Store, output: OutputArgs) -> anyhow::Result<()> {
    let tenants = store.tenants().await?;
    if output.json {
        for tenant in &tenants {
            output::json(&json!({ "id": tenant.id, "name": tenant.name, "domains": tenant.domains }))?;
        }
        return Ok(());
    }
    let mut rows = Rows::new(&["NAME", "ID", "DOMAINS"]);
    for tenant in tenants {
        rows.push([tenant.name, tenant.id.to_string(), tenant.domains.join(", ")]);
    }
    rows.print("no tenant yet: mailfleet tenant add NAME --domain DOMAIN")
}

/// The tenant of this name or id.
pub async fn find(store: &Store, name: &str) -> anyhow::Result<TenantId> {
    let id = name.parse::<TenantId>().ok();
    let tenants = store.tenants().await?;
    tenants
        .iter()
        .find(|tenant| tenant.name == name || Some(tenant.id) == id)
        .map(|tenant| tenant.id)
        .with_context(|| {
            format!("there is no tenant `{name}`; `mailfleet tenant list` shows those there are")
        })
}
