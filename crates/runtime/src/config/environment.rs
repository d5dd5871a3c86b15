//! Which environment variables are settings, and which only look like it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::error::ConfigError;

/// What the names of our environment variables begin with.
pub const PREFIX: &str = "MAILFLEET_";

/// Variables with our prefix that are no settings: the configuration file's name, the log filter, the switch of the
/// slow tests.
const RESERVED: [&str; 3] = ["MAILFLEET_CONFIG", "MAILFLEET_LOG", "MAILFLEET_SLOW"];

/// Names that begin so are the operator's own, to keep passwords that an account refers to by variable.
const OPERATORS: &str = "MAILFLEET_SECRET_";

/// One setting given by the environment.
#[derive(Clone)]
pub(super) struct Variable {
    /// The variable's name as it stands in the environment.
    pub name: String,
    /// The raw text; never print it.
    pub text: String,
}

/// Picks our settings out of the environment, by dotted path.
pub(super) fn settings(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<String, Variable>, ConfigError> {
    let mut found = BTreeMap::new();
    for (name, text) in environment {
        let lossy = name.to_string_lossy();
        if !lossy.starts_with(PREFIX) || is_foreign(&lossy) {
            continue;
        }
        let (Some(name), Some(text)) = (name.to_str(), text.to_str()) else {
            return Err(ConfigError::NotUtf8 { name: lossy.into_owned() });
        };
        found.insert(key_of(name), Variable { name: name.to_owned(), text: text.to_owned() });
    }
    Ok(found)
}

/// The dotted path that a variable stands for.
fn key_of(name: &str) -> String {
    name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase().replace("__", ".")
}

/// The variable that stands for a dotted path.
pub(super) fn name_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// Whether a variable has our prefix and is still none of our settings.
///
/// Kubernetes puts the address of every Service of the namespace into every container: a Service named
/// `mailfleet-consumer` becomes `MAILFLEET_CONSUMER_SERVICE_HOST`, `MAILFLEET_CONSUMER_PORT_9400_TCP_ADDR` and so
/// on. Refusing those would keep the fleet from starting as soon as somebody adds a Service for scraping.
fn is_foreign(name: &str) -> bool {
    RESERVED.contains(&name) || name.starts_with(OPERATORS) || (!name.contains("__") && is_service_link(name))
}

fn is_service_link(name: &str) -> bool {
    let after_port = |marker: &str| name.split_once(marker).map(|(_, rest)| rest);
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.ends_with("_PORT")
        || name == "MAILFLEET_PORT"
        || after_port("_PORT_")
            .is_some_and(|rest| ["_TCP", "_UDP", "_SCTP"].iter().any(|proto| rest.contains(proto)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Vec<String> {
        let environment = names.iter().map(|name| (OsString::from(name), OsString::from("x")));
        settings(environment).unwrap().into_keys().collect()
    }

    #[test]
    fn two_underscores_divide_levels() {
        assert_eq!(keys(&["MAILFLEET_REDIS__POOL_SIZE", "PATH"]), ["redis.pool_size"]);
        assert_eq!(name_of("redis.pool_size"), "MAILFLEET_REDIS__POOL_SIZE");
    }

    #[test]
    fn reserved_names_and_service_links_are_no_settings() {
        let none: [String; 0] = [];
        assert_eq!(
            keys(&[
                "MAILFLEET_CONFIG",
                "MAILFLEET_LOG",
                "MAILFLEET_SECRET_SUPPORT_MAILBOX",
                "MAILFLEET_CONSUMER_SERVICE_HOST",
                "MAILFLEET_CONSUMER_SERVICE_PORT_METRICS",
                "MAILFLEET_CONSUMER_PORT",
                "MAILFLEET_CONSUMER_PORT_9400_TCP_ADDR",
                "MAILFLEET_PORT",
            ]),
            none
        );
        assert_eq!(keys(&["MAILFLEET_REDIS_URL"]), ["redis_url"], "one underscore too few is a typo");
    }

    #[test]
    #[cfg(unix)]
    fn a_variable_that_is_not_utf8_is_named() {
        use std::os::unix::ffi::OsStringExt;
        let environment = [("MAILFLEET_REDIS__URL".into(), OsString::from_vec(vec![b's', 0xff]))];
        let error = settings(environment).err().unwrap().to_string();
        assert!(error.contains("MAILFLEET_REDIS__URL"), "{error}");
    }
}
