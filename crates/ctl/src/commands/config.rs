//! `mailfleet config check`: is the configuration right, and what does it say.

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Exit;
use crate::output;

/// Check the configuration file and the MAILFLEET_ variables
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what is wrong with the configuration, else print what is set in it with its origin; exit 64 if it is wrong
    ///
    /// Secrets are never printed, and settings left at their default are not listed.
    /// The sections `producer` and `consumer` are read by those processes:
    /// `mailfleet-producer --check-config` and `mailfleet-consumer --check-config` check them.
    Check,
}

/// Runs `config check`.
pub fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    match args.command {
        Command::Check => check(context),
    }
}

/// Loads, validates and prints; also behind the global `--check-config`.
pub fn check(context: &Context) -> anyhow::Result<Exit> {
    output::line(mailfleet_runtime::checked("mailfleet", context.loaded()?).trim_end())?;
    Ok(Exit::Clean)
}
