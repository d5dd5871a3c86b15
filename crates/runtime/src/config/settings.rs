//! What a binary's top struct tells the shell.

use std::fmt::Debug;

use mailfleet_model::{Class, Classify};
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

/// A setting that its type lets pass and that cannot work all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {problem}")]
pub struct Invalid {
    /// The dotted path, with its section.
    pub key: String,
    /// What is wrong and what would be right, without the key.
    pub problem: String,
}

impl Invalid {
    /// A refusal of `key`, which is a whole dotted path.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }

    /// A refusal by the crate whose settings are the section `section`: it knows its own key alone.
    pub fn within(section: &str, key: &str, problem: impl Into<String>) -> Self {
        Self::new(format!("{section}.{key}"), problem)
    }
}

impl Classify for Invalid {
    fn class(&self) -> Class {
        Class::Fault
    }
}

/// A binary's configuration.
pub trait Settings: DeserializeOwned + Debug + Send + Sync + 'static {
    /// Dotted paths of the keys that are secrets, such as `redis.url`. Each may be given as `<path>_file` instead.
    const SECRETS: &'static [&'static str];

    /// The sections that this binary takes as [`crate::Unread`], each with the binary that reads it; `--check-config`
    /// tells of them, so that nobody takes them for checked.
    const ELSEWHERE: &'static [(&'static str, &'static str)] = &[];

    /// The shell's sections.
    fn shell(&self) -> Shell;

    /// Checks what types cannot: ranges, and settings that do not fit together.
    fn validate(&self) -> Result<(), Invalid>;
}
