//! `mailfleet account check`: logs in and says what the server can do.

use std::time::{Duration, Instant};

use mailfleet_model::UidValidity;
use mailfleet_store::Account;
use serde::Serialize;

use super::remedy;
use crate::context::Context;
use crate::failure::Exit;
use crate::output::{self, OutputArgs, Rows};
use crate::{session, text};

/// Capabilities that change what the fleet does or how fast it is (RFC 2177, 7162, 4315, 5161, 4978, 2971).
const THAT_MATTER: [&str; 8] =
    ["IDLE", "CONDSTORE", "QRESYNC", "UIDPLUS", "ENABLE", "COMPRESS=DEFLATE", "ID", "OBJECTID"];
/// Further mailboxes named for people.
const OTHERS_SHOWN: usize = 20;

/// Log in to accounts and say what their servers can do
///
/// Nothing is changed: mailboxes are opened read-only. Exit code 1 when a login or a watched mailbox fails.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The account; without it every enabled one
    name: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// What a look at one account gave.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// The account's name.
    pub account: String,
    /// Whether login and every watched mailbox are fine.
    pub ok: bool,
    /// Why there is no session.
    pub error: Option<String>,
    /// What to do about that.
    pub remedy: Option<String>,
    /// Time from the connection attempt to the end of the login, in milliseconds.
    pub login_ms: Option<u64>,
    /// What the server says it can do.
    pub capabilities: Vec<String>,
    /// Whether new mail is told at once (IDLE); otherwise the server is asked from time to time.
    pub idle: Option<bool>,
    /// The watched mailboxes.
    pub mailboxes: Vec<Looked>,
    /// Mailboxes that are there and not watched.
    pub others: Vec<String>,
}

/// One watched mailbox.
#[derive(Debug, Serialize)]
pub struct Looked {
    /// Its name.
    pub name: String,
    /// Messages in it.
    pub messages: Option<u32>,
    /// The epoch of its UIDs.
    pub uidvalidity: Option<UidValidity>,
    /// The next UID, where the server says so.
    pub uidnext: Option<u32>,
    /// Why it could not be opened.
    pub error: Option<String>,
    /// What to do about that.
    pub remedy: Option<String>,
}

/// Checks the accounts one after another and prints each as it is done.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    let store = context.store()?;
    let config = &context.config()?.imap;
    let accounts = super::chosen(&store, args.name.as_deref()).await?;
    if accounts.is_empty() && !args.output.json {
        output::line("no enabled account: mailfleet account add --help")?;
    }
    let mut all_ok = true;
    for account in accounts {
        let checked = check(account.clone(), config.clone()).await;
        all_ok &= checked.ok;
        if args.output.json { output::json(&checked)? } else { print(&account, &checked)? }
    }
    Ok(Exit::clean_if(all_ok))
}

/// Looks at one account.
pub async fn check(account: Account, config: mailfleet_imap::Config) -> Checked {
    let name = account.name.clone();
    tokio::task::spawn_blocking(move || look(&account, &config)).await.unwrap_or_else(|crash| Checked {
        account: name,
        ok: false,
        error: Some(format!("the session ended unexpectedly: {crash}")),
        remedy: Some("report this as a bug".to_owned()),
        login_ms: None,
        capabilities: Vec::new(),
        idle: None,
        mailboxes: Vec::new(),
        others: Vec::new(),
    })
}

