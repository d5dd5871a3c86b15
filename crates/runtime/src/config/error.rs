//! Why a configuration is refused. One line each: which key, where it came from, what to do; of a key always in the
//! shape `` `key` (where it stands): problem ``.

use std::fmt;
use std::io;
use std::path::PathBuf;

use mailfleet_model::{Class, Classify, SecretError};

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The configuration file.
    File(PathBuf),
    /// The environment variable of this name.
    Variable(String),
    /// Neither gave it: it has its default, or is missing.
    NotSet,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Variable(name) => write!(f, "in the environment variable {name}"),
            Self::NotSet => f.write_str("not set"),
        }
    }
}

/// A configuration that cannot be used. No text here ever contains the value of a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML. The offending text is not shown: it may hold a secret.
    #[error("{} line {line}: not valid TOML: {problem}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        problem: String,
    },
    /// A key that nothing reads, most often a typo.
    #[error("`{key}` ({origin}): unknown key, {advice}")]
    UnknownKey {
        /// The dotted path.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// The key that was probably meant, or the ones there are.
        advice: String,
    },
    /// A value that is missing, of the wrong type or out of range, or that does not fit to another one.
    #[error("`{key}` ({origin}): {problem}")]
    Value {
        /// The dotted path.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// What is wrong with it.
        problem: String,
    },
    /// A secret both as a value and as a file.
    #[error("`{key}` ({origin}): given as `{key}_file` ({file_origin}) too, keep one of them")]
    SecretTwice {
        /// The dotted path of the value.
        key: String,
        /// Where the value stands.
        origin: Origin,
        /// Where the file's name stands.
        file_origin: Origin,
    },
    /// The file of a secret cannot be read.
    #[error("`{key}` ({origin}): {source}")]
    SecretFile {
        /// The dotted path, with its `_file`.
        key: String,
        /// Where the file's name stands.
        origin: Origin,
        /// Why.
        source: SecretError,
    },
    /// An environment variable of ours that is not UTF-8.
    #[error("the environment variable {name} is not valid UTF-8")]
    NotUtf8 {
        /// The variable, with replacement characters.
        name: String,
    },
}

impl Classify for ConfigError {
    fn class(&self) -> Class {
        match self {
            Self::File { .. }
            | Self::Syntax { .. }
            | Self::UnknownKey { .. }
            | Self::Value { .. }
            | Self::SecretTwice { .. }
            | Self::SecretFile { .. }
            | Self::NotUtf8 { .. } => Class::Fault,
        }
    }
}
