//! Mail made to hurt: bounded time and memory, the rest kept, a defect named.
//!
//! Memory is held to four times the mail and 16 MiB. Time is held to 50 ms for each MiB in an optimised build, which
//! `make bench-mime` runs; in a debug build the bound is only what a quadratic reader exceeds by far.

use std::time::{Duration, Instant};

mod files;
mod text;

/// Bytes of long mails and of very long ones. A debug build, which reads them slowly, has shorter ones.
const SHORT: usize = if cfg!(debug_assertions) { 1 << 16 } else { 1 << 20 };
const LONG: usize = if cfg!(debug_assertions) { 1 << 18 } else { 16 << 20 };

use mailfleet_mime::{Limits, Parsed, parse, peek};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What a mail of so many bytes may take.
fn longest(bytes: usize) -> Duration {
    if cfg!(debug_assertions) {
        return Duration::from_secs(10);
    }
    Duration::from_millis(50) * u32::try_from(bytes.div_ceil(1 << 20)).unwrap()
}

/// How long this thread has run. Linux counts that itself, so that a machine busy with something else does no harm.
fn now(begun: Instant) -> Duration {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = counted.and_then(|line| line.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| begun.elapsed(), Duration::from_nanos)
}

/// Runs this, and says how long the thread ran for it.
fn timed<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let before = now(begun);
    let done = what();
    (done, now(begun).saturating_sub(before))
}

fn read(raw: &str) -> Parsed {
    read_bytes(raw.as_bytes())
}

/// Each test runs in a process of its own, so that nobody else's memory is counted.
fn read_bytes(raw: &[u8]) -> Parsed {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let (parsed, taken) = timed(|| parse(raw, &Limits::default()));
    let most = MEMORY.peak_usage().saturating_sub(before);
    assert!(taken < longest(raw.len()), "{} bytes took {taken:?}: {}", raw.len(), beginning(raw));
    assert!(most <= 4 * raw.len() + (16 << 20), "{} bytes took {most} bytes: {}", raw.len(), beginning(raw));
    let (_, taken) = timed(|| peek(raw));
    assert!(taken < longest(raw.len()), "peek took {taken:?}: {}", beginning(raw));
    parsed
}

fn beginning(raw: &[u8]) -> String {
    raw.iter().take(200).map(|&byte| char::from(byte)).collect()
}

#[track_caller]
fn has(parsed: &Parsed, code: &str) {
    let codes: Vec<_> = parsed.defects.iter().map(mailfleet_mime::Defect::code).collect();
    assert!(codes.contains(&code), "{code} is not among {codes:?}");
}

/// The pieces for 0..count, strung together.
fn each(count: usize, piece: impl Fn(usize) -> String) -> String {
    (0..count).map(piece).collect::<Vec<_>>().concat()
}

/// The beginning of a multipart within the one before.
fn level(index: usize) -> String {
    format!("Content-Type: multipart/mixed; boundary=b{index}\n\n--b{index}\n")
}

#[test]
fn twenty_thousand_unclosed_sibling_multiparts() {
    let parts = |index| format!("--outer\nContent-Type: multipart/mixed; boundary=inner{index}\n\n");
    let raw = format!("Content-Type: multipart/mixed; boundary=outer\n\n{}", each(20_000, parts));
    let parsed = read(&raw);
    has(&parsed, "too-many-parts");
}

#[test]
fn a_thousand_and_one_levels_of_multiparts() {
    let mut raw = each(1_001, level);
    raw += "Content-Type: text/plain\n\nthe deepest text";
    let parsed = read(&raw);
    has(&parsed, "too-deep");
    let kept = &parsed.mail.attachments[0];
    assert!(kept.content.ends_with(b"the deepest text"), "nothing is dropped");
    assert_eq!(kept.mime_type, "application/octet-stream");
}

#[test]
fn nested_levels_over_a_long_body_of_dashes() {
    let mut raw = each(99, level);
    raw += "\n";
    raw += &"--b\n".repeat(1_000_000);
    read(&raw);
}

