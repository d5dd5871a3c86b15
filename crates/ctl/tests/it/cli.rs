//! The command line: help, mistakes, exit codes.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::{command, run};

const COMMANDS: [&[&str]; 45] = [
    &[],
    &["migrate"],
    &["tenant"],
    &["tenant", "add"],
    &["tenant", "domain"],
    &["tenant", "domain", "add"],
    &["tenant", "list"],
    &["account"],
    &["account", "add"],
    &["account", "set"],
    &["account", "list"],
    &["account", "check"],
    &["account", "enable"],
    &["account", "disable"],
    &["campaign"],
    &["campaign", "import"],
    &["campaign", "list"],
    &["webhook"],
    &["webhook", "add"],
    &["webhook", "list"],
    &["token"],
    &["token", "add"],
    &["token", "list"],
    &["analytics"],
    &["analytics", "show"],
    &["analytics", "rebuild"],
    &["queue"],
    &["queue", "depth"],
    &["queue", "pause"],
    &["queue", "resume"],
    &["queue", "drain"],
    &["dead"],
    &["dead", "list"],
    &["dead", "show"],
    &["dead", "replay"],
    &["dead", "groups"],
    &["dead", "discard"],
    &["dead", "log"],
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
        (&["dead", "replay", "7", "--all"], "--all"),
        (&["dead", "replay", "--all", "--rate", "0"], "20/s"),
        (&["dead", "list", "--class", "odd"], "policy"),
        (&["dead", "list", "--group", "odd"], "dead groups"),
        (&["dead", "discard"], "--all"),
        (&["account", "add", "x", "--host", "h", "--user", "u", "--shared"], "--password-file"),
        (&["account", "add", "x", "--host", "h", "--user", "u", "--password-env", "P"], "--tenant"),
        (
            &["account", "add", "x", "--host", "h", "--user", "u", "--shared", "--password", "secret"],
            "--password",
        ),
        (&["tenant", "add", "acme", "--id", "7"], "UUID"),
        (&["tenant", "add", "acme", "--domain", "a@b"], "acme.example"),
        (&["audit", "--older-than", "soon"], "90s"),
        (&["tenant", "add", ""], "empty"),
        (&["tenant", "add", "a\nb"], "line breaks"),
        (&["explain", ""], "empty"),
    ] {
        let said = run(words).with_code(64);
        said.error_naming(&[named]);
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    }
}

#[test]
fn an_account_that_cannot_be_is_refused_before_anything_is_asked() {
    let add = |name: &'static str, host: &'static str, more: &[&'static str]| {
        let words = ["account", "add", name, "--host", host, "--user", "u", "--password-env", "P"];
        run(&[&words[..], more].concat()).with_code(64)
    };
    add("x", "imap.acme.example:993", &["--shared"]).error_naming(&["--port"]);
    add("x", "imap acme", &["--shared"]).error_naming(&["host"]);
    add("x", "imap.acme.example\n", &["--shared"]).error_naming(&["host"]);
    add("", "h", &["--shared"]).error_naming(&["empty"]);
    add("a\nb", "h", &["--shared"]).error_naming(&["line breaks"]);
    add("x", "h", &["--shared", "--mailbox", ""]).error_naming(&["mailbox"]);
    add("x", "h", &["--tenant", "acme", "--recipient-from-to-cc"]).error_naming(&["--recipient-from-to-cc"]);
}

#[test]
fn what_every_command_takes_stands_under_its_own_heading() {
    let help = run(&["queue", "depth", "--help"]).with_code(0).out;
    let (own, everywhere) = help.split_once("Everywhere:").expect("a heading");
    assert!(own.contains("--json") && !own.contains("--config <FILE>"), "{help}");
    assert!(everywhere.contains("--config <FILE>") && everywhere.contains("--check-config"), "{help}");
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
