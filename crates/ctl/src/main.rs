//! `mailfleet`: the operator's tool. Accounts, queue depth, dead letters, audit, migrations, doctor, demo.
//!
//! One file per command under `commands`. People get tables, scripts `--json`. The exit code is 0 when all is well,
//! 1 when something failed or was found wanting, 64 when the command line or the configuration is wrong.

mod audit;
mod cli;
mod commands;
mod config;
mod context;
mod demo;
mod doctor;
mod failure;
mod output;
mod redact;
mod session;
mod text;

use std::process::ExitCode;

use crate::cli::Cli;
use crate::failure::Exit;

fn main() -> ExitCode {
    let cli = match mailfleet_runtime::parse::<Cli>("mailfleet") {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match cli.run() {
        Ok(exit) => exit.into(),
        Err(error) if failure::is_closed_pipe(&error) => Exit::Clean.into(),
        Err(error) => {
            failure::say(&failure::one_line(&error));
            failure::exit_of(&error).into()
        }
    }
}
