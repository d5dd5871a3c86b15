//! `mailfleet account add`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{ArgGroup, ValueEnum};
use mailfleet_model::{SecretSource, TlsMode};
use mailfleet_store::NewAccount;

use crate::commands::tenant;
use crate::commands::values;
use crate::context::Context;
use crate::failure::{self, Exit};
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
    /// The IMAP server: a host name or an address
    #[arg(long, value_parser = values::host)]
    host: String,
    /// Its port; 993 for tls, 143 otherwise, where none is given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// How the connection is protected; plain is for servers on the same machine
    #[arg(long, value_enum, default_value_t = Protection::Tls)]
    tls: Protection,
    /// The login
    #[arg(long, value_parser = values::login)]
    user: String,
    /// File whose first line is the password, as the producer sees it
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Environment variable of the producer that holds the password
    #[arg(long, value_name = "VARIABLE", value_parser = values::variable)]
    password_env: Option<String>,
    /// A folder to watch; may be given several times
    #[arg(long = "mailbox", value_name = "FOLDER", default_value = "INBOX", value_parser = values::mailbox)]
    mailboxes: Vec<String>,
    /// A folder to watch that holds what was sent from this account; may be given several times
    #[arg(long = "sent-mailbox", value_name = "FOLDER", value_parser = values::mailbox)]
    sent_mailboxes: Vec<String>,
    /// Certificates (PEM) that the server's certificate is checked against, instead of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Where Delivered-To and X-Original-To are missing, let To and Cc decide the tenant (shared accounts only)
    #[arg(long, conflicts_with = "tenant")]
    recipient_from_to_cc: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// The word for each way to protect a connection.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Protection {
    /// TLS from the first byte
    Tls,
    /// Plain greeting, then STARTTLS, before the login
    Starttls,
    /// No protection at all
    Plain,
}

/// Adds the account.
pub async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let store = context.store()?;
    let tenant = match &args.tenant {
        Some(name) => Some(tenant::find(&store, name).await?),
        None => None,
    };
    let (tls, usual_port) = match args.tls {
        Protection::Tls => (TlsMode::Tls, 993),
        Protection::Starttls => (TlsMode::StartTls, 143),
        Protection::Plain => (TlsMode::Plain, 143),
    };
    let password = match (&args.password_file, args.password_env) {
        (Some(file), _) => SecretSource::File(absolute(file)?),
        (None, variable) => SecretSource::Env(variable.unwrap_or_default()),
    };
    // The file may stand on the producer's machine alone, so that this is a hint and no error.
    if let Err(error) = password.read() {
        failure::note(&format!("{error} here; the producer must be able to read it"));
    }
    let ca_file = args.ca_file.as_ref().map(absolute).transpose()?;
    let id = store
        .add_account(NewAccount {
            tenant,
            name: args.name.clone(),
            host: args.host,
            port: args.port.unwrap_or(usual_port),
            tls,
            username: args.user,
            password,
            ca_file,
            mailboxes: args.mailboxes,
            sent_mailboxes: args.sent_mailboxes,
            recipient_from_to_cc: args.recipient_from_to_cc,
        })
        .await?;
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

/// The path as the producer can use it, whose working directory is another one.
fn absolute(path: &PathBuf) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot make {} absolute", path.display()))
}
