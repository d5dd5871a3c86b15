//! Senders and recipients as people and programs write them.

use mailfleet_mime::{Limits, parse};

/// The field as sent (some with more fields behind it), the name and the address. The second column is empty where there is
/// no name, the third where there is no address.
const SENDERS: &[(&[u8], &str, &str)] = &[
    (b"a@b.org", "", "a@b.org"),
    (b"Ann <a@b.org>", "Ann", "a@b.org"),
    (b"a@b.org (Ann (the) B)", "Ann (the) B", "a@b.org"),
    (b"(x) Ann <a@b.org>", "Ann", "a@b.org"),
    (b"Ann (Sales) Bee <a@b.org>", "Ann Bee", "a@b.org"),
    (b"<a@b.org> (Ann)", "Ann", "a@b.org"),
    (b"\"Ann \\\"X\\\" Bee\" <a@b.org>", "Ann \"X\" Bee", "a@b.org"),
    (b"\"Ann\" \"Bee\" <a@b.org>", "Ann Bee", "a@b.org"),
    (b"'Ann Bee' <a@b.org>", "'Ann Bee'", "a@b.org"),
    (b"\"'a@b.org'\" <a@b.org>", "'a@b.org'", "a@b.org"),
    (b"\"a@b.org\" <a@b.org>", "a@b.org", "a@b.org"),
    (b"x@y.org <a@b.org>", "x@y.org", "a@b.org"),
    (b"Bee, Ann <a@b.org>", "Ann", "a@b.org"),
    (b"=?iso-8859-1?Q?M=FCller=2C_Ann?= <a@b.org>", "Müller, Ann", "a@b.org"),
    (b"=?utf-8?Q?Ann?=<a@b.org>", "Ann", "a@b.org"),
    (b"=?utf-8?B?5pel5pw=?= =?utf-8?B?rOiqng==?= <a@b.org>", "日本語", "a@b.org"),
    (b"Zo\xc3\xab <zoe@b.org>", "Zoë", "zoe@b.org"),
    (b"Zo\xeb <zoe@b.org>", "Zoë", "zoe@b.org"),
    (b"\x1b$B$\"$$\x1b(B <a@b.org>", "あい", "a@b.org"),
    (b"\"\x1b$B$\"$$\x1b(B\" <a@b.org>", "あい", "a@b.org"),
    (b"\"\x83\\\x83j\" <a@b.org>\nContent-Type: text/plain; charset=shift_jis", "ソニ", "a@b.org"),
    (b"\"\xd6\xd0\xce\xc4\" <a@b.org>\nContent-Type: text/plain; charset=gb2312", "中文", "a@b.org"),
    (b"\"\xb3\\\xa5\\\" <a@b.org>\nContent-Type: text/plain; charset=big5", "許功", "a@b.org"),
    (b"Ann <a\xc3\xb1n@b\xc3\xbccher.example>", "Ann", "añn@bücher.example"),
    (b"<=?utf-8?Q?a=40b=2Eorg?=>", "", "a@b.org"),
    (b"=?utf-8?Q?Ann_=3Ca=40b=2Eorg=3E?=", "Ann", "a@b.org"),
    (b"Ann < a@b.org >", "Ann", "a@b.org"),
    (b"Ann <a@b.org", "Ann", "a@b.org"),
    (b"Ann a@b.org>", "Ann", "a@b.org"),
    (b"Ann <<a@b.org>>", "Ann", "a@b.org"),
    (b"CN=Ann Bee/OU=X/O=Org@Org", "", "CN=Ann Bee/OU=X/O=Org@Org"),
    (b"cn=Ann Bee/ou=X@Org.example", "", "cn=Ann Bee/ou=X@Org.example"),
    (b"Ann Bee/Sales/Org@Org", "", "Ann Bee/Sales/Org@Org"),
    (b"Ann Bee/Sales <a@b.org>", "Ann Bee/Sales", "a@b.org"),
    (b"Ann and/or a/b@x.example", "Ann and/or", "a/b@x.example"),
    (b"Ann <mailto:a@b.org>", "Ann", "a@b.org"),
    (b"Ann <MAILTO:a@b.org>", "Ann", "a@b.org"),
    (b"a@b.org <mailto:a@b.org>", "a@b.org", "a@b.org"),
    (b"Ann <@x,@y:a@b.org>", "Ann", "a@b.org"),
    (b"\"john doe\"@b.org", "", "\"john doe\"@b.org"),
    (b"Ann <\"john doe\"@b.org>", "Ann", "\"john doe\"@b.org"),
    (b"Ann <\"a@x\"@b.org>", "Ann", "\"a@x\"@b.org"),
    (b"Ann <a@[192.168.0.1]>", "Ann", "a@[192.168.0.1]"),
    (b"a@[IPv6:::1]", "", "a@[IPv6:::1]"),
    (b"<abc..def.@docomo.ne.jp>", "", "abc..def.@docomo.ne.jp"),
    (b"abc..def@docomo.ne.jp", "", "abc..def@docomo.ne.jp"),
    (b"\"abc..def.\"@docomo.ne.jp", "", "\"abc..def.\"@docomo.ne.jp"),
    (b"", "", ""),
    (b"<>", "", ""),
    (b"Mail Delivery <>", "Mail Delivery", ""),
    (b"MAILER-DAEMON", "", "MAILER-DAEMON"),
    (b"MAILER-DAEMON (Mail Delivery System)", "Mail Delivery System", "MAILER-DAEMON"),
    (b"\"Ann\" <IMCEAEX-_O=ORG_OU=X@b.org>", "Ann", "IMCEAEX-_O=ORG_OU=X@b.org"),
    (b"/G=Ann/S=Bee/@b.org", "", "/G=Ann/S=Bee/@b.org"),
    (b"Ann <a@b.org>, Bob <b@b.org>", "Ann", "a@b.org"),
    (b"Team: Ann <a@b.org>;", "Ann", "a@b.org"),
    (b"John Q. Public <a@b.org>", "John Q. Public", "a@b.org"),
    (b"John @ Company <a@b.org>", "John @ Company", "a@b.org"),
    (b"Support: Help <a@b.org>", "Help", "a@b.org"),
    (b"Ann via X: List <a@b.org>", "List", "a@b.org"),
    (b"=?utf-8?Q?Support=3A_Help?= <a@b.org>", "Support: Help", "a@b.org"),
    (b"\"Ann Bee <a@b.org>", "Ann Bee", "a@b.org"),
    (b"Ann Bee\" <a@b.org>", "Ann Bee", "a@b.org"),
    (b"\"Ann \\\" <a@b.org>", "Ann \\", "a@b.org"),
    (b"\"Ann \\(Sales\\)\" <a@b.org>", "Ann (Sales)", "a@b.org"),
    (b"a@b.org (=?utf-8?Q?Zo=C3=AB?=)", "Zoë", "a@b.org"),
    (b"Ann (Sales <a@b.org>", "Ann (Sales", "a@b.org"),
    (b"a@b@c.org", "", "a@b@c.org"),
    (b"Ann\t<a@b.org>", "Ann", "a@b.org"),
    (b"Ann\r\n\t<a@b.org>", "Ann", "a@b.org"),
    (b"Ann <a@\r\n b.org>", "Ann", "a@b.org"),
    (b"Ann\0 <a@b.org>", "Ann", "a@b.org"),
    (b"\"\xe2\x80\xaeAnn\" <a@b.org>", "\u{202e}Ann", "a@b.org"),
    (b"\"Ann (a@b.org)\" <x@y.org>", "Ann (a@b.org)", "x@y.org"),
    (b"a%b.org@c.org", "", "a%b.org@c.org"),
    (b"host!user", "", "host!user"),
];

