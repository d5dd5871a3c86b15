//! Headers are found, whatever stands between and above their fields.

use super::*;

fn names(raw: &str) -> (Vec<String>, String) {
    let block = read(raw.as_bytes(), 0, &Limits::default(), &mut Found::default(), |_| false);
    (block.fields.into_iter().map(|f| f.name).collect(), raw[block.body_at..].to_owned())
}

#[test]
fn a_bad_line_between_fields_loses_only_itself() {
    let (names, body) = names("A: 1\nrubbish\nB: 2\r\n\r\nbody");
    assert_eq!(names, ["a", "b"]);
    assert_eq!(body, "body");
}

#[test]
fn fields_that_lone_crs_end_are_fields() {
    assert_eq!(names("A: 1\rB: 2\rC: 3\nD: 4\r more\n\nx").0, ["a", "b", "c", "d"]);
    assert_eq!(names("A: one\rtwo and: three\r\n four\r\nB: 2\r\n\r\nx").0, ["a", "b"]);
}

#[test]
fn a_body_without_its_blank_line_is_kept() {
    let (names, body) = names("A: 1\nDear all,\nhow are you\n\nbye");
    assert_eq!(names, ["a"]);
    assert_eq!(body, "Dear all,\nhow are you\n\nbye");
}

#[test]
fn text_without_any_header_is_a_body() {
    assert_eq!(names("hello\n\nworld"), (vec![], "hello\n\nworld".to_owned()));
    assert_eq!(names(""), (vec![], String::new()));
}

#[test]
fn leading_blanks_and_a_folded_mbox_line_do_no_harm() {
    assert_eq!(names(" A: 1\nB: 2\n\nx").0, ["a", "b"]);
    assert_eq!(names("From x@y Mon\n folded\nB: 2\n\nx").0, ["b"]);
    assert_eq!(names("\tA: 1\nB: 2\n\nx").0, ["a", "b"]);
}

#[test]
fn broken_folding_does_not_end_the_header() {
    let (names, body) = names("Received: x\n\\tby y\n\\tfor z\nSubject: s\n\nbody");
    assert_eq!(
        (names.as_slice(), body.as_str()),
        (&["received".to_owned(), "subject".to_owned()][..], "body")
    );
}

#[test]
fn a_field_folded_under_a_bad_line_is_read() {
    assert_eq!(names("Garbage line\n Subject: x\n\nbody"), (vec!["subject".to_owned()], "body".to_owned()));
}

#[test]
fn fields_past_the_limit_are_skipped_and_the_body_still_found() {
    let limits = Limits { max_headers: 2, ..Limits::default() };
    let mut found = Found::default();
    let raw = b"A: 1\nB: 2\nC: 3\n\nbody";
    let block = read(raw, 0, &limits, &mut found, |_| false);
    assert_eq!((block.fields.len(), &raw[block.body_at..]), (2, &b"body"[..]));
    assert_eq!(found.into_vec(), [Defect::HeadersTruncated]);
    let raw = b"A: 1\rB: 2\rC: 3\rD: 4\nE: 5\n\nbody";
    let block = read(raw, 0, &limits, &mut Found::default(), |_| false);
    assert_eq!((block.fields.len(), &raw[block.body_at..]), (2, &b"body"[..]));
}
