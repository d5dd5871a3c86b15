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
use super::secrets::{self, FILE_SUFFIX};
use super::suggest::nearest;

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
        let sources = Sources { file, variables, secrets: self.secrets };
        // The description tells of `url_file`, not of the secret that was read from it.
        let description = describe(&tree, self.secrets, &|key| sources.origin(key));
        secrets::resolve(&mut tree, self.secrets, |key| sources.origin(key))?;
        let config = extract(tree, &sources)?;
        Ok(Loaded { config, file: sources.file, description })
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

/// What errors need to know about where settings came from.
struct Sources<'a> {
    file: Option<PathBuf>,
    variables: BTreeMap<String, Variable>,
    secrets: &'a [&'a str],
}

impl Sources<'_> {
    /// Where a key came from: its own variable, else one of its parts', else the file.
    fn origin(&self, key: &str) -> Origin {
        let within = format!("{key}.");
        let variable = self
            .variables
            .get(key)
            .or_else(|| {
                self.variables.iter().find(|(path, _)| key.starts_with(&format!("{path}."))).map(|(_, v)| v)
            })
            .or_else(|| self.variables.iter().find(|(path, _)| path.starts_with(&within)).map(|(_, v)| v));
        match (variable, &self.file) {
            (Some(variable), _) => Origin::Variable(variable.name.clone()),
            (None, Some(file)) => Origin::File(file.clone()),
            (None, None) => Origin::Nowhere,
        }
    }
}

/// Deserialises. A number or a truth value in the environment is offered again as plain text where text was wanted:
/// a queue may be called `2026`, and a shell has no quotes left to say so.
fn extract<T: DeserializeOwned>(mut tree: Dict, sources: &Sources<'_>) -> Result<T, ConfigError> {
    let mut retries = sources.variables.len();
    loop {
        let error = match Value::from(tree.clone()).deserialize::<T>() {
            Ok(config) => return Ok(config),
            Err(error) => error,
        };
        let key = error.path.join(".");
        let wants_text = matches!(&error.kind, Kind::InvalidType(found, wanted)
            if !matches!(found, Actual::Str(_)) && wanted.contains("string"));
        match sources.variables.get(&key) {
            // Bounded: each round turns one variable into text, and text is not turned again.
            Some(variable) if wants_text && retries > 0 => {
                retries -= 1;
                insert(&mut tree, &key, text_of(variable));
            }
            _ => return Err(explain(error, sources)),
        }
    }
}

/// Turns figment's error into ours. Only the shape of a value is told, never the value: a password put into the
/// wrong key must not be printed either.
fn explain(mut error: figment::Error, sources: &Sources<'_>) -> ConfigError {
    // An unknown key is the end of figment's own path; here the path is that of its section.
    if let Kind::UnknownField(name, _) = &error.kind
        && error.path.last() == Some(name)
    {
        error.path.pop();
    }
    let section = error.path.join(".");
    let at = |name: &str| if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
    let value = |problem: String| ConfigError::Value {
        origin: sources.origin(&section),
        key: section.clone(),
        problem,
    };
    match error.kind {
        Kind::UnknownField(name, known) => {
            let key = at(&name);
            let advice = advice(&section, &name, known, sources);
            ConfigError::UnknownKey { origin: sources.origin(&key), key, advice }
        }
        Kind::MissingField(name) => {
            let key = at(&name);
            let by_file = if sources.secrets.contains(&key.as_str()) {
                format!(", name a file in `{key}{FILE_SUFFIX}`")
            } else {
                String::new()
            };
            let advice = format!("set it{by_file}, or set {}", environment::name_of(&key));
            ConfigError::Missing {
                origin: sources.file.clone().map_or(Origin::Nowhere, Origin::File),
                key,
                advice,
            }
        }
        Kind::InvalidType(found, wanted) => value(format!("expected {wanted}, found {}", shape(&found))),
        Kind::InvalidValue(_, wanted) => value(format!("expected {wanted}")),
        Kind::InvalidLength(count, wanted) => value(format!("expected {wanted}, found {count} values")),
        Kind::UnknownVariant(_, known) => value(format!("expected one of {}", list(known.iter().copied()))),
        Kind::DuplicateField(name) => value(format!("`{name}` is given twice")),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => value("the number is out of range".to_owned()),
        Kind::Unsupported(found) | Kind::UnsupportedKey(found, _) => {
            value(format!("{} is not supported here", shape(&found)))
        }
        Kind::Message(text) if sources.secrets.contains(&section.as_str()) || section.is_empty() => {
            value(if section.is_empty() { text } else { "not a valid value".to_owned() })
        }
        Kind::Message(text) => value(text),
    }
}

/// The key that was probably meant, spelled as the origin wants it; else the keys there are.
fn advice(section: &str, name: &str, known: &[&str], sources: &Sources<'_>) -> String {
    let at = |name: &str| if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
    let files: Vec<String> = known
        .iter()
        .filter(|known| sources.secrets.contains(&at(known).as_str()))
        .map(|known| format!("{known}{FILE_SUFFIX}"))
        .collect();
    let all: Vec<&str> = known.iter().copied().chain(files.iter().map(String::as_str)).collect();
    let by_variable = matches!(sources.origin(&at(name)), Origin::Variable(_));
    let spell = |key: &str| if by_variable { environment::name_of(key) } else { format!("`{key}`") };

    // MAILFLEET_REDIS_URL: one underscore too few.
    let flat = known.iter().find_map(|known| {
        let rest = name.strip_prefix(known)?.strip_prefix('_')?;
        Some(format!("{known}.{rest}"))
    });
    if by_variable
        && section.is_empty()
        && let Some(key) = flat
    {
        return format!("two underscores divide levels, did you mean {}?", spell(&key));
    }
    match nearest(name, all.iter().copied()) {
        Some(meant) => format!("did you mean {}?", spell(&at(meant))),
        None if all.is_empty() => "there are no keys here".to_owned(),
        None if section.is_empty() => format!("known sections are {}", list(all)),
        None => format!("known keys of [{section}] are {}", list(all)),
    }
}

fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

/// What kind of value was found, without the value.
fn shape(found: &Actual) -> &'static str {
    match found {
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) => "a whole number",
        Actual::Float(_) => "a number with a fraction",
        Actual::Char(_) | Actual::Str(_) => "text",
        Actual::Seq => "a list",
        Actual::Map => "a section",
        Actual::Bytes(_)
        | Actual::Unit
        | Actual::Option
        | Actual::NewtypeStruct
        | Actual::Enum
        | Actual::UnitVariant
        | Actual::NewtypeVariant
        | Actual::TupleVariant
        | Actual::StructVariant
        | Actual::Other(_) => "something else",
    }
}