fn look(account: &Account, config: &mailfleet_imap::Config) -> Checked {
    let began = Instant::now();
    let mut checked = Checked {
        account: account.name.clone(),
        ok: false,
        error: None,
        remedy: None,
        login_ms: None,
        capabilities: Vec::new(),
        idle: None,
        mailboxes: Vec::new(),
        others: Vec::new(),
    };
    let mut session = match session::open(account, config) {
        Ok(session) => session,
        Err(error) => {
            let (found, remedy) = remedy::of(&error, account);
            (checked.error, checked.remedy) = (Some(found), Some(remedy));
            return checked;
        }
    };
    checked.login_ms = u64::try_from(began.elapsed().as_millis()).ok();
    checked.capabilities = session.capabilities().to_vec();
    checked.idle = Some(session.idles());
    for (name, _) in account.watched() {
        let mut looked = Looked {
            name: name.to_owned(),
            messages: None,
            uidvalidity: None,
            uidnext: None,
            error: None,
            remedy: None,
        };
        match session.examine(name) {
            Ok(selected) => {
                looked.messages = Some(selected.exists);
                looked.uidvalidity = selected.uidvalidity;
                looked.uidnext = selected.uidnext;
                if selected.uidvalidity.is_none() {
                    looked.error =
                        Some("the server gives no UIDVALIDITY, so that its UIDs mean nothing".into());
                    looked.remedy = Some("watch another mailbox; this one cannot be followed".into());
                }
            }
            Err(error) => {
                let (found, remedy) = remedy::of(&error.into(), account);
                (looked.error, looked.remedy) = (Some(found), Some(remedy));
            }
        }
        checked.mailboxes.push(looked);
    }
    // Only a help for people who add folders: where it fails, the answers above stand.
    if let Ok(listed) = session.list_mailboxes() {
        let watched = |name: &str| account.watched().any(|(m, _)| m.eq_ignore_ascii_case(name));
        let others = listed.into_iter().filter(|mailbox| mailbox.selectable && !watched(&mailbox.name));
        checked.others = others.map(|mailbox| mailbox.name).collect();
    }
    let _ = session.logout();
    checked.ok = checked.mailboxes.iter().all(|mailbox| mailbox.error.is_none());
    checked
}

fn print(account: &Account, checked: &Checked) -> anyhow::Result<()> {
    output::line(text::printable(&format!(
        "{}: {} at {}:{} ({})",
        account.name,
        account.username,
        account.host,
        account.port,
        super::tls_word(account.tls)
    )))?;
    if let Some(error) = &checked.error {
        output::line(text::printable(&format!("  login        FAILED: {error}")))?;
        let remedy = checked.remedy.as_deref().unwrap_or_default();
        return output::line(format_args!("  what to do   {}\n", text::printable(remedy)));
    }
    let took = text::age(Duration::from_millis(checked.login_ms.unwrap_or_default()));
    output::line(format_args!("  login        ok, {took}"))?;
    let can =
        |word: &&str| checked.capabilities.iter().any(|capability| capability.eq_ignore_ascii_case(word));
    let has: Vec<&str> = THAT_MATTER.into_iter().filter(can).collect();
    output::line(format_args!(
        "  can          {}",
        if has.is_empty() { "nothing special".into() } else { has.join(" ") }
    ))?;
    output::line(match checked.idle {
        Some(true) => "  new mail     told at once (IDLE)",
        _ => "  new mail     asked for from time to time (the server has no IDLE)",
    })?;
    let mut rows = Rows::new(&["MAILBOX", "MESSAGES", "UIDVALIDITY", "UIDNEXT", ""]);
    for mailbox in &checked.mailboxes {
        rows.push([
            mailbox.name.clone(),
            output::known(mailbox.messages.map(u64::from)),
            output::known(mailbox.uidvalidity.map(|epoch| u64::from(epoch.get()))),
            output::known(mailbox.uidnext.map(u64::from)),
            mailbox.error.clone().unwrap_or_else(|| "ok".into()),
        ]);
    }
    rows.print("  no mailbox is watched")?;
    for remedy in checked.mailboxes.iter().filter_map(|mailbox| mailbox.remedy.as_deref()) {
        output::line(format_args!("what to do: {}", text::printable(remedy)))?;
    }
    if !checked.others.is_empty() {
        let shown: Vec<&str> = checked.others.iter().take(OTHERS_SHOWN).map(String::as_str).collect();
        let more = checked.others.len().saturating_sub(OTHERS_SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        output::line(format_args!("not watched: {}{more}", text::printable(&shown.join(", "))))?;
    }
    output::line("")
}
