//! The limits on decoded bytes and on work: what is beyond is kept as it came, and named; no mail of the corpus comes near.

use mailfleet_mime::{Defect, Limits, MessageType, Parsed, parse};

/// Carries one text and one file, `a.txt`.
const WINMAIL: &str =
    "eJ8+IgEAAQyAAgAGAAAASGVsbG8AAAACApAGAAAAAAAAAAIQgAEABgAAAGEudHh0AAAAAg+ABgAEAAAAZmlsZQAA";

fn decoded(raw: &str, max_decoded_bytes: usize) -> Parsed {
    parse(raw.as_bytes(), &Limits { max_decoded_bytes, ..Limits::default() })
}

fn worked(raw: &str, max_work: u64) -> Parsed {
    parse(raw.as_bytes(), &Limits { max_work, ..Limits::default() })
}

fn mixed(parts: &[&str]) -> String {
    let parts: Vec<String> = parts.iter().map(|part| format!("--b\n{part}\n")).collect();
    format!("From: a@b.org\nContent-Type: multipart/mixed; boundary=b\n\n{}--b--\n", parts.concat())
}

fn contents(parsed: &Parsed) -> Vec<&[u8]> {
    parsed.mail.attachments.iter().map(|file| file.content.as_slice()).collect()
}

#[test]
fn files_beyond_the_decoded_bytes_are_kept_as_they_were_sent() {
    let file =
        |name: &str| format!("Content-Type: a/b; name={name}\nContent-Transfer-Encoding: base64\n\naGVsbG8=");
    let raw = mixed(&["\ntext", &file("one"), &file("two"), "\nlast"]);
    let all = decoded(&raw, 4 + 2 * 5 + 4 + 2 * 4);
    assert_eq!((contents(&all), all.defects.as_slice()), (vec![&b"hello"[..], b"hello"], &[][..]));
    let cut = decoded(&raw, 4 + 2 * 5 - 1);
    assert_eq!(contents(&cut), [&b"hello"[..], b"aGVsbG8=", b"last"]);
    assert_eq!(cut.mail.attachments[1].mime_type, "application/octet-stream");
    assert_eq!((cut.mail.content_text().as_str(), cut.defects), ("text", vec![Defect::TooMuchDecoded]));
}

#[test]
fn text_and_html_beyond_the_decoded_bytes_are_kept_as_they_were_sent() {
    for kind in ["plain", "html", "plain; charset=iso-8859-1"] {
        let raw = format!(
            "From: a@b.org\nContent-Type: text/{kind}\nContent-Transfer-Encoding: quoted-printable\n\n=E9t=E9"
        );
        // Three bytes may become nine, whatever they do become.
        assert_eq!(decoded(&raw, 9).defects, []);
        let cut = decoded(&raw, 8);
        assert_eq!(contents(&cut), [b"=E9t=E9"], "{kind}");
        assert_eq!((cut.mail.text, cut.mail.html, cut.defects), (None, None, vec![Defect::TooMuchDecoded]));
    }
}

/// Of 4 MiB, in charsets of one byte a character of which each has three in UTF-8.
#[test]
fn a_long_text_that_grows_threefold_is_text_with_a_cover_and_a_footer() {
    let text = |kind: &str| {
        let head = format!("Content-Type: text/{kind}; charset=koi8-r\n\n");
        [head.as_bytes(), &b"\x80".repeat(4 << 20)].concat()
    };
    let part = |part: &[u8]| [b"--b\n", part, b"\n"].concat();
    for kind in ["plain", "html"] {
        let short = |word: &str| part(format!("Content-Type: text/{kind}\n\n{word}").as_bytes());
        let alone = text(kind);
        let parts = [short("cover"), part(&text(kind)), short("footer")].concat();
        let between = [b"Content-Type: multipart/mixed; boundary=b\n\n", &parts[..], b"--b--\n"].concat();
        for (raw, before, behind) in [(alone, "", ""), (between, "cover\n", "\nfooter")] {
            let Parsed { mail, defects } =
                parse(&[b"From: a@b.org\n", &raw[..]].concat(), &Limits::default());
            let sent = if kind == "html" { mail.html } else { mail.text };
            assert!(sent == Some(format!("{before}{}{behind}", "\u{2500}".repeat(4 << 20))), "{kind}");
            assert!(mail.attachments.is_empty());
            assert_eq!(defects.contains(&Defect::TooMuchDecoded), kind == "html", "of HTML the text is cut");
        }
    }
}

