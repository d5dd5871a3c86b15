//! Text and header fields without end, in every charset.

use super::{LONG, SHORT, each, has, read, read_bytes};
use mailfleet_mime::Limits;

/// A mail of this text.
fn mail(head: &str, text: &[u8]) -> Vec<u8> {
    [format!("From: a@b.org\n{head}\n\n").as_bytes(), text].concat()
}

#[test]
fn one_line_of_eight_bit_bytes_without_a_charset() {
    for bytes in
        [&b"\x80"[..], b"\xe9", b"\xe9\xc3\xa9", b"\xff\x00", b"caf\xe9 ", b"\xf0\x9f\x98", b"\xe2\x82\xac"]
    {
        for length in [SHORT, LONG] {
            let line = bytes.repeat(length / bytes.len());
            for head in ["Subject: x", "Content-Type: text/html", "Content-Type: text/plain; charset=utf-8"] {
                read_bytes(&mail(head, &line));
            }
        }
        let line = bytes.repeat(900_000 / bytes.len());
        for field in ["Subject", "X-Mailer", "Auto-Submitted", "Delivered-To"] {
            let head = format!("From: a@b.org\n{field}: ");
            read_bytes(&[head.as_bytes(), &line[..], b"\nTo: ", &line[..100_000], b"\n\nx"].concat());
        }
    }
}

#[test]
fn long_texts_in_every_kind_of_charset() {
    let texts: &[(&str, &[u8])] = &[
        ("iso-2022-jp", b"\x1b$B$3$s\x1b(B\n"),
        ("iso-2022-jp", b"\x1b$B\x1b(B"),
        ("iso-2022-jp", b"\x1b"),
        ("iso-2022-jp", b"\x1b$B\xff"),
        ("iso-2022-kr", b"\x0e;s\x0f"),
        ("iso-2022-kr", b"\x0e\x0f"),
        ("hz-gb-2312", b"~{<:Ky~}"),
        ("hz-gb-2312", b"~{VPND~}\n"),
        ("hz-gb-2312", b"VP"),
        ("gb18030", b"\xc4\xe3\xba\xc3"),
        ("gb18030", b"\x81\x30\x81\x30"),
        ("gb18030", b"\x81"),
        ("big5", b"\xa4\xa4\xff"),
        ("euc-kr", b"\xb0\xa1\n"),
        ("ks_c_5601-1987", b"\xb0"),
        ("shift_jis", b"\x83e\xa0"),
        ("utf-7", b"+AOk-"),
        ("utf-7", b"+"),
        ("utf-7", b"+AOkA6QDp"),
        ("utf-16", b"\x00\xd8"),
        ("utf-16be", b"\x20\xac"),
        ("utf-8", b"\xf0\x9f\x98"),
        ("utf-8", b"\xe2\x82\xac\xff"),
        ("windows-1252", b"\x80"),
        ("windows-1252", b"\x80\r"),
        ("koi8-r", b"\xc1"),
        ("cp437", b"\xb0"),
        ("cp850", b"\xb0\r\n"),
        ("x-nobody", b"\x80"),
        ("us-ascii", b"\0"),
        ("us-ascii", b"\r"),
    ];
    for (charset, piece) in texts {
        for length in [SHORT, LONG] {
            let text = piece.repeat(length / piece.len());
            for kind in ["plain", "plain; format=flowed", "html"] {
                let head = format!("Content-Type: text/{kind}; charset={charset}");
                // Of a long one the slower way alone.
                if length == SHORT {
                    read_bytes(&mail(&format!("{head}\nContent-Transfer-Encoding: binary"), &text));
                }
                read_bytes(&mail(&head, &text));
            }
        }
    }
}

/// What becomes three times as long as UTF-8 is text still, and not a file.
#[test]
fn eight_bit_text_that_grows_threefold() {
    let texts: &[(&str, &[u8])] = &[
        ("koi8-r", b"\x80"),
        ("koi8-r", b"\xc1\x80 "),
        ("windows-1252", b"\x80"),
        ("iso-8859-6", b"\xb0"),
        ("cp437", b"\xb0"),
        ("utf-8", b"\xff"),
        ("x-nobody", b"\x80"),
        ("shift_jis", b"\xb1"),
        ("gb18030", b"\x80"),
        ("utf-7", b"+ "),
        ("iso-2022-jp", b"\x1b"),
        ("iso-2022-jp", b"\x1b(B\x1b(B\x1b"),
        ("iso-2022-kr", b"\x0e\x7f\x7f\x7f\x0f"),
        ("hz-gb-2312", b"~{\x7f\x7f\x7f~}"),
    ];
    for (charset, piece) in texts {
        let lengths: &[usize] = if cfg!(debug_assertions) { &[SHORT] } else { &[SHORT, 2 * LONG] };
        for &length in lengths {
            let text = piece.repeat(length / piece.len());
            for kind in ["plain", "plain; format=flowed", "html"] {
                let parsed =
                    read_bytes(&mail(&format!("Content-Type: text/{kind}; charset={charset}"), &text));
                assert!(parsed.mail.attachments.is_empty(), "{kind} in {charset}");
                let sent = if kind == "html" { parsed.mail.html } else { parsed.mail.text };
                assert!(sent.is_some_and(|text| text.len() > length / 4), "{kind} in {charset}");
            }
        }
    }
}

