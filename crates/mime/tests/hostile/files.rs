//! Files that hold others: winmail.dat, opaque signatures, uuencoded blocks, packed rich text and the HTML wrapped in it.

use super::{LONG, SHORT, has, read, read_bytes};
use mailfleet_mime::{Limits, Parsed};

/// A mail of nothing but this file, as it is.
fn mail(mime_type: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("From: a@b.org\nContent-Type: {mime_type}\nContent-Transfer-Encoding: binary\n\n");
    [head.as_bytes(), content].concat()
}

/// One attribute of winmail.dat with its (unchecked) checksum.
fn attribute(tag: u32, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap().to_le_bytes();
    [&[1][..], &tag.to_le_bytes(), &length, data, &[0, 0]].concat()
}

/// The properties of the message: type, identifier and value of each.
fn message(properties: &[(u16, u16, &[u8])]) -> Vec<u8> {
    let mut list = u32::try_from(properties.len()).unwrap().to_le_bytes().to_vec();
    for (kind, id, value) in properties {
        list.extend_from_slice(&kind.to_le_bytes());
        list.extend_from_slice(&id.to_le_bytes());
        list.extend_from_slice(&1u32.to_le_bytes());
        list.extend_from_slice(&u32::try_from(value.len()).unwrap().to_le_bytes());
        list.extend_from_slice(value);
        list.resize(list.len() + (4 - value.len() % 4) % 4, 0);
    }
    attribute(0x0006_9003, &list)
}

fn winmail(attributes: &[u8]) -> Parsed {
    let stream = [&[0x78, 0x9f, 0x3e, 0x22, 1, 0][..], attributes].concat();
    read_bytes(&mail("application/ms-tnef; name=winmail.dat", &stream))
}

const HTML: u16 = 0x1013;
const PLAIN: u16 = 0x1000;
const RTF: u16 = 0x1009;

#[test]
fn text_in_winmail_dat() {
    let wide: Vec<u8> = "<p>漢\r\n".repeat(LONG / 8).encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (kind, id, value) in [
        (0x1f, HTML, wide.clone()),
        (0x1f, PLAIN, wide),
        (0x102, HTML, b"<p>a&amp;\r\n".repeat(LONG / 8)),
        (0x1e, PLAIN, b"\x80".repeat(LONG)),
        (0x102, HTML, b"\x80\0".repeat(LONG)),
        (0x102, HTML, b"<".repeat(LONG)),
    ] {
        winmail(&message(&[(kind, id, &value)]));
        winmail(&message(&[
            (kind, PLAIN, &value[..value.len() / 4 * 2]),
            (kind, HTML, &value[..value.len() / 4 * 2]),
        ]));
    }
}

#[test]
fn a_million_attributes_properties_and_files_in_winmail_dat() {
    let file = [attribute(0x0006_9002, b""), attribute(0x0006_800f, b"x")].concat();
    let parsed = winmail(&file.repeat(500_000));
    has(&parsed, "too-many-parts");
    assert!(parsed.mail.attachments.len() <= Limits::default().max_parts + 1);
    winmail(&attribute(0, b"").repeat(SHORT));
    winmail(&message(&vec![(0x1f, 0x3001, &b"x"[..]); SHORT]));
    winmail(&attribute(0x0006_9002, &[0xff; 20]).repeat(SHORT / 4));
    winmail(&attribute(0x0006_800f, &b"x".repeat(LONG)));
}

#[test]
fn winmail_dat_within_winmail_dat() {
    let mut stream = attribute(0x0006_800f, &b"x".repeat(LONG));
    for _ in 0..6 {
        let inner = [&[0; 16][..], &[0x78, 0x9f, 0x3e, 0x22, 1, 0], &stream].concat();
        let mut list = 1u32.to_le_bytes().to_vec();
        list.extend_from_slice(&[0x0d, 0, 0x01, 0x37, 1, 0, 0, 0]);
        list.extend_from_slice(&u32::try_from(inner.len()).unwrap().to_le_bytes());
        list.extend_from_slice(&inner);
        stream = [attribute(0x0006_9002, b""), attribute(0x0006_9005, &list)].concat();
    }
    winmail(&stream);
}