/// The text that is made of it is derived, and may be cut; what was sent may not.
#[test]
fn of_html_that_there_is_no_room_for_a_second_time_the_text_is_cut() {
    let raw = format!("From: a@b.org\nContent-Type: text/html; charset=utf-8\n\n<p>{}", "x".repeat(300_000));
    let cut = decoded(&raw, 300_003 + 10);
    assert_eq!(cut.mail.html.as_ref().map(String::len), Some(300_003));
    assert_eq!(cut.mail.content_text(), "x".repeat(10));
    assert_eq!(cut.defects, [Defect::HtmlNotRendered, Defect::TooMuchDecoded]);
}

#[test]
fn what_stands_outside_the_parts_is_kept_as_it_was_sent_beyond_the_decoded_bytes() {
    let raw = mixed(&["\nx"]) + "behind\n";
    assert_eq!(decoded(&raw, 8).mail.stray.len(), 1);
    let cut = decoded(&raw, 7);
    assert_eq!((contents(&cut), cut.mail.stray.len()), (vec![&b"behind\n"[..]], 0));
}

#[test]
fn what_is_enclosed_beyond_the_decoded_bytes_stays_there() {
    let winmail =
        format!("Content-Type: application/ms-tnef\nContent-Transfer-Encoding: base64\n\n{WINMAIL}");
    let raw = mixed(&["\nx", &winmail]);
    let size = contents(&decoded(&raw, 1_000))[0].len();
    assert_eq!(contents(&decoded(&raw, 1 + size + 4 + 6)).len(), 3);
    let cut = decoded(&raw, 1 + size + 3);
    assert_eq!((contents(&cut).len(), cut.defects), (1, vec![Defect::TooMuchDecoded]));
    // In text, and as a whole.
    let text = "begin 644 x\n#0V%T\n`\nend\n";
    let cut = decoded(&format!("From: a@b.org\n\n{text}"), 2);
    assert_eq!(contents(&cut), [text.as_bytes()]);
    let cut = decoded(&format!("From: a@b.org\nContent-Transfer-Encoding: x-uuencode\n\n{text}"), 2);
    assert_eq!(
        (contents(&cut), cut.defects.as_slice()),
        (vec![text.as_bytes()], &[Defect::TooMuchDecoded][..])
    );
}

#[test]
fn text_in_winmail_dat_that_no_room_is_left_for_is_named() {
    let raw = format!(
        "From: a@b.org\nContent-Type: application/ms-tnef\nContent-Transfer-Encoding: base64\n\n{WINMAIL}"
    );
    let listed = |max_parts| parse(raw.as_bytes(), &Limits { max_parts, ..Limits::default() });
    assert_eq!((listed(2).mail.attachments.len(), listed(2).defects), (3, vec![]));
    assert_eq!((listed(1).mail.attachments.len(), listed(1).defects), (2, vec![Defect::TooManyParts]));
}

#[test]
fn no_small_mail_decodes_to_a_multiple_of_itself() {
    let lines = format!("begin 644 x\n{}`\nend\n", "M\n".repeat(200_000));
    let raw = format!("From: a@b.org\nContent-Type: a/b\nContent-Transfer-Encoding: x-uuencode\n\n{lines}");
    assert_eq!(contents(&decoded(&raw, usize::MAX))[0].len(), 9_000_000);
    let raw = raw.replace("`\nend", &("M\n".repeat(200_000) + "`\nend"));
    assert_eq!(decoded(&raw, usize::MAX).defects, [Defect::TooMuchDecoded]);
}

#[test]
fn past_the_work_html_is_cut_and_files_and_lines_stay_as_they_came() {
    let html = "From: a@b.org\nContent-Type: text/html\n\n<table><tr><td>a<td>b</table>";
    assert_eq!(worked(html, 100_000_000).defects, []);
    let cut = worked(html, 1_000);
    assert_eq!(cut.defects, [Defect::TooMuchWork, Defect::HtmlNotRendered]);
    assert_eq!(cut.mail.content_text(), "a b");
    for (raw, text) in [
        ("From: a@b.org\n\nbegin 644 x\n#0V%T\n`\nend\n", "begin 644 x\n#0V%T\n`\nend\n"),
        ("From: a@b.org\nContent-Type: text/plain; format=flowed\n\na \nb\n", "a \nb\n"),
    ] {
        let (all, cut) = (worked(raw, 100_000_000), worked(raw, 10));
        assert_ne!(all.mail.content_text(), text);
        assert_eq!((cut.mail.content_text().as_str(), cut.mail.attachments.len()), (text, 0));
        assert_eq!((all.defects, cut.defects), (vec![], vec![Defect::TooMuchWork]));
    }
    let winmail = format!(
        "From: a@b.org\nContent-Type: application/ms-tnef\nContent-Transfer-Encoding: base64\n\n{WINMAIL}"
    );
    assert_eq!(contents(&worked(&winmail, 100_000_000)).len(), 3);
    let cut = worked(&winmail, 100);
    assert_eq!((contents(&cut).len(), cut.defects), (1, vec![Defect::TooMuchWork]));
}

