//! `mailfleet account set`.

use anyhow::Context as _;
use clap::ArgGroup;
use mailfleet_model::SecretSource;
use mailfleet_store::{Account, Mailbox, NewAccount};
use serde_json::json;

use super::settings::{Settings, usual_port};
use super::tls_word;
use crate::context::Context;
use crate::failure::{self, Exit, Usage};
use crate::output::{self, OutputArgs};
use crate::text;

/// Change settings of an account; what is not given stays as it is
///
/// Name and tenant stay; folders that are given take the place of those there were. A running producer notices within
/// producer.accounts_refresh_seconds (10 by default), ends the account's session and begins a new one: no restart.
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("change").required(true).multiple(true).args([
        "host", "port", "tls", "user", "password_file", "password_env", "mailboxes", "sent_mailboxes", "ca_file",
        "no_sent_mailbox", "system_ca", "recipient_from_to_cc",
    ]),
    after_help = "Examples:\n  \
    mailfleet account set sales --host imap2.acme.example --same-mailboxes\n  \
    mailfleet account set sales --mailbox INBOX --mailbox Bounces --no-sent-mailbox"
)]
pub struct Args {
    /// The account's name
    name: String,
    #[command(flatten)]
    settings: Settings,
    /// The folders behind the new host or login are those that were read until now, with the same UIDs
    ///
    /// Without it neither can be changed once mail was read: what was read is remembered by UIDVALIDITY and UID, which another server may
    /// have given to other mail, and such mail would be taken for known.
    #[arg(long)]
    same_mailboxes: bool,
    /// Watch no folder of what was sent any more
    #[arg(long, conflicts_with = "sent_mailboxes")]
    no_sent_mailbox: bool,
    /// Check the server's certificate against the system's again
    #[arg(long, conflicts_with = "ca_file")]
    system_ca: bool,
    /// Whether To and Cc decide the tenant where Delivered-To and X-Original-To are missing (shared accounts only)
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    recipient_from_to_cc: Option<bool>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Changes the account and says what is another now.
pub async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let store = context.store()?;
    let Some(account) = super::chosen(&store, Some(&args.name)).await?.pop() else {
        return Ok(Exit::Wanting);
    };
    if args.recipient_from_to_cc == Some(true) && account.tenant.is_some() {
        return Err(Usage::error("--recipient-from-to-cc is for shared accounts; this one is one tenant's"));
    }
    let moved = |to: &Option<String>, from: &str| to.as_ref().is_some_and(|to| to != from);
    let elsewhere =
        moved(&args.settings.host, &account.host) || moved(&args.settings.user, &account.username);
    // An account that was never read has nothing to be taken for known. Should its first contact fall between this look and
    // the change, the old settings were right enough to log in: whoever changes them then has been told by `account check`.
    let read = |mailbox: &Mailbox| mailbox.uidvalidity.is_some();
    if elsewhere && !args.same_mailboxes && store.mailboxes(account.id).await?.iter().any(read) {
        return Err(Usage::error(format!(
            "another host or login may mean other folders, of which mail would be taken for known and never be read. Where they \
             are the same, with the same UIDs, say --same-mailboxes; else add them as an account of their own and then \
             `mailfleet account disable {}`: mail that is in both is stored once",
            args.name
        )));
    }
    let settings = args.settings.checked()?;
    let change = |account: &mut NewAccount| {
        settings.apply(account);
        if args.no_sent_mailbox {
            account.sent_mailboxes.clear();
        }
        if args.system_ca {
            account.ca_file = None;
        }
        account.recipient_from_to_cc = args.recipient_from_to_cc.unwrap_or(account.recipient_from_to_cc);
    };
    let (before, after) = store
        .change_account(account.id, change)
        .await?
        .with_context(|| format!("there is no account `{}` any more", args.name))?;
    if before.tls != after.tls && before.port == after.port && after.port == usual_port(before.tls) {
        let (usual, tls) = (usual_port(after.tls), tls_word(after.tls));
        if usual != after.port {
            failure::note(&format!("the port stays {}; {tls} is usually at --port {usual}", after.port));
        }
    }
    let changed = differences(&before, &after);
    if args.output.json {
        let changed: serde_json::Map<String, serde_json::Value> = changed
            .into_iter()
            .map(|(what, from, to)| (what.to_owned(), json!({ "from": from, "to": to })))
            .collect();
        output::json(&json!({ "id": after.id, "name": after.name, "changed": changed }))?;
        return Ok(Exit::Clean);
    }
    if changed.is_empty() {
        output::line(format_args!("account {} stood so already; nothing is changed", after.name))?;
        return Ok(Exit::Clean);
    }
    output::line(format_args!("account {0} changed; try it: mailfleet account check {0}", after.name))?;
    for (what, from, to) in changed {
        output::line(text::printable(&format!("  {what}: {from} → {to}")))?;
    }
    Ok(Exit::Clean)
}

/// What differs, as its option is called, with the value before and after. A password's place is no secret.
fn differences(before: &Account, after: &Account) -> Vec<(&'static str, String, String)> {
    let both = |show: fn(&Account) -> String| (show(before), show(after));
    let all = [
        ("host", both(|account| account.host.clone())),
        ("port", both(|account| account.port.to_string())),
        ("tls", both(|account| tls_word(account.tls).to_owned())),
        ("user", both(|account| account.username.clone())),
        ("password", both(|account| place(&account.password))),
        ("mailbox", both(|account| folders(&account.mailboxes))),
        ("sent-mailbox", both(|account| folders(&account.sent_mailboxes))),
        (
            "ca-file",
            both(|account| {
                account
                    .ca_file
                    .as_ref()
                    .map_or_else(|| "the system's".to_owned(), |f| f.display().to_string())
            }),
        ),
        ("recipient-from-to-cc", both(|account| account.recipient_from_to_cc.to_string())),
    ];
    all.into_iter().filter(|(_, (from, to))| from != to).map(|(what, (from, to))| (what, from, to)).collect()
}

fn folders(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn place(password: &SecretSource) -> String {
    match password {
        SecretSource::File(file) => format!("file {}", file.display()),
        SecretSource::Env(name) => format!("variable {name}"),
        SecretSource::Value(_) => "given".to_owned(),
    }
}
