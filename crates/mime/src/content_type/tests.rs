//! Fields as mail programs write them.

use super::*;

fn name(raw: &str) -> Option<String> {
    Parameterised::read(raw.as_bytes()).text("name", &mut Decoder::new(100))
}

#[test]
fn file_names_are_read_in_every_way_they_are_written() {
    assert_eq!(name("a/b; name=\"x y.pdf\"").as_deref(), Some("x y.pdf"));
    assert_eq!(name("a/b; name*=UTF-8''na%C3%AFve.txt").as_deref(), Some("naïve.txt"));
    assert_eq!(name("a/b; name*=ks_c_5601-1987''%B0%A1").as_deref(), Some("가"));
    assert_eq!(name("a/b; name*=na%C3%AFve.txt").as_deref(), Some("naïve.txt"));
    assert_eq!(name("a/b; name*0*=UTF-8''na%C3; name*1*=%AFve; name*2=.txt").as_deref(), Some("naïve.txt"));
    assert_eq!(name("a/b;\r\n name*0=\"long \";\r\n\tname*1=\"name\"").as_deref(), Some("long name"));
    assert_eq!(name("a/b; name=\"=?utf-8?Q?na=C3=AFve?=\"").as_deref(), Some("naïve"));
    assert_eq!(name("a/b; name=plain; name*=UTF-8''ext").as_deref(), Some("ext"));
    assert_eq!(name("a/b; name=\"\"").as_deref(), None);
}

#[test]
fn names_in_pieces_are_whole_however_they_are_numbered() {
    assert_eq!(name("a/b; name*1=\"ab\"; name*2=\"c\"").as_deref(), Some("abc"));
    assert_eq!(name("a/b; name*00*=UTF-8''a; name*01*=b").as_deref(), Some("ab"));
    assert_eq!(name("a/b; name*1*=b; name*0*=UTF-8''a; name=x").as_deref(), Some("ab"));
    assert_eq!(name("a/b; name*0=a; name*2=c").as_deref(), Some("a"));
    assert_eq!(name("a/b; name*0=\"100%20\"; name*1=x").as_deref(), Some("100%20x"));
    assert_eq!(
        name("a/b; name=x; name*0*=UTF-8''%E6; name*1*=%97%A5").as_deref(),
        Some("日"),
        "a character in two pieces"
    );
    assert_eq!(name("a/b; name*0=\"=?utf-8?B?5pel\"; name*1=\"5pys?=\"").as_deref(), Some("日本"));
}

#[test]
fn an_extended_name_is_read_with_broken_marks_and_wrong_charsets() {
    for raw in [
        "a/b; name*=utf-8'%E6%97%A5",
        "a/b; name*=utf-8%27%27%E6%97%A5",
        "a/b; name=\"UTF-8''%E6%97%A5\"",
        "a/b; name*=iso-8859-1''%E6%97%A5",
        "a/b; name*=''%e6%97%a5",
    ] {
        assert_eq!(name(raw).as_deref(), Some("日"), "{raw}");
    }
    assert_eq!(name("a/b; name*=utf-8''caf%E9").as_deref(), Some("café"));
    assert_eq!(name("a/b; name*=utf-8''Ann's%20list").as_deref(), Some("Ann's list"));
}

#[test]
fn quotes_and_semicolons_are_forgiven() {
    for raw in [
        "a/b; name=\"x.pdf\" size=3",
        "a/b; name=\"x.pdf\" (a file)",
        "a/b; name=\"x.pdf",
        "a/b; name=\"x.pdf; size=3",
        "name=\"x.pdf\"",
        "; name = x.pdf ;",
        "a/b;; (c) name=\"x.pdf\"; name=\"y.pdf\"",
    ] {
        assert_eq!(name(raw).as_deref(), Some("x.pdf"), "{raw}");
    }
    assert_eq!(name("a/b; name=\"C:\\dir\\x.pdf\"").as_deref(), Some("C:\\dir\\x.pdf"));
    assert_eq!(name("a/b; name=\"a\\\"b.pdf\"").as_deref(), Some("a\"b.pdf"));
    assert_eq!(name("a/b; name=\\\"x.pdf\\\"; x=y").as_deref(), Some("x.pdf"));
    assert_eq!(name("a/b; name=my file (1).pdf; x=y").as_deref(), Some("my file (1).pdf"));
}

#[test]
fn a_raw_name_is_in_the_charset_of_the_mail() {
    let read = Parameterised::read(b"a/b; name=\"\x95\x5c\x93\xfa.pdf\"");
    let mut decoder = Decoder::new(1);
    decoder.hint = "shift_jis".to_owned();
    assert_eq!(read.text("name", &mut decoder).as_deref(), Some("表日.pdf"));
}

#[test]
fn a_raw_name_of_seven_bits_may_hold_quotes_and_semicolons() {
    for (raw, wanted) in [
        ("a/b; name=\"\x1b$B$\"$$\x1b(B.pdf\"; x=y", "あい.pdf"),
        ("a/b; name=\"\x1b$B;qNA$\"\x1b(B.pdf\"", "資料あ.pdf"),
        ("a/b; name=\x1b$B;qNA$\"\x1b(B.pdf; x=y", "資料あ.pdf"),
    ] {
        assert_eq!(name(raw).as_deref(), Some(wanted));
    }
}

#[test]
fn a_name_may_end_in_a_character_whose_second_half_is_a_backslash() {
    for end in ["\"", "\"; x=y", "\" ;"] {
        let raw = [b"a/b; name=\"\x93\xfa\x95\\", end.as_bytes()].concat();
        let mut decoder = Decoder::new(1);
        decoder.hint = "shift_jis".to_owned();
        assert_eq!(Parameterised::read(&raw).text("name", &mut decoder).as_deref(), Some("日表"));
    }
    assert_eq!(name("a/b; name=\"\\\"é\\\".pdf\"").as_deref(), Some("\"é\".pdf"), "an escaped quote is one");
}

#[test]
fn a_token_ends_before_its_comment() {
    let read = Parameterised::read(b"text/plain; charset=utf-8 (as always)");
    assert_eq!(read.token("charset"), Some("utf-8"));
}

#[test]
fn a_missing_semicolon_does_not_lose_the_parameters() {
    let read = Parameterised::read(b"text/plain charset=utf-8; format=flowed");
    assert_eq!((read.value.as_str(), read.token("charset")), ("text/plain", Some("utf-8")));
}

#[test]
fn white_space_around_the_slash_does_no_harm() {
    for raw in [
        "text /html; charset=utf-8",
        "text/ html;charset=utf-8",
        "text / html charset=utf-8",
        " text/html (x); charset=utf-8",
    ] {
        let read = Parameterised::read(raw.as_bytes());
        assert_eq!((read.value.as_str(), read.token("charset")), ("text/html", Some("utf-8")), "{raw}");
    }
    assert_eq!(Parameterised::read(b"text (a/b)").value, "text");
}

#[test]
fn what_is_no_media_type_becomes_the_fallback() {
    assert_eq!(media_type("text", "a/b"), "text/plain");
    assert_eq!(media_type("rubbish", "a/b"), "a/b");
    assert_eq!(media_type("", "a/b"), "a/b");
}