#[test]
fn nested_levels_over_a_long_text() {
    for levels in [3, 16, 17, 99] {
        let text = "x".repeat(70) + "\n";
        read(&(each(levels, level) + "\n" + &text.repeat(16_000_000 / text.len())));
    }
}

#[test]
fn a_million_lines_that_begin_like_a_boundary() {
    let lines = "--x\n".repeat(1_000_000);
    read(&format!("Subject: x\n\n{lines}"));
    for boundary in ["b", "x", "xx"] {
        read(&format!("Content-Type: multipart/mixed; boundary={boundary}\n\n--{boundary}\n\n{lines}"));
    }
}

#[test]
fn levels_over_a_body_of_dashes() {
    for (levels, dashes) in [(1, 999_000), (16, 62_000), (16, 4_000_000)] {
        let raw = each(levels, |index| {
            format!("Content-Type: multipart/mixed; boundary={0}{index}\n\n--{0}{index}\n", "-".repeat(70))
        });
        read(&format!("{raw}\nx{}", "-".repeat(dashes)));
    }
}

#[test]
fn encoded_words_that_never_end_in_the_type_of_every_part() {
    for words in [145, 300, 10_000] {
        let part = format!("--b\nContent-Type: {}\n\nx\n", "=?a?=b ".repeat(words));
        for parts in [7, 100] {
            read(&format!("Content-Type: multipart/mixed; boundary=b\n\n{}--b--\n", part.repeat(parts)));
        }
    }
}

#[test]
fn sixty_thousand_nested_mails() {
    let parsed = read(&"Content-Type: message/rfc822\n\n".repeat(60_000));
    assert_eq!(parsed.mail.attachments.len(), 1);
}

#[test]
fn a_million_tiny_parts() {
    let raw = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\nx\n".repeat(1_000_000));
    let parsed = read(&raw);
    has(&parsed, "too-many-parts");
    let limit = Limits::default().max_parts;
    assert!(parsed.mail.attachments.len() <= limit + 1);
    assert!(
        parsed.mail.attachments.last().unwrap().content.len() > 6_000_000,
        "the rest is kept in one piece"
    );
}

#[test]
fn two_megabytes_of_encoded_words_in_any_field() {
    for word in
        ["=?utf-8?Q?a?= ", "=?utf-8?Q?a ", "=?utf-8?B?YQ==?=", "=?", "=?x?q?", "=??Q??=", "=?u?q?a?b?c"]
    {
        let words = word.repeat(2_000_000 / word.len());
        for field in ["Subject", "From", "Message-ID", "Content-Type: text/plain; name", "Content-Type"] {
            read(&format!("{field}: {words}\n\nbody"));
        }
    }
}

#[test]
fn too_many_encoded_words_stay_as_they_were_sent() {
    let parsed = read(&format!("Subject: {}\n\nbody", "=?utf-8?Q?a?= b ".repeat(20_000)));
    has(&parsed, "too-many-encoded-words");
    assert!(parsed.mail.subject.starts_with("a b a b") && parsed.mail.subject.ends_with("=?utf-8?Q?a?= b"));
}

#[test]
fn addresses_that_never_close() {
    for piece in
        ["\"", "\"\\\"", "(", "((\\(", "[", "<", "<\"", "\"<", "a@b,", ",", ";:", "<@a,", "=?u?q?<@?= ", ":"]
    {
        read(&format!("From: {0}\nTo: {0}\n\nbody", piece.repeat(900_000 / piece.len())));
    }
}

#[test]
fn parameters_without_end() {
    for piece in ["; name*0*=a", ";a*0*=", ";", "; name*1=b", "\"", "; name=\"", "%", "; boundary=b"] {
        let value = piece.repeat(900_000 / piece.len());
        read(&format!(
            "Content-Type: multipart/mixed{value}\nContent-Disposition: attachment{value}\n\nbody"
        ));
    }
    let numbered: String = each(50_000, |index| format!("; n{index}*0*=a"));
    read(&format!("Content-Type: a/b{numbered}\n\nbody"));
}

