//! How often reading a mail asks for memory. The count is the same on every machine, as time is not.
//!
//! `make bench-mime` prints the figures.

use allocation_counter::measure;
use mailfleet_mime::{Limits, TextSource, parse};

const HEAD: &str = "Return-Path: <ann@example.com>\r\n\
    Received: from mx1.example.com (mx1.example.com [192.0.2.1])\r\n\tby mail.example.org (Postfix) with ESMTPS id 4F01\r\n\tfor <sales@example.org>; Tue, 03 Mar 2026 10:15:02 +0000 (UTC)\r\n\
    Received: by mx1.example.com with SMTP id k1so12345wmb.7;\r\n\tTue, 03 Mar 2026 02:15:01 -0800 (PST)\r\n\
    From: =?UTF-8?Q?Ann_M=C3=BCller?= <ann@example.com>\r\n\
    To: \"Sales, Europe\" <sales@example.org>, bob@example.org\r\n\
    Subject: Re: =?UTF-8?B?QW5nZWJvdCBmw7xyIE3DpHJ6?= 1\r\n\
    Date: Tue, 03 Mar 2026 02:15:01 -0800\r\n\
    Message-ID: <CAF1x@mail.example.com>\r\n\
    In-Reply-To: <q1@mail.example.org>\r\n\
    References: <p1@mail.example.org> <q1@mail.example.org>\r\n\
    MIME-Version: 1.0\r\n";

const ENCODED: &str = "Content-Transfer-Encoding: quoted-printable\r\n\r\n";

fn text(bytes: usize) -> String {
    const LINE: &str = "the offer that we sent last week includes support caf=C3=A9 for you\r\n";
    LINE.repeat(bytes / LINE.len())
}

fn html(bytes: usize) -> String {
    const ROW: &str = "<tr><td style=3D\"padding:4px\"><p>the offer that we sent last week includes support</p></td>\r\n\
        <td><a href=3D\"https://example.com/1/2\">more</a></td></tr>\r\n";
    format!("<html><body><table>\r\n{}</table></body></html>", ROW.repeat(bytes / ROW.len()))
}

fn held_to(name: &str, mail: &str, source: TextSource, most: u64) {
    let limits = Limits::default();
    let mut parsed = None;
    // Tables that are made once are not counted.
    let _ = parse(mail.as_bytes(), &limits);
    let info = measure(|| parsed = Some(parse(mail.as_bytes(), &limits)));
    let parsed = parsed.unwrap();
    assert_eq!((parsed.mail.text_source, parsed.defects.as_slice()), (source, &[][..]));
    println!(
        "{name}: {} bytes, {} allocations of {} bytes in all, {} at once",
        mail.len(),
        info.count_total,
        info.bytes_total,
        info.bytes_max
    );
    assert!(info.count_total <= most, "{name}: {} allocations, {most} were enough", info.count_total);
}

#[test]
fn a_mail_of_text_and_html_is_read_with_few_allocations() {
    let mail = format!(
        "{HEAD}Content-Type: multipart/alternative; boundary=\"0001\"\r\n\r\n\
         --0001\r\nContent-Type: text/plain; charset=\"UTF-8\"\r\n{ENCODED}{}\r\n\
         --0001\r\nContent-Type: text/html; charset=\"UTF-8\"\r\n{ENCODED}{}\r\n--0001--\r\n",
        text(2_000),
        html(2_600)
    );
    held_to("text and HTML", &mail, TextSource::Plain, 320);
}

#[test]
fn a_mail_of_html_alone_is_read_with_bounded_allocations() {
    let mail = format!("{HEAD}Content-Type: text/html; charset=UTF-8\r\n{ENCODED}{}\r\n", html(3_600));
    held_to("HTML only", &mail, TextSource::Html, 3_000);
}
