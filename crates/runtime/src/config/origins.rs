//! Where each setting came from: the file, a variable, or nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use figment::value::{Dict, Value};

use super::environment::Variable;
use super::error::Origin;
use super::secrets::FILE_SUFFIX;

/// Names alone, no values: it may be printed.
#[derive(Debug, Clone, Default)]
pub(super) struct Origins {
    file: Option<PathBuf>,
    /// Names of variables by dotted path.
    variables: BTreeMap<String, String>,
    /// Dotted paths of what was given, sections apart from keys.
    sections: BTreeSet<String>,
    keys: BTreeSet<String>,
}

impl Origins {
    /// Notes what is in `tree`, before files of secrets are read.
    pub fn new(file: Option<PathBuf>, variables: &BTreeMap<String, Variable>, tree: &Dict) -> Self {
        let variables =
            variables.iter().map(|(key, variable)| (key.clone(), variable.name.clone())).collect();
        let mut origins = Self { file, variables, ..Self::default() };
        origins.note("", tree);
        origins
    }

    fn note(&mut self, section: &str, tree: &Dict) {
        for (name, value) in tree {
            let key = join(section, name);
            if let Value::Dict(_, inner) = value {
                self.note(&key, inner);
                self.sections.insert(key);
            } else {
                self.keys.insert(key);
            }
        }
    }

    /// The file that was read, if any.
    pub fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }

    /// Where a key or section came from. A place within a value (`list.0.name`) came from where the value did, a
    /// secret from where the name of its file did.
    pub fn of(&self, key: &str) -> Origin {
        if self.sections.contains(key) {
            return self
                .variable(key)
                .or_else(|| self.variable_within(key))
                .or_else(|| self.in_file())
                .into();
        }
        let by_file = format!("{key}{FILE_SUFFIX}");
        let given = ancestry(key).chain([by_file.as_str()]).find(|key| self.keys.contains(*key));
        given.and_then(|key| self.variable(key).or_else(|| self.in_file())).into()
    }

    /// The dotted path of the variable that gave `key` or something within it, as in `MAILFLEET_REDSI__URL`.
    pub fn variable_path(&self, key: &str) -> Option<&str> {
        let within = format!("{key}.");
        self.variables.keys().map(String::as_str).find(|path| *path == key || path.starts_with(&within))
    }

    /// The variable of the key itself, else of what it is part of.
    fn variable(&self, key: &str) -> Option<Origin> {
        ancestry(key).find_map(|key| self.variables.get(key)).cloned().map(Origin::Variable)
    }

    fn variable_within(&self, section: &str) -> Option<Origin> {
        let path = self.variable_path(section)?;
        self.variables.get(path).cloned().map(Origin::Variable)
    }

    fn in_file(&self) -> Option<Origin> {
        self.file.clone().map(Origin::File)
    }
}

impl From<Option<Origin>> for Origin {
    fn from(origin: Option<Origin>) -> Self {
        origin.unwrap_or(Self::NotSet)
    }
}

/// `section.name`, or the name alone at the top.
pub(super) fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

/// The key, and what it is part of, from the inside out.
fn ancestry(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(key), |key| key.rsplit_once('.').map(|(outer, _)| outer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(variables: &[&str]) -> Origins {
        let variables = variables.iter().map(|key| {
            let name = super::super::environment::name_of(key);
            ((*key).to_owned(), Variable { name, text: "x".into() })
        });
        let weights = Value::from(Dict::from([("high".to_owned(), Value::from(1))]));
        let queue = [("url_file", Value::from("/f")), ("lease_ms", Value::from(1)), ("weights", weights)];
        let queue =
            Value::from(queue.map(|(key, value)| (key.to_owned(), value)).into_iter().collect::<Dict>());
        let tree = Dict::from([("queue".to_owned(), queue)]);
        Origins::new(Some("a.toml".into()), &variables.collect(), &tree)
    }

    #[test]
    fn each_key_has_its_own_origin() {
        let origins = origins(&["queue.lease_ms"]);
        let file = Origin::File("a.toml".into());
        assert_eq!(origins.of("queue.lease_ms"), Origin::Variable("MAILFLEET_QUEUE__LEASE_MS".into()));
        assert_eq!(origins.of("queue.weights.high"), file);
        assert_eq!(origins.of("queue.weights"), file);
        assert_eq!(origins.of("queue.lease_ms.0.part"), origins.of("queue.lease_ms"));
        assert_eq!(origins.of("queue.url"), file, "from where its file's name is");
        assert_eq!(origins.of("queue.pool_size"), Origin::NotSet, "a default");
    }

    #[test]
    fn a_variable_for_a_section_is_the_origin_of_what_is_in_it() {
        let origins = origins(&["queue.weights"]);
        let variable = Origin::Variable("MAILFLEET_QUEUE__WEIGHTS".into());
        assert_eq!(origins.of("queue.weights.high"), variable);
        assert_eq!(origins.of("queue.weights.low"), Origin::NotSet);
        assert_eq!(origins.of("queue.lease_ms"), Origin::File("a.toml".into()));
    }
}
