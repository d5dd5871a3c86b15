//! `mailfleet dead`: mails that could not be worked off; why, and how they go on.

mod actor;
mod discard;
mod groups;
mod list;
mod log;
mod lost;
mod owners;
mod reasons;
mod replay;
mod show;
mod which;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Exit;

pub use actor::actor;
pub use list::to_json;
pub use lost::lost;
pub use owners::Owners;
pub use show::attempt_line;
use which::Kind;

/// Dead letters: mails and webhook calls that could not be worked off, with the reason
///
/// They are rows in PostgreSQL, of a mail with its bytes, whatever becomes of Redis. Find out why (`dead groups`, `dead show`),
/// put it right, then `dead replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::Args),
    Groups(groups::Args),
    Show(show::Args),
    Replay(replay::Args),
    Discard(discard::Args),
    Log(log::Args),
}

/// Runs a `dead` command.
pub async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.command {
        Command::List(args) => list::run(context, &args).await,
        Command::Groups(args) => groups::run(context, &args).await,
        Command::Show(args) => show::run(context, &args).await,
        Command::Replay(args) => Box::pin(replay::run(context, &args)).await,
        Command::Discard(args) => discard::run(context, &args).await,
        Command::Log(args) => log::run(context, &args).await,
    }
}
