//! The configuration: the example in the repository, and mistakes.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{command, run_with};

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config/mailfleet.toml")
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::with_suffix(".toml").expect("a file");
    fs::write(file.path(), text).expect("written");
    file
}

const SERVERS: &str =
    "[queue]\nurl = \"redis://127.0.0.1:1\"\n[postgres]\nurl = \"postgres://u:geheim@127.0.0.1:1/d\"\n";

#[test]
fn the_example_is_valid() {
    let said = run_with(&example(), &["config", "check"]).with_code(0);
    assert!(said.out.contains("the configuration is valid"), "{}", said.out);
    let same = run_with(&example(), &["--check-config"]).with_code(0);
    assert_eq!(said.out, same.out);
}

#[test]
fn an_unknown_key_is_refused_by_name_with_64() {
    for (text, words) in [
        (format!("{SERVERS}[postgrse]\nx = 1\n"), ["postgrse", "postgres"]),
        (format!("{SERVERS}[imap]\nread_timeout = 5\n"), ["imap.read_timeout", "read_timeout_ms"]),
        (format!("{SERVERS}[imap]\nread_timeout_ms = \"soon\"\n"), ["imap.read_timeout_ms", "found text"]),
        (format!("{SERVERS}[imap]\nlist_window = 0\n"), ["imap.list_window", "between 1 and 100,000"]),
        ("[queue]\nurl = \"redis://127.0.0.1:1\"\n".to_owned(), ["postgres", "url"]),
    ] {
        let file = file(&text);
        for args in [&["config", "check"][..], &["--check-config"], &["queue", "depth"]] {
            run_with(file.path(), args).with_code(64).error_naming(&words);
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let said = run_with(Path::new("/nonexistent/mailfleet.toml"), &["config", "check"]).with_code(64);
    said.error_naming(&["/nonexistent/mailfleet.toml"]);
}

#[test]
fn no_secret_is_printed() {
    let file = file(SERVERS);
    let said = run_with(file.path(), &["config", "check"]).with_code(0);
    assert!(!said.out.contains("geheim") && said.out.contains("postgres.url = [redacted]"), "{}", said.out);
    let said = run_with(file.path(), &["tenant", "list"]).with_code(1);
    assert!(!said.err.contains("geheim"), "{}", said.err);
}

#[test]
fn a_variable_overrides_the_file_and_a_typo_in_one_is_refused() {
    let file = file(SERVERS);
    let run = |name: &str| {
        let mut command = command();
        command.arg("--config").arg(file.path()).args(["config", "check"]).env(name, "7000");
        command.output().expect("mailfleet starts")
    };
    let output = run("MAILFLEET_IMAP__READ_TIMEOUT_MS");
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && out.contains("imap.read_timeout_ms = 7000"), "{out}");
    let output = run("MAILFLEET_IMAP__READ_TIMEOUT");
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("MAILFLEET_IMAP__READ_TIMEOUT"));
}

#[test]
fn where_no_file_was_read_it_is_said_beside_what_is_missing() {
    let nowhere = tempfile::tempdir().expect("a directory");
    let output = command().current_dir(nowhere.path()).args(["queue", "depth"]).output().expect("runs");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(64), "{said}");
    for word in ["`postgres.url` (not set)", "no mailfleet.toml in this directory", "--config"] {
        assert!(said.contains(word), "{word} is missing in: {said}");
    }
    let file = file("[queue]\nurl = \"redis://127.0.0.1:1\"\n");
    let said = run_with(file.path(), &["queue", "depth"]).with_code(64);
    assert!(!said.err.contains("no configuration file"), "{}", said.err);
}
