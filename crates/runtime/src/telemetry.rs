//! Logs: readable lines for people, JSON lines for machines, always on stderr (stdout belongs to results).
//!
//! The filter is `MAILFLEET_LOG` (such as `info,mailfleet_queue=debug`), else `log.filter`, else `info`.

use std::io::{self, IsTerminal as _};
use std::panic;

use serde::Deserialize;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{ParseError, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::ConfigError;

/// The environment variable with the log filter.
pub const FILTER_VARIABLE: &str = "MAILFLEET_LOG";

/// Section `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// How lines look, default `auto`.
    pub format: LogFormat,
    /// Which lines are written, default `info`; `MAILFLEET_LOG` wins.
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

/// The filter that is in force. An unusable one names where it came from.
fn filter(config: &LogConfig, variable: Option<&str>) -> Result<EnvFilter, ConfigError> {
    let (origin, text) = match variable.filter(|text| !text.trim().is_empty()) {
        Some(text) => (FILTER_VARIABLE, text),
        None => ("log.filter", config.filter.as_str()),
    };
    EnvFilter::builder().parse(text).map_err(|error: ParseError| {
        let example = "give something like `info` or `info,mailfleet_queue=debug`";
        ConfigError::Invalid(format!("{origin} `{text}` is not a log filter: {error}: {example}"))
    })
}

/// Whether the filter in force can be used.
pub fn check(config: &LogConfig) -> Result<(), ConfigError> {
    filter(config, std::env::var(FILTER_VARIABLE).ok().as_deref()).map(drop)
}

/// Whether a line may be written at all, whatever the filter says. Below `info` only our own code speaks: at `debug` the
/// PostgreSQL driver writes statements with their parameters, which are whole mails.
fn may_speak(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || metadata.target().starts_with("mailfleet")
}

/// Installs the log subscriber and a panic hook that logs. Where a subscriber is installed already (tests) it stays.
pub fn init(config: &LogConfig) -> Result<(), ConfigError> {
    let filter = filter(config, std::env::var(FILTER_VARIABLE).ok().as_deref())?;
    let terminal = io::stderr().is_terminal();
    let human = match config.format {
        LogFormat::Auto => terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    // A subscriber that reports its own write errors uses eprintln!, which panics when stderr is closed.
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter).with(filter_fn(may_speak));
    // An error here only says that a subscriber is installed already.
    let _ = if human {
        registry.with(layer.with_ansi(terminal).with_target(false)).try_init()
    } else {
        registry
            .with(layer.json().flatten_event(true).with_current_span(true).with_span_list(false))
            .try_init()
    };
    panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        let message = info.payload_as_str().unwrap_or("(no message)");
        tracing::error!(location, thread = thread.name(), "panicked: {message}");
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// Where a test's log lines go.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_filter_makes_foreign_code_write_below_info() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry()
            .with(EnvFilter::builder().parse("trace").unwrap())
            .with(filter_fn(may_speak))
            .with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!(target: "tokio_postgres::query", "parameters: a whole mail");
            tracing::info!(target: "tokio_postgres", "a notice");
            tracing::trace!(target: "mailfleet_store", "our own detail");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains("whole mail"), "{text}");
        assert!(text.contains("a notice") && text.contains("our own detail"), "{text}");
    }

    #[test]
    fn a_broken_filter_names_where_it_came_from() {
        let config = LogConfig { filter: "info,=".into(), ..LogConfig::default() };
        assert!(filter(&config, None).unwrap_err().to_string().contains("log.filter"));
        let error = filter(&config, Some("mailfleet=loud")).unwrap_err().to_string();
        assert!(error.contains("MAILFLEET_LOG") && error.contains("mailfleet=loud"), "{error}");
        assert!(filter(&config, Some("debug")).is_ok(), "the variable wins");
        assert!(filter(&LogConfig::default(), Some(" ")).is_ok(), "an empty variable is none");
    }
}
