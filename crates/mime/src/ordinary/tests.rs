//! What mailparse is given, and that it then reads what the cutter reads.

use std::path::{Path, PathBuf};

use super::{LONGEST_TYPE, MOST_MULTIPARTS, MOST_TRIALS, MOST_TYPES, is_tame, read};
use crate::defect::Found;
use crate::limits::Limits;
use crate::parse::prepare;
use crate::structure;

/// Whether mailparse read it; then with the same parts as the cutter, and with nothing that the cutter objects to.
pub(super) fn is_ordinary_within(raw: &[u8], limits: &Limits) -> bool {
    let Some(parts) = read(raw, limits) else { return false };
    let mut found = Found::default();
    let cut = structure::cut(raw, limits, &mut found);
    assert_eq!(parts, cut, "{}", String::from_utf8_lossy(raw));
    assert!(found.is_empty(), "{found:?} in {}", String::from_utf8_lossy(raw));
    true
}

fn is_ordinary(raw: &str) -> bool {
    let lf = is_ordinary_within(raw.as_bytes(), &Limits::default());
    let crlf = is_ordinary_within(raw.replace('\n', "\r\n").as_bytes(), &Limits::default());
    assert_eq!(lf, crlf, "line ends make no difference");
    lf
}

/// A multipart with this behind its header.
fn multipart(rest: &str) -> String {
    format!("From: a@b\nContent-Type: multipart/mixed; boundary=b\n\n{rest}")
}

/// The mails of the corpus, in the order of their names.
fn corpus() -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus");
    let mut files: Vec<_> = std::fs::read_dir(&root)
        .unwrap()
        .flatten()
        .filter(|set| set.path().is_dir())
        .flat_map(|set| std::fs::read_dir(set.path()).unwrap().flatten().map(|file| file.path()))
        .filter(|file| file.extension().is_some_and(|ext| ext == "eml"))
        .collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), std::fs::read(file).unwrap())).collect()
}

#[test]
fn mailparse_reads_most_of_the_corpus_and_as_the_cutter_does() {
    let mails = corpus();
    assert!(mails.len() >= 100, "only {} mails", mails.len());
    let limits = Limits::default();
    let (mut ordinary, mut sound) = (0, 0);
    for (_, raw) in &mails {
        let raw = prepare(raw);
        let mut found = Found::default();
        structure::cut(&raw, &limits, &mut found);
        sound += usize::from(found.is_empty());
        ordinary += usize::from(is_ordinary_within(&raw, &limits));
    }
    // A corpus of the odd: a quarter of it is broken.
    assert!(ordinary * 10 >= mails.len() * 7, "{ordinary} of {}", mails.len());
    assert!(ordinary * 10 >= sound * 9, "{ordinary} of {sound} that are sound");
}

#[test]
fn the_mail_that_people_send_is_ordinary() {
    let named =
        ["talon/standard_replies__", "mailcore-charset/emoji1", "nodemailer/mixed", "rspamd/mixed-html-zip"];
    let mut seen = 0;
    for (file, raw) in corpus() {
        let path = file.to_string_lossy();
        if named.iter().any(|name| path.contains(name)) {
            assert!(is_ordinary_within(&prepare(&raw), &Limits::default()), "{path}");
            seen += 1;
        }
    }
    assert!(seen >= 10, "{seen}");
}

#[test]
fn sound_structures_are_ordinary() {
    for raw in [
        "Subject: x\n\nbody\n",
        "Subject: x\n\nbody\n-- \nsignature\n-----Original-----\n",
        "Subject: x\n\n",
        "Subject: x\n",
        "Subject: x",
    ] {
        assert!(is_ordinary(raw), "{raw}");
    }
    for rest in [
        "--b\n\none\n--b\nContent-Type: text/html\n\n<p>two\n--b--\n",
        "preamble\n\n--b\n\none\n--b--",
        "--b  \n\none\n\n\n--b--\t\n \n\n",
        "--b\n--b\n\n--b\n\n\n--b\nContent-Type: text/html\n--b\nX: y\n\n--b--\n",
        "--b\nContent-Type: multipart/alternative; boundary=\"in ner\"\n\n--in ner\n\n1\n--in ner--\n\n--b\n\n2\n--b--\n",
        "--b\nContent-Type: multipart/digest; boundary=d\n\n--d\n\nSubject: x\n\ny\n--d\n\nz\n--d--\n--b--\n",
        "--b\nContent-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=z\n\n--z\n\n--b--\n",
        "--b\nContent-Type: rubbish; name=x\n\none\n--b--\n",
    ] {
        assert!(is_ordinary(&multipart(rest)), "{rest}");
    }
}

