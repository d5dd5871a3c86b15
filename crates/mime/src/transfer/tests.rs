//! Encodings as they are written, and as they arrive.

use super::*;

#[track_caller]
fn check(encoding: &str, raw: &[u8], decoded: &[u8], defect: Option<&str>) {
    let mut found = Found::default();
    let bytes = Encoding::from_header(encoding, &mut found).decode(raw, 1_000, &mut found).unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(decoded));
    let codes: Vec<_> = found.into_vec().iter().map(Defect::code).collect();
    assert_eq!(codes, Vec::from_iter(defect));
}

#[test]
fn one_bad_byte_does_not_lose_a_base64_attachment() {
    check("base64", b"aGVs\nbG8=\n", b"hello", None);
    check("base64", b"aGV*s\nbG8=\n", b"hello", Some("bad-base64"));
}

#[test]
fn a_cut_off_base64_body_keeps_its_whole_bytes() {
    check("base64", b"aGVsbG8gd29yb", b"hello wor", Some("bad-base64"));
}

#[test]
fn a_list_footer_behind_base64_is_left_out() {
    check("base64", b"aGVsbG8=\n\n-- \nTo unsubscribe, write to the list\n", b"hello", Some("bad-base64"));
    check("base64", b"aGVsbG8=\n_____\nTo unsubscribe, write\n", b"hello", Some("bad-base64"));
}

#[test]
fn base64_in_several_padded_pieces_is_one_body() {
    check("base64", b"aGVsbG8=\r\nIHdvcmxk\r\n", b"hello world", None);
    check("base64", b"aGVsbG8=\r\nIHdvcmxk*\r\n", b"hello world", Some("bad-base64"));
}

#[test]
fn a_text_that_says_base64_and_is_none_is_shown() {
    check(
        "base64",
        b"Hello, this is text.\r\nBye\r\n",
        b"Hello, this is text.\r\nBye\r\n",
        Some("bad-base64"),
    );
    check("base64", b"\nHallo liebe Welt\n", b"\nHallo liebe Welt\n", Some("bad-base64"));
    check("base64", b"aGVs bG8g d29y bGQ=", b"hello world", None);
    check("base64", b"aGVs bG8g d29y bGQ*=", b"hello world", Some("bad-base64"));
}

#[test]
fn raw_eight_bit_bytes_in_quoted_printable_are_kept() {
    check("quoted-printable", b"caf\xc3\xa9 =C3=A9", "café é".as_bytes(), Some("bad-quoted-printable"));
}

#[test]
fn broken_escapes_are_shown_as_they_stand() {
    check("quoted-printable", b"100=% =zz =4", b"100=% =zz =4", Some("bad-quoted-printable"));
}

#[test]
fn soft_breaks_join_lines_and_trailing_blanks_go() {
    check("Quoted-Printable (comment)", b"a=\nb  \nc= \nd", b"ab\ncd", None);
    check("Quoted-Printable (comment)", b"a=\r\nb  \r\nc= \r\nd", b"ab\r\ncd", None);
    check("Quoted-Printable (comment)", b"a \x0c\t\r\nb", b"a \x0c\r\nb", None);
}

#[test]
fn an_encoding_is_read_up_to_its_comment() {
    check("base64 (as always)", b"aGVsbG8=", b"hello", None);
    check("(as always) base64", b"aGVsbG8=", b"hello", None);
    check("7bit; charset=x", b"a\r\nb", b"a\r\nb", None);
    check("x-own", b"a\r\nb", b"a\r\nb", Some("unknown-encoding"));
}

#[test]
fn a_uuencoded_part_is_unpacked() {
    check("x-uuencode", b"begin 644 cat.txt\n#0V%T\n`\nend\n", b"Cat", None);
    check("x-uuencode", b"no file here", b"no file here", Some("unknown-encoding"));
}
