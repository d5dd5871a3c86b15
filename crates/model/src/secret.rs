//! Secrets: given as a value or a file, never both, and never printed.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

/// A secret that shows as `[redacted]` wherever it is printed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself; the call stands out in a review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// Where a secret comes from. It is read when it is needed, so that a rotated file is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// Stands in the configuration (or an environment variable that overrides it).
    Value(Secret),
    /// The first line of a file.
    File(PathBuf),
    /// An environment variable of this name.
    Env(String),
}

/// A secret that could not be read. Says where it was looked for, never what it is.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file's first line is empty.
    #[error("the secret file {} is empty", path.display())]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },
    /// The variable is not set, or not UTF-8.
    #[error("the environment variable {0} is not set")]
    Env(String),
}

impl SecretSource {
    /// Reads the secret.
    pub fn read(&self) -> Result<Secret, SecretError> {
        match self {
            Self::Value(secret) => Ok(secret.clone()),
            Self::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| SecretError::File { path: path.clone(), source })?;
                match text.lines().next().map(str::trim_end) {
                    None | Some("") => Err(SecretError::EmptyFile { path: path.clone() }),
                    Some(line) => Ok(Secret::new(line)),
                }
            }
            Self::Env(name) => std::env::var(name).map(Secret).map_err(|_| SecretError::Env(name.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {:?}", SecretSource::Value(secret.clone()))
                .matches("hunter2")
                .count(),
            0
        );
    }

    #[test]
    fn a_missing_secret_names_its_place() {
        let error = SecretSource::File("/nonexistent/password".into()).read().unwrap_err();
        assert!(error.to_string().contains("/nonexistent/password"));
        let error = SecretSource::Env("MAILFLEET_NO_SUCH_VARIABLE".into()).read().unwrap_err();
        assert!(error.to_string().contains("MAILFLEET_NO_SUCH_VARIABLE"));
    }
}
