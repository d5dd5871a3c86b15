//! `mailfleet account`: the logins on IMAP servers that the fleet watches.

mod add;
pub mod check;
mod remedy;
mod set;
mod settings;

use anyhow::Context as _;
use clap::Subcommand;
use mailfleet_model::TlsMode;
use mailfleet_store::{Account, Store};
use serde_json::json;

use crate::context::Context;
use crate::failure::Exit;
use crate::output::{self, OutputArgs, Rows};

/// IMAP accounts that the fleet watches
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Add(add::Args),
    Set(set::Args),
    /// List the accounts
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    Check(check::Args),
    /// Let the fleet watch an account (again)
    Enable {
        /// The account's name
        name: String,
    },
    /// Stop watching an account; what it has brought in stays, and the audit leaves it out
    Disable {
        /// The account's name
        name: String,
    },
}

/// Runs an `account` command.
pub async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.command {
        Command::Add(args) => add::run(context, args).await,
        Command::Set(args) => set::run(context, args).await,
        Command::List { output } => list(&context.store()?, output).await,
        Command::Check(args) => check::run(context, &args).await,
        Command::Enable { name } => switch(&context.store()?, &name, true).await,
        Command::Disable { name } => switch(&context.store()?, &name, false).await,
    }
}

async fn switch(store: &Store, name: &str, enabled: bool) -> anyhow::Result<Exit> {
    for account in chosen(store, Some(name)).await? {
        store.set_account_enabled(account.id, enabled).await?;
        output::line(format_args!(
            "account {} is {}",
            account.name,
            if enabled { "enabled" } else { "disabled" }
        ))?;
    }
    Ok(Exit::Clean)
}

async fn list(store: &Store, output: OutputArgs) -> anyhow::Result<Exit> {
    let accounts = store.accounts(false).await?;
    let tenants = store.tenants().await?;
    let owner = |account: &Account| match account.tenant {
        None => "shared".to_owned(),
        Some(id) => tenants
            .iter()
            .find(|tenant| tenant.id == id)
            .map_or_else(|| id.to_string(), |tenant| tenant.name.clone()),
    };
    if output.json {
        for account in &accounts {
            output::json(&json!({
                "id": account.id, "name": account.name, "tenant_id": account.tenant, "shared": account.tenant.is_none(),
                "host": account.host, "port": account.port, "tls": tls_word(account.tls), "user": account.username,
                "mailboxes": account.mailboxes, "sent_mailboxes": account.sent_mailboxes,
                "enabled": account.enabled,
            }))?;
        }
        return Ok(Exit::Clean);
    }
    let mut rows =
        Rows::new(&["NAME", "TENANT", "SERVER", "TLS", "USER", "MAILBOXES", "SENT", "ENABLED", "ID"]);
    for account in &accounts {
        rows.push([
            account.name.clone(),
            owner(account),
            format!("{}:{}", account.host, account.port),
            tls_word(account.tls).to_owned(),
            account.username.clone(),
            account.mailboxes.join(", "),
            account.sent_mailboxes.join(", "),
            if account.enabled { "yes" } else { "no" }.to_owned(),
            account.id.to_string(),
        ]);
    }
    rows.print("no account yet: mailfleet account add --help")?;
    Ok(Exit::Clean)
}

/// The word of `--tls`.
pub const fn tls_word(tls: TlsMode) -> &'static str {
    match tls {
        TlsMode::Tls => "tls",
        TlsMode::StartTls => "starttls",
        TlsMode::Plain => "plain",
    }
}

/// The accounts a command is about: one by name, or all that are enabled.
pub async fn chosen(store: &Store, name: Option<&str>) -> anyhow::Result<Vec<Account>> {
    let Some(name) = name else { return Ok(store.accounts(true).await?) };
    let mut all = store.accounts(false).await?.into_iter();
    let account =
        all.find(|account| account.name == name || account.id.to_string() == name).with_context(|| {
            format!("there is no account `{name}`; `mailfleet account list` shows those there are")
        })?;
    Ok(vec![account])
}
