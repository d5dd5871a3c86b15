//! Runs `mailfleet` and holds its answer.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What a run said.
#[derive(Debug)]
pub struct Said {
    /// Exit code; -1 when it was ended by a signal.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    fn new(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8 output");
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Asserts the exit code, showing all that was said otherwise.
    #[track_caller]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Asserts one error line that holds all the words.
    #[track_caller]
    pub fn error_naming(&self, words: &[&str]) {
        let lines: Vec<&str> =
            self.err.lines().filter(|line| line.starts_with("mailfleet: error: ")).collect();
        assert_eq!(lines.len(), 1, "one line of error, got:\n{}", self.err);
        for word in words {
            assert!(lines[0].contains(word), "`{word}` is missing in: {}", lines[0]);
        }
    }

    /// The JSON lines of the output.
    pub fn json(&self) -> Vec<serde_json::Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
    }
}

/// The binary, without any setting of the developer's environment.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailfleet"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MAILFLEET_") {
            command.env_remove(name);
        }
    }
    command.current_dir(std::env::temp_dir()).stdin(Stdio::null());
    command
}

/// Runs it without a configuration.
pub fn run(args: &[&str]) -> Said {
    Said::new(command().args(args).output().expect("mailfleet starts"))
}

/// Runs it with a configuration file.
pub fn run_with(config: &Path, args: &[&str]) -> Said {
    Said::new(command().arg("--config").arg(config).args(args).output().expect("mailfleet starts"))
}