#[test]
fn the_sender_is_who_people_see() {
    for (sent, name, address) in SENDERS {
        let raw = [b"From: ", *sent, b"\n\nbody\n"].concat();
        let from = parse(&raw, &Limits::default()).mail.from;
        let seen = from.map(|from| (from.name.unwrap_or_default(), from.address)).unwrap_or_default();
        assert_eq!((seen.0.as_str(), seen.1.as_str()), (*name, *address), "{}", sent.escape_ascii());
    }
}

/// The field as sent, and all addresses in it.
const RECIPIENTS: &[(&[u8], &[&str])] = &[
    (b"a@b, c@d ,e@f", &["a@b", "c@d", "e@f"]),
    (b"a@b; c@d", &["a@b", "c@d"]),
    (b"\"X, Y\" <a@b>; Z <c@d>", &["a@b", "c@d"]),
    (b"undisclosed-recipients:;", &[]),
    (b"Undisclosed recipients: ;", &[]),
    (b"<Undisclosed-Recipient:;>", &[]),
    (b"\"Undisclosed-Recipient:;\"@x.org", &["\"Undisclosed-Recipient:;\"@x.org"]),
    (b"undisclosed-recipients", &["undisclosed-recipients"]),
    (b"A: a@b, c@d;, B: e@f;, g@h", &["a@b", "c@d", "e@f", "g@h"]),
    (b"A: a@b, c@d; B: e@f; g@h", &["a@b", "c@d", "e@f", "g@h"]),
    (b"a@b,,c@d,", &["a@b", "c@d"]),
    (b"<a@b> <c@d>", &["a@b", "c@d"]),
    (b"Ann <a@b> Bob <c@d>", &["a@b", "c@d"]),
    (b"a@b c@d", &["a@b", "c@d"]),
    (b"\"Bee, Ann\" a@b.org", &["a@b.org"]),
    (b"=?utf-8?Q?a=40b=2Eorg=2C_c=40d=2Eorg?=", &["a@b.org", "c@d.org"]),
    (b"'a@b.org', 'c@d.org'", &["a@b.org", "c@d.org"]),
    (b"Ann <a@b.org>\r\n Bob <c@d.org>", &["a@b.org", "c@d.org"]),
    (b"a@b.org.", &["a@b.org."]),
    (b"<a@b.org, c@d.org>", &["a@b.org", "c@d.org"]),
    (b" \r\n a@b.org", &["a@b.org"]),
];

#[test]
fn every_recipient_is_kept_whatever_stands_between_them() {
    for (sent, addresses) in RECIPIENTS {
        let raw = [b"To: ", *sent, b"\n\nbody\n"].concat();
        let to = parse(&raw, &Limits::default()).mail.to;
        let seen: Vec<_> = to.iter().map(|one| one.address.as_str()).collect();
        assert_eq!(seen, *addresses, "{}", sent.escape_ascii());
    }
}
