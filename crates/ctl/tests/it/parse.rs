//! `mailfleet parse`: needs nothing but the files.

use std::io::Write;
use std::process::Stdio;

use mailfleet_testkit::{corpus, corpus_dir};

use crate::support::{command, run};

/// What `score.py` reads of each line.
const KEYS: [&str; 15] = [
    "path",
    "subject",
    "from",
    "to",
    "cc",
    "date",
    "message_id",
    "text",
    "text_source",
    "html",
    "attachments",
    "message_type",
    "bounce",
    "defects",
    "error",
];

#[test]
fn every_mail_of_the_corpus_gives_one_whole_json_line_in_the_order_of_the_files() {
    let dir = corpus_dir();
    let paths: Vec<String> =
        corpus().into_iter().map(|(name, _)| dir.join(name).to_str().expect("UTF-8").to_owned()).collect();
    let words: Vec<&str> = ["parse", "--json"].into_iter().chain(paths.iter().map(String::as_str)).collect();
    let lines = run(&words).with_code(0).json();
    assert_eq!(lines.len(), paths.len());
    for (line, path) in lines.iter().zip(&paths) {
        assert_eq!(line["path"], path.as_str());
        for key in KEYS {
            assert!(line.get(key).is_some(), "{path}: `{key}` is missing");
        }
        assert!(line["error"].is_null(), "{path}: {}", line["error"]);
    }
}

#[test]
fn people_get_a_summary_that_cannot_drive_their_terminal() {
    let mut child = command()
        .args(["parse", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("mailfleet starts");
    let mail = b"From: Ann <ann@acme.example>\nSubject: =?utf-8?q?one=1B[2Jtwo?=\n\nhello there\n";
    child.stdin.take().expect("a pipe").write_all(mail).expect("written");
    let output = child.wait_with_output().expect("it ends");
    let out = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(out.contains("ann@acme.example") && out.contains("hello there"), "{out}");
    assert!(!out.contains('\u{1b}'), "{out:?}");
}

#[test]
fn a_file_that_cannot_be_read_stops_none_of_the_others() {
    let mail = corpus_dir().join(corpus().swap_remove(0).0);
    let mail = mail.to_str().expect("UTF-8");
    let said = run(&["parse", "--json", "/nonexistent.eml", mail, "/tmp"]).with_code(1);
    let lines = said.json();
    assert_eq!(lines.len(), 3);
    assert!(lines[0]["error"].as_str().is_some_and(|e| e.contains("/nonexistent.eml")));
    assert!(lines[1]["error"].is_null());
    assert!(lines[2]["error"].as_str().is_some_and(|e| e.contains("*.eml")));
}

#[test]
fn what_is_not_there_is_said_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let (bare, empty) = (dir.path().join("bare.eml"), dir.path().join("empty.eml"));
    std::fs::write(&bare, "From: ann@acme.example\n\n").expect("written");
    std::fs::write(&empty, "").expect("written");
    let out = run(&["parse", bare.to_str().expect("UTF-8")]).with_code(0).out;
    assert!(out.lines().any(|line| line.split_whitespace().eq(["subject", "(none)"])), "{out}");
    let out = run(&["parse", empty.to_str().expect("UTF-8")]).with_code(0).out;
    assert!(out.contains("no mail in it") && !out.contains("subject"), "{out}");
}

#[test]
fn html_is_printed_as_it_can_be_shown() {
    let dir = tempfile::tempdir().expect("a directory");
    let mail = dir.path().join("mail.eml");
    let html = "<div onclick=x()>Dear <b>all</b><script>alert(1)</script><img src=\"cid:a\"><form><input></form></div>";
    std::fs::write(&mail, format!("From: ann@acme.example\nContent-Type: text/html\n\n{html}"))
        .expect("written");
    let mail = mail.to_str().expect("UTF-8");
    let out = run(&["parse", "--display-html", mail]).with_code(0).out;
    assert_eq!(out.trim_end(), "<div>Dear <b>all</b><img src=\"cid:a\"></div>");
    assert!(
        run(&["parse", "--json", mail]).with_code(0).json()[0]["html"]
            .as_str()
            .is_some_and(|sent| sent == html)
    );
    run(&["parse", "--display-html", mail, mail]).with_code(1);
    run(&["parse", "--display-html", "--json", mail]).with_code(64);
}