/// What was taken out of one part is counted before the next is decoded.
#[test]
fn text_that_grows_behind_a_file_that_grew() {
    let lines = "M\n".repeat(LONG / 6);
    let file = format!(
        "--b\nContent-Type: a/b\nContent-Transfer-Encoding: x-uuencode\n\nbegin 644 x\n{lines}`\nend\n"
    );
    for kind in ["plain", "html", "plain; format=flowed"] {
        let text = b"\x80".repeat(2 * LONG);
        let head = format!("--b\nContent-Type: text/{kind}; charset=windows-1252\n\n");
        for order in
            [[file.as_bytes(), head.as_bytes(), &text[..]], [head.as_bytes(), &text[..], file.as_bytes()]]
        {
            read_bytes(&mail(
                "Content-Type: multipart/mixed; boundary=b",
                &[&order.concat()[..], b"\n--b--\n"].concat(),
            ));
        }
    }
}

#[test]
fn many_texts_become_one() {
    for charset in ["utf-8", "windows-1252"] {
        for kind in ["plain", "html"] {
            for count in [2, 10, 900] {
                let head = format!("--b\nContent-Type: text/{kind}; charset={charset}\n\n");
                let bytes = if charset == "utf-8" { &b"\xe2\x82\xac"[..] } else { b"\x80" };
                let part = [head.as_bytes(), &bytes.repeat(LONG / bytes.len() / count), b"\n"].concat();
                read_bytes(&mail("Content-Type: multipart/mixed; boundary=b", &part.repeat(count)));
            }
        }
    }
}

#[test]
fn flowed_text_of_a_million_lines() {
    for line in
        ["x \n", "x\n", " \n", "> x \n", ">> x \n> y \n", "-- \n", " ", ">", "> ", "x \r\n", "\u{20ac} \n"]
    {
        for del_sp in ["yes", "no"] {
            let head = format!("Content-Type: text/plain; charset=utf-8; format=flowed; delsp={del_sp}");
            read_bytes(&mail(&head, line.repeat(SHORT).as_bytes()));
            read_bytes(&mail(&head, line.repeat(LONG / 3).as_bytes()));
        }
    }
}

#[test]
fn fifty_thousand_nested_quotes() {
    let quotes = each(2_000, |depth| format!("{} x \n", ">".repeat(depth)));
    let deep = ">".repeat(50_000) + " x\n";
    for text in [quotes, deep.repeat(20), "> ".repeat(50_000) + "x\n"] {
        for head in ["Content-Type: text/plain; format=flowed", "Subject: Re: x", "Subject: failure notice"] {
            read_bytes(&mail(head, text.as_bytes()));
        }
    }
    let html = "<blockquote>".repeat(50_000) + "x" + &"</blockquote>".repeat(50_000);
    has(&read_bytes(&mail("Content-Type: text/html", html.as_bytes())), "html-not-rendered");
}

#[test]
fn html_without_end() {
    for piece in [
        "<p>x", "&amp;", "&nbsp; ", "x ", "x", "<", "\u{20ac}", "<br>\r\n", "&#0;", "&", "&#x20ac;",
        "<p>\n\n",
    ] {
        for count in [200_000, LONG] {
            let text = piece.repeat(count / piece.len());
            read_bytes(&mail("Content-Type: text/html; charset=utf-8", text.as_bytes()));
        }
    }
}

#[test]
fn a_hundred_thousand_continuations_of_a_parameter() {
    for piece in [
        |index: usize| format!(";\n filename*{index}*=%E9"),
        |index: usize| format!(";\n filename*{index}=\"a\""),
        |index: usize| format!("; filename*{}*=iso-8859-1''a", 100_000 - index),
        |_: usize| "; filename*0*=utf-8''a".to_owned(),
    ] {
        for field in ["Content-Disposition: attachment", "Content-Type: application/pdf"] {
            let part = format!("--b\n{field}{}\n\nx\n", each(100_000, piece));
            read(&format!("Content-Type: multipart/mixed; boundary=b\n\n{part}--b--\n"));
            read(&format!("{field}{}\n\nx\n", each(25_000, piece)));
        }
    }
}

#[test]
fn a_million_ids_in_references() {
    for piece in ["<a@b> ", "<a@b>", "<a@b>\n ", "a@b ", "<", "<a", "> <", "<>"] {
        for field in ["References", "In-Reply-To", "Message-ID"] {
            // Within what is read of a header block, and far beyond.
            let parsed = read(&format!("{field}: {}\n\nx", piece.repeat(900_000 / piece.len())));
            assert!(parsed.mail.references.len() <= 1_000);
            read(&format!("{field}: {}\n\nx", piece.repeat(SHORT)));
        }
    }
}

#[test]
fn a_field_of_every_name_without_end() {
    for name in [
        "Received",
        "Date",
        "Content-ID",
        "Content-Transfer-Encoding",
        "Return-Path",
        "Auto-Submitted",
        "List-Id",
    ] {
        for piece in ["x", "(", "; ", "=?utf-8?Q?a?= ", "\u{20ac}", "a@b "] {
            read(&format!("{name}: {}\n\nx", piece.repeat(900_000 / piece.len())));
            let many = format!("{name}: {piece}\n").repeat(Limits::default().max_headers / 2);
            read(&format!("{many}\nx"));
        }
    }
}
