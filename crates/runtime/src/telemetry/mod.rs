//! Logs: readable lines for people, JSON lines for machines, always on stderr (stdout belongs to results).
//!
//! The filter is `MAILFLEET_LOG` (such as `info,mailfleet_queue=debug`), else `log.filter`, else `info`. It rules over
//! mailfleet's own crates; of all others only warnings and errors are written.
//!
//! A process that fails says so in one plain line `NAME: error: …` on stderr, whatever the format. Where the format is
//! JSON the same is logged as an ERROR before, so that a reader of JSON sees it too; only a configuration that cannot
//! be used, and with it the format, is told in the plain line alone.

mod bridge;
mod filter;

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _};
use std::panic;

use serde::Deserialize;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::config::{ConfigError, Origin};

/// The environment variable with the log filter.
pub const FILTER_VARIABLE: &str = "MAILFLEET_LOG";

/// The key with the log filter.
const FILTER_KEY: &str = "log.filter";

/// Section `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// How lines look, default `auto`.
    pub format: LogFormat,
    /// Which lines are written: levels and `crate=level`, joined by commas; default `info`. `MAILFLEET_LOG` wins.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Auto, filter: "info".to_owned() }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `human` when stderr is a terminal, else `json`.
    #[default]
    Auto,
    /// Coloured lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// Whether lines are JSON here and now.
    fn is_json(self) -> bool {
        match self {
            Self::Auto => !io::stderr().is_terminal(),
            Self::Human => false,
            Self::Json => true,
        }
    }
}

/// The filter that is in force. An unusable one is refused, also where the other one would win: `--check-config` with
/// the variable set must not let a file pass that is refused without it. `origin` tells where `log.filter` stands.
pub(crate) fn filter(
    config: &LogConfig,
    variable: Option<&OsStr>,
    origin: impl FnOnce() -> Origin,
) -> Result<Targets, ConfigError> {
    let refuse = |origin: Origin, text: &str, problem: String| {
        let text = crate::usage::printable(text);
        let example = "an example is `info,mailfleet_queue=debug`";
        let problem = format!("`{text}` is not a log filter: {problem}; {example}");
        ConfigError::Value { key: FILTER_KEY.to_owned(), origin, problem }
    };
    let by_key =
        filter::parse(&config.filter).map_err(|problem| refuse(origin(), &config.filter, problem))?;
    let Some(variable) = variable else { return Ok(by_key) };
    let Some(text) = variable.to_str() else {
        return Err(ConfigError::NotUtf8 { name: FILTER_VARIABLE.to_owned() });
    };
    if text.trim().is_empty() {
        return Ok(by_key);
    }
    let by_variable = Origin::Variable(FILTER_VARIABLE.to_owned());
    filter::parse(text).map_err(|problem| refuse(by_variable, text, problem))
}

/// Installs the log subscriber and a panic hook that logs. Where a subscriber is installed already (tests) it stays.
///
/// Returns whether lines are JSON.
pub(crate) fn init(format: LogFormat, filter: Targets) -> bool {
    let json = format.is_json();
    // A subscriber that reports its own write errors uses eprintln!, which panics when stderr is closed.
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter);
    // Not `try_init`, which would install a bridge from `log` that tells file paths. An error here only says that a
    // subscriber is installed already.
    let _ = if json {
        let layer = layer.json().flatten_event(true).with_current_span(true).with_span_list(false);
        tracing::subscriber::set_global_default(registry.with(layer))
    } else {
        let layer = layer.with_ansi(io::stderr().is_terminal()).with_target(false);
        tracing::subscriber::set_global_default(registry.with(layer))
    };
    bridge::install();
    panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        let message = info.payload_as_str().unwrap_or("(no message)");
        tracing::error!(location, thread = thread.name(), "panicked: {message}");
    }));
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(config: &str, variable: Option<&str>) -> Option<String> {
        let config = LogConfig { filter: config.into(), ..LogConfig::default() };
        filter(&config, variable.map(OsStr::new), || Origin::NotSet).err().map(|error| error.to_string())
    }

    #[test]
    fn a_broken_filter_names_where_it_came_from() {
        let error = refusal("info,=", None).unwrap();
        assert!(error.starts_with("`log.filter` (not set): `info,=` is not a log filter"), "{error}");
        for text in ["mailfleet=loud", "nonsense=,,", "inof"] {
            let error = refusal("info", Some(text)).unwrap();
            assert!(
                error.starts_with("`log.filter` (in the environment variable MAILFLEET_LOG): ")
                    && error.contains(text)
                    && !error.contains('\n'),
                "{error}"
            );
        }
        assert!(refusal("blah=blub", Some("debug")).is_some(), "also where the variable would win");
        assert_eq!(refusal("info", Some(" ")), None, "an empty variable is none");
        assert_eq!(refusal("info", Some("debug,mailfleet_store=trace")), None);
    }
}
