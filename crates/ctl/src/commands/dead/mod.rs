//! `mailfleet dead`: mails that could not be worked off; why, and how they go on.

mod list;
mod owners;
mod reasons;
mod replay;
mod show;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Exit;

pub use list::to_json;
pub use owners::Owners;
pub use replay::lost;

/// Dead letters: mails and webhook calls that could not be worked off, with the reason
///
/// They are rows in PostgreSQL, of a mail with its bytes, whatever becomes of Redis. Find out why (`dead show`), put it right,
/// then `dead replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::Args),
    Show(show::Args),
    Replay(replay::Args),
}

/// Runs a `dead` command.
pub async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.command {
        Command::List(args) => list::run(context, &args).await,
        Command::Show(args) => show::run(context, &args).await,
        Command::Replay(args) => replay::run(context, &args).await,
    }
}