/// Rich text that is packed to an eighth: after one literal every token repeats what came before it.
fn packed(unpacked: usize, claimed: usize) -> Vec<u8> {
    let mut tokens = vec![0, b'{', b'\\', b'r', b't', b'f', b'1', b' ', b'x'];
    let mut at = 207 + 8;
    for _ in 0..unpacked / 17 / 8 {
        tokens.extend([0xff]);
        for _ in 0..8 {
            let from = (at - 1) % 4096;
            tokens.extend_from_slice(&[
                u8::try_from(from >> 4).unwrap(),
                u8::try_from((from & 15) << 4 | 15).unwrap(),
            ]);
            at += 17;
        }
    }
    let claimed = u32::try_from(claimed).unwrap();
    let header = [0, claimed, 0x7546_5a4c, 0].into_iter().flat_map(u32::to_le_bytes);
    header.chain(tokens).collect()
}

#[test]
fn rich_text_that_unpacks_to_many_times_its_length() {
    for (unpacked, claimed) in [(7 << 20, 7 << 20), (LONG, 40 << 20), (LONG, 7 << 20), (1_000, 4_000_000_000)]
    {
        winmail(&message(&[(0x102, RTF, &packed(unpacked, claimed))]));
    }
    winmail(&message(&[(0x102, RTF, &packed(1 << 20, 1 << 20))]).repeat(40));
    // One mail with many of them.
    let part = |index| {
        let stream =
            [&[0x78, 0x9f, 0x3e, 0x22, 1, 0][..], &message(&[(0x102, RTF, &packed(1 << 20, 1 << 20))])]
                .concat();
        let head = format!(
            "--b\nContent-Type: application/ms-tnef; name={index}.dat\nContent-Transfer-Encoding: binary\n\n"
        );
        [head.as_bytes(), &stream, b"\n"].concat()
    };
    let parts: Vec<u8> = (0..40).flat_map(part).collect();
    let parsed =
        read_bytes(&[b"Content-Type: multipart/mixed; boundary=b\n\n", &parts[..], b"--b--\n"].concat());
    has(&parsed, "too-much-decoded");
}

/// Rich text in which one piece is repeated, packed as well as it can be, and not packed at all.
fn repeated(before: &[u8], piece: &[u8], unpacked: usize) -> [Vec<u8>; 2] {
    // Flags stand before eight literals each; line ends mean nothing.
    let fill = (8 - (before.len() + piece.len()) % 8) % 8;
    let begin = [before, &b"\n".repeat(fill), piece].concat();
    let whole = [&begin, &piece.repeat(unpacked / piece.len())[..]].concat();
    let header = |kind: u32| {
        let size = u32::try_from(whole.len()).unwrap();
        [0, size, kind, 0].into_iter().flat_map(u32::to_le_bytes)
    };
    let mut tokens: Vec<u8> = begin.chunks(8).flat_map(|eight| [&[0][..], eight].concat()).collect();
    let mut at = 207 + begin.len();
    while at < 207 + whole.len() {
        tokens.push(0xff);
        for _ in 0..8 {
            let token = u16::try_from((((at - piece.len()) % 4096) << 4) | 15).unwrap();
            tokens.extend_from_slice(&token.to_be_bytes());
            at += 17;
        }
    }
    [header(0x7546_5a4c).chain(tokens).collect(), header(0x414c_454d).chain(whole.iter().copied()).collect()]
}

const WRAPPED: &[u8] =
    b"{\\rtf1\\ansi\\ansicpg1252\\fromhtml1{\\fonttbl{\\f1\\fcharset128 }{\\f2\\fcharset134 }{\\f3\\cpg437 }} ";

#[test]
fn html_that_is_wrapped_in_rich_text() {
    let pieces: [&[u8]; 22] = [
        br"\'80",
        br"\f1\'81\f2\'81",
        br"\f3\'81\f0\'81",
        br"\ansicpg932\'81\ansicpg936\'81",
        br"{\fonttbl{\f1\cpg950 }}",
        br"{\*\htmltag64 <p>}",
        br"{\*\htmltag64 <div>}a",
        br"{\*\htmltag64 <b>}",
        br"{\*\htmltag64 &amp;}",
        br"\htmlrtf x\htmlrtf0 y",
        br"\u955?",
        br"\u-10179?\u-8693?",
        br"\uc9\u1 \par ",
        br"\~",
        b"\x80",
        b"<",
        b"<a ",
        b"a <br> ",
        b"\\par\r\n",
        b"{",
        b"{}",
        b"\\*\\a-",
    ];
    // As much as is read for HTML, as a mail of this length may unpack, and more.
    let sizes: &[usize] =
        if cfg!(debug_assertions) { &[LONG] } else { &[1 << 20, 9 << 18, 9 << 19, LONG / 2] };
    for piece in pieces {
        for &unpacked in sizes {
            for rtf in repeated(WRAPPED, piece, unpacked) {
                winmail(&message(&[(0x102, RTF, &rtf)]));
                winmail(&message(&[(0x102, RTF, &rtf), (0x1e, PLAIN, b"x")]));
            }
        }
    }
}

