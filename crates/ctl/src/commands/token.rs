//! `mailfleet token`: who may register outbound messages over HTTP.

use anyhow::bail;
use clap::Subcommand;
use mailfleet_store::Store;
use serde_json::json;

use crate::commands::{tenant, values};
use crate::context::Context;
use crate::failure::Exit;
use crate::output::{self, OutputArgs, Rows};

/// Tokens with which senders register outbound messages
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a token, and show it, once
    ///
    /// Whoever has it registers messages of this tenant: POST /v1/messages with `Authorization: Bearer <token>`. It cannot be
    /// shown again; what is kept is its hash.
    #[command(after_help = "Example:\n  mailfleet token add --tenant acme acme-sender")]
    Add {
        /// The tenant that the messages belong to, by name or id
        #[arg(long)]
        tenant: String,
        /// A name, unique among the tokens
        #[arg(value_parser = values::name)]
        name: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the tokens by name; what they look like is known to their owners alone
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Refuse a token from now on, for good
    Revoke {
        /// The token's name
        name: String,
    },
}

/// Runs a `token` command.
pub async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let store = context.store()?;
    match args.command {
        Command::Add { tenant, name, output } => {
            let token = store.add_api_token(tenant::find(&store, &tenant).await?, &name).await?;
            if output.json {
                output::json(&json!({ "name": name, "token": token.expose() }))?;
            } else {
                output::line(format_args!("token {name} added. It is a secret and is shown only now:"))?;
                output::line(format_args!("  {}", token.expose()))?;
            }
        }
        Command::List { output } => list(&store, output).await?,
        Command::Revoke { name } => {
            if !store.revoke_api_token(&name).await? {
                bail!("there is no token `{name}`; `mailfleet token list` shows those there are");
            }
            output::line(format_args!("token {name} is revoked"))?;
        }
    }
    Ok(Exit::Clean)
}

async fn list(store: &Store, output: OutputArgs) -> anyhow::Result<()> {
    let tokens = store.api_tokens().await?;
    if output.json {
        for token in &tokens {
            output::json(&json!({
                "id": token.id.to_string(), "name": token.name, "tenant_id": token.tenant, "created": token.created,
                "revoked": token.revoked,
            }))?;
        }
        return Ok(());
    }
    let tenants = store.tenants().await?;
    let mut rows = Rows::new(&["NAME", "TENANT", "CREATED", "REVOKED"]);
    for token in tokens {
        let owner = tenants.iter().find(|tenant| tenant.id == token.tenant);
        rows.push([
            token.name,
            owner.map_or_else(|| token.tenant.to_string(), |tenant| tenant.name.clone()),
            token.created.format("%F %T").to_string(),
            token.revoked.map_or_else(|| "no".to_owned(), |at| at.format("%F %T").to_string()),
        ]);
    }
    rows.print("no token yet: mailfleet token add --tenant TENANT NAME")
}
