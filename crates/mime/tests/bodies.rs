//! Bodies in every encoding and charset, rightly and wrongly named, and the text that people see.

use mailfleet_mime::{Limits, parse};

#[track_caller]
fn check(head: &str, body: &[u8], seen: &str) {
    let raw = [b"From: a@b.org\nContent-Type: text/plain; charset=", head.as_bytes(), b"\n\n", body].concat();
    let text = parse(&raw, &Limits::default()).mail.text;
    assert_eq!(text.as_deref(), Some(seen), "{head}: {}", body.escape_ascii());
}

/// Content-Transfer-Encoding, a body under it in UTF-8, and its text.
const ENCODED: &[(&str, &[u8], &str)] = &[
    ("base64", b"aGVsbG8gd29ybGQhQ", "hello world!"),
    ("base64", b"aGVsbG8=IHdvcmxk", "hello world"),
    ("base64", b"aGVsbG8=\nIHdvcmxk\n", "hello world"),
    ("base64", b"aGVs*bG8-gd29ybGQ=", "hello world"),
    ("base64", b"aGVs bG8g d29y bGQ=", "hello world"),
    ("base64", b"  aGVsbG8g\n  d29ybGQ=", "hello world"),
    ("base64\n\naGVsbG8=", b"footer here", "hello"),
    ("base64\n\naGVsbG8g", b"d29ybGQ=", "hello world"),
    ("base64\n\n", b"aGVsbG8=", "hello"),
    ("base64", b"aGVsbG8g!\n d29ybGQ=", "hello world"),
    ("base64", b"aGVsb\nG8gd2\n9ybGQ\n=", "hello world"),
    ("base64", b"Hello, this is plain text.\n", "Hello, this is plain text.\n"),
    ("base64", b"aGVs\0bG8=", "hello"),
    ("base64", b"aG*Vs\n\nbG8g\n\nd29y\n\nbGQ=\n\nfoot\n", "hello world"),
    ("base64", b"aGVsbG8g\n-- \nAnn\n", "hello "),
    ("base64", b"aGVsbG8g\n\nRegards\n", "hello "),
    ("base64", b"eD95P37DvD4-Pg\n", "x?y?~ü>>>"),
    ("base64", b"> aGVs\n> bG8=\n", "hello"),
    ("base64", b">aGVs\n>\n>bG8=\n", "hello"),
    ("base64", b"aGVs\r\r\nbG8=\r\r\n", "hello"),
    ("quoted-printable", b"caf=C3=A9=\n x", "café x"),
    ("quoted-printable", b"caf=c3=a9", "café"),
    ("quoted-printable", b"caf=C3=A9=", "café"),
    ("quoted-printable", b"caf=  \n=C3=A9", "café"),
    ("quoted-printable", b"a   \nb", "a\nb"),
    ("quoted-printable", b"a=20\nb", "a \nb"),
    ("quoted-printable", b"50=% =ZZ =", "50=% =ZZ "),
    ("quoted-printable", b"a=0D=0Ab", "a\nb"),
    ("quoted-printable", b"a=0Ab", "a\nb"),
    ("quoted-printable", b"a==C3=A9", "a=é"),
    ("quoted-printable", b".\nx", ".\nx"),
    (" Quoted-Printable ", b"=C3=A9", "é"),
    ("quoted-printable (x)", b"=C3=A9", "é"),
    ("(x) quoted-printable", b"=C3=A9", "é"),
    ("8bits", b"\xc3\xa9", "é"),
    ("utf-8", b"\xc3\xa9", "é"),
    ("none", b"\xc3\xa9", "é"),
    ("base64;", b"w6k=", "é"),
];

#[test]
fn a_badly_encoded_body_is_read() {
    for (encoding, body, seen) in ENCODED {
        check(&format!("utf-8\nContent-Transfer-Encoding: {encoding}"), body, seen);
    }
}

/// What stands behind `charset=`, a body under it, and its text.
const LABELLED: &[(&str, &[u8], &str)] = &[
    ("iso-2022-jp", b"\x1b$BF|\x1b(B\x1b$BK\\\x1b(B", "日本"),
    ("iso-2022-jp", b"\x1b(B\x1b$BF|K\\\x1b(B\x1b(Bok", "日本ok"),
    ("iso-2022-jp", b"\x93\xfa\x96{", "日本"),
    ("iso-2022-jp", b"\xe6\x97\xa5\xe6\x9c\xac", "日本"),
    ("shift_jis", b"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe3\x81\xa7\xe3\x81\x99", "日本語です"),
    ("gb2312", b"\xe4\xb8\xad\xe6\x96\x87\xe9\x82\xae\xe4\xbb\xb6\xe5\x86\x85\xe5\xae\xb9", "中文邮件内容"),
    ("euc-kr", b"\xed\x95\x9c\xea\xb5\xad\xec\x96\xb4 \xeb\xa9\x94\xec\x9d\xbc", "한국어 메일"),
    ("big5", b"\xe4\xb8\xad\xe6\x96\x87\xe9\x83\xb5\xe4\xbb\xb6\xe5\x85\xa7\xe5\xae\xb9", "中文郵件內容"),
    (
        "windows-1251",
        b"\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82, \xd0\xbc\xd0\xb8\xd1\x80",
        "Привет, мир",
    ),
    ("koi8-r", b"\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82, \xd0\xbc\xd0\xb8\xd1\x80", "Привет, мир"),
    ("iso-8859-2", b"\xc5\xbdlu\xc5\xa5ou\xc4\x8dk\xc3\xbd k\xc5\xaf\xc5\x88", "Žluťoučký kůň"),
    ("iso-8859-2", b"\x8a\x9a\x9d\x8e", "ŠšťŽ"),
    ("us-ascii", b"a", "a"),
    ("utf-8", b"\xef\xbb\xbfhi", "hi"),
    ("iso-8859-1", b"\xef\xbb\xbfh\xc3\xa9", "hé"),
    ("utf-16", b"\0h\0i", "hi"),
    ("utf-16", b"\xfe\xff\0h\0i", "hi"),
    ("utf-16", b"\xff\xfeh\0i\0", "hi"),
    ("utf-16", b"hi there", "hi there"),
    ("utf-16", b"h\xc3\xa9", "hé"),
    ("us-ascii", b"\xff\xfeh\0i\0", "hi"),
    ("\"iso-8859-1\"", b"\x93hi\x94", "“hi”"),
    ("iso-8859-15; charset=iso-8859-15", b"\xa4", "€"),
    ("iso-8859-15 (x)", b"\xa4", "€"),
    ("charset=iso-8859-15", b"\xa4", "€"),
    ("\\\"utf-8\\\"", b"\xc3\xa9", "é"),
    ("\"ks_c_5601-1987\"", b"\xb0\xa1", "가"),
    ("utf-7", b"caf+AOk-", "café"),
    ("iso-2022-kr", b"\x1b$)C\x0e0!\x0f", "가"),
    ("iso-2022-cn", b"\x1b$)A\x0eVPND\x0f", "中文"),
    ("gb18030", b"\x819\xee9", "㐀"),
    ("windows-1258", b"Vi\xea\xf2t", "Viê\u{323}t"),
    ("windows-1252", b"\x81", "\u{81}"),
];

#[test]
fn a_body_is_read_under_right_and_wrong_labels() {
    for (label, body, seen) in LABELLED {
        check(label, body, seen);
    }
}
