//! `mailfleet migrate`: creates, adopts and updates the tables.

use crate::context::Context;
use crate::failure::Exit;
use crate::output;

/// Create or update the tables in PostgreSQL; safe to run again and while the fleet works
///
/// Tables of the hierarchy (email_content, email_messages, attachments) that stand there already are adopted: missing
/// columns are added, a column of another type is a clear error. Runs one at a time, under an advisory lock.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Applies what is pending.
pub async fn run(context: &Context, _args: &Args) -> anyhow::Result<Exit> {
    let done = context.store()?.migrate().await?;
    if done.is_empty() {
        output::line("nothing to do: the tables are up to date")?;
    }
    done.iter().try_for_each(output::line)?;
    Ok(Exit::Clean)
}