#[test]
fn header_blocks_without_end() {
    let parsed = read(&format!("Subject: {}\n\nbody", "x".repeat(200_000)));
    assert_eq!(parsed.mail.subject.len(), 200_000);
    has(&read(&format!("{}\n\nbody", "X: y\n".repeat(500_000))), "headers-truncated");
    read(&"junk\n".repeat(500_000));
    read(&format!("X: y\n{}", "junk\nX: y\n".repeat(200_000)));
    read(&format!("X: y\n{}", " \n".repeat(1_000_000)));
    read(&format!("References: {}\n\nbody", "<a@b>".repeat(200_000)));
}

#[test]
fn a_thousand_parts_of_a_thousand_fields_or_parameters() {
    let count = if cfg!(debug_assertions) { 100 } else { 998 };
    for fields in
        ["a:\n".repeat(1_990), format!("Content-Type: a/b; name=x\n{}", "Content-X:\n".repeat(1_900))]
    {
        let part = format!("--b\n{fields}\nx\n");
        let parsed =
            read(&format!("Content-Type: multipart/mixed; boundary=b\n\n{}--b--\n", part.repeat(count)));
        has(&parsed, "headers-truncated");
        let files = parsed.mail.attachments.iter().filter(|file| file.filename.as_deref() == Some("x"));
        assert_eq!(
            files.count(),
            if fields.contains("name=x") { count } else { 0 },
            "what a part is, is read"
        );
    }
    let parameters = each(2_000, |index| format!(";a{index}=b"));
    let part = format!("--b\nContent-Type: a/b{parameters}\n\nx\n");
    read(&format!("Content-Type: multipart/mixed; boundary=b\n\n{}--b--\n", part.repeat(count)));
    let part = format!("--b\nContent-Type: a/b{}\n\nx\n", each(2_000, |index| format!(";name*{index}=b")));
    read(&format!("Content-Type: multipart/mixed; boundary=b\n\n{}--b--\n", part.repeat(count)));
}

#[test]
fn html_nested_and_broken() {
    for piece in
        ["<div>", "<b><p>", "<", "<!--", "<a href=\"", "<table><tr><td>", "&amp", "<p>", "<blockquote>x"]
    {
        let raw = format!("Content-Type: text/html\n\n{}", piece.repeat(400_000 / piece.len()));
        let parsed = read(&raw);
        has(&parsed, "html-not-rendered");
    }
    for piece in ["<div>", "<font>x", "<table>", "<blockquote>", "<ul><li>"] {
        read(&format!("Content-Type: text/html\n\n{}", piece.repeat(Limits::default().max_html_depth - 10)));
    }
    // Tags that end nothing, and items that nest in those of other lists.
    for piece in [
        "<blockquote></x>x",
        "<blockquote></p></td>x",
        "<blockquote/>x",
        "<blockquote title=\"></blockquote>\">x",
        "<blockquote><!-- > </blockquote> -->x",
        "<blockquote><style></blockquote></style>x",
        "<ul><li></x>x",
        "<dl><dd></x></x>x",
        "<li><dd>x",
        "<dd><li></li></dd>",
        "<li><dd><p>x",
        "<div><b a=1></div>x",
    ] {
        let most = Limits::default().max_html_tags - 10;
        let html = piece.repeat(most / piece.matches('<').count());
        let parsed = read(&format!("Content-Type: text/html\n\n{html}"));
        has(&parsed, "html-not-rendered");
        assert!(parsed.mail.html_for_display().len() < 1_000_000);
    }
    // What never nests in HTML does within a drawing or a formula, and where it has a prefix.
    let most = Limits::default().max_html_tags - 1;
    for (within, piece) in ["", "<svg>", "<math>", "<svg><desc>", "<table>", "<select>", "<template>"]
        .into_iter()
        .flat_map(|within| {
            ["<tr>", "<td>x", "<option>x", "<input>", "<title>", "<o:p>x", "<link>", "<li>x", "<dd>x", "<p>x"]
                .map(|piece| (within, piece))
        })
    {
        let parsed = read(&format!("Content-Type: text/html\n\n{within}{}", piece.repeat(most)));
        let shown = parsed.mail.html_for_display();
        assert!(shown.len() < 1_000_000);
    }
}

