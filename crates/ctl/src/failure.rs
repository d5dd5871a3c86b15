//! Exit codes, and errors as one line.

use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

use mailfleet_runtime::ConfigError;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Clean,
    /// The command worked and what it looked at is not well, or it failed.
    Wanting,
    /// The command line or the configuration is wrong (`EX_USAGE` of sysexits.h).
    Usage,
}

impl Exit {
    /// `Clean` when nothing is wanting.
    pub const fn clean_if(clean: bool) -> Self {
        if clean { Self::Clean } else { Self::Wanting }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Clean => Self::SUCCESS,
            Exit::Wanting => Self::FAILURE,
            Exit::Usage => Self::from(64),
        }
    }
}

/// A mistake on the command line that clap cannot see, such as an id that is none.
#[derive(Debug)]
pub struct Usage(String);

impl Usage {
    /// An error that ends the process with 64.
    pub fn error(text: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self(text.into()))
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The exit code an error stands for.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    let mine = |cause: &(dyn std::error::Error + 'static)| cause.is::<Usage>() || cause.is::<ConfigError>();
    if error.chain().any(mine) { Exit::Usage } else { Exit::Wanting }
}

/// Whether standard output was closed by its reader (`mailfleet dead list | head -1`): the reader has what it wants.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<crate::output::StdoutError>())
        .any(|stdout| stdout.0.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Writes an error as one line to standard error. `eprintln!` would panic where nobody reads it any more.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "mailfleet: error: {text}");
}

/// Writes a remark that is no error.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "mailfleet: note: {text}");
}

/// An error and its causes as one line. A cause that its parent has already named is not said twice.
pub fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() || line.contains(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    crate::text::printable(&line)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn an_error_is_one_line_and_says_nothing_twice() {
        let error = Err::<(), _>(anyhow::anyhow!("connection refused\n  by peer"))
            .context("cannot reach redis: connection refused by peer")
            .context("queue depth")
            .unwrap_err();
        assert_eq!(one_line(&error), "queue depth: cannot reach redis: connection refused by peer");
    }

    #[test]
    fn only_a_wrong_command_line_ends_with_64() {
        assert_eq!(exit_of(&Usage::error("`x` is no id").context("dead show")), Exit::Usage);
        assert_eq!(exit_of(&anyhow::anyhow!("refused")), Exit::Wanting);
    }
}