#[test]
fn past_the_work_a_mail_is_not_looked_at_for_its_kind() {
    let raw = "From: MAILER-DAEMON\nReturn-Path: <>\nSubject: failure notice\n\n<a@b.org>:\n550 5.1.1 user unknown\n";
    assert_eq!(worked(raw, 100_000_000).mail.message_type, MessageType::Bounce);
    let cut = worked(raw, 10_000);
    assert_eq!((cut.mail.message_type, cut.defects), (MessageType::Email, vec![Defect::TooMuchWork]));
    assert!(cut.mail.content_text().contains("user unknown"));
}

#[test]
fn a_bounce_that_returns_all_of_a_large_mail_is_a_bounce() {
    let line = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAx\r\n";
    let mail = |kind: &str| {
        mixed(&[
            "\nWe could not deliver your mail.",
            "Content-Type: message/delivery-status\n\nFinal-Recipient: rfc822; c@d.org\nAction: failed\nStatus: 5.1.1\n",
            &format!(
                "Content-Type: {kind}\n\nMessage-ID: <m@x>\nTo: c@d.org\n\n{}",
                line.repeat((45 << 20) / line.len())
            ),
        ])
    };
    let parsed = parse(mail("message/rfc822").as_bytes(), &Limits::default());
    assert_eq!((parsed.mail.message_type, parsed.defects), (MessageType::Bounce, vec![]));
    assert_eq!(parsed.mail.original_message_id.as_deref(), Some("m@x"));
    // What is passed on in pieces is read no further than its headers either.
    let one =
        format!("Content-Type: message/rfc822\n\nSubject: x\n\n{}", line.repeat((1 << 20) / line.len()));
    assert_eq!(parse(mixed(&vec![one.as_str(); 45]).as_bytes(), &Limits::default()).defects, vec![]);
}

#[test]
fn large_mails_of_people_are_read_whole() {
    let line = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAx\r\n";
    let file = format!(
        "Content-Type: a/b\nContent-Transfer-Encoding: base64\n\n{}",
        line.repeat((5 << 20) / line.len())
    );
    let parsed = parse(
        mixed(&["\ntext", &file, &file, &file, &file, &file, &file, &file, &file]).as_bytes(),
        &Limits::default(),
    );
    assert_eq!((parsed.mail.attachments.len(), parsed.defects), (8, vec![]));
    let row = "<tr><td style=\"padding:4px\"><p>the offer that we sent</p></td></tr>\n";
    let html = row.repeat((10 << 20) / row.len());
    let parsed = parse(
        format!("From: a@b.org\nContent-Type: text/html\n\n{html}<p>the end").as_bytes(),
        &Limits::default(),
    );
    assert_eq!(parsed.defects, [Defect::HtmlNotRendered]);
    assert!(
        parsed.mail.content_text().ends_with("the end") && parsed.mail.html.unwrap().ends_with("<p>the end")
    );
}

#[test]
fn no_mail_of_the_corpus_comes_near_the_limits() {
    let defaults = Limits::default();
    let tenth = Limits {
        max_decoded_bytes: defaults.max_decoded_bytes / 10,
        max_work: defaults.max_work / 10,
        ..defaults
    };
    let beyond = ["too-much-decoded", "too-much-work"];
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus");
    let sets = std::fs::read_dir(root).unwrap().map(|set| set.unwrap().path()).filter(|set| set.is_dir());
    let files = sets.flat_map(|set| std::fs::read_dir(set).unwrap()).map(|file| file.unwrap().path());
    let mut count = 0;
    for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "eml")) {
        let raw = std::fs::read(&file).unwrap();
        let (parsed, within) = (parse(&raw, &Limits::default()), parse(&raw, &tenth));
        assert!(!parsed.defects.iter().any(|defect| beyond.contains(&defect.code())), "{}", file.display());
        assert_eq!(parsed, within, "{}", file.display());
        count += 1;
    }
    assert!(count >= 300, "only {count} mails");
}