/// Rich text that is read as text. What counts is the mail's length, of which the rich text is eight times as much.
#[test]
fn rich_text_in_short_runs() {
    const FONTS: &[u8] = b"{\\rtf1\\ansi{\\fonttbl{\\f1\\fcharset128 }{\\f2\\fcharset134 }{\\f3\\cpg437 }} ";
    let pieces: &[&[u8]] = &[
        b"a",
        b"a\n",
        b"\\'80",
        b"\\'e",
        b"\\a",
        b"\\abcdefgh ",
        b"\\u1?",
        b"\\u-10179?",
        b"\\uc9\\u1 \\par ",
        b"\\par",
        b"\\~",
        b"\\_",
        b"\\{",
        b"{",
        b"}",
        b"{}",
        b"{a}",
        b"{\\*\\a}",
        b"{\\*\\a x}",
        b"\\*\\a-",
        b"\\bin0 ",
        b"\\bin1 x",
        b"\\f1\\f2",
        b"\\f1\\'81\\f2\\'81",
        b"\\f3\\'81\\f0\\'81",
        b"\\f1 a\\f2 a",
        b"\\plain",
        b"\\ansicpg932\\'81\\ansicpg936\\'81",
        b"{\\fonttbl{\\f1\\cpg950 }}",
        b"\\pict\\'81",
        b"\x80",
        b"\0",
        b"\n",
    ];
    let sizes: &[usize] = if cfg!(debug_assertions) { &[1 << 15] } else { &[1 << 20, 9 << 19, LONG] };
    for begin in [FONTS, WRAPPED] {
        for piece in pieces {
            for &unpacked in sizes {
                for rtf in repeated(begin, piece, unpacked) {
                    winmail(&message(&[(0x102, RTF, &rtf)]));
                }
            }
            // Many small ones are more than a large one may be.
            let [rtf, _] = repeated(begin, piece, sizes[0]);
            let stream = [&[0x78, 0x9f, 0x3e, 0x22, 1, 0][..], &message(&[(0x102, RTF, &rtf)])].concat();
            let part = [b"--b\n", &mail("application/ms-tnef", &stream)[..], b"\n"].concat();
            let head = b"Content-Type: multipart/mixed; boundary=b\n\n";
            read_bytes(&[head, &part.repeat(8)[..], b"--b--\n"].concat());
        }
    }
}

#[test]
fn names_without_end_in_winmail_dat() {
    for name in [&b"\x80"[..], b"\0", b"\x81\0", b"../", b"\x20\x20"] {
        let name = name.repeat(LONG / name.len());
        let title = attribute(0x0001_8010, &name);
        let list = |kind: u8| {
            let length = u32::try_from(name.len()).unwrap().to_le_bytes();
            let list = [&[1, 0, 0, 0, kind, 0, 0x07, 0x37, 1, 0, 0, 0][..], &length, &name].concat();
            attribute(0x0006_9005, &list)
        };
        for named in [title.clone(), list(0x1e), list(0x1f)] {
            winmail(&[attribute(0x0006_9002, b""), named, attribute(0x0006_800f, b"x")].concat());
        }
    }
}

/// BER of a tag and its content.
fn ber(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x84][..], &length, content].concat()
}

/// Signed data around an octet string, encoded.
fn signed(octets: &[u8]) -> Vec<u8> {
    const SIGNED: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
    const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
    let inner = ber(0x30, &[ber(0x06, DATA), ber(0xa0, octets)].concat());
    let signed = ber(0x30, &[ber(0x02, &[1]), ber(0x31, b""), inner].concat());
    ber(0x30, &[ber(0x06, SIGNED), ber(0xa0, &signed)].concat())
}

const SIGNED: &str = "application/pkcs7-mime; smime-type=signed-data; name=smime.p7m";

#[test]
fn signatures_around_signatures() {
    let text = [b"Content-Type: text/plain\n\n", "x\n".repeat(LONG).as_bytes()].concat();
    let file = mail("application/pdf", &b"x".repeat(LONG));
    for content in [text, file] {
        for pieces in [1, 3] {
            let mut raw = content.clone();
            for _ in 0..6 {
                let length = raw.len().div_ceil(pieces);
                let octets = raw.chunks(length).map(|piece| ber(0x04, piece)).collect::<Vec<_>>().concat();
                raw = mail(SIGNED, &signed(&if pieces == 1 { octets } else { ber(0x24, &octets) }));
            }
            read_bytes(&raw);
        }
    }
}

