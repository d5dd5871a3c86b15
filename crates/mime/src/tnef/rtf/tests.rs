//! The documents here are made by hand, in the manner of Outlook and of hostile writers.

use proptest::prelude::*;

use super::*;

/// A document in the manner of Exchange: what RTF shows of the HTML, and what it does not.
const WRAPPED: &[u8] = br#"{\rtf1\ansi\ansicpg1252\fromhtml1 \deff0{\fonttbl
{\f0\fswiss\fcharset0 Arial;}{\f1\fswiss\fcharset204 Arial Cyr;}{\f2\fnil\fcharset128 Gothic;}}
{\colortbl\red0\green0\blue0;}\uc1\pard\plain\deftab360 \f0\fs24
{\*\htmltag19 <html>}{\*\htmltag2 \par }{\*\htmltag50 <body class="\{a\}">}\htmlrtf \lang1033 \htmlrtf0
{\*\htmltag64 <p>}\htmlrtf {\htmlrtf0 Caf\'e9 {\*\htmltag84 &amp;}\htmlrtf &\htmlrtf0
\f1 \'cf\'f0\'e8{\*\htmltag84 <b title="\'e9">}\htmlrtf {\b\htmlrtf0 \'e2\'e5\'f2{\*\htmltag92 </b>}\htmlrtf }\htmlrtf0
{\*\mhtmltag84 <img src="cid:x">}{\*\htmltag84 <br>}\htmlrtf \line
\htmlrtf0 \f2 \'93\'fa\'96\'7b \u8364?\tab \u-10179?\u-8693?\~\lquote a\\b\rquote
\line\htmlrtf\par}\htmlrtf0
{\*\htmltag72 </p>}{\pict\bin3 }}x}{\*\htmltag58 </body>}{\*\htmltag27 </html>}}"#;

fn html(rtf: &[u8]) -> String {
    to_html(rtf, 0, usize::MAX).unwrap()
}

#[test]
fn wrapped_html_is_given_back() {
    assert!(is_html(WRAPPED));
    assert_eq!(
        html(WRAPPED),
        "<html>\r\n<body class=\"{a}\"><p>Café &amp;При<b title=\"é\">вет</b><br>日本 €\t\u{1f60b}\u{a0}‘a\\b’\r\n\
         </p></body></html>"
    );
}

#[test]
fn only_rtf_that_says_so_in_its_beginning_is_html() {
    assert!(is_html(b"{\\rtf1\\ansi\\fromhtml1 x}"));
    assert!(
        !is_html(b"{\\rtf1\\ansi\\fromhtml0 x}") && !is_html(b"{\\rtf1\\ansi x}") && !is_html(b"\\fromhtml1")
    );
    assert!(!is_html(b"{\\rtf1\\b\\b\\b\\b\\b\\b\\b\\b\\b\\b\\fromhtml1 x}"));
}

/// As a character format it holds within groups that open behind it, and ends with its group.
#[test]
fn what_the_html_never_had_is_left_out_by_groups() {
    let wrapped = |body: &str| html(format!("{{\\rtf1\\fromhtml1 {body}}}").as_bytes());
    assert_eq!(wrapped("a{\\htmlrtf b{c}{\\htmlrtf0 d}e}f"), "adf");
    assert_eq!(wrapped("a\\htmlrtf1 b{\\*\\htmltag64 <p>}\\htmlrtf0 c"), "ac");
    assert_eq!(
        wrapped("a\\htmlrtf\\f1\\uc2\\u955 xy\\htmlrtf0 \\u955 xyb"),
        "aλb",
        "what it sets holds behind it"
    );
}

#[test]
fn code_pages_of_fonts_hold_where_they_are_chosen() {
    let fonts =
        "{\\fonttbl{\\f0\\fcharset0 A;}{\\f1\\fcharset204 B;}{\\f2\\cpg437 C;}{\\f3 D;}{\\f4\\fcharset1 E;}}";
    let read = |body: &str| to_text(format!("{{\\rtf1\\ansicpg1253\\deff1{fonts}{body}}}").as_bytes());
    assert_eq!(read("\\'cf{\\f0\\'cf{\\f3\\'cf}{\\f4\\'cf}\\'cf}\\f2\\'82\\plain\\'cf\\f9\\'cf"), "ПÏΟΟÏéПΟ");
}

#[test]
fn halves_of_characters_are_marked() {
    let read = |body: &str| to_text(format!("{{\\rtf1\\ansicpg932{body}}}").as_bytes());
    assert_eq!(read("\\'93\\par\\u-10179?x\\u-8693?"), "\u{fffd}\n\u{fffd}x\u{fffd}");
    assert_eq!(
        read("\\'93\\'fa\\'83A\\'83\\\\b"),
        "日アソb",
        "the second byte of a character may be a sign of RTF"
    );
}

