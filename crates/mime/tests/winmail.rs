//! winmail.dat as Outlook and Exchange made it: its files with their publishers' sizes and hashes.

use data_encoding::{BASE64_MIME, HEXLOWER};
use mailfleet_mime::{Limits, Mail, parse};
use sha2::{Digest, Sha256};

fn mail(name: &str) -> Mail {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/tnef-raw").join(name);
    let body = BASE64_MIME.encode(&std::fs::read(path).unwrap());
    let head = "From: a@b.org\r\nContent-Type: application/ms-tnef; name=winmail.dat\r\n\
                Content-Transfer-Encoding: base64\r\n\r\n";
    parse(format!("{head}{body}").as_bytes(), &Limits::default()).mail
}

/// Name and the first digits of the hash of each file, the envelope aside. The publishers keep text files with LF: their
/// hashes are compared that way (`lf`).
#[track_caller]
fn check(name: &str, wanted: &[(&str, &str)], lf: bool) -> Mail {
    let mail = mail(name);
    let found: Vec<(String, String)> = mail
        .attachments
        .iter()
        .skip(1)
        .map(|file| {
            let text = || file.content.iter().copied().filter(|&byte| byte != b'\r').collect();
            let binary = file.mime_type.starts_with("image/") || file.mime_type == "application/rtf";
            let bytes: Vec<u8> = if lf && !binary { text() } else { file.content.clone() };
            let hash = HEXLOWER.encode(&Sha256::digest(bytes));
            (file.filename.clone().unwrap_or_default(), hash[..16].to_owned())
        })
        .collect();
    let wanted: Vec<_> = wanted.iter().map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned())).collect();
    assert_eq!(found, wanted);
    mail
}

#[test]
fn a_file_in_an_attribute_is_taken_out() {
    check("one-file.tnef", &[("AUTHORS", "36c47da7d11846ca")], false);
}

#[test]
fn data_that_comes_before_its_name_is_given_the_name() {
    check(
        "data-before-name.tnef",
        &[
            ("AUTOEXEC.BAT", "e3b0c44298fc1c14"),
            ("CONFIG.SYS", "e3b0c44298fc1c14"),
            ("boot.ini", "9c5375ec133b35d6"),
            ("message.rtf", "047bc7915ca95a02"),
        ],
        true,
    );
}

#[test]
fn packed_rich_text_is_unpacked() {
    let mail = check("rtf.tnef", &[("message.rtf", "285e04e771fe1f1d")], false);
    let text = mail.content_text();
    assert!(text.starts_with("aafgag'alga'kgk\n") && text.ends_with("978-318-6939 (Fax)"), "{text}");
}

#[test]
fn a_description_is_the_text_of_the_mail() {
    let wanted = [("message.rtf", "8bbeaeb23fc3a13f"), ("message.txt", "17a72562976cae76")];
    assert_eq!(check("triples.tnef", &wanted, true).content_text().trim(), "Sample description");
}

#[test]
fn html_and_inline_images_are_found_behind_named_properties() {
    let mail = check(
        "unicode-mapi-attr-name.tnef",
        &[
            ("spaconsole2.cfg", "119a50a2e79458a7"),
            ("image001.png", "037f9d1fa06bccd3"),
            ("image002.png", "ea179fb97a7e850e"),
            ("image003.png", "20c51557b9c7ec0a"),
            ("message.html", "9a3a8de894362ac2"),
        ],
        true,
    );
    assert!(mail.content_text().contains("Przesyłam poprawiony plik"));
    assert_eq!(mail.attachments[2].content_id.as_deref(), Some("image001.png@01CF8C82.F4A2A290"));
}

/// Rich text, not packed, as the only property of a message.
fn rich_text(rtf: &[u8]) -> Vec<u8> {
    let size = u32::try_from(rtf.len()).unwrap();
    let stored = [0, size, 0x414c_454d, 0].into_iter().flat_map(u32::to_le_bytes);
    let mut list = [1, 0x1009_0102, 1, size + 16].into_iter().flat_map(u32::to_le_bytes).collect::<Vec<_>>();
    list.extend(stored.chain(rtf.iter().copied()));
    list.resize(list.len().next_multiple_of(4), 0);
    let length = u32::try_from(list.len()).unwrap().to_le_bytes();
    let attribute = [&[1][..], &0x0006_9003_u32.to_le_bytes(), &length, &list, &[0, 0]].concat();
    [&[0x78, 0x9f, 0x3e, 0x22, 1, 0][..], &attribute].concat()
}

#[test]
fn html_that_is_wrapped_in_rich_text_is_the_mails_where_it_has_no_other() {
    let rtf = br"{\rtf1\ansi\ansicpg1251\fromhtml1 \deff0{\fonttbl{\f0\fcharset204 Arial;}}
{\*\htmltag64 <p>}\htmlrtf {\f0\htmlrtf0 \'cf\'f0\'e8\'e2\'e5\'f2 {\*\htmltag84 &amp; }all\htmlrtf\par}\htmlrtf0 {\*\htmltag72 </p>}}";
    let body = BASE64_MIME.encode(&rich_text(rtf));
    let file = format!(
        "Content-Type: application/ms-tnef; name=winmail.dat\nContent-Transfer-Encoding: base64\n\n{body}\n"
    );
    let alone = parse(format!("From: a@b.org\n{file}").as_bytes(), &Limits::default()).mail;
    assert_eq!(alone.html.as_deref(), Some("<p>Привет &amp; all</p>"));
    assert_eq!(alone.content_text().trim(), "Привет & all");
    let names = |mail: &Mail| -> Vec<_> {
        mail.attachments.iter().filter_map(|file| file.filename.clone()).collect()
    };
    assert_eq!(names(&alone), ["winmail.dat", "message.rtf", "message.html"]);
    let beside = format!(
        "From: a@b.org\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nHello\n--b\n{file}\n--b--\n"
    );
    let beside = parse(beside.as_bytes(), &Limits::default()).mail;
    assert_eq!((beside.html.as_deref(), beside.content_text().as_str()), (None, "Hello"));
    assert_eq!(names(&beside), names(&alone));
}
