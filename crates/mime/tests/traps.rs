//! One test a trap: what mailparse, or a reader built on it in a hurry, gets wrong.

use mailfleet_mime::{BounceKind, Limits, Mail, MessageType, Parsed, Reason, TextSource, parse};
use mailfleet_model::Disposition;

fn read(raw: &str) -> Parsed {
    parse(raw.as_bytes(), &Limits::default())
}

fn mail(raw: &str) -> Mail {
    read(raw).mail
}

fn codes(parsed: &Parsed) -> Vec<&'static str> {
    parsed.defects.iter().map(mailfleet_mime::Defect::code).collect()
}

#[test]
fn a_well_formed_mail_has_no_defects() {
    let parsed = read(
        "From: Ann <a@b.org>\r\nTo: c@d.org\r\nSubject: Hello\r\nDate: Sun, 02 Oct 2016 07:06:22 -0700\r\n\
         Message-ID: <m@b.org>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         This is a multi-part message.\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nText\r\n\
         --b\r\nContent-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=x.pdf\r\n\r\naGVsbG8=\r\n--b--\r\n",
    );
    assert_eq!(parsed.defects, []);
    let mail = parsed.mail;
    assert_eq!((mail.content_text().as_str(), mail.text_source), ("Text", TextSource::Plain));
    assert_eq!(mail.attachments.len(), 1);
    let attachment = &mail.attachments[0];
    assert_eq!(
        (attachment.filename.as_deref(), attachment.content.as_slice()),
        (Some("x.pdf"), &b"hello"[..])
    );
    assert_eq!(attachment.disposition, Disposition::Attachment);
    assert_eq!(attachment.sha256_hex(), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    assert_eq!(mail.message_type, MessageType::Email);
}

#[test]
fn a_boundary_that_begins_like_an_outer_one_keeps_the_tree_whole() {
    let mail = mail(
        "Content-Type: multipart/mixed; boundary=B\n\n--B\nContent-Type: multipart/alternative; boundary=BB\n\n\
         --BB\n\ntext\n--BB\nContent-Type: text/html\n\n<p>html\n--BB--\n--B\nContent-Type: image/png\n\nx\n--B--\n",
    );
    assert_eq!((mail.text.as_deref(), mail.html.as_deref()), (Some("text"), Some("<p>html")));
    assert_eq!(mail.attachments.len(), 1);
}

#[test]
fn a_boundary_in_the_middle_of_a_line_is_text() {
    let mail = mail("Content-Type: multipart/mixed; boundary=b\n\n--b\n\nsay --b\n--bc\n--b--\n");
    assert_eq!(mail.text.as_deref(), Some("say --b\n--bc"));
}

#[test]
fn a_character_split_over_two_encoded_words_is_whole() {
    assert_eq!(
        mail("Subject: =?utf-8?B?Y2Fmww==?= =?UTF-8?Q?=A9_x?=\r\n =?utf-8?Q?=C3?=\r\n =?utf-8?Q?=A9?=\n\n")
            .subject,
        "café xé"
    );
}

#[test]
fn seven_bit_japanese_cut_without_a_look_at_its_state_is_whole() {
    for words in [
        "=?ISO-2022-JP?B?GyRCRnxL?=\r\n =?ISO-2022-JP?B?XDhsGyhC?=",
        "=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=\r\n =?iso-2022-jp?B?GyRCOGwbKEI=?=",
    ] {
        assert_eq!(mail(&format!("Subject: {words}\n\n")).subject, "日本語");
    }
}

#[test]
fn a_word_in_the_alphabet_of_the_web_is_read() {
    assert_eq!(mail("Subject: =?utf-8?B?8J-YgA==?=\n\n").subject, "😀");
}

#[test]
fn a_subject_is_one_line() {
    assert_eq!(mail("Subject: =?utf-8?Q?a=0D=0Ab=0Ac?=\n\n").subject, "a b c");
}

#[test]
fn an_unknown_charset_in_a_header_is_guessed_not_shown_raw() {
    assert_eq!(mail("Subject: =?cp850?Q?caf=82?= =?no-such?Q?_caf=C3=A9?=\n\n").subject, "café café");
}

#[test]
fn raw_header_bytes_are_read_in_the_bodys_charset() {
    let raw = b"Subject: \xcf\xf0\xe8\xe2\xe5\xf2\nContent-Type: text/plain; charset=windows-1251\n\nx";
    assert_eq!(parse(raw, &Limits::default()).mail.subject, "Привет");
    assert_eq!(parse(b"Subject: caf\xe9\n\nx", &Limits::default()).mail.subject, "café");
    assert_eq!(mail("Subject: café\nContent-Type: text/plain; charset=windows-1251\n\nx").subject, "café");
}

#[test]
fn text_without_a_charset_is_in_the_one_that_the_mail_names_elsewhere() {
    let koi8 = b"\xf0\xd2\xc9\xd7\xc5\xd4";
    let text = |head: &str, tail: &str| {
        let raw = [head.as_bytes(), &koi8[..], tail.as_bytes()].concat();
        parse(&raw, &Limits::default()).mail
    };
    let subject = text("Subject: =?koi8-r?B?8NLJ18XU?=\n\n", "");
    assert_eq!((subject.subject.as_str(), subject.content_text().as_str()), ("Привет", "Привет"));
    let wrong =
        text("From: =?koi8-r?B?8NLJ18XU?= <a@b.org>\nContent-Type: text/plain; charset=utf-8\n\n", "");
    assert_eq!(wrong.content_text(), "Привет");
    let other = text(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n",
        "\n--b\nContent-Type: text/html; charset=koi8-r\n\n<p>\n--b--\n",
    );
    assert_eq!(other.text.as_deref(), Some("Привет"));
    for label in ["", "; charset=us-ascii", "; charset=utf-8"] {
        let html = text(&format!("Content-Type: text/html{label}\n\n<meta charset=koi8-r><p>"), "");
        assert_eq!(html.html.as_deref(), Some("<meta charset=koi8-r><p>Привет"), "{label}");
    }
}

#[test]
fn raw_text_of_a_mail_that_names_no_charset_is_told_by_its_letters() {
    let (raw, ..) = encoding_rs::KOI8_R.encode(
        "From: Иван <a@b.org>\nSubject: Счет за услуги\nContent-Type: application/x; name=\"счет.doc\"\n\nx",
    );
    let mail = parse(&raw, &Limits::default()).mail;
    assert_eq!((mail.subject.as_str(), mail.from.unwrap().name.as_deref()), ("Счет за услуги", Some("Иван")));
    assert_eq!(mail.attachments[0].filename.as_deref(), Some("счет.doc"));
}

#[test]
fn utf_8_without_a_label_is_not_mojibake() {
    for label in ["", "Content-Type: text/plain\n", "Content-Type: text/plain; charset=us-ascii\n"] {
        assert_eq!(mail(&format!("{label}Subject: x\n\ncafé")).content_text(), "café");
    }
}

#[test]
fn a_charset_that_only_the_html_declares_is_believed() {
    let raw = b"Content-Type: text/html\n\n<meta charset=\"windows-1251\"><p>\xcf\xf0\xe8\xe2\xe5\xf2</p>";
    assert_eq!(parse(raw, &Limits::default()).mail.content_text().trim(), "Привет");
}

#[test]
fn raw_eight_bit_bytes_in_quoted_printable_are_kept() {
    let parsed = read(
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\ncafé =C3=A9",
    );
    assert_eq!(parsed.mail.content_text(), "café é");
    assert!(codes(&parsed).contains(&"bad-quoted-printable"));
}

#[test]
fn an_attachment_with_a_bad_byte_is_not_lost() {
    let parsed =
        read("Content-Type: image/png; name=a.png\nContent-Transfer-Encoding: base64\n\naGV!sbG8=\n");
    assert_eq!(parsed.mail.attachments[0].content, b"hello");
    assert!(codes(&parsed).contains(&"bad-base64"));
}

#[test]
fn a_leading_mbox_line_or_blank_does_not_eat_the_headers() {
    for begin in [
        "From a@b Mon Jan  1 00:00:00 2020\n",
        ">From a@b\n",
        "\r\n\n",
        " \n",
        "From a@b\n folded\n",
        "\u{feff}",
    ] {
        let mail = mail(&format!("{begin}Subject: x\nTo: a@b\n\nbody"));
        assert_eq!((mail.subject.as_str(), mail.content_text().as_str()), ("x", "body"), "{begin:?}");
    }
}

#[test]
fn lone_crs_as_line_ends_are_read() {
    let mail = mail("Subject: x\rTo: a@b\r\rone\rtwo");
    assert_eq!((mail.subject.as_str(), mail.content_text().as_str()), ("x", "one\ntwo"));
}

#[test]
fn an_enclosed_mail_is_an_attachment() {
    let mail = mail(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: message/rfc822\n\n\
         Subject: inner\n\ninner text\n--b--\n",
    );
    assert_eq!(mail.content_text(), "text");
    assert_eq!(mail.attachments[0].mime_type, "message/rfc822");
    assert_eq!(mail.attachments[0].content, b"Subject: inner\n\ninner text");
}

#[test]
fn every_leaf_ends_somewhere() {
    let types = [
        "text/calendar",
        "message/delivery-status",
        "message/feedback-report",
        "application/ms-tnef",
        "application/pgp-signature",
        "application/pkcs7-mime",
        "x-unknown/type",
        "image/png",
        "text/rfc822-headers",
    ];
    let parts: String = types.map(|mime| format!("--b\nContent-Type: {mime}\n\n{mime}\n")).concat();
    let mail = mail(&format!("Content-Type: multipart/mixed; boundary=b\n\n{parts}--b--\n"));
    let found: Vec<_> = mail.attachments.iter().map(|a| a.mime_type.as_str()).collect();
    assert_eq!(found, types);
    assert!(mail.attachments.iter().all(|a| a.content == a.mime_type.as_bytes()));
}

#[test]
fn an_inline_image_keeps_its_content_id() {
    let mail = mail(
        "Content-Type: multipart/related; boundary=b\n\n--b\nContent-Type: text/html\n\n<img src=cid:i@x>\n\
         --b\nContent-Type: image/png\nContent-ID: <i@x>\n\nx\n--b--\n",
    );
    let image = &mail.attachments[0];
    assert_eq!((image.disposition, image.content_id.as_deref()), (Disposition::Inline, Some("i@x")));
}

#[test]
fn a_multipart_without_parts_shows_its_text() {
    for (raw, code) in [
        ("Content-Type: multipart/mixed; boundary=b\n\nonly text", "boundary-not-found"),
        ("Content-Type: multipart/mixed\n\nonly text", "no-boundary"),
    ] {
        let parsed = read(raw);
        assert_eq!(parsed.mail.content_text(), "only text");
        assert!(codes(&parsed).contains(&code));
    }
}

#[test]
fn a_cut_off_mail_keeps_what_came() {
    let parsed = read(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: image/png\n\nhalf",
    );
    assert_eq!(
        (parsed.mail.content_text().as_str(), parsed.mail.attachments[0].content.as_slice()),
        ("text", &b"half"[..])
    );
    assert!(codes(&parsed).contains(&"unclosed-multipart"));
}

#[test]
fn text_is_made_from_html_and_html_from_text() {
    let from_html = mail("Content-Type: text/html\n\n<p>Dear all,</p><p>1 &lt; 2</p>");
    assert_eq!(
        (from_html.text_source, from_html.content_text().trim()),
        (TextSource::Html, "Dear all,\n\n1 < 2")
    );
    let from_text = mail("Subject: x\n\n1 < 2");
    assert_eq!(from_text.content_html(), "<div style=\"white-space: pre-wrap\">1 &lt; 2</div>");
    let neither = mail("Content-Type: image/png\n\nx");
    assert_eq!(
        (neither.text_source, neither.content_text(), neither.content_html()),
        (TextSource::None, String::new(), String::new())
    );
}

#[test]
fn dates_outside_the_calendar_are_unknown_and_named() {
    let parsed =
        read("Date: Mon, 32 Jan 0000 25:61:61 +9999\nReceived: by x; Sun, 02 Oct 2016 07:06:22 +0000\n\n");
    assert_eq!(parsed.mail.date, None);
    assert_eq!(parsed.mail.received.unwrap().to_rfc3339(), "2016-10-02T07:06:22+00:00");
    assert!(codes(&parsed).contains(&"bad-date"));
}

#[test]
fn repeated_headers_are_an_array_in_their_order() {
    let mail = mail("Received: one\nSubject: first\nReceived: two\nsubject: second\nX: y\n\n");
    assert_eq!(mail.subject, "first");
    assert_eq!(
        mail.headers_json(),
        serde_json::json!({"received": ["one", "two"], "subject": ["first", "second"], "x": "y"})
    );
}

#[test]
fn a_very_long_message_id_is_kept_whole() {
    let id = format!("{}@x", "m".repeat(15_000));
    assert_eq!(mail(&format!("Message-ID: <{id}>\n\n")).message_id.as_deref(), Some(id.as_str()));
}

#[test]
fn a_long_subject_and_a_large_header_are_kept_whole() {
    let long = "x".repeat(1_972);
    let mail = mail(&format!("Subject: {long}\nX-Meta: {long}{long}\n\n"));
    assert_eq!(mail.subject, long);
    assert_eq!(mail.headers_json()["x-meta"].as_str().map(str::len), Some(3_944));
}

#[test]
fn an_attachment_with_a_broken_disposition_or_a_broken_mail_in_it_is_kept() {
    for (head, kept) in [
        ("Content-Type: image/png\nContent-Disposition:", (None, "image/png")),
        (
            "Content-Type: image/png\nContent-Disposition: attachment; filename=a.png\nContent-Disposition: inline",
            (Some("a.png"), "image/png"),
        ),
        ("Content-Type: message/rfc822; name=x.eml", (Some("x.eml"), "message/rfc822")),
        (
            "Content-Type: message/rfc822; name=x.eml\nContent-Transfer-Encoding: base64",
            (Some("x.eml"), "message/rfc822"),
        ),
    ] {
        let mail = mail(&format!(
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\n{head}\n\n!!!\n--b--\n"
        ));
        assert_eq!(mail.content_text(), "text", "{head}");
        let files: Vec<_> =
            mail.attachments.iter().map(|file| (file.filename.as_deref(), &*file.mime_type)).collect();
        assert_eq!(files, [kept], "{head}");
    }
}

const REPORT: &str = "From: MAILER-DAEMON@x.org (Mail Delivery System)\nTo: s@y.org\nAuto-Submitted: auto-replied\n\
    Subject: Undelivered Mail Returned to Sender\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
    --b\n\nSorry.\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x.org\n\n\
    Final-Recipient: rfc822; gone@z.org\nAction: failed\nStatus: 5.1.1\nRemote-MTA: dns; mx.z.org\n\
    Diagnostic-Code: smtp; 550 5.1.1 User unknown\n\nFinal-Recipient: rfc822; full@z.org\nAction: delayed\n\
    Status: 4.2.2\n\n--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: <sent@y.org>\nTo: gone@z.org\n\n--b--\n";

#[test]
fn every_recipient_of_a_delivery_report_is_judged_alone() {
    let mail = mail(REPORT);
    assert_eq!(mail.message_type, MessageType::Bounce);
    assert_eq!(mail.original_message_id.as_deref(), Some("sent@y.org"));
    let bounce = mail.bounce.unwrap();
    assert_eq!(bounce.kind, BounceKind::Hard);
    let rows: Vec<_> = bounce.recipients.iter().map(|r| (r.address.as_str(), r.kind, r.reason)).collect();
    assert_eq!(
        rows,
        [
            ("gone@z.org", BounceKind::Hard, Reason::UserUnknown),
            ("full@z.org", BounceKind::Soft, Reason::MailboxFull)
        ]
    );
    let first = &bounce.recipients[0];
    assert_eq!((first.reply_code, first.remote_mta.as_deref()), (Some(550), Some("mx.z.org")));
    assert_eq!(first.diagnostic.as_deref(), Some("smtp; 550 5.1.1 User unknown"));
}

#[test]
fn a_success_report_is_no_failure() {
    let raw = REPORT.replace("Action: failed\nStatus: 5.1.1", "Action: delivered\nStatus: 2.1.5");
    let raw = raw.replace("Action: delayed\nStatus: 4.2.2", "Action: relayed\nStatus: 2.0.0");
    assert_eq!(mail(&raw).bounce.unwrap().kind, BounceKind::Delivered);
}

#[test]
fn a_vacation_reply_is_never_a_bounce() {
    for field in [
        "Auto-Submitted: auto-replied (vacation)",
        "X-Autoreply: yes",
        "Precedence: auto_reply",
        "Subject: Out of office: x",
    ] {
        let mail =
            mail(&format!("Return-Path: <>\nFrom: a@b.org\n{field}\n\nI am away; a@c.org does not exist."));
        assert_eq!((mail.message_type, mail.bounce), (MessageType::AutoReply, None), "{field}");
    }
}

#[test]
fn complaints_and_receipts_are_told_by_their_parts() {
    let report = |kind: &str, part: &str| {
        mail(&format!(
            "From: postmaster@x.org\nContent-Type: multipart/report; report-type={kind}; boundary=b\n\n--b\n\nx\n\
             --b\nContent-Type: message/{part}\n\nOriginal-Rcpt-To: <c@d.org>\nOriginal-Message-ID: <o@x>\n\n\
             --b\nContent-Type: message/rfc822\n\nMessage-ID: <o@x>\nTo: e@f.org\n\n--b--\n"
        ))
    };
    let complaint = report("feedback-report", "feedback-report");
    assert_eq!(complaint.message_type, MessageType::Complaint);
    let bounce = complaint.bounce.unwrap();
    assert_eq!((bounce.kind, bounce.recipients[0].address.as_str()), (BounceKind::Complaint, "c@d.org"));
    let receipt = report("disposition-notification", "disposition-notification");
    assert_eq!((receipt.message_type, receipt.bounce), (MessageType::ReadReceipt, None));
    assert_eq!(receipt.original_message_id.as_deref(), Some("o@x"));
}

#[test]
fn a_bounce_without_a_report_names_its_recipient() {
    let mail = mail(
        "Return-Path: <>\nFrom: MAILER-DAEMON\nTo: s@y.org\nSubject: failure notice\n\nHi. This is the qmail-send \
         program at x.org.\n\n<gone@z.org>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n--- Below this line is a copy \
         of the message.\n\nReturn-Path: <s@y.org>\nTo: other@z.org\n",
    );
    let bounce = mail.bounce.unwrap();
    assert_eq!(bounce.recipients.len(), 1);
    let first = &bounce.recipients[0];
    assert_eq!((first.address.as_str(), first.status.as_deref()), ("gone@z.org", Some("5.1.1")));
    assert_eq!((first.kind, first.reason), (BounceKind::Hard, Reason::UserUnknown));
}

#[test]
fn somebody_who_writes_about_a_bounce_is_no_bounce() {
    let mail = mail("Return-Path: <a@b.org>\nFrom: a@b.org\nSubject: Re: Undelivered Mail\n\nWhat is this?");
    assert_eq!(mail.message_type, MessageType::Email);
}

#[test]
fn a_uuencoded_file_in_the_text_is_an_attachment_and_leaves_the_text() {
    let mail = mail("Subject: x\n\nMy cat:\nbegin 644 ../cat.txt\n#0V%T\n`\nend\n-- \nAnn\n");
    assert_eq!(mail.content_text(), "My cat:\n-- \nAnn\n");
    let files: Vec<_> =
        mail.attachments.iter().map(|file| (file.filename.as_deref(), &file.content[..])).collect();
    assert_eq!(files, [(Some("cat.txt"), &b"Cat"[..])]);
}

#[test]
fn flowed_text_is_read_in_paragraphs() {
    let head = "Content-Type: text/plain; charset=utf-8; Format=Flowed; DelSp=Yes\n\n";
    assert_eq!(
        mail(&format!("{head}see https://a.example/ \npath\n")).content_text(),
        "see https://a.example/path\n"
    );
    let fixed = "Content-Type: text/plain; charset=utf-8\n\na \nb\n";
    assert_eq!(mail(fixed).content_text(), "a \nb\n");
}

#[test]
fn a_named_text_that_is_the_body_is_shown_and_listed() {
    let mail = mail(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8; name=fable.txt\n\
         Content-Disposition: inline; filename=fable.txt\n\nThe hares\n--b--\n",
    );
    assert_eq!(mail.content_text(), "The hares");
    let file = &mail.attachments[0];
    assert_eq!((file.filename.as_deref(), file.disposition), (Some("fable.txt"), Disposition::Inline));
}

#[test]
fn an_encoded_word_that_holds_no_text_stays_as_it_was_sent() {
    let rubbish = "=?UTF-8?B?nnDusSNdG92w6Fuw61fMjE4=?=";
    assert_eq!(
        mail(&format!("Subject: a {rubbish} {rubbish} =?utf-8?Q?=C3=A9?=\n\n")).subject,
        format!("a {rubbish} {rubbish} =?utf-8?Q?=C3=A9?=")
    );
    assert_eq!(mail("Subject: =?utf-8?Q?caf=E9?=\n\n").subject, "café");
}

#[test]
fn fields_that_lone_crs_end_in_a_mail_with_lf_are_fields() {
    let mail = mail("From: a@b.org\rTo: c@d.org\rSubject: x\r y\nCc: e@f.org\n\nbody");
    let people = (mail.from.unwrap().address, mail.to[0].address.clone(), mail.cc[0].address.clone());
    assert_eq!(people, ("a@b.org".into(), "c@d.org".into(), "e@f.org".into()));
    assert_eq!(mail.subject, "x y");
}

#[test]
fn mixed_line_ends_are_lines() {
    let mail = mail("Subject: x\r\nTo: a@b.org\n\r\none\rtwo\r\nthree\nfour\r\r\nfive");
    assert_eq!((mail.subject.as_str(), mail.content_text().as_str()), ("x", "one\ntwo\nthree\nfour\nfive"));
}
