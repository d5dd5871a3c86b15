//! Line ends, boundaries, types and dispositions as broken programs write them, and which parts people see.

use mailfleet_mime::{Limits, Mail, parse};

/// The mail, its text and HTML (`None` of either: not looked at), and its files by name or, without one, by type.
type Case = (&'static [u8], Option<&'static str>, Option<&'static str>, &'static [&'static str]);

const MAILS: &[Case] = &[
    (b"From: a@b\rContent-Type: multipart/mixed; boundary=q\r\r--q\r\rhi\r--q\rContent-Type: image/png; name=a.png\r\rx\r--q--\r", Some("hi"), None, &["a.png"]),
    (b"From: a@b\n\na\x0bb\x0cc\n", Some("a\u{b}b\u{c}c\n"), None, &[]),
    (b"From: a@b\n\n..x\n", Some("..x\n"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/alternative; boundary=ab\n\n--ab\n\nt\n--ab\nContent-Type: text/html\n\nh\n--ab--\n--a\nContent-Type: image/png; name=x.png\n\nx\n--a--\n", Some("t"), Some("h"), &["x.png"]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=ab\n\n--ab\nContent-Type: multipart/alternative; boundary=a\n\n--a\n\nt\n--a\nContent-Type: text/html\n\nh\n--a--\n--ab\nContent-Type: image/png; name=x.png\n\nx\n--ab--\n", Some("t"), Some("h"), &["x.png"]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/alternative; boundary=a\n\n--a\n\nt\n--a\nContent-Type: text/html\n\nh\n--a--\n--a\nContent-Type: image/png; name=x.png\n\nx\n--a--\n", Some("t"), Some("h"), &["x.png"]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=q\n\n--q\n\nsay --q and\nx--q\n --q\n--q--\n", Some("say --q and\nx--q\n --q"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=q\n\n--q \t\n\nt\n--q-- \n", Some("t"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=q\n\n--q\n\nt\n--qx\n--q--\n", Some("t\n--qx"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=\"--q--\"\n\n----q--\n\nt\n----q----\n", Some("t"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=\"q--\"\n\n--q--\n\nt\n--q--\nContent-Type: image/png; name=x.png\n\nx\n--q----\n", Some("t"), None, &["x.png"]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=Q\n\n--Q\n\nt\n--q\nx\n--Q--\n", Some("t\n--q\nx"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=\"a b\"\n\n--a b\n\nt\n--a b--\n", Some("t"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=\"q \"\n\n--q\n\nt\n--q--\n", Some("t"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary='q'\n\n--'q'\n\nt\n--'q'--\n", Some("t"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary='q'\n\n--q\n\nt\n--'q'\n--q--\n", Some("t\n--'q'"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=\"q (c)\"\n\n--q (c)\n\nt\n--q\n--q (c)--\n", Some("t\n--q"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=----=_x=y\n\n------=_x=y\n\nt\n------=_x=y--\n", Some("t"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=a b\n\n--a b\n\nt\n--a b--\n", Some("t"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=\"\"\n\n--\n\nt\n----\n", Some("--\n\nt\n----\n"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=\"ab\n c\"\n\n--ab c\n\nt\n--ab c--\n", Some("t"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary*0=ab;\n boundary*1=cd\n\n--abcd\n\nt\n--abcd--\n", Some("t"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=\"\xc3\xa9\"\n\n--\xc3\xa9\n\nt\n--\xc3\xa9--\n", Some("t"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=q (c)\n\n--q\n\nt\n--q--\n", Some("t"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed boundary=q\n\n--q\n\nt\n--q--\n", Some("t"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=q\nContent-Type: text/plain\n\n--q\n\nt\n--q--\n", Some("t"), None, &[]),
    (b"From: a@b\nContent-Type: text/html\n\n<p>x\n", None, Some("<p>x\n"), &[]),
    (b"From: a@b\nContent-Type : text/html\n\n<p>x\n", None, Some("<p>x\n"), &[]),
    (b"From: a@b\nCONTENT-TYPE: TEXT/HTML\n\n<p>x\n", None, Some("<p>x\n"), &[]),
    (b"From: a@b\nContent-Type: ;;\n\nx\n", Some("x\n"), None, &[]),
    (b"From: a@b\nContent-Type: text\n\nx\n", Some("x\n"), None, &[]),
    (b"From: a@b\nContent-Type: text/\n\nx\n", Some("x\n"), None, &[]),
    (b"From: a@b\nContent-Type: text/foo\n\nx\n", None, None, &["text/foo"]),
    (b"From: a@b\nContent-Type: text/html; charset=\"utf-8\n\n<p>\xc3\xa9\n", None, Some("<p>é\n"), &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=q\nContent-Transfer-Encoding: base64\n\n--q\n\nt\n--q--\n", Some("t"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=q\n\n--q\nContent-Type: text/plain\n--q--\n", Some(""), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=q\n\n--q\nhello there\n--q--\n", Some("hello there"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=q\n\n--q\n\nt\n", Some("t\n"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=q\n\n--q\n\nt\n--q--\n--q\nContent-Type: image/png; name=x.png\n\nx\n--q--\n", Some("t"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=q\n\n--q\nContent-Type: multipart/alternative; boundary=i\n\n--i\n\nt\n--q\nContent-Type: image/png; name=x.png\n\nx\n--q--\n", Some("t"), None, &["x.png"]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=q\n\n--q\nContent-Type: image/png; name=x.png\nContent-Transfer-Encoding: base64\n\naGVs\nbG8=--q--\n", None, None, &["x.png"]),
    (b"From: a@b\nContent-Type: text/plain; charset=utf-8; format=flowed\n\na \nb\n\n> q \n> r\n>> s\n", Some("a b\n\n> q r\n>> s\n"), None, &[]),
    (b"From: a@b\nContent-Type: text/plain; charset=utf-8; format=flowed\n\n From x\n >y\n  z\n", Some("From x\n>y\n z\n"), None, &[]),
    (b"From: a@b\nContent-Type: text/plain; charset=utf-8; format=flowed\n\na \n-- \nme\n", Some("a \n-- \nme\n"), None, &[]),
    (b"From: a@b\nContent-Type: text/plain; charset=utf-8; format=flowed; delsp=yes\n\n\xe6\x97\xa5 \n\xe6\x9c\xac\n", Some("日本\n"), None, &[]),
    (b"From: a@b\r\nContent-Type: text/plain; charset=utf-8; format=flowed\r\n\r\na \r\nb\r\n", Some("a b\n"), None, &[]),
    (b"From: a@b\nContent-Type: text/plain; charset=utf-8; format=flowed\nContent-Transfer-Encoding: quoted-printable\n\na=20\nb\n", Some("a b\n"), None, &[]),
    (b"From: a@b\nContent-Type: text/html; format=flowed\n\n<p>a \nb\n", None, Some("<p>a \nb\n"), &[]),
    (b"From: a@b\nContent-Type: text/plain; format=\"flowed\"; charset=utf-8\n\na \nb\n", Some("a b\n"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=q\n\n--q\n\nt\n--q\nContent-Type: message/rfc822\n\nSubject: inner\n\nx\n--q--\n", None, None, &["message/rfc822"]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=q\n\n--q\n\nt\n--q\nContent-Type: application/pdf; name=x.pdf\nContent-Disposition: inline\n\nx\n--q--\n", None, None, &["x.pdf"]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=q\n\n--q\n\na\n--q\n\nb\n--q--\n", Some("a\nb"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=q\n\n--q\n\na\n--q\nContent-Type: text/plain; name=b.txt\nContent-Disposition: attachment\n\nb\n--q--\n", Some("a"), None, &["b.txt"]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=q\n\n--q\n\na\n--q\nContent-Type: text/html; name=b.html\nContent-Disposition: attachment; filename=b.html\n\nb\n--q--\n", Some("a"), None, &["b.html"]),
    (b"From: a@b\n\na\0b\n", Some("ab\n"), None, &[]),
    (b"From: a@b\nContent-Type: text/html\n\n<meta charset=koi8-r>\xf0\xd2\xc9", None, Some("<meta charset=koi8-r>При"), &[]),
    (b"From: a@b\nContent-Type: text/html; charset=utf-8\n\n<meta charset=windows-1251>\xcf\xf0\xe8", None, Some("<meta charset=windows-1251>При"), &[]),
    (b"From: a@b\nContent-Type: text/html; charset=us-ascii\n\n<meta charset=windows-1251>\xcf\xf0\xe8", None, Some("<meta charset=windows-1251>При"), &[]),
    (b"From: a@b\nContent-Type: text/html\n\n<meta charset=utf-16>\xc3\xa9", None, Some("<meta charset=utf-16>é"), &[]),
    (b"From: a@b\nSubject: =?koi8-r?B?8NLJ18XU?=\n\n\xf0\xd2\xc9\xd7\xc5\xd4", Some("Привет"), None, &[]),
    (b"From: a@b\nContent-Type: multipart/mixed; boundary=q\n\n--q\n\n\xf0\xd2\xc9\n--q\nContent-Type: text/html; charset=koi8-r\n\n\xf0\xd2\xc9\n--q--\n", Some("При"), None, &[]),
];

fn files(mail: &Mail) -> Vec<&str> {
    mail.attachments.iter().map(|file| file.filename.as_deref().unwrap_or(&file.mime_type)).collect()
}

#[test]
fn a_mail_has_the_parts_that_people_see() {
    for (raw, text, html, wanted) in MAILS {
        let mail = parse(raw, &Limits::default()).mail;
        let shown = raw.escape_ascii();
        if text.is_some() {
            assert_eq!(mail.text.as_deref(), *text, "{shown}");
        }
        if html.is_some() {
            assert_eq!(mail.html.as_deref(), *html, "{shown}");
        }
        assert_eq!(files(&mail), *wanted, "{shown}");
    }
}
