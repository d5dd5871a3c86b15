//! `mailfleet analytics`: the roll-ups of schema `analytics`.

mod run;
mod show;

use clap::Subcommand;

pub use self::show::print;

use crate::context::Context;
use crate::failure::Exit;

/// Roll-ups by campaign, mailbox and tenant: what was sent, what became of it, who answered
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Rebuild(run::RebuildArgs),
    Show(show::Args),
}

/// Runs an `analytics` command.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    match &args.command {
        Command::Run(args) => run::run(context, args).await,
        Command::Rebuild(args) => run::rebuild(context, args).await,
        Command::Show(args) => show::run(context, args).await,
    }
}