#[test]
fn a_mail_beyond_the_size_limit_keeps_its_headers_and_its_body() {
    let raw = format!("Subject: big\nMessage-ID: <m@x>\n\n{}", "x".repeat(10_000));
    let parsed = parse(raw.as_bytes(), &Limits { max_raw_bytes: 1_000, ..Limits::default() });
    has(&parsed, "too-large");
    assert_eq!((parsed.mail.subject.as_str(), parsed.mail.message_id.as_deref()), ("big", Some("m@x")));
    assert_eq!(parsed.mail.attachments[0].content.len(), 10_000);
}

#[test]
fn a_report_of_a_hundred_thousand_recipients_is_bounded() {
    let rows = "Final-Recipient: rfc822; a@b\nAction: failed\nStatus: 5.1.1\n\n".repeat(100_000);
    for separator in ["\n", ""] {
        let rows = if separator.is_empty() { rows.replace("\n\n", "\n") } else { rows.clone() };
        let parsed = read(&format!(
            "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
             --b\n\n{}\n--b\nContent-Type: message/delivery-status\n\n{rows}\n--b--\n",
            ">>> DATA a@b \n".repeat(20_000)
        ));
        let recipients = parsed.mail.bounce.unwrap().recipients.len();
        assert!((1..=Limits::default().max_recipients).contains(&recipients), "{recipients}");
    }
}

#[test]
fn a_bounce_that_names_the_same_recipients_without_end() {
    let many: Vec<String> = (0..999).map(|n| format!("a{n:03}@b.cd")).collect();
    let failed = format!("{}{}", many.join(",\n "), ",\n a998@b.cd".repeat(70_000));
    let parsed = read(&format!(
        "Return-Path: <>\nX-Failed-Recipients: {failed}\nFrom: Mailer-Daemon@b.cd\nSubject: failure notice\n\nNo.\n"
    ));
    assert_eq!(parsed.mail.bounce.unwrap().recipients.len(), 999);
    let named = many[..19].join(" ");
    read(&format!(
        "From: Mailer-Daemon@b.cd\nSubject: failure notice\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nto {named}: no\n\
         --b\nContent-Type: message/rfc822\n\nTo: x@y.zz\nFrom: {}\n\nx\n--b--\n",
        "x, ".repeat(330_000)
    ));
    let rows = "Original-Recipient: rfc822; y@b.cd\nStatus: 5.1.1\n".repeat(900);
    read(&format!(
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n\
         Original-Recipient: rfc822; {}@b.cd\n{rows}\n--b--\n",
        "x".repeat(900_000)
    ));
}

#[test]
fn bounce_text_without_end() {
    for piece in ["a@b.c ", "550 5.1.1 ", "user unknown ", "@", "<a@b.c>: ", "5.", "spf spf "] {
        let text = piece.repeat(1_000_000 / piece.len());
        read(&format!("From: MAILER-DAEMON\nReturn-Path: <>\nSubject: failure notice\n\n{text}"));
    }
}

#[test]
fn a_nul_in_every_field() {
    let parsed = read_bytes(
        b"From: \0A\0 <a\0@b>\nTo: \0c@d\nSubject: x\0y\nMessage-ID: <m\0@x>\nX-\0Y: \0\nDate: \0\n\
          Content-Type: text/plain; charset=\"\0\"\n\nbo\0dy",
    );
    has(&parsed, "nul-removed");
    assert_eq!((parsed.mail.subject.as_str(), parsed.mail.content_text().as_str()), ("xy", "body"));
    assert_eq!(parsed.mail.message_id.as_deref(), Some("m@x"));
}
