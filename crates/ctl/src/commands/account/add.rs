//! `mailfleet account add`.

use anyhow::bail;
use clap::ArgGroup;
use mailfleet_model::{SecretSource, TlsMode};
use mailfleet_store::{Error, NewAccount};

use super::settings::{Settings, usual_port};
use crate::commands::tenant;
use crate::commands::values;
use crate::context::Context;
use crate::failure::Exit;
use crate::output::{self, OutputArgs};

/// Add an account for the fleet to watch
///
/// It belongs to one tenant, or is shared: then the domain of the topmost Delivered-To (or X-Original-To) decides
/// whose each mail is. The password is never given here: name the file or the environment variable that the producer
/// reads it from. A running producer takes a new account up by itself.
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("owner").required(true).args(["tenant", "shared"]),
    group = ArgGroup::new("password").required(true).args(["password_file", "password_env"]),
    mut_arg("host", |arg| arg.required(true)),
    mut_arg("user", |arg| arg.required(true)),
    after_help = "Examples:\n  \
    mailfleet account add sales --tenant acme --host imap.acme.example --user sales@acme.example \\\n      \
        --password-file /run/secrets/sales --sent-mailbox Sent\n  \
    mailfleet account add catchall --shared --host 10.0.0.5 --tls starttls --user catchall \\\n      \
        --password-env CATCHALL_PASSWORD --ca-file /etc/mailfleet/ca.pem --mailbox INBOX --mailbox Bounces"
)]
pub struct Args {
    /// A name, unique among the accounts
    #[arg(value_parser = values::name)]
    name: String,
    /// The tenant it belongs to, by name or id
    #[arg(long)]
    tenant: Option<String>,
    /// It takes mail for many tenants (a catch-all)
    #[arg(long)]
    shared: bool,
    #[command(flatten)]
    settings: Settings,
    /// Where Delivered-To and X-Original-To are missing, let To and Cc decide the tenant (shared accounts only)
    #[arg(long, conflicts_with = "tenant")]
    recipient_from_to_cc: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Adds the account.
pub async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let store = context.store()?;
    let tenant = match &args.tenant {
        Some(name) => Some(tenant::find(&store, name).await?),
        None => None,
    };
    let tls = args.settings.tls.unwrap_or(TlsMode::Tls);
    let mut account = NewAccount {
        tenant,
        name: args.name.clone(),
        host: String::new(),
        port: usual_port(tls),
        tls,
        username: String::new(),
        password: SecretSource::Env(String::new()),
        ca_file: None,
        mailboxes: Vec::new(),
        sent_mailboxes: Vec::new(),
        recipient_from_to_cc: args.recipient_from_to_cc,
    };
    args.settings.checked()?.apply(&mut account);
    let id = match store.add_account(account).await {
        Err(error @ Error::Taken { .. }) => {
            bail!("{error}; `mailfleet account set {} …` changes its settings", args.name)
        }
        added => added?,
    };
    if args.output.json {
        output::json(&serde_json::json!({ "id": id, "name": args.name }))?;
    } else {
        output::line(format_args!(
            "account {0} added, id {id}; try it: mailfleet account check {0}",
            args.name
        ))?;
    }
    Ok(Exit::Clean)
}