#[test]
fn what_is_odd_is_left_to_the_cutter() {
    for raw in [
        "no header\n\nat all",
        "A: 1\nrubbish\nB: 2\n\nbody",
        "Content-Type: multipart/mixed\n\n--b\n\nno boundary\n--b--\n",
        "Content-Type : multipart/mixed; boundary=b\n\n--b\n\nnot read by mailparse\n--b--\n",
        "Content-Type: multipart/mixed; boundary=b--\n\n--b--\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n\
         the inner close is the outer boundary\n--b--\n--b----",
        "Content-Type: multipart/mixed; boundary=\"=?utf-8?Q?b?=\"\n\n--b\n\nread by it alone\n--b--\n",
    ] {
        assert!(!is_ordinary(raw), "{raw}");
    }
    for rest in [
        "",
        "nothing begins\n",
        "--b\n\nnever closed\n",
        "--b\n\none\n--b--\nepilogue\n",
        "--b\n\none\n--bb\n\nlonger\n--b--\n",
        "--b\n\none\n--b--x\n",
        "--b-- \n--b\n\nclosed before it begins\n--b--\n",
        "--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nthe same again\n--b--\n--b--\n",
        "--b\nContent-Type: multipart/mixed; boundary=bb\n\n--bb\n\nlonger within\n--bb--\n--b--\n",
        "--b\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\nclosed by the outer\n--b--\n",
        "--b\nno blank line\n--b--\n",
    ] {
        assert!(!is_ordinary(&multipart(rest)), "{rest}");
    }
}

#[test]
fn a_mail_at_its_limits_is_ordinary_and_one_beyond_is_not() {
    let three = multipart("--b\n\n1\n--b\n\n2\n--b--\n");
    let within = |limits| is_ordinary_within(three.as_bytes(), &limits);
    assert!(within(Limits { max_parts: 3, ..Limits::default() }));
    assert!(!within(Limits { max_parts: 2, ..Limits::default() }));
    assert!(within(Limits { max_depth: 1, ..Limits::default() }));
    assert!(!within(Limits { max_depth: 0, ..Limits::default() }));
    assert!(!within(Limits { max_headers: 1, ..Limits::default() }));
    let head = "Content-Type: multipart/mixed; boundary=b\n\n";
    for bytes in 0..20 {
        let raw = format!("{head}--b\nX: 123456\n--b--\n");
        is_ordinary_within(raw.as_bytes(), &Limits { max_header_bytes: bytes + 40, ..Limits::default() });
    }
}

#[test]
fn what_would_cost_mailparse_much_is_not_given_to_it() {
    let levels = |count: usize, boundary: &str| -> String {
        (0..count)
            .map(|level| {
                format!("Content-Type: multipart/mixed; boundary={boundary}{level}\n\n--{boundary}{level}\n")
            })
            .collect::<Vec<_>>()
            .concat()
    };
    for raw in [
        levels(MOST_MULTIPARTS + 1, "b"),
        levels(2, "b") + "\n" + &"-".repeat(MOST_TRIALS / 2),
        format!("Content-Type: text/plain; {}\n\nx", "=?a?=b ".repeat(LONGEST_TYPE / 7)),
        format!("Content-Type: text/plain;\n{}\nx", " =?a?=b\n".repeat(LONGEST_TYPE / 8)),
        format!("{}\n\nx", "Content-Type: text/plain\n".repeat(MOST_TYPES / 25 + 1)),
        "X\n".repeat(Limits::default().max_headers + 1),
        multipart(&"--b\nX: y\n".repeat(Limits::default().max_headers)),
        multipart(&"--b\n\n".repeat(Limits::default().max_parts + 1)),
        multipart(&format!("--b\n{}\n", "X: y\n".repeat(1_000)).repeat(21)),
    ] {
        assert!(!is_tame(raw.as_bytes(), &Limits::default()), "{}", raw.get(..200).unwrap_or(&raw));
        assert!(read(raw.as_bytes(), &Limits::default()).is_none());
    }
    assert!(
        is_tame("--x\n\n".repeat(100_000).as_bytes(), &Limits::default()),
        "no multipart, nothing to search"
    );
    assert!(is_tame(levels(MOST_MULTIPARTS, "b").as_bytes(), &Limits::default()));
}
