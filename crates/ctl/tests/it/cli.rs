//! The command line: help, mistakes, exit codes.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::{command, run};

const COMMANDS: [&[&str]; 24] = [
    &[],
    &["migrate"],
    &["tenant"],
    &["tenant", "add"],
    &["tenant", "domain"],
    &["tenant", "domain", "add"],
    &["tenant", "list"],
    &["account"],
    &["account", "add"],
    &["account", "list"],
    &["account", "check"],
    &["queue"],
    &["queue", "depth"],
    &["dead"],
    &["dead", "list"],
    &["dead", "show"],
    &["dead", "replay"],
    &["audit"],
    &["explain"],
    &["parse"],
    &["doctor"],
    &["config"],
    &["config", "check"],
    &["demo"],
];

#[test]
fn every_command_explains_itself() {
    for words in COMMANDS {
        let help = run(&[words, &["--help"]].concat()).with_code(0);
        let first = help.out.lines().next().unwrap_or_default();
        assert!(first.len() > 10 && first.starts_with(char::is_uppercase), "{words:?}: {first}");
        assert!(help.out.contains("Usage: mailfleet"), "{words:?}");
        assert!(help.err.is_empty());
    }
}

#[test]
fn help_without_words_teaches_the_first_steps() {
    let said = run(&[]);
    let all = said.out + &said.err;
    for word in ["mailfleet doctor", "mailfleet migrate", "tenant add", "account add", "Exit code"] {
        assert!(all.contains(word), "{word} is missing in:\n{all}");
    }
}

#[test]
fn a_wrong_command_line_is_one_line_and_64() {
    for (words, named) in [
        (&["frobnicate"][..], "frobnicate"),
        (&["queue", "depht"], "depth"),
        (&["dead", "list", "--limit", "0"], "--limit"),
        (&["dead", "replay"], "--all"),
        (&["account", "add", "x", "--host", "h", "--user", "u", "--shared"], "--password-file"),
        (&["account", "add", "x", "--host", "h", "--user", "u", "--password-env", "P"], "--tenant"),
        (
            &["account", "add", "x", "--host", "h", "--user", "u", "--shared", "--password", "secret"],
            "--password",
        ),
        (&["tenant", "add", "acme", "--id", "7"], "UUID"),
        (&["tenant", "add", "acme", "--domain", "a@b"], "acme.example"),
        (&["audit", "--older-than", "soon"], "90s"),
    ] {
        let said = run(words).with_code(64);
        said.error_naming(&[named]);
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let corpus = mailfleet_testkit::corpus_dir();
    let mail = mailfleet_testkit::corpus().swap_remove(0).0;
    let files = std::iter::repeat_n(corpus.join(mail), 3_000);
    let mut child = command()
        .args(["parse", "--json"])
        .args(files)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("mailfleet starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{:?} {}", output.status, String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
