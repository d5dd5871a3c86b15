//! Subjects as mail programs of all countries and ages send them, and what their readers see.

use mailfleet_mime::{Limits, parse};

/// The value of the field as sent (some with more fields behind it), and the subject that people see.
const SUBJECTS: &[(&[u8], &str)] = &[
    (b"=?UTF-8?B?5pel5pw=?=\r\n =?UTF-8?B?rOiqng==?=", "日本語"),
    (b"=?UTF-8?B?5pel5pw=?= =?utf-8?b?rOiqng==?=", "日本語"),
    (b"=?utf-8?Q?a?==?utf-8?Q?b?=", "ab"),
    (b"=?utf-8?Q?=E6=97?= =?utf-8?B?pQ==?=", "日"),
    (b"=?utf-8*en?Q?caf=C3=A9?=", "café"),
    (b"=?utf-8?Q?a b c=C3=A9?=", "a b cé"),
    (b"=?utf-8?q?caf=c3=a9?=", "café"),
    (b"=?utf-8?B?5pel\r\n 5pys?=", "日本"),
    (b"\"=?utf-8?Q?caf=C3=A9?=\"", "\"café\""),
    (b"x=?utf-8?Q?=C3=A9?=y", "xéy"),
    (b"=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=\r\n =?ISO-2022-JP?B?GyRCOGwbKEI=?=", "日本語"),
    (b"=?ISO-2022-JP?B?GyRCRnxL?=\r\n =?ISO-2022-JP?B?XDhsGyhC?=", "日本語"),
    (b"=?ISO-2022-JP?B?GyRCRnxLXDhs?=", "日本語"),
    (b"\x1b$BF|K\\8l\x1b(B", "日本語"),
    (b"\x1b$@F|K\\8l\x1b(J", "日本語"),
    (b"\x93\xfa\x96{\x8c\xea\nContent-Type: text/plain; charset=Shift_JIS", "日本語"),
    (b"\x1b$BF|K\\8l\x1b(B\nContent-Type: text/plain; charset=ISO-2022-JP", "日本語"),
    (b"=?ISO-2022-JP?B?GyhJMTIzGyhC?=", "ｱｲｳ"),
    (b"=?ISO-2022-JP?B?GyRCLSEbKEI=?=", "①"),
    (b"=?Shift_JIS?B?h0A=?=", "①"),
    (b"=?gb2312?B?6lehqg==?=", "闣—"),
    (b"=?gb2312?B?1tA=?= =?gb2312?B?zsQ=?=", "中文"),
    (b"=?GB2312?B?1tDO?=\n =?GB2312?B?xA==?=", "中文"),
    (b"=?ks_c_5601-1987?B?x9Gxub7u?=", "한국어"),
    (b"=?EUC-KR?B?x9Gx?=\n =?euc-kr?B?ub7u?=", "한국어"),
    (b"=?ISO-2022-KR?B?GyQpQw5HUTE5Pm4P?=", "한국어"),
    (b"=?ISO-2022-CN?B?GyQpQQ5WUE5EDw==?=", "中文"),
    (b"=?utf-7?Q?caf+AOk-?=", "café"),
    (b"=?unicode-1-1-utf-7?Q?+ZeVnLIqe-?=", "日本語"),
    (b"=?UTF-16?B?/v9l5Wcsip4=?=", "日本語"),
    (b"=?UTF-16?B?//5h5Q==?=", "\u{e561}"),
    (b"=?iso-8859-1?Q?=93x=94_=80?=", "“x” €"),
    (b"=?iso-8859-1?Q?caf=C3=A9?=", "café"),
    (b"=?utf-8?Q?caf=E9?=", "café"),
    (b"=?utf-8?B?k/qWe4zq?=", "=?utf-8?B?k/qWe4zq?="),
    (b"=?utf-8?Q?caf=C3=A9", "=?utf-8?Q?caf=C3=A9"),
    (b"=?utf-8?Q?caf=C3=A9?", "=?utf-8?Q?caf=C3=A9?"),
    (b"=?utf-8?Q??=", ""),
    (b"=?utf-8?Q?a?= =?utf-8?Q??= =?utf-8?Q?b?=", "ab"),
    (b"=?utf-8?Q?what?_=C3=A9?=", "what? é"),
    (b"=?utf-8?Q?what??=", "what?"),
    (b"=?utf-8?Q?a=3D?=", "a="),
    (b"=?utf-8?Q?a=?=", "a="),
    (b"=?utf-8?B?w6k?=", "é"),
    (b"=?utf-8?B?w6k====?=", "é"),
    (b"=?utf-8?B?5pel 5pys?=", "日本"),
    (b"=?utf-8?B?8J-YgA==?=", "😀"),
    (b"=?utf-8?B?8J8=?=\n =?utf-8?B?mIA=?=", "😀"),
    (b"=?iso-8859-1?Q?caf=E9?= =?utf-8?Q?_=C3=A9?=", "café é"),
    (b"Re: =?utf-8?Q?a?= x =?utf-8?Q?b?=", "Re: a x b"),
    (b"=?utf-8?Q?a?=\r\n\t=?utf-8?Q?b?=", "ab"),
    (b"one\r\n two", "one two"),
    (b"one\r\n  two", "one two"),
    (b"one\r\n\ttwo", "one two"),
    (b"Gr\xc3\xbc\xc3\x9fe", "Grüße"),
    (b"Gr\xc3\xbc\xc3\x9fe =?utf-8?Q?=C3=A9?=", "Grüße é"),
    (b"Gr\xfc\xdfe =?iso-8859-1?Q?=E9?=", "Grüße é"),
    (b"a\0b", "ab"),
    (b"=?utf-8?Q?a=0D=0Ab?=", "a b"),
    (b"=?utf-8?Q?a=00b?=", "ab"),
    (b"=?utf-8?Q?=3D=3Futf-8=3FQ=3Fa=3F=3D?=", "=?utf-8?Q?a?="),
    (b"=?x-foo?Q?caf=C3=A9?=", "café"),
    (b"=?us-ascii?Q?caf=E9?=", "café"),
    (b"=?ANSI_X3.4-1968?Q?caf=C3=A9?=", "café"),
    (b"=?iso-8859-8-i?Q?=F9=EC=E5=ED?=", "שלום"),
    (b"=?Cp1252?Q?=80?=", "€"),
    (b"=?macintosh?Q?caf=8E?=", "café"),
    (b"=?koi8-r?B?8NLJ18XU?=", "Привет"),
    (b"=?WINDOWS-1251?B?z/Do4uXy?=", "Привет"),
    (b"=?cp866?B?j+Ct?=", "Прн"),
    (b"=?utf-8?B?z/Do4uXy?=", "=?utf-8?B?z/Do4uXy?="),
    (b"=?iso-8859-1?Q?a_b?=", "a b"),
    (b"=??Q?abc?=", "=??Q?abc?="),
    (b"=?utf-8?B?77u/YQ==?=", "a"),
    (b"a\xe2\x80\x8bb", "a\u{200b}b"),
    (b"=?big5?B?pKSk5Q==?=", "中文"),
    (b"=?big5-hkscs?B?pKSk5Q==?=", "中文"),
    (b"=?TIS-620?B?5LfC?=", "ไทย"),
    (b"=?\"utf-8\"?Q?=C3=A9?=", "é"),
    (b"=?UTF8?B?w6k=?=", "é"),
    (b"=?cp850?Q?=82?=", "é"),
    (b"=?ibm852?Q?=A0?=", "á"),
    (b"=?cp852?Q?=A6=98?=", "Žś"),
    (b"=?cp858?Q?=D5?=", "€"),
    (b"=?cp862?Q?=80?=", "א"),
    (b"=?iso-8859-6?Q?=C7?=", "ا"),
    (b"=?iso-ir-100?Q?=E9?=", "é"),
    (b"=?utf-32be?B?AAAAYQ==?=", "a"),
    (b"=?utf-7?Q?Hi_=2BAOk-?=", "Hi é"),
];

#[test]
fn a_subject_is_what_people_see() {
    for (sent, seen) in SUBJECTS {
        let raw = [b"Subject: ", *sent, b"\n\nbody\n"].concat();
        let subject = parse(&raw, &Limits::default()).mail.subject;
        assert_eq!(subject, *seen, "{}", sent.escape_ascii());
    }
}

#[test]
fn a_word_that_is_bent_is_named_whatever_stands_behind_it() {
    for raw in ["=?no-such?Q?caf=E9?=", "=?no-such?Q?caf=E9?= and more", "=?no-such?Q?caf=E9?= =?utf-8?Q?x?="]
    {
        let parsed = parse(format!("From: a@b.org\nSubject: {raw}\n\nx").as_bytes(), &Limits::default());
        let codes: Vec<_> = parsed.defects.iter().map(mailfleet_mime::Defect::code).collect();
        assert_eq!(codes, ["unknown-charset"], "{raw}");
    }
}
