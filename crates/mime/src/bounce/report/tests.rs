//! Reports are read whole, in whatever order their fields stand.

use super::*;

fn rows(content: &str) -> Vec<Row> {
    delivery_status(content.as_bytes(), &Limits::default(), &mut Decoder::new(10))
}

#[test]
fn every_recipient_of_a_report_has_its_own_status() {
    let rows = rows(
        "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; <a@b>\nAction: failed\nStatus: 5.1.1\n\n\
         Final-Recipient: RFC822;c@d\nAction: Delayed (will retry)\nStatus: 4.4.7 (late)\n\
         Diagnostic-Code: smtp; 421 later\n  please\n",
    );
    let short: Vec<_> =
        rows.iter().map(|r| (r.address.as_str(), r.action.as_deref(), r.status.as_deref())).collect();
    assert_eq!(short, [("a@b", Some("failed"), Some("5.1.1")), ("c@d", Some("delayed"), Some("4.4.7"))]);
    assert_eq!(rows[1].diagnostic.as_deref(), Some("smtp; 421 later please"));
}

#[test]
fn a_missing_blank_line_does_not_merge_recipients() {
    let rows =
        rows("Final-Recipient: rfc822; a@b\nStatus: 5.1.1\nFinal-Recipient: rfc822; c@d\nStatus: 5.2.2\n");
    assert_eq!(rows.iter().map(|r| r.address.as_str()).collect::<Vec<_>>(), ["a@b", "c@d"]);
}

#[test]
fn recipients_that_only_their_original_address_names_are_told_apart_without_blank_lines() {
    let original = |address| format!("Original-Recipient: rfc822; {address}\n");
    let (a, b) = (original("a@b"), original("c@d"));
    for (fields, expected) in [
        (format!("{a}Status: 5.1.1\n{b}Status: 5.2.2\n"), vec![("a@b", "5.1.1"), ("c@d", "5.2.2")]),
        (
            format!("Final-Recipient: rfc822; x@y\n{a}Status: 5.1.1\n{b}Status: 5.2.2\n"),
            vec![("x@y", "5.1.1"), ("c@d", "5.2.2")],
        ),
        // The other way round.
        (
            format!("Final-Recipient: a@x\n{a}Status: 5.1.1\nFinal-Recipient: c@x\n{b}Status: 5.2.2\n"),
            vec![("a@x", "5.1.1"), ("c@x", "5.2.2")],
        ),
        // Written twice it is one recipient still.
        (format!("{a}Status: 5.1.1\nOriginal-Recipient: RFC822;<A@b>\n"), vec![("a@b", "5.1.1")]),
    ] {
        let rows = rows(&fields);
        let read: Vec<_> = rows.iter().map(|r| (r.address.as_str(), r.status.as_deref().unwrap())).collect();
        assert_eq!(read, expected, "{fields}");
    }
}

#[test]
fn a_forwarded_recipient_keeps_the_address_that_the_mail_was_sent_to() {
    let rows = rows(
        "Original-Recipient: rfc822;<lead@b>\nFinal-Recipient: rfc822; x@y\nStatus: 5.1.1\n\
         Original-Recipient: rfc822; ann@b\nFinal-Recipient: rfc822; Ann@B\nStatus: 5.2.2\n\
         Original-Recipient: rfc822; ben@b\nFinal-Recipient: rfc822; z@y\n\n\
         Original-Recipient: rfc822; eve@b\nStatus: 5.0.0\n\n\
         Final-Recipient: rfc822; \"c..d\"@b\nOriginal-Recipient: rfc822; c..d@b\nRemote-MTA: dns; mx.b.\n\n\
         Final-Recipient: rfc822; u@v\nOriginal-Recipient: rfc822;\n",
    );
    let both: Vec<_> = rows.iter().map(|r| (r.address.as_str(), r.original.as_deref())).collect();
    let expected = [
        ("x@y", Some("lead@b")),
        ("Ann@B", None),
        ("z@y", Some("ben@b")),
        ("eve@b", None),
        ("\"c..d\"@b", None),
        ("u@v", None),
    ];
    assert_eq!(both, expected);
    assert_eq!(rows[0].status.as_deref(), Some("5.1.1"));
    assert_eq!(rows[1].status.as_deref(), Some("5.2.2"));
    assert_eq!(rows[4].remote_mta.as_deref(), Some("mx.b"));
}

#[test]
fn a_recipient_is_the_address_whatever_its_form() {
    for (fields, address) in [
        ("Final-Recipient: a@b", "a@b"),
        ("final-recipient: RFC822; a@b (Ann Bee)", "a@b"),
        ("Final-Recipient: \"a;c\"@b", "\"a;c\"@b"),
        ("Final-Recipient: rfc822; \"a c\"@b", "\"a c\"@b"),
        ("Final-Recipient: utf-8; m\\x{FC}ller@b", "müller@b"),
        ("Final-Recipient: utf-8; müller@b", "müller@b"),
        ("Final-Recipient: utf-8; \\x{0}\\x{110000}\\x{@b", "\\x{0}\\x{110000}\\x{@b"),
        ("Original-Recipient: rfc822; a@b\nFinal-Recipient: x400; /G=Ann/C=US/", "a@b"),
        ("Final-Recipient: local; ann\nX-Actual-Recipient: rfc822; a@b", "a@b"),
        ("Final-Recipient: local; ann", "ann"),
        ("Original-Recipient: rfc822;a+2Bc@b\nFinal-Recipient: rfc822;a+c@b", "a+c@b"),
    ] {
        let rows = rows(&format!("{fields}\nStatus: 5.1.1\n"));
        let read: Vec<_> = rows.iter().map(|r| (r.address.as_str(), r.original.as_deref())).collect();
        assert_eq!(read, [(address, None)], "{fields}");
    }
}

#[test]
fn rubbish_is_no_recipient_and_ends() {
    // Quadratic, this would take minutes.
    let escapes = "\\x{".repeat(300_000);
    assert_eq!(unescaped(&escapes), escapes);
    assert!(rows("x\n\ny: z\n\n\n\nhello there\nStatus: 5.0.0").is_empty());
}
