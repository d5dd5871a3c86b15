//! `parse` is total: any bytes give a mail, and the same mail whatever its line ends.

use mailfleet_mime::{Limits, Parsed, canonical, json::Report, parse, peek};
use proptest::prelude::*;

/// Pieces that, strung together, make mails of every degree of brokenness.
const PIECES: &[&str] = &[
    "From: A <a@b>\n",
    "To: c@d, \"E, F\" <e@f>;",
    "\n",
    "\n\n",
    "Subject: =?utf-8?Q?caf=C3=A9?= =?utf-8?B?w6k=?=\n",
    "Subject: =?x?Q?\n",
    "Message-ID: <m@x>\n",
    "References: <a@b> <c@d\n",
    "Content-Type: multipart/mixed; boundary=b\n\n",
    "Content-Type: multipart/alternative; boundary=\"bb\"\n\n",
    "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n",
    "Content-Type: message/delivery-status\n\n",
    "Final-Recipient: rfc822; g@h\nStatus: 5.1.1\n",
    "Content-Type: message/rfc822\n\n",
    "Content-Type: text/html; charset=iso-8859-1\n\n<p>x<br>y",
    "Content-Type: text/plain; charset=utf-8; format=flowed\n",
    "Content-Type: application/pdf; name*0*=utf-8''a%; name*1=\"b\"\n",
    "Content-Transfer-Encoding: base64\n\naGVsbG8=\n",
    "Content-Transfer-Encoding: quoted-printable\n\n=C3=A9=\nx=zz\n",
    "Content-Disposition: attachment; filename=\"../x\"\n",
    "--b\n",
    "--b--\n",
    "--bb\n",
    "--bb--\n",
    "-- \n",
    " folded\n",
    "no field\n",
    "caf\u{e9} \u{0} \u{feff}",
    "Date: Mon, 32 Jan 0000 25:61:61 +9999\n",
    "Return-Path: <>\n",
    "Auto-Submitted: auto-replied\n",
    "Content-Type: text/plain; format=flowed; delsp=yes\n\n> a \n>> b \n-- \n",
    "begin 644 x\n#0V%T\n`\nend\n",
    "begin 644 y\n#0V%T\n",
    "Content-Type: application/ms-tnef\n",
    "Content-Type: application/pkcs7-mime; smime-type=signed-data\n",
    "Content-Type: text/calendar; method=REQUEST\n",
    "Content-Disposition: inline; filename=y\n",
    "Received: x; Sun, 2 Oct 2016 10:00:00 +0200\n",
    "Subject: unsubscribe\n",
    "To: g: a@b, c@d;\n",
];

/// Mostly a few pieces; now and then many lines, so that what is counted in bytes reaches its limits.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        40 => proptest::sample::select(PIECES).prop_map(str::to_owned),
        1 => (1_usize..2_000).prop_map(|lines| "MIME\n".repeat(lines)),
        1 => (1_usize..4_000).prop_map(|lines| "\n".repeat(lines)),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn read(raw: &[u8]) -> Parsed {
    parse(raw, &Limits::default())
}

/// What must hold of every mail.
fn check(raw: &[u8]) {
    let parsed = read(raw);
    let mail = &parsed.mail;
    let line = Report::new("x", &parsed).to_line();
    assert!(!line.contains("\\u0000"), "a NUL survived");
    let headers = mail.headers_json();
    assert!(headers.is_object() && !headers.to_string().contains("\\u0000"));
    assert!(!mail.content_html().contains('\0') && !mail.content_text().contains('\0'));
    assert!(!mail.stray.iter().any(|stray| stray.text.contains('\0')));
    let kept: usize = mail.attachments.iter().map(|attachment| attachment.content.len()).sum();
    assert!(kept <= raw.len(), "{kept} bytes of attachments out of {}", raw.len());
    assert!(parsed.defects.len() < 300);
    let seen = peek(raw);
    if raw.len() < 200_000 {
        assert_eq!(seen.message_id, mail.message_id);
        assert_eq!((&seen.in_reply_to, &seen.references), (&mail.in_reply_to, &mail.references));
    }
}

/// The same with LF as line ends of files, which keep those that they were sent with.
fn with_lf(mut parsed: Parsed) -> Parsed {
    for file in &mut parsed.mail.attachments {
        let lines = file.content.split(|&byte| byte == b'\n');
        let lines: Vec<&[u8]> = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
        file.content = lines.join(&b"\n"[..]);
    }
    parsed
}

fn crlf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\n', "\r\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_bytes_give_a_mail(raw in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        check(&raw);
        let _ = canonical(&raw);
    }

    #[test]
    fn any_soup_of_mail_gives_a_mail(text in soup()) {
        check(text.as_bytes());
    }

    #[test]
    fn a_mail_cut_anywhere_gives_a_mail(text in soup(), at in any::<prop::sample::Index>()) {
        check(&text.as_bytes()[..at.index(text.len() + 1)]);
    }

    #[test]
    fn lf_and_crlf_give_the_same_mail(text in soup()) {
        let lf = with_lf(read(text.as_bytes()));
        let crlf_text = crlf(&text);
        let crlf = with_lf(read(crlf_text.as_bytes()));
        prop_assert_eq!(&lf, &crlf);
        prop_assert_eq!(canonical(text.as_bytes()), canonical(crlf_text.as_bytes()));
    }

    #[test]
    fn canonical_bytes_stay_as_they_are(text in soup()) {
        let once = canonical(text.as_bytes());
        prop_assert_eq!(canonical(&once), once);
    }
}

/// The corpus is the other half of this suite: whatever real mail holds.
#[test]
fn every_mail_of_the_corpus_reads_the_same_with_lf_and_crlf() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus");
    let mut files = Vec::new();
    for set in std::fs::read_dir(&root).unwrap().flatten().filter(|set| set.path().is_dir()) {
        files.extend(std::fs::read_dir(set.path()).unwrap().flatten().map(|file| file.path()));
    }
    files.retain(|file| file.extension().is_some_and(|ext| ext == "eml"));
    assert!(files.len() >= 100, "only {} mails found under {}", files.len(), root.display());
    for file in files {
        let raw = std::fs::read(&file).unwrap();
        check(&raw);
        let lf: Vec<u8> = canonical(&raw).split(|&b| b == b'\r').collect::<Vec<_>>().concat();
        let crlf: Vec<u8> = lf.split(|&b| b == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..]);
        let (lf, crlf) = (with_lf(read(&lf)), with_lf(read(&crlf)));
        assert_eq!(lf.mail, crlf.mail, "{}", file.display());
        assert_eq!(lf.defects, crlf.defects, "{}", file.display());
    }
}
