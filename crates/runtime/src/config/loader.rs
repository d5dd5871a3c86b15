//! Reads, merges, deserialises, and turns what fails into an error that names the key.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use figment::error::{Actual, Kind};
use figment::providers::{Format as _, Toml};
use figment::value::{Dict, Value};
use serde::de::DeserializeOwned;

use super::describe::describe;
use super::environment::{self, Variable};
use super::error::{ConfigError, Origin};
use super::explain::explain;
use super::origins::Origins;
use super::secrets::{self, FILE_SUFFIX};

/// The file that is read when none is given and this one exists.
pub const DEFAULT_FILE: &str = "mailfleet.toml";

/// The environment variable that names the file where the command line does not.
const FILE_VARIABLE: &str = "MAILFLEET_CONFIG";

/// Reads the configuration of a caller without secrets. Binaries use [`crate::run()`], which knows the secrets of its
/// [`crate::Settings`].
pub fn load_config<T: DeserializeOwned>(path: Option<&Path>) -> Result<T, ConfigError> {
    Loader::new(path, &[]).load().map(|loaded| loaded.config)
}

/// A configuration with the text that `--check-config` prints.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The typed configuration.
    pub config: T,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// One line per setting: key, value, origin; secrets redacted. Defaults are not listed.
    pub description: String,
    origins: Origins,
}

impl<T> Loaded<T> {
    /// Where the value of a dotted path came from.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.of(key)
    }
}

/// Reads one TOML file and the environment.
pub struct Loader<'a> {
    file: Option<&'a Path>,
    secrets: &'a [&'a str],
    environment: Vec<(OsString, OsString)>,
}

impl<'a> Loader<'a> {
    /// A loader for `file` (else the one that `MAILFLEET_CONFIG` names, else [`DEFAULT_FILE`], where it exists) and this process' environment. `secrets` are the
    /// dotted paths that may be given as `<path>_file` and are never printed.
    #[must_use]
    pub fn new(file: Option<&'a Path>, secrets: &'a [&'a str]) -> Self {
        Self { file, secrets, environment: std::env::vars_os().collect() }
    }

    /// Takes these variables in the place of the process' own.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.environment = variables.into_iter().collect();
        self
    }

    /// Loads the configuration.
    pub fn load<T: DeserializeOwned>(self) -> Result<Loaded<T>, ConfigError> {
        let variable = self.environment.iter().find(|(name, _)| name == FILE_VARIABLE);
        let by_variable =
            variable.map(|(_, path)| Path::new(path)).filter(|path| !path.as_os_str().is_empty());
        let (file, mut tree) = read_file(self.file.or(by_variable))?;
        let variables = environment::settings(self.environment)?;
        for (key, variable) in &variables {
            let value = if is_secret(key, self.secrets) { text_of(variable) } else { value_of(variable) };
            insert(&mut tree, key, value);
        }
        let origins = Origins::new(file.clone(), &variables, &tree);
        // The description tells of `url_file`, not of the secret that was read from it.
        let description = describe(&tree, self.secrets, &|key| origins.of(key));
        secrets::resolve(&mut tree, self.secrets, |key| origins.of(key))?;
        let config = extract(tree, &variables, |error| explain(error, &origins, self.secrets))?;
        Ok(Loaded { config, file, description, origins })
    }
}

/// The file's settings; an empty tree where there is no file and none was asked for.
fn read_file(given: Option<&Path>) -> Result<(Option<PathBuf>, Dict), ConfigError> {
    let path = given.unwrap_or_else(|| Path::new(DEFAULT_FILE)).to_owned();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if given.is_none() && error.kind() == ErrorKind::NotFound => {
            return Ok((None, Dict::new()));
        }
        Err(source) => return Err(ConfigError::File { path, source }),
    };
    // The parser's own Display shows the offending line, which may be the one with the password.
    let tree = Toml::from_str::<Dict>(&text).map_err(|error| {
        let until = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes().iter().take(until).filter(|byte| **byte == b'\n').count() + 1;
        ConfigError::Syntax { path: path.clone(), line, problem: error.message().trim().replace('\n', ", ") }
    })?;
    Ok((Some(path), tree))
}

/// Whether a path is a secret or the name of a secret's file; both are text, whatever they look like.
fn is_secret(key: &str, secrets: &[&str]) -> bool {
    secrets.contains(&key.strip_suffix(FILE_SUFFIX).unwrap_or(key)) || secrets.contains(&key)
}

fn text_of(variable: &Variable) -> Value {
    Value::from(variable.text.as_str())
}

/// The variable's text read as a TOML-like value; text that is none stays text.
fn value_of(variable: &Variable) -> Value {
    variable.text.parse::<Value>().unwrap_or_else(|_| text_of(variable))
}

/// Puts `value` at a dotted path. A variable wins over the file, also where the file has no section there.
fn insert(tree: &mut Dict, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            tree.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let mut inner = match tree.remove(section) {
                Some(Value::Dict(_, inner)) => inner,
                _ => Dict::new(),
            };
            insert(&mut inner, rest, value);
            tree.insert(section.to_owned(), Value::from(inner));
        }
    }
}

/// Deserialises. A number or a truth value in the environment is offered again as plain text where text was wanted:
/// a queue may be called `2026`, and a shell has no quotes left to say so.
fn extract<T: DeserializeOwned>(
    mut tree: Dict,
    variables: &BTreeMap<String, Variable>,
    explain: impl FnOnce(figment::Error) -> ConfigError,
) -> Result<T, ConfigError> {
    let mut retries = variables.len();
    loop {
        let error = match Value::from(tree.clone()).deserialize::<T>() {
            Ok(config) => return Ok(config),
            Err(error) => error,
        };
        let key = error.path.join(".");
        let wants_text = matches!(&error.kind, Kind::InvalidType(found, wanted)
            if !matches!(found, Actual::Str(_)) && wanted.contains("string"));
        match variables.get(&key) {
            // Bounded: each round turns one variable into text, and text is not turned again.
            Some(variable) if wants_text && retries > 0 => {
                retries -= 1;
                insert(&mut tree, &key, text_of(variable));
            }
            _ => return Err(explain(error)),
        }
    }
}