#[test]
fn a_signature_of_a_million_pieces_or_levels() {
    read_bytes(&mail(SIGNED, &signed(&ber(0x24, &ber(0x04, b"x").repeat(SHORT)))));
    read_bytes(&mail(SIGNED, &signed(&[0x24, 0x80].repeat(5 * SHORT))));
    read_bytes(&mail(SIGNED, &[0x30, 0x80].repeat(5 * SHORT)));
    let parts = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\nx\n".repeat(SHORT));
    let parsed = read_bytes(&mail(SIGNED, &signed(&ber(0x04, parts.as_bytes()))));
    has(&parsed, "too-many-parts");
}

/// Lines whose blanks were cut off on the way hold 45 bytes each.
#[test]
fn uuencoded_lines_that_stand_for_many_times_their_length() {
    let lines = format!("begin 644 x\n{}`\nend\n", "M\n".repeat(LONG.max(1 << 20)));
    let parsed = read(&format!("From: a@b.org\n\n{lines}"));
    has(&parsed, "too-much-decoded");
    assert!(parsed.mail.content_text().starts_with("begin 644 x\nM\n"), "what is not unpacked stays");
    let parsed = read(&format!("From: a@b.org\nContent-Transfer-Encoding: x-uuencode\n\n{lines}"));
    has(&parsed, "too-much-decoded");
    assert_eq!(parsed.mail.attachments[0].content, lines.as_bytes());
    // Shown and listed.
    for line in ["M\n", "M!!!!\n", "M!!!!!!!!!!!!!!!!!!!!!\n"] {
        for part in [12, 16, 24, 48] {
            let lines = format!("begin 644 x\n{}`\nend\n", line.repeat(LONG / part));
            let padded = format!("{lines}{}", "\n".repeat(LONG));
            for kind in ["text/plain", "text/html"] {
                let head = format!(
                    "Content-Type: {kind}\nContent-Disposition: inline; filename=x\nContent-Transfer-Encoding: x-uuencode"
                );
                for lines in [&lines, &padded] {
                    read(&format!("From: a@b.org\n{head}\n\n{lines}"));
                }
            }
        }
    }
    read(&format!("From: a@b.org\n\n{}", "begin 644 x\nM\n`\nend\n".repeat(SHORT)));
    read(&format!("From: a@b.org\n\n{}", "begin 644 x\n#0V%T\n`\nend\nand so on\n".repeat(SHORT / 2)));
    read(&format!("From: a@b.org\n\n{}", "begin 644 x\n".repeat(SHORT)));
    read(&format!("From: a@b.org\n\nbegin 644 x\n{}", "M\n".repeat(LONG)));
    let once = format!("begin 644 x\n#0V%T\n`\nend\n{}", "€".repeat(SHORT));
    let western = encoding_rs::WINDOWS_1252.encode(&once).0.into_owned();
    for more in ["", "Content-Disposition: inline; filename=x\n"] {
        let head = format!("From: a@b.org\nContent-Type: text/plain; charset=windows-1252\n{more}\n");
        let parsed = read_bytes(&[head.as_bytes(), &western[..]].concat());
        assert!(parsed.mail.content_text().ends_with("€€"));
    }
}

#[test]
fn many_encoded_files() {
    let data = data_encoding::BASE64_MIME.encode(&b"x".repeat(LONG));
    for encoding in ["base64", "quoted-printable", "7bit", "binary", "x-uuencode"] {
        let part = format!("--b\nContent-Type: a/b\nContent-Transfer-Encoding: {encoding}\n\n{data}\n");
        read(&format!("Content-Type: multipart/mixed; boundary=b\n\n{part}--b--\n"));
        let broken = part.replace("eHh4", "e*h4");
        read(&format!("Content-Type: multipart/mixed; boundary=b\n\n{broken}--b--\n"));
    }
    for piece in ["=", "=\n", "=3D", "=3", "\n", " ", "=E2=82=AC"] {
        let text = piece.repeat(LONG / piece.len());
        for kind in ["text/plain; charset=utf-8", "text/html", "a/b"] {
            read(&format!("Content-Type: {kind}\nContent-Transfer-Encoding: quoted-printable\n\n{text}"));
        }
    }
}
