//! Secrets given as files: `<name>_file` is read and put in the place of `<name>` before anything is deserialised.

use std::path::PathBuf;

use figment::value::{Dict, Value};
use mailfleet_model::SecretSource;

use super::error::{ConfigError, Origin};

/// Ending of the key that names a secret's file.
pub(super) const FILE_SUFFIX: &str = "_file";

/// Resolves every secret of `paths` in `tree`. `origin` tells where a dotted path came from.
pub(super) fn resolve(
    tree: &mut Dict,
    paths: &[&str],
    origin: impl Fn(&str) -> Origin,
) -> Result<(), ConfigError> {
    for path in paths {
        let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
        let Some(section) = section_mut(tree, section) else { continue };
        let file_name = format!("{name}{FILE_SUFFIX}");
        let Some(file) = section.get(&file_name) else { continue };
        let key = format!("{path}{FILE_SUFFIX}");
        let Some(file) = file.as_str().map(PathBuf::from) else {
            let problem = "expected the name of a file".to_owned();
            return Err(ConfigError::Value { origin: origin(&key), key, problem });
        };
        if section.contains_key(name) {
            return Err(ConfigError::SecretTwice {
                key: (*path).to_owned(),
                origin: origin(path),
                file_origin: origin(&key),
            });
        }
        let secret = SecretSource::File(file).read().map_err(|source| ConfigError::SecretFile {
            origin: origin(&key),
            key,
            source,
        })?;
        section.remove(&file_name);
        section.insert(name.to_owned(), Value::from(secret.expose()));
    }
    Ok(())
}

/// The section of a dotted path, where it exists and is one. The empty path is the top.
pub(super) fn section_mut<'a>(tree: &'a mut Dict, path: &str) -> Option<&'a mut Dict> {
    path.split('.').filter(|step| !step.is_empty()).try_fold(tree, |dict, step| match dict.get_mut(step) {
        Some(Value::Dict(_, inner)) => Some(inner),
        _ => None,
    })
}