#[test]
fn rtf_of_plain_text_is_read_as_such() {
    let rtf = br"{\rtf1\ansi\ansicpg1252\fromtext \deff0{\fonttbl{\f0\fswiss Arial;}{\f3\fswiss\fcharset238 Arial;}}
{\colortbl\red0\green0\blue0;}\uc1\pard\plain\deftab360 \f0\fs20 Dear all,\par
\par
{\f3 \'b9\'ea}\{x\}\par
}";
    assert!(!is_html(rtf));
    assert_eq!(to_text(rtf), "Dear all,\n\nąę{x}");
}

#[test]
fn the_words_are_read_and_nothing_else() {
    let rtf = br"{\rtf1\ansi\ansicpg1251\deff0{\fonttbl{\f0\fswiss Arial;}}{\*\generator x;}
{\colortbl;\red0\green0\blue255;}\pard\f0\fs20 \'cf\'f0\'e8\'e2\'e5\'f2, {\b you} \{all\}\par
caf\u233? \u-10179?\u-8693?!\tab{\pict\bin3 }}x}a\~b\line end}";
    assert_eq!(to_text(rtf), "Привет, you {all}\ncafé \u{1f60b}!\ta\u{a0}b\nend");
}

#[test]
fn html_in_rtf_is_read_by_its_words() {
    let rtf = br"{\rtf1\ansi\fromhtml1 {\*\htmltag64 <p>}\htmlrtf {\htmlrtf0 Dear all\htmlrtf \par}\htmlrtf0 {\*\htmltag72 </p>}bye}";
    assert_eq!(to_text(rtf), "Dear all\nbye");
}

#[test]
fn deep_groups_and_long_words_do_no_harm() {
    let deep = [&b"{\\rtf1 a"[..], &b"{".repeat(1_000_000), b"b", &b"}".repeat(1_000_000), b"c}"].concat();
    assert_eq!((to_text(&deep), html(&deep)), ("abc".to_owned(), "abc".to_owned()));
    let long = [&b"{\\rtf1 \\"[..], &b"a".repeat(1_000_000), b" x"].concat();
    assert_eq!((to_text(&long), html(&long)), ("x".to_owned(), "x".to_owned()));
    assert_eq!(to_text(b"no RTF"), "");
}

#[test]
fn html_beyond_what_it_may_have_is_not_given() {
    let rtf = [&b"{\\rtf1\\fromhtml1 "[..], &b"\x80".repeat(100_000)].concat();
    assert_eq!(
        (to_html(&rtf, 0, 300_000).map(|html| html.len()), to_html(&rtf, 0, 299_999)),
        (Some(300_000), None)
    );
    let long = [&b"{\\rtf1 "[..], &b"x".repeat(MOST_HTML + 1)].concat();
    assert_eq!(to_html(&long, 0, usize::MAX), None);
    assert!(to_html(&long, 1, usize::MAX).is_some(), "a long document has more");
    let long = [&b"{\\rtf1 "[..], &b"x".repeat(3 * MOST_TEXT)].concat();
    assert!(to_text(&long).len() < MOST_TEXT + 10_000);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(tail in "[{}\\\\a-z'0-9u* -]{0,300}") {
        let rtf = format!("{{\\rtf1{tail}");
        prop_assert!(to_text(rtf.as_bytes()).len() <= rtf.len() * 4);
        prop_assert!(html(rtf.as_bytes()).len() <= rtf.len() * 4);
    }

    #[test]
    fn any_words_are_read_without_harm(
        words in proptest::collection::vec(
            prop_oneof![
                Just("{"), Just("}"), Just("{\\*\\htmltag64 <p>"), Just("\\htmlrtf "), Just("\\htmlrtf0 "),
                Just("{\\fonttbl"), Just("\\f1"), Just("\\fcharset128 "), Just("\\cpg850 "), Just("\\ansicpg936 "),
                Just("\\plain "), Just("\\u-10179?"), Just("\\u-8693?"), Just("\\uc2 "), Just("\\'93"),
                Just("\\'fa"), Just("\\par "), Just("\\~"), Just("\\*"), Just("x"), Just("\\bin4 "),
            ],
            0..200,
        )
    ) {
        let rtf = format!("{{\\rtf1\\fromhtml1 {}", words.concat());
        prop_assert!(html(rtf.as_bytes()).len() <= rtf.len() * 4);
        to_text(rtf.as_bytes());
    }

    #[test]
    fn any_bytes_of_text_are_read_without_harm(tail in proptest::collection::vec(any::<u8>(), 0..1_000)) {
        let rtf = [&b"{\\rtf1\\ansicpg54936\\fromhtml1 "[..], &tail].concat();
        prop_assert!(html(&rtf).len() <= rtf.len() * 4);
        to_text(&rtf);
    }
}
