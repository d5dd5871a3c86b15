//! `mailfleet audit`: is every message on the servers accounted for.

use std::time::Duration;

use crate::audit::{Audited, Auditor, State};
use crate::commands::account;
use crate::context::Context;
use crate::failure::Exit;
use crate::output::{self, OutputArgs, Rows};
use crate::text;

/// Unaccounted messages listed for people; `--json` has them all.
const SHOWN: usize = 50;

/// List the messages on the IMAP servers that are neither accounted for nor on their way
///
/// Accounted for is what the ledger knows as persisted, dead-lettered or skipped; on its way is what is in the queue.
/// Exit code 1 when a message is neither, and also when a mailbox cannot be looked at: unknown is not clean. The
/// producer fetches unaccounted messages again by itself (at start, on reconnect, every 5 minutes).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Look at this account alone; without it at every enabled one
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Leave out what came in less than this ago (90s, 5m)
    #[arg(long, value_name = "AGE", default_value = "60s", value_parser = text::parse_duration)]
    older_than: Duration,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the audit and prints it.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    let auditor = Auditor {
        store: context.store()?,
        queue: context.queue()?,
        imap: context.config()?.imap.clone(),
        older_than: args.older_than,
        now: context.now(),
    };
    let accounts = account::chosen(&auditor.store, args.account.as_deref()).await?;
    let audited = auditor.run(accounts).await;
    if args.output.json {
        audited.iter().try_for_each(output::json)?;
    } else {
        print(&audited)?;
    }
    Ok(Exit::clean_if(audited.iter().all(Audited::is_clean)))
}

/// The audit for people.
pub fn print(audited: &[Audited]) -> anyhow::Result<()> {
    let mut rows = Rows::new(&["ACCOUNT", "MAILBOX", "ON SERVER", "LIVE", "YOUNG", "UNACCOUNTED"]);
    let mut missing = Rows::new(&["ACCOUNT", "MAILBOX", "UID", "SIZE", "RECEIVED", "JOB"]);
    let mut hidden = 0;
    for mailbox in audited {
        let (account, name) = (mailbox.account.clone(), mailbox.mailbox.clone());
        match &mailbox.state {
            State::Unknown { error } => {
                rows.push([account, name, "unknown".into(), String::new(), String::new(), error.clone()]);
            }
            State::Known { on_server, live, young, unaccounted, .. } => {
                rows.push([
                    account.clone(),
                    name.clone(),
                    on_server.to_string(),
                    live.to_string(),
                    young.to_string(),
                    unaccounted.len().to_string(),
                ]);
                for message in unaccounted {
                    if missing.len() >= SHOWN {
                        hidden += 1;
                        continue;
                    }
                    missing.push([
                        account.clone(),
                        name.clone(),
                        message.uid.to_string(),
                        text::size(message.size),
                        message.internal_date.map_or_else(|| "unknown".to_owned(), text::time),
                        message.job.to_string(),
                    ]);
                }
            }
        }
    }
    rows.print("no enabled account: mailfleet account add --help")?;
    if !missing.is_empty() {
        output::line("\nUnaccounted for:")?;
        missing.print("")?;
        if hidden > 0 {
            output::line(format_args!("and {hidden} more (--json lists all)"))?;
        }
    }
    Ok(())
}
