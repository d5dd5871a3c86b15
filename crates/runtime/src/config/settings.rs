//! What a binary's top struct tells the shell.

use std::fmt::Debug;

use serde::de::DeserializeOwned;

use crate::admin::AdminConfig;
use crate::shutdown::ShutdownConfig;
use crate::telemetry::LogConfig;

/// The sections the shell itself reads. They are fields of the binary's top struct (`[log]`, `[admin]`,
/// `[shutdown]`), nested and not flattened, because serde cannot deny unknown fields through a flatten.
#[derive(Debug, Clone, Default)]
pub struct Shell {
    /// `[log]`.
    pub log: LogConfig,
    /// `[admin]`.
    pub admin: AdminConfig,
    /// `[shutdown]`.
    pub shutdown: ShutdownConfig,
}

/// A binary's configuration.
pub trait Settings: DeserializeOwned + Debug + Send + Sync + 'static {
    /// Dotted paths of the keys that are secrets, such as `redis.url`. Each may be given as `<path>_file` instead.
    const SECRETS: &'static [&'static str];

    /// The shell's sections.
    fn shell(&self) -> Shell;

    /// Checks what types cannot: ranges, and settings that do not fit together. An error names the section and key,
    /// so give the errors of a library's `validate` the name of its section as context.
    fn validate(&self) -> anyhow::Result<()>;
}
