//! Random multiparts: whichever of them mailparse reads, the cutter reads alike.

use proptest::prelude::*;

use super::tests::is_ordinary_within;
use crate::limits::Limits;

/// Boundaries that begin like one another, or like another's close.
const BOUNDARIES: &[&str] = &["b", "bb", "b--", "c", "c d", "-", "e:f"];

/// A part with all in it, sound but for what is odd now and then.
fn part() -> impl Strategy<Value = String> {
    let leaf = proptest::sample::select(vec![
        "",
        "\n",
        "\ntext",
        "\ntext\n",
        "\n\n",
        "Content-Type: text/html\n\n<p>x",
        "Content-Type: text/html",
        "Content-Type: x; name=y\n\n-- \nx",
        "Content-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=b\n\n--x\n",
        "rubbish\n\nx",
        "\n--b\n",
        "\n--c--",
        " folded: x\n\ny",
        "\r\nx",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 4, |inner| {
        let kind = proptest::sample::select(vec!["mixed", "digest", "alternative"]);
        let preamble = proptest::sample::select(vec!["", "", "", "preamble\n", "\n", "--bx\n"]);
        let close = proptest::sample::select(vec![
            "--",
            "--",
            "--",
            "--",
            "-- \n",
            "--\n\n",
            "--\nepilogue",
            "--x",
            "",
        ]);
        let head = (kind, proptest::sample::select(BOUNDARIES), preamble, close);
        (head, proptest::collection::vec(inner, 0..4)).prop_map(
            |((kind, boundary, preamble, close), parts)| {
                let parts =
                    parts.iter().map(|part| format!("--{boundary}\n{part}\n")).collect::<Vec<_>>().concat();
                let head = format!("Content-Type: multipart/{kind}; boundary=\"{boundary}\"\n\n");
                format!("{head}{preamble}{parts}--{boundary}{close}")
            },
        )
    })
}

/// Lines that mean something to a mail of boundary `b`.
const LINES: &[&str] = &[
    "Content-Type: multipart/mixed; boundary=b",
    "Content-Type: multipart/mixed; boundary=c",
    "--b",
    "--b--",
    "--c",
    "--c--",
    "--c ",
    "",
    "",
    "",
    "x: y",
    "text",
    " folded",
    "\r",
    "--bc",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn whatever_mailparse_reads_the_cutter_reads_alike(
        raw in part(),
        crlf in 0..3,
        parts in 1..12_usize,
        depth in 0..4_usize,
    ) {
        let limits = Limits { max_parts: parts, max_depth: depth, ..Limits::default() };
        let raw = match crlf {
            0 => raw,
            1 => raw.replace('\n', "\r\n"),
            _ => raw.replacen("\n\n", "\r\n\r\n", 2),
        };
        is_ordinary_within(raw.as_bytes(), &Limits::default());
        is_ordinary_within(raw.as_bytes(), &limits);
    }

    #[test]
    fn lines_in_any_order_are_read_alike(
        lines in proptest::collection::vec(proptest::sample::select(LINES), 0..16)
    ) {
        let raw = format!("Content-Type: multipart/mixed; boundary=b\n\n{}\n--b--\n", lines.join("\n"));
        is_ordinary_within(raw.as_bytes(), &Limits::default());
    }
}
