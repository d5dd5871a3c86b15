//! The options that every binary has.

use std::path::PathBuf;

/// Options common to the binaries; flatten them into a clap parser or parse them alone.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Configuration file [default: mailfleet.toml in the working directory, where there is one]
    #[arg(long, value_name = "FILE", env = "MAILFLEET_CONFIG")]
    pub config: Option<PathBuf>,

    /// Check the configuration, print what is set in it with its origin (no defaults, no secrets), and end
    #[arg(long)]
    pub check_config: bool,
}
