//! How fast mail is read, in full: structure, text, headers, addresses, dates, kind, attachments.
//!
//! `make bench-mime`. Mails of the kinds that fill mailboxes, made from a seed; what is measured is one core.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mailfleet_mime::{Limits, TextSource, parse};

/// The first fields of a mail as it arrives: two hops, signatures, a thread.
fn head(n: usize) -> String {
    format!(
        "Return-Path: <ann.{n}@example.com>\r\n\
         Received: from mx{n}.example.com (mx{n}.example.com [192.0.2.{octet}])\r\n\tby mail.example.org (Postfix) with ESMTPS id 4F{n:06}\r\n\tfor <sales@example.org>; Tue, 03 Mar 2026 10:15:{second:02} +0000 (UTC)\r\n\
         Received: by mx{n}.example.com with SMTP id k{n}so12345wmb.7;\r\n\tTue, 03 Mar 2026 02:15:{second:02} -0800 (PST)\r\n\
         DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=s1;\r\n\th=from:to:subject:date:message-id; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n\tb=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZVoG4ZHRNiYzR\r\n\
         From: =?UTF-8?Q?Ann_M=C3=BCller?= <ann.{n}@example.com>\r\n\
         To: \"Sales, Europe\" <sales@example.org>, bob@example.org\r\n\
         Subject: Re: =?UTF-8?B?QW5nZWJvdCBmw7xyIE3DpHJ6?= {n}\r\n\
         Date: Tue, 03 Mar 2026 02:15:{second:02} -0800\r\n\
         Message-ID: <CAF{n}x@mail.example.com>\r\n\
         In-Reply-To: <q{n}@mail.example.org>\r\n\
         References: <p{n}@mail.example.org> <q{n}@mail.example.org>\r\n\
         MIME-Version: 1.0\r\n",
        octet = n % 250 + 1,
        second = n % 60,
    )
}

/// Words that differ from mail to mail.
fn prose(n: usize, bytes: usize) -> String {
    const WORDS: &[&str] = &[
        "the",
        "offer",
        "that",
        "we",
        "sent",
        "last",
        "week",
        "includes",
        "support",
        "and",
        "training",
        "for",
        "your",
        "team",
        "please",
        "tell",
        "us",
        "whether",
        "Thursday",
        "suits",
        "you",
        "caf=C3=A9",
    ];
    let (mut text, mut at, mut column) = (String::new(), n, 0);
    while text.len() < bytes {
        let word = WORDS[at % WORDS.len()];
        at = at.wrapping_mul(31).wrapping_add(7) % 10_007;
        column += word.len() + 1;
        text += word;
        text += if column > 66 {
            column = 0;
            "\r\n"
        } else {
            " "
        };
    }
    text
}

/// Text and HTML of the same words, as people's programs send it.
fn alternative(n: usize) -> String {
    let (text, html) = (prose(n, 2_000), table(n, 2_600));
    format!(
        "{head}Content-Type: multipart/alternative; boundary=\"000000000000{n:08}\"\r\n\r\n\
         --000000000000{n:08}\r\nContent-Type: text/plain; charset=\"UTF-8\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{text}\r\n\
         --000000000000{n:08}\r\nContent-Type: text/html; charset=\"UTF-8\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{html}\r\n\
         --000000000000{n:08}--\r\n",
        head = head(n),
    )
}

/// A layout of tables with links and styles: how newsletters are made.
fn table(n: usize, bytes: usize) -> String {
    let mut html = String::from("<html><head><style>p { margin: 0 }</style></head><body><table>\r\n");
    let mut row = 0;
    while html.len() < bytes {
        let words = prose(n + row, 120);
        // Writing to a String cannot fail.
        let _ = write!(
            html,
            "<tr><td style=3D\"padding:4px\"><p>{words}</p></td>\r\n<td><a href=3D\"https://example.com/{n}/{row}\">more</a></td></tr>\r\n"
        );
        row += 1;
    }
    html + "</table></body></html>"
}

fn html_only(n: usize) -> String {
    let html = table(n, 3_600);
    format!(
        "{head}Content-Type: text/html; charset=UTF-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{html}\r\n",
        head = head(n),
    )
}

/// A text with a file of 60 KiB in base64 behind it.
fn with_file(n: usize) -> String {
    let line = "JVBERi0xLjQKJcOkw7zDtsOfCjIgMCBvYmoKPDwvTGVuZ3RoIDMgMCBSL0ZpbHRlci9GbGF0ZURl\r\n";
    let file = line.repeat(1_050);
    format!(
        "{head}Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{text}\r\n\
         --b{n}\r\nContent-Type: application/pdf; name=\"offer.pdf\"\r\nContent-Disposition: attachment; filename*=UTF-8''Angebot%20M%C3%A4rz.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n{file}--b{n}--\r\n",
        head = head(n),
        text = prose(n, 1_500),
    )
}

/// A kind of mail: its name, how one is made from a number, and where its text comes from.
type Kind = (&'static str, fn(usize) -> String, TextSource);

fn measure(c: &mut Criterion) {
    let kinds: [Kind; 3] = [
        ("text and HTML", alternative, TextSource::Plain),
        ("HTML only", html_only, TextSource::Html),
        ("text and a file", with_file, TextSource::Plain),
    ];
    let limits = Limits::default();
    for (name, make, source) in kinds {
        let mails: Vec<String> = (0..64).map(make).collect();
        for mail in &mails {
            let parsed = parse(mail.as_bytes(), &limits);
            assert!(parsed.defects.is_empty(), "{:?}", parsed.defects);
            assert_eq!(parsed.mail.text_source, source);
        }
        let mean = mails.iter().map(String::len).sum::<usize>() / mails.len();
        for per_byte in [true, false] {
            let mut group = c.benchmark_group(if per_byte { "bytes" } else { "mails" });
            group.throughput(if per_byte { Throughput::Bytes(mean as u64) } else { Throughput::Elements(1) });
            let mut next = 0;
            group.bench_function(format!("{name}, {mean} bytes"), |bencher| {
                bencher.iter(|| {
                    next += 1;
                    let mail = &mails[next % mails.len()];
                    let parsed = parse(black_box(mail.as_bytes()), &limits);
                    black_box(parsed.mail.content_text());
                    black_box(parsed.mail.content_html());
                });
            });
            group.finish();
        }
    }
}

criterion_group!(benches, measure);
criterion_main!(benches);
