//! The options that every binary has, and what is said when they are wrong.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::run::{EXIT_CONFIG, fail};

/// Options common to the binaries; flatten them into a clap parser or parse them alone.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Configuration file [default: mailfleet.toml in the working directory, where there is one]
    #[arg(long, value_name = "FILE", env = "MAILFLEET_CONFIG")]
    pub config: Option<PathBuf>,

    /// Read and check the configuration, print what is set and where (secrets redacted), and end
    #[arg(long)]
    pub check_config: bool,
}

/// Reads the command line. Help and version are printed as usual; a mistake is one line and [`EXIT_CONFIG`].
pub fn parse<P: clap::Parser>(name: &str) -> Result<P, ExitCode> {
    P::try_parse().map_err(|error| {
        if error.use_stderr() {
            return fail(name, &usage_line(&error), EXIT_CONFIG);
        }
        // A reader that went away (head) is no reason to fail.
        let _ = error.print();
        ExitCode::SUCCESS
    })
}

/// clap's message as one line: the first paragraph, with its hint, without its usage block.
#[must_use]
pub fn usage_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let said =
        text.split("Usage:").next().unwrap_or(&text).replace("For more information, try '--help'.", "");
    let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    format!("{} (`--help` says what there is)", line.trim_end_matches('.'))
}
