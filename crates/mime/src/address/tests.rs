//! Address fields as people and programs write them.

use super::*;

fn list(raw: &str) -> Vec<(String, String)> {
    read(raw.as_bytes(), 100, &mut Decoder::new(100))
        .into_iter()
        .map(|a| (a.name.unwrap_or_default(), a.address))
        .collect()
}

#[track_caller]
fn one(raw: &str, name: &str, address: &str) {
    assert_eq!(list(raw), [(name.to_owned(), address.to_owned())], "{raw}");
}

#[test]
fn an_address_is_read_as_people_write_it() {
    one("a@b.org", "", "a@b.org");
    one("<a@b.org>", "", "a@b.org");
    one("Ann B <a@b.org>", "Ann B", "a@b.org");
    one("\"B, Ann\" <a@b.org>", "B, Ann", "a@b.org");
    one("a@b.org (Ann B)", "Ann B", "a@b.org");
    one("=?utf-8?Q?B=2C_Ann?= <a@b.org>", "B, Ann", "a@b.org");
    one("\"=?utf-8?Q?B=2C_Ann?=\" <a@b.org>", "B, Ann", "a@b.org");
    one("Ann <@relay,@other:a@b.org>", "Ann", "a@b.org");
    one("=?utf-8?Q?Ann_=3Ca=40b=2Eorg=3E?=", "Ann", "a@b.org");
}

#[test]
fn bounces_and_broken_fields_have_an_address() {
    one("MAILER-DAEMON", "", "MAILER-DAEMON");
    one("Fabian <x@y.co", "Fabian", "x@y.co");
    one("\"Ann <a@b.org>", "Ann", "a@b.org");
    one("Ann (Sales <a@b.org>", "Ann (Sales", "a@b.org");
    one("Ann a@b.org>", "Ann", "a@b.org");
    one("Ann <<a@b.org>>", "Ann", "a@b.org");
    one("Ann <MailTo:a@b.org>", "Ann", "a@b.org");
    one("\"Bee, Ann\" a@b.org", "Bee, Ann", "a@b.org");
    one("Ann Bee", "Ann Bee", "");
    one("Ann a@b.org", "Ann", "a@b.org");
    one("Ann Bee [SMTP:a@b.org]", "Ann Bee", "a@b.org");
    one("\"Ann Bee\" [mailto:a@b.org]", "Ann Bee", "a@b.org");
    one("Ann <[a@b.org]>", "Ann", "a@b.org");
    one("a@[192.0.2.1]", "", "a@[192.0.2.1]");
    one("Ann Bee (a@b.org)", "Ann Bee", "a@b.org");
    one("Ann (a@b.org)", "Ann", "a@b.org");
    one("\"Bee, Ann\" (a@b.org)", "Bee, Ann", "a@b.org");
    one("Ann (at home @ noon)", "at home @ noon", "Ann");
}

#[test]
fn a_quoted_local_part_keeps_its_quotes() {
    one("\"john doe\"@b.org", "", "\"john doe\"@b.org");
    one("John \"a..b.\"@b.org", "John", "\"a..b.\"@b.org");
    one("\"a\\\"b\"@b.org", "", "\"a\\\"b\"@b.org");
    one("<\"john doe\"@b.org>", "", "\"john doe\"@b.org");
    one("\"a@b.org\"", "", "a@b.org");
}

#[test]
fn white_space_within_an_address_does_not_cut_it_off() {
    for raw in ["joe @ example . org", "joe@example .org", "joe @example . org", "<joe @ example . org>"] {
        one(raw, "", "joe@example.org");
    }
    one("joe @ example . org Joe B. Cee", "Joe B. Cee", "joe@example.org");
    one("Joe . B. joe@example.org", "Joe . B.", "joe@example.org");
}

#[test]
fn a_comment_within_a_name_leaves_no_gap() {
    one("Ann (Sales) Bee <a@b.org>", "Ann Bee", "a@b.org");
}

#[test]
fn characters_that_look_like_marks_are_none() {
    one("\x1b$B$\"$$$,\x1b(B <a@b.org>", "あいが", "a@b.org");
    one("\"\x1b$B$\"$$$,\x1b(B\" <a@b.org>", "あいが", "a@b.org");
    for (raw, charset, name) in [
        (&b"\"\x83\x5c\x83j \x95\x5c\" <a@b.org>"[..], "shift_jis", "ソニ 表"),
        (b"\"\xb3\x5c\xa5\x5c\" <a@b.org>", "big5", "許功"),
    ] {
        let mut decoder = Decoder::new(1);
        decoder.hint = charset.to_owned();
        let list = read(raw, 10, &mut decoder);
        assert_eq!((list[0].name.as_deref(), list[0].address.as_str()), (Some(name), "a@b.org"));
    }
}

#[test]
fn recipients_without_commas_between_them_are_all_kept() {
    let pairs = |raw| list(raw).into_iter().map(|(n, a)| format!("{n}|{a}")).collect::<Vec<_>>();
    assert_eq!(pairs("Ann <a@b.org> Bob <c@d.org>"), ["Ann|a@b.org", "Bob|c@d.org"]);
    assert_eq!(pairs("<a@b.org>\r\n <c@d.org>"), ["|a@b.org", "|c@d.org"]);
    assert_eq!(pairs("a@b.org c@d.org"), ["|a@b.org", "|c@d.org"]);
    assert_eq!(pairs("'a@b.org', 'c@d.org'"), ["|a@b.org", "|c@d.org"]);
    assert_eq!(pairs("<a@b.org, c@d.org>"), ["|a@b.org", "|c@d.org"]);
    assert_eq!(pairs("Ann <a@b.org> <mailto:a@b.org>"), ["Ann|a@b.org"]);
    let many = "a@b ".repeat(1_000);
    assert_eq!(read(many.as_bytes(), 10, &mut Decoder::new(1)).len(), 10);
}

#[test]
fn lists_and_groups_are_flattened() {
    let addresses = |raw| list(raw).into_iter().map(|(_, a)| a).collect::<Vec<_>>();
    assert_eq!(addresses("a@b, c@d;e@f"), ["a@b", "c@d", "e@f"]);
    assert_eq!(addresses("Friends: a@b, Cee <c@d>;, e@f"), ["a@b", "c@d", "e@f"]);
    assert_eq!(addresses("undisclosed-recipients:;"), Vec::<String>::new());
    assert_eq!(addresses("<Undisclosed-Recipient:;>"), Vec::<String>::new());
    assert_eq!(addresses(" , ,"), Vec::<String>::new());
}
